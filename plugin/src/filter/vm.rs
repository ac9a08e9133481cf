//! One VM: its root contexts (one for each listener and configuration), its streams, and what they share.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::abi::Level;
use super::entropy::Entropy;
use super::host;
use super::metrics::Metrics;
use super::recall::{Held, Recall};
use super::request::StreamContext;
use super::root::Root;
use crate::identity::{ABI, COMMIT, VERSION};
use crate::telemetry::Metric;
use crate::upgrade::Calls;

/// State of this VM. `static` state would be the same thing: a VM has one thread.
#[derive(Default)]
pub struct Vm {
    pub(super) roots: Vec<Root>,
    pub(super) streams: HashMap<u32, StreamContext, BuildHasherDefault<ContextHasher>>,
    /// Streams that are done and may still be logged, in that order.
    unlogged: VecDeque<u32>,
    pub(super) metrics: Metrics,
    pub(super) entropy: Entropy,
    pub(super) recall: Recall,
}

/// Streams that may wait for a host to log them after they are done.
const UNLOGGED: usize = 64;

thread_local! {
    static VM: RefCell<Vm> = RefCell::default();
}

/// Runs a callback on the VM's state. A host that calls back while a callback runs gets `otherwise`, not a panic.
pub fn with<T>(otherwise: T, callback: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with(|vm| match vm.try_borrow_mut() {
        Ok(mut vm) => callback(&mut vm),
        Err(_) => otherwise,
    })
}

/// Tells the log which Tracelift starts here: one line a VM, so one a worker and one for the main thread.
pub fn announce() {
    host::log(Level::Info, &format!("tracelift {VERSION} (commit {COMMIT}, proxy-wasm ABI {ABI})"));
}

impl Vm {
    /// `parent` 0 makes a root context, everything else a stream of that root.
    pub fn context_created(&mut self, context: u32, parent: u32) {
        if parent == 0 {
            if self.root(context).is_none() {
                self.roots.push(Root::new(context));
            }
        } else {
            self.streams.insert(context, StreamContext::new(parent));
        }
    }

    /// `false` refuses the configuration: a NACK, or the end of a starting Envoy.
    pub fn configure(&mut self, root: u32, size: usize) -> bool {
        self.context_created(root, 0);
        let Self { roots, metrics, recall, .. } = self;
        let root = roots.iter_mut().find(|candidate| candidate.id == root);
        let accepted = root.is_some_and(|root| {
            let accepted = root.configure(size, metrics);
            if root.active().is_some_and(|active| active.policy.upgrade.recall.enabled) {
                recall.start();
            }
            accepted
        });
        metrics.flush();
        accepted
    }

    /// Sends what is due and shows the counts.
    pub fn tick(&mut self, root: u32) {
        let Self { roots, metrics, entropy, streams, recall, .. } = self;
        let now = host::now();
        if let Some(active) = roots.iter().find(|candidate| candidate.id == root).and_then(Root::active) {
            recall.tick(&active, now, metrics, &mut |held: &Held, calls| offer(roots, held, calls));
        }
        if let Some(root) = roots.iter_mut().find(|candidate| candidate.id == root) {
            root.send(now, false, entropy);
            if let Some(central) = &mut root.central {
                central.tick(entropy, metrics);
            }
            root.publish(metrics);
            root.publish_pending(streams.values(), metrics);
        }
        metrics.flush();
    }

    /// The answer to an export request, or its absence (`has_headers` is false when the call failed).
    pub fn answered(&mut self, token: u32, has_headers: bool, body_size: usize) {
        let Self { roots, metrics, entropy, recall, .. } = self;
        if recall.answered(token, has_headers, metrics, &mut |held: &Held, calls| offer(roots, held, calls)) {
            return;
        }
        let mut centrals = roots.iter_mut().filter_map(|root| root.central.as_deref_mut());
        if let Some(central) = centrals.find(|central| central.awaits(token)) {
            return central.answered(has_headers, body_size, entropy, metrics);
        }
        // Tokens are the VM's, not the root's; one that nobody waits for is none of ours.
        let Some(root) = roots.iter_mut().find(|root| root.awaits(token)) else { return };
        root.answered(token, has_headers, body_size, metrics, entropy);
        if root.is_ending() {
            let id = root.id;
            if self.hand_over(id) {
                self.forget(id);
                let _ = host::done(); // Only the host's memory of this context is at stake.
            }
        }
    }

