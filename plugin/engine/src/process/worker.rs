//! One worker: its roots (one for each listener and configuration), its streams, and what they share.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::Arc;

use super::configuration::Setup;
use super::metering::Meter;
use super::parents::{Parents, Pod};
use super::recall::Recall;
use super::root::Root;
use super::streams::Streams;
use super::upgrades::Upgrades;
use crate::central;
use crate::door::{Exchange, Host, Side};
use crate::export::MAX_ANSWER;
use crate::metrics::{Recorder, Waiting};
use crate::policy::Policy;
use crate::request::{self, Answered, Ended, Held, Parts, RequestContext};
use crate::shared::{Arrival, CallAnswer, Entropy, Extent};
use crate::span::NodeMetadata;
use crate::telemetry::{Metric, Metrics};
use crate::trace_context::TRACEPARENT;
use crate::upgrade::Calls;

/// State of one worker, which has one thread.
#[derive(Default)]
pub struct Worker {
    pub(super) roots: Vec<Root>,
    pub(super) streams: Streams,
    /// The stream that was logged last, if its answer was sent past the filter: Envoy's access log comes next, if it has more to say.
    unseen: Option<u32>,
    /// Streams that are done and may still be logged, in that order.
    unlogged: VecDeque<u32>,
    pub(super) metrics: Metrics,
    pub(super) entropy: Entropy,
    recall: Recall,
    parents: Parents,
    upgrades: Upgrades,
}

/// Streams that may wait for a host to log them after they are done.
const UNLOGGED: usize = 64;

impl Worker {
    /// `parent` 0 makes a root, everything else a stream of that root.
    pub fn context_created(&mut self, context: u32, parent: u32) {
        if parent == 0 {
            if self.root(context).is_none() {
                self.roots.push(Root::new(context));
            }
        } else {
            self.streams.insert(context, parent);
        }
    }

    /// `false` refuses the configuration: a NACK, or the end of a starting Envoy.
    pub fn configure(&mut self, host: &impl Host, root: u32, setup: Setup) -> bool {
        self.context_created(root, 0);
        let Self { roots, metrics, entropy, .. } = self;
        let root = roots.iter_mut().find(|candidate| candidate.id() == root);
        let accepted = root.is_some_and(|root| root.configure(host, setup, (metrics, entropy)));
        let lists = roots.iter().filter_map(Root::policy).any(|policy| policy.upgrade.applications.enabled);
        self.know_application();
        let Self { roots, metrics, upgrades, .. } = self;
        if lists || Pod::of(roots).has_application() || recalling(roots).is_some() {
            upgrades.start(host);
        }
        metrics.flush(host);
        accepted
    }

    /// Uses a policy that was read and checked before, as a host does that has no bytes of a configuration.
    pub fn take_up(&mut self, host: &impl Host, root: u32, policy: Policy, node: &NodeMetadata, plugin: &str) {
        self.context_created(root, 0);
        if let Some(root) = self.roots.iter_mut().find(|candidate| candidate.id() == root) {
            root.take_up(host, policy, node, plugin.to_owned(), (&mut self.metrics, &mut self.entropy));
        }
        self.know_application();
    }

    /// Tells all roots whether an application is between their listeners.
    fn know_application(&mut self) {
        let application = Pod::of(&self.roots).has_application();
        self.roots.iter_mut().for_each(|root| root.scope.application = application);
    }

    /// Sends what is due and shows the counts.
    pub fn tick(&mut self, host: &impl Host, root: u32) {
        let now = host.now();
        self.settle_unseen();
        self.learn(host, root, now);
        let Self { roots, entropy, .. } = self;
        if let Some(root) = roots.iter_mut().find(|candidate| candidate.id() == root) {
            root.tick(host, now, entropy);
        }
        self.tick_root(host, (root, now), Meter::ShareAndExport);
        let Self { roots, metrics, .. } = self;
        if let Some(root) = roots.iter_mut().find(|candidate| candidate.id() == root) {
            root.publish(metrics);
        }
        metrics.flush(host);
    }

