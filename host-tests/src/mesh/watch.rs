//! What is checked at every step: decisions as they are made, budgets as they are charged, memory and books of an Envoy after
//! whatever it did.

use super::bounds::Payer;
use super::call::Maker;
use super::context::Context;
use super::hop::{HopId, Side};
use super::simulation::Mesh;
use super::topology::{PENDING_BYTES, PodId, QUEUE_BYTES, TOKEN};
use crate::{Headers, SpanBalance};

/// What a VM may take beside what it had at its start: twice the bounds of both listeners' queues, for what is copied while
/// a batch is made, and room for streams.
const SLACK: u64 = 256 * 1024;
/// 4,096 slots of a key and four traces, 1,024 of a key and eight streams, the budget, and the log of upgrades.
const SHARED: usize = 4096 * (24 + 84) + 1024 * (23 + 352) + 64 * 1024;
/// Calls that wait for their place in the tree.
const WAITING: u64 = 1024 * 1024;
/// Thresholds have 56 bits; a trace this near to one may fall either side of a ratio that was rounded.
const ROUNDING: u128 = 1 << 16;

impl Mesh {
    /// Checks the context that a hop passes on against what came in.
    pub(crate) fn check_beginning(&mut self, id: HopId, context: &Context) {
        let hop = &self.hops[id];
        if let Some(parent) = context.hop {
            let above = &self.hops[parent];
            if above.trace != hop.trace {
                return self.violation(id, "the trace-id changed on its way");
            }
            if above.randomness != hop.randomness {
                return self.violation(id, "the randomness changed on its way");
            }
            if hop.incoming == Some(true) && !above.sampled {
                return self.violation(id, "a sampled flag came in that no hop had set");
            }
        }
        let hop = &self.hops[id];
        let expected = match hop.incoming.filter(|_| hop.side != Side::Gateway) {
            None => {
                let threshold = ((1.0 - self.options.ratio) * (1_u64 << 56) as f64) as u128;
                let randomness = hop.randomness;
                if randomness.abs_diff(threshold) < ROUNDING {
                    return;
                }
                threshold <= randomness
            }
            Some(true) => true,
            Some(false) => {
                let place = (hop.pod, hop.trace);
                let upgraded = self.upgraded.contains(&place);
                if !upgraded && self.perhaps_upgraded.contains(&place) {
                    return;
                }
                if hop.side == Side::Outbound && self.liars.repeat(hop.trace) {
                    // Any request of the trace may have upgraded it: the last reckoning asks which.
                    if hop.sampled {
                        self.unexplained.push(id);
                        self.charge_join(id);
                    }
                    return;
                }
                let expected = hop.side == Side::Outbound && upgraded;
                if expected && !hop.sampled {
                    // Beyond its bound, which is counted: the last reckoning compares.
                    *self.unbelieved.entry(hop.pod).or_default() += 1;
                    return;
                }
                if expected {
                    self.charge_join(id);
                }
                expected
            }
        };
        if self.hops[id].sampled != expected {
            self.violation(id, "the head decision is not what ratio, parent and earlier upgrades ask for");
        }
    }

    /// Nothing of an upgrade leaves the mesh.
    pub(crate) fn check_answer(&mut self, maker: Maker, headers: &Headers) {
        if maker != Maker::Client {
            return;
        }
        self.check_secret("an answer to a client", headers);
        let timing = headers.joined("server-timing").unwrap_or_default();
        let is_ours = |name: &[u8]| name.starts_with(b"x-tracelift-") || name == b"traceresponse";
        let marked = headers.iter().any(|(name, _)| is_ours(name));
        if marked || timing.windows(6).any(|part| part == b"trace;") {
            self.violations.add(self.now - self.started, "a signal left the mesh", format!("{headers:?}"));
        }
    }

    /// The mesh's secret is in nothing that leaves a filter.
    pub(crate) fn check_secret(&mut self, what: &str, headers: &Headers) {
        let shows = |value: &[u8]| value.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
        if headers.iter().any(|(_, value)| shows(value)) {
            self.violations.add(self.now - self.started, "the secret left a filter", format!("{what}: {headers:?}"));
        }
    }

    /// Nothing that clients wrote in our name enters the mesh.
    pub(crate) fn check_request(&mut self, side: Side, headers: &Headers) {
        if side == Side::Gateway && headers.iter().any(|(name, _)| name.starts_with(b"x-tracelift-")) {
            self.violations.add(
                self.now - self.started,
                "a header of ours came in from outside",
                format!("{headers:?}"),
            );
        }
    }

    fn charge_join(&mut self, id: HopId) {
        let (pod, now) = (self.hops[id].pod, self.now);
        self.charge(pod, Payer::Joins, now);
        self.charge(pod, Payer::All, now);
    }

    /// Checks what an Envoy says of itself, after whatever it did.
    pub(crate) fn watch(&mut self, pod: PodId) {
        let at = self.now - self.started;
        let Some(envoy) = self.topology.pods[pod].envoy.as_ref() else { return };
        let held = if self.options.recall { 2 * PENDING_BYTES } else { 0 };
        let bound = self.topology.pods[pod].memory_at_start + 4 * QUEUE_BYTES + held + WAITING + SLACK;
        let vms = envoy.vms();
        for vm in &vms {
            let bytes = envoy.memory_size(*vm);
            self.largest_memory = self.largest_memory.max(bytes);
            if bound < bytes {
                let details = format!("{vm:?} of pod {pod} takes {bytes} bytes, not at most {bound}");
                self.violations.add(at, "a VM has outgrown its bounds", details);
            }
        }
        let shared = envoy.shared_data().byte_size();
        if SHARED < shared {
            let details = format!("{shared} bytes in pod {pod}, not at most {SHARED}");
            self.violations.add(at, "shared data have outgrown their bounds", details);
        }
        let (seen, traps) = self.topology.pods[pod].seen;
        for trap in &envoy.traps()[traps..] {
            self.violations.add(at, "the module trapped", format!("pod {pod}: {trap}"));
        }
        let (changes, traps) = (envoy.metrics().changes(), envoy.traps().len());
        if seen != changes {
            let balance = SpanBalance::of(envoy.metrics());
            if !balance.holds() {
                self.violations.add(at, "spans were lost or counted twice", format!("pod {pod}: {balance}"));
            }
            for vm in vms {
                self.check_vm(pod, vm);
            }
        }
        self.topology.pods[pod].seen = (changes, traps);
    }

    /// Notes what an Envoy holds for a recall now.
    pub(crate) fn weigh(&mut self, pod: PodId) {
        let Some(envoy) = self.topology.pods[pod].envoy.as_ref() else { return };
        self.held.0 += u64::try_from(envoy.gauge("tracelift.recall.spans")).unwrap_or(0);
        self.held.1 += u64::try_from(envoy.gauge("tracelift.recall.bytes")).unwrap_or(0);
    }
}