    /// The last callback. A stream has nothing to wait for. A root hands its spans to its successor, or sends
    /// them off, and stays (`false`) while answers are awaited; a host that exits does not wait.
    pub fn done(&mut self, context: u32) -> bool {
        let Self { roots, metrics, recall, .. } = self;
        if !roots.iter().any(|root| root.id == context) {
            if self.streams.contains_key(&context) {
                self.unlogged(context);
            }
            return true;
        }
        if roots.iter().all(|root| root.id == context || root.is_ending()) {
            recall.close(metrics, &mut |held: &Held, calls| offer(roots, held, calls));
        }
        if let Some(root) = roots.iter_mut().find(|root| root.id == context) {
            root.end();
            if let Some(central) = &mut root.central {
                central.end(metrics);
            }
        }
        let finished = self.hand_over(context);
        if finished {
            self.forget(context);
        }
        finished
    }

    /// Moves what an ending root still has to where it can be exported; `true` when nothing is left to wait for.
    fn hand_over(&mut self, ending: u32) -> bool {
        let Some(index) = self.roots.iter().position(|root| root.id == ending) else { return true };
        let mut ending = self.roots.swap_remove(index);
        match self.roots.iter_mut().filter(|root| root.succeeds(&ending)).max_by_key(|root| root.id) {
            Some(successor) => {
                successor.adopt(&mut ending);
                successor.publish(&mut self.metrics);
            }
            None => ending.send(host::now(), true, &mut self.entropy),
        }
        let finished = !ending.is_awaiting();
        ending.publish(&mut self.metrics);
        ending.publish_pending([].iter(), &mut self.metrics);
        self.metrics.flush();
        self.roots.push(ending);
        finished
    }

    /// A root that needs no more time: nothing of it is left behind.
    fn forget(&mut self, root: u32) {
        if let Some(index) = self.roots.iter().position(|known| known.id == root) {
            let mut ended = self.roots.swap_remove(index);
            ended.close();
            ended.publish(&mut self.metrics);
            self.metrics.flush();
        }
    }

    /// A stream that is done and was not logged. Hosts other than Envoy log it next; one that never does must not fill our
    /// memory.
    fn unlogged(&mut self, stream: u32) {
        if UNLOGGED <= self.unlogged.len()
            && let Some(oldest) = self.unlogged.pop_front()
        {
            self.streams.remove(&oldest);
        }
        self.unlogged.push_back(stream);
    }

    pub(super) fn root(&self, id: u32) -> Option<&Root> {
        self.roots.iter().find(|root| root.id == id)
    }
}

/// Queues the span of a stream that ended earlier: with the root that it ran under, or one that is still there.
fn offer(roots: &mut [Root], held: &Held, calls: Option<Calls>) {
    let own = roots.iter().position(|root| root.id == held.root && !root.is_ending());
    let at = own.or_else(|| roots.iter().position(|root| root.active().is_some() && !root.is_ending()));
    if let Some(root) = at.and_then(|at| roots.get_mut(at)) {
        held.facts.spans(&held.keep, &held.active, calls, &mut |span| root.offer(&span));
    }
}

/// Context ids count up: any spread will do, and the standard hasher is four times the work.
#[derive(Default)]
pub struct ContextHasher(u64);

impl Hasher for ContextHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Counters that more than one callback needs.
pub(super) fn failed(metrics: &mut Metrics) {
    metrics.count(Metric::HostcallFailed);
}