    /// What the tick of every worker does under a root, whichever worker exports: shares what was counted and learned, and shows it.
    pub(super) fn tick_root(&mut self, host: &impl Host, (root, now): (u32, u64), meter: Meter) {
        let Self { roots, metrics, entropy, streams, .. } = self;
        let Some(at) = roots.iter().position(|candidate| candidate.id() == root) else { return };
        let is_alone = roots
            .get(at)
            .is_some_and(|this| !roots.iter().any(|other| this.id() != other.id() && other.succeeds(this)));
        let Some(root) = roots.get_mut(at) else { return };
        root.share_slowness(host, now, metrics);
        root.steer(host, now, is_alone, metrics);
        if let Some(central) = &mut root.scope.central {
            central.tick(host, entropy, metrics);
        }
        root.meter(host, meter, metrics);
        root.publish_audit(host, metrics);
        root.publish_pending(streams.values(), metrics);
    }

    /// Learns which traces were upgraded in this process, and lets go what waited for that.
    pub(super) fn learn(&mut self, host: &impl Host, ticking: u32, now: u64) {
        let Self { roots, metrics, streams, recall, parents, upgrades, .. } = self;
        let own = roots.iter().find(|candidate| candidate.id() == ticking).and_then(Root::policy);
        let Some(own) = own.map(Arc::clone) else { return };
        let pod = Pod::of(roots);
        let policy = recalling(roots).unwrap_or_else(|| Arc::clone(&own));
        let recalling = &policy.upgrade.recall;
        if upgrades.follow_clock(now) {
            recall.set_back(recalling, now, metrics);
            parents.set_back(pod, now);
        }
        let news = upgrades.look(host, now);
        let looked = news.is_some();
        let mut ready = Vec::new();
        let mut take = |held, calls| ready.push((held, calls));
        if let Some(news) = news.filter(|news| !news.traces.is_empty() || 0 < news.missed) {
            if pod.has_application() {
                parents.learn(&news, now);
            }
            recall.release(host, (recalling, &news), now, metrics, &mut take);
        }
        recall.tick(host, &own.upgrade.recall, now, metrics, &mut take);
        if looked {
            parents.show_running(host, (ticking, now), roots, streams.iter_mut());
        }
        self.place(host, ready);
        if looked {
            let Self { roots, metrics, parents, .. } = self;
            parents.tick(host, pod, now, metrics, &mut |held: &Held, calls| offer(roots, held, calls));
        }
    }

    /// Queues spans of streams that ended earlier, as soon as their place in the tree is known.
    #[inline(never)] // One copy in the module.
    fn place(&mut self, host: &impl Host, ready: Vec<(Box<Held>, Option<Calls>)>) {
        let Self { roots, metrics, parents, .. } = self;
        let pod = Pod::of(roots);
        for kept in ready {
            parents.keep(host, pod, kept, metrics, &mut |held: &Held, calls| offer(roots, held, calls));
        }
    }

    /// Whether a context is a stream of a root that does anything: for others no header is read.
    fn serves(&self, context: u32) -> bool {
        if self.roots.iter().all(|root| root.work.is_some()) {
            return !self.roots.is_empty(); // As nearly always: the stream is looked for once, with its headers.
        }
        let stream = self.streams.get(context);
        stream.and_then(|stream| self.root(stream.root())).is_some_and(|root| root.work.is_some())
    }

    /// Whether one header of a request is likely to be enough.
    #[inline(always)] // It has one caller.
    fn reads_one(&self, context: u32) -> bool {
        let reads_one =
            |root: &&Root| root.policy().is_some_and(|policy| policy.border.one_header) && !root.scope.whole.is_usual();
        let mut roots = self.roots.iter().filter(reads_one).map(Root::id).peekable();
        roots.peek().is_some() && self.streams.get(context).is_some_and(|stream| roots.any(|id| id == stream.root()))
    }

    /// The head of a request. `true`: it was answered here and goes no further.
    pub fn request_headers<X: Exchange>(&mut self, exchange: &X, context: u32) -> bool {
        if !self.serves(context) {
            return false;
        }
        if X::GAINS_BY_SLOTS
            && self.reads_one(context)
            && let Some(answered) = exchange.header(Side::Request, TRACEPARENT, |value| {
                let (mut parts, _, context) = self.split(exchange, context)?;
                request::requested_by_one(&mut parts, context, value)
            })
        {
            return answered;
        }
        exchange.headers(Side::Request, |headers| {
            let Some((mut parts, _, context)) = self.split(exchange, context) else { return false };
            request::requested(&mut parts, context, headers)
        })
    }

    /// The head of an answer, or its trailers.
    pub fn answered(&mut self, exchange: &impl Exchange, context: u32, which: Answered) {
        if self.serves(context) {
            exchange.headers(which.side(), |headers| {
                if let Some((mut parts, _, context)) = self.split(exchange, context) {
                    request::answered(&mut parts, context, which, headers);
                }
            });
        }
    }

    /// In which series requests were counted that were the first of these here since the last tick: for a tool that shows it.
    pub fn counted(&self) -> impl Iterator<Item = &Waiting> {
        self.roots.iter().filter_map(Root::recorder).flat_map(Recorder::waiting)
    }

    /// The last byte of an answer's body has passed.
    pub fn response_body_ended(&mut self, context: u32) {
        if let Some(context) = self.streams.get_mut(context) {
            context.body_ended();
        }
    }

    /// The end of a stream. Its span is exported, held or forgotten. The same of a root shows the stream again that was logged last, in
    /// Envoy's access log.
    pub fn log(&mut self, exchange: &impl Exchange, id: u32) {
        match self.unseen {
            Some(unseen) if !self.streams.contains(id) => self.shown_again(exchange, unseen, id),
            Some(_) => {
                self.settle_unseen();
                self.logged(exchange, id, id);
            }
            None => self.logged(exchange, id, id),
        }
    }

    /// Envoy's access log shows a request, on behalf of a root: the one that was logged last, if it is of the filter.
    #[inline(never)] // Of a wrapped filter, for what failed.
    fn shown_again(&mut self, exchange: &impl Exchange, unseen: u32, root: u32) {
        if let Some(stream) = self.streams.get_mut(unseen)
            && request::is_logged_request(exchange, stream)
        {
            stream.set_logged_again();
            self.unseen = None;
            self.logged(exchange, unseen, root);
        }
    }

    /// A stream that was logged, with this context in effect.
    #[inline(never)] // Once for a request, and seldom for one that is shown again.
    fn logged(&mut self, exchange: &impl Exchange, id: u32, effective: u32) {
        let ended = match self.split(exchange, id) {
            Some((mut parts, recall, context)) => {
                let root = context.root();
                (root, request::ended(&mut parts, context, |trace_id| recall.is_recent(trace_id)))
            }
            None => (0, Ended::Dropped),
        };
        if matches!(ended, (_, Ended::Unseen)) {
            self.unseen = Some(id);
            return;
        }
        self.streams.remove(id);
        match ended {
            (_, Ended::Dropped | Ended::Unseen) => {}
            (_, Ended::Held(held)) => self.recall.hold(held),
            (root, Ended::Kept(held)) => self.export(exchange.host(), (root, effective), held),
        }
    }

    /// Envoy's access log had nothing to say of the stream that was logged last.
    #[inline(always)] // For every request.
    fn settle_unseen(&mut self) {
        let Some(id) = self.unseen.take() else { return };
        if let Some(stream) = self.streams.get(id)
            && let Some(root) = self.roots.iter_mut().find(|root| root.id() == stream.root())
            && let Root { work: Some(work), scope, .. } = root
        {
            request::settled(scope, &work.policy, stream);
        }
        self.streams.remove(id);
    }

    /// Exports a span as soon as all is known of it, and sends a batch that is full.
    fn export(&mut self, host: &impl Host, (root, stream): (u32, u32), held: Box<Held>) {
        let Self { roots, metrics, entropy, recall, parents, .. } = self;
        let pod = Pod::of(roots);
        let Some(root) = roots.iter_mut().find(|candidate| candidate.id() == root) else { return };
        let mut known = None;
        recall.keep(host, held, metrics, &mut |held, calls| known = Some((held, calls)));
        if let Some(kept) = known {
            parents.keep(host, pod, kept, metrics, &mut |held: &Held, calls| queue(root, held, calls));
        }
        // The answer must outlive this stream, so the request is the root's.
        if root.batch_is_ready()
            && host.as_root(root.id(), stream, || root.send(host, host.now(), false, entropy)).is_err()
        {
            metrics.count(Metric::HostcallFailed);
        }
    }

    /// The answer to a call of ours, or its absence.
    pub fn call_answered(&mut self, host: &impl Host, arrival: Arrival) {
        let Self { roots, metrics, entropy, recall, .. } = self;
        let token = arrival.token;
        if recall.awaits(token) {
            let answer = CallAnswer::read(host, arrival, Extent::default());
            let mut ready = Vec::new();
            recall.answered(host, token, &answer, metrics, &mut |held, calls| ready.push((held, calls)));
            return self.place(host, ready);
        }
        let mut centrals = roots.iter_mut().filter_map(|root| root.scope.central.as_deref_mut());
        if let Some(central) = centrals.find(|central| central.awaits(token)) {
            let extent = Extent { body: central::ANSWER_BYTES, ..Extent::default() };
            return central.answered(host, &CallAnswer::read(host, arrival, extent), entropy, metrics);
        }
        // Tokens are the worker's, not the root's; one that is not awaited was not ours.
        let Some(root) = roots.iter_mut().find(|root| root.awaits(token)) else { return };
        let extent = Extent { trailers: true, body: MAX_ANSWER.saturating_add(1) };
        root.answered(host, token, &CallAnswer::read(host, arrival, extent), metrics, entropy);
        if root.is_ending() {
            let id = root.id();
            if self.pass_on(host, id) {
                self.forget(host, id);
                host.done();
            }
        }
    }

    /// The last callback. A stream has nothing to wait for. A root passes its spans to its successor, or sends
    /// them off, and stays (`false`) while answers are awaited; a host that exits does not wait.
    pub fn done(&mut self, host: &impl Host, context: u32) -> bool {
        if !self.roots.iter().any(|root| root.id() == context) {
            if self.unseen == Some(context) {
                self.settle_unseen();
            } else if self.streams.contains(context) {
                self.unlogged(context);
            }
            return true;
        }
        self.settle_unseen();
        let Self { roots, metrics, recall, parents, .. } = self;
        if roots.iter().all(|root| root.id() == context || root.is_ending()) {
            recall.close(metrics, &mut |held, calls| offer(roots, &held, calls));
            parents.close(metrics, &mut |held: &Held, calls| offer(roots, held, calls));
        }
        let ending = roots.iter().find(|root| root.id() == context);
        let has_successor =
            ending.is_some_and(|ending| roots.iter().any(|root| root.succeeds(ending) && root.id() != context));
        if let Some(root) = roots.iter_mut().find(|root| root.id() == context) {
            root.end(host, has_successor, metrics);
            if let Some(central) = &mut root.scope.central {
                central.end(host, metrics);
            }
        }
        let finished = self.pass_on(host, context);
        if finished {
            self.forget(host, context);
        }
        if self.roots.iter().all(Root::is_ending) {
            self.close(host);
        }
        finished
    }

    /// The last root ends, and with it the VM: Envoy waits for no answer, whatever [`Self::done`] says. What is on its way counts
    /// as discarded while there still is a callback to say so in, and an answer that comes after all changes nothing.
    fn close(&mut self, host: &impl Host) {
        for root in &mut self.roots {
            root.close();
            root.publish(&mut self.metrics);
        }
        self.metrics.flush(host);
    }

    /// Moves what an ending root still has to where it can be exported; `true` when nothing is left to wait for.
    fn pass_on(&mut self, host: &impl Host, ending: u32) -> bool {
        let Some(index) = self.roots.iter().position(|root| root.id() == ending) else { return true };
        let mut ending = self.roots.swap_remove(index);
        match self.roots.iter_mut().filter(|root| root.succeeds(&ending)).max_by_key(|root| root.id()) {
            Some(successor) => {
                successor.adopt(host, &mut ending);
                successor.publish(&mut self.metrics);
            }
            None => ending.send(host, host.now(), true, &mut self.entropy),
        }
        let finished = !ending.is_awaiting();
        ending.publish(&mut self.metrics);
        ending.publish_pending([].iter(), &mut self.metrics);
        self.metrics.flush(host);
        self.roots.push(ending);
        finished
    }

    /// A root that needs no more time: nothing of it is left behind.
    fn forget(&mut self, host: &impl Host, root: u32) {
        if let Some(index) = self.roots.iter().position(|known| known.id() == root) {
            let mut ended = self.roots.swap_remove(index);
            ended.close();
            ended.publish(&mut self.metrics);
            self.metrics.flush(host);
        }
    }

    /// A stream that is done and was not logged. Hosts other than Envoy log it next; one that never does must not fill our
    /// memory.
    fn unlogged(&mut self, stream: u32) {
        if UNLOGGED <= self.unlogged.len()
            && let Some(oldest) = self.unlogged.pop_front()
        {
            self.streams.remove(oldest);
        }
        self.unlogged.push_back(stream);
    }

    /// What a callback of one stream works with; `None` for a context that was never created, or whose root passes everything
    /// through.
    fn split<'a, X: Exchange>(
        &'a mut self,
        exchange: &'a X,
        context: u32,
    ) -> Option<(Parts<'a, X>, &'a mut Recall, &'a mut RequestContext)> {
        let Self { roots, streams, metrics, entropy, recall, .. } = self;
        let context = streams.get_mut(context)?;
        let Root { work, scope, .. } = roots.iter_mut().find(|root| root.id() == context.root())?;
        let policy = &work.as_ref()?.policy;
        Some((Parts { exchange, scope, policy, metrics, entropy }, recall, context))
    }

    fn root(&self, id: u32) -> Option<&Root> {
        self.roots.iter().find(|root| root.id() == id)
    }
}

/// The policy of a root with recall, if there is one.
fn recalling(roots: &[Root]) -> Option<Arc<Policy>> {
    roots.iter().filter_map(Root::policy).find(|policy| policy.upgrade.recall.enabled).map(Arc::clone)
}

/// Queues the span of a stream that ended earlier: with the root that it ran under, or one that is still there.
fn offer(roots: &mut [Root], held: &Held, calls: Option<Calls>) {
    let own = roots.iter().position(|root| root.id() == held.root && !root.is_ending());
    let at = own.or_else(|| roots.iter().position(|root| root.work.is_some() && !root.is_ending()));
    if let Some(root) = at.and_then(|at| roots.get_mut(at)) {
        queue(root, held, calls);
    }
}

#[inline(never)] // Likewise.
fn queue(root: &mut Root, held: &Held, calls: Option<Calls>) {
    held.spans(calls, &mut |span| root.offer(&span, held.is_upgraded(), held.exemplar()));
    if let Some((failed, adjusted_count)) = held.audited() {
        root.scope.audit.offered(failed, adjusted_count);
    }
    if held.is_paid_first() {
        let live = root.scope.steering.as_mut().and_then(|steering| steering.live.as_mut());
        live.into_iter().for_each(|rates| rates.other());
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
