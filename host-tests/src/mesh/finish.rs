//! The last reckoning: what arrived at the collector against what the hops say, and every Envoy's counters against both.

use std::collections::{BTreeMap, BTreeSet};

use super::causes::Cause;
use super::collector::Received;
use super::hop::{HopId, Kept, RECALLED, Side};
use super::parents::Gaps;
use super::report::{Figures, Report, Share};
use super::simulation::Mesh;
use super::topology::{GATEWAY, PodId};
use crate::otlp::SpanKind;
use crate::{SpanBalance, VmId};

/// Counts of what an Envoy was told and did not believe.
pub(crate) const REFUSED: [&str; 3] =
    ["tracelift.upgrades.signals_refused", "tracelift.joins.refused", "tracelift.joins.forgotten"];

impl Mesh {
    /// Checks what can be checked at the end only, and counts.
    pub(crate) fn finish(mut self) -> Report {
        for pod in 0..self.topology.pods.len() {
            self.with_envoy(pod, |envoy| envoy.tick_all());
            for vm in self.topology.pods[pod].vms() {
                self.close_vm(pod, vm);
            }
        }
        let spans = std::mem::take(&mut self.collector.lock().expect("nobody panics while collecting").spans);
        let by_id: BTreeMap<u64, HopId> = self.hops.iter().enumerate().map(|(id, hop)| (hop.span, id)).collect();
        self.check_received(&spans, &by_id);
        let spare = self.check_books(&spans);
        if self.options.recall {
            self.check_siblings(&spans, &spare);
        }
        self.check_choices();
        self.check_unexplained();
        let figures = self.figures(&spans);
        Report { options: self.options, violations: self.violations, digest: self.digest, figures }
    }

    /// Each span that arrived is of a hop that kept it, and hangs below the hop above.
    fn check_received(&mut self, spans: &BTreeMap<u64, Received>, by_id: &BTreeMap<u64, HopId>) {
        let gateways = self.hops.iter().filter(|hop| hop.side == Side::Gateway);
        let entered: BTreeSet<u128> = gateways.map(|hop| hop.trace).collect();
        let mut gaps = Gaps::default();
        for (span, received) in spans {
            // A gateway's stream is two spans; the one in front has an id that never travels.
            if received.pod == GATEWAY && received.kind == SpanKind::Server && entered.contains(&received.trace) {
                continue;
            }
            let Some(&id) = by_id.get(span) else {
                let details = format!("{span:016x} from pod {}", received.pod);
                self.violations.add(self.now - self.started, "a span arrived that no hop has", details);
                continue;
            };
            let hop = &self.hops[id];
            let home = (hop.pod, VmId::Worker(hop.worker), hop.trace);
            if home != (received.pod, received.vm, received.trace) {
                self.violation(id, "its span arrived from another pod or VM, or in another trace");
            } else if received.trigger.as_deref() == Some(RECALLED) {
                if !self.learned.contains_key(&(hop.pod, hop.trace)) {
                    self.violation(id, "its span was recalled although its Envoy knew of no upgrade");
                }
            } else if !hop.is_kept() && !hop.lost {
                self.violation(id, "its span arrived although it was dropped");
            } else if let Kept::Upgraded(trigger) = &hop.kept
                && received.trigger.as_ref() != Some(trigger)
            {
                self.violation(id, "its span names another trigger than the access log");
            } else if let Some(above) = hop.parent.filter(|_| hop.side != Side::Gateway) {
                self.check_parent((id, above), received, (spans, by_id), &mut gaps);
            }
        }
        self.check_gaps(&gaps);
    }

    /// What was kept and did not arrive is in the counters, or was in a VM that trapped. Returns how many spans more than
    /// these each Envoy counts as discarded or waiting: spans that recall gave up are among them.
    fn check_books(&mut self, spans: &BTreeMap<u64, Received>) -> BTreeMap<PodId, u64> {
        let mut spare = BTreeMap::new();
        let mut missing: BTreeMap<PodId, u64> = BTreeMap::new();
        for hop in self.hops.iter().filter(|hop| hop.is_kept() && !hop.lost) {
            let trapped = hop.generation < self.topology.pods[hop.pod].generation[hop.worker];
            if !spans.contains_key(&hop.span) && !trapped {
                *missing.entry(hop.pod).or_default() += 1;
            }
        }
        let at = self.now - self.started;
        for (id, pod) in self.topology.pods.iter().enumerate() {
            let Some(envoy) = &pod.envoy else { continue };
            let balance = SpanBalance::of(envoy.metrics());
            let waiting = u64::try_from(balance.queued + balance.in_flight).unwrap_or(0);
            let known = balance.discarded_total() + waiting;
            let missing = missing.get(&id).copied().unwrap_or(0);
            spare.insert(id, known.saturating_sub(missing));
            if known < missing {
                let details = format!("{missing} of pod {id}; its books: {balance}");
                self.violations.add(at, "spans that were kept did not arrive", details);
            }
            let unbelieved = self.unbelieved.get(&id).copied().unwrap_or(0);
            let refused = REFUSED.iter().map(|counter| envoy.counter(counter)).sum::<u64>();
            if refused < unbelieved {
                let details = format!("{unbelieved} in pod {id}, which refused or forgot {refused}");
                self.violations.add(at, "hops above a failure were dropped although they were signalled", details);
            }
            for error in ["tracelift.errors.hostcall", "tracelift.errors.headers_not_set"] {
                let count = envoy.counter(error);
                if 0 < count && self.options.sabotage.is_none() {
                    self.violations.add(at, "the filter counts errors", format!("{count} in {error} of pod {id}"));
                }
            }
        }
        spare
    }

    /// Of a trace-id that clients repeat nothing is kept in an Envoy that never had a reason to keep it.
    fn check_unexplained(&mut self) {
        for id in std::mem::take(&mut self.unexplained) {
            let hop = &self.hops[id];
            if !self.reasoned.contains(&(hop.pod, hop.trace)) {
                self.violation(id, "a hop was kept without a head decision or a trigger");
            }
        }
    }

    fn figures(&self, spans: &BTreeMap<u64, Received>) -> Figures {
        let mut figures = Figures {
            virtual_time: self.now - self.started,
            requests: self.requests.len(),
            hops: self.hops.len(),
            filters: self.topology.pods.iter().filter(|pod| pod.envoy.is_some()).count(),
            spans: spans.len(),
            largest_memory: self.largest_memory,
            lies: self.liars.figures,
            messages: self.messages,
            bytes_held: if self.held.0 == 0 { 0.0 } else { self.held.1 as f64 / self.held.0 as f64 },
            ..Figures::default()
        };
        for pod in &self.topology.pods {
            let Some(envoy) = &pod.envoy else { continue };
            figures.shed += envoy.counter("tracelift.upgrades.shed");
            figures.refused += envoy.counter("tracelift.upgrades.signals_refused");
            figures.lies.joins_refused += envoy.counter("tracelift.joins.refused");
            figures.discarded += SpanBalance::of(envoy.metrics()).discarded_total();
            figures.evicted += envoy.counter("tracelift.recall.evicted");
            figures.unasked += envoy.counter("tracelift.recall.calls.lost");
            figures.parents.found += envoy.counter("tracelift.parents.found");
            figures.parents.ambiguous += envoy.counter("tracelift.parents.ambiguous");
            figures.parents.unknown += envoy.counter("tracelift.parents.unknown");
            figures.traps += pod.generation.iter().sum::<u32>();
        }
        for request in &self.requests {
            let mut traces: BTreeMap<u128, Vec<HopId>> = BTreeMap::new();
            for id in &request.hops {
                traces.entry(self.hops[*id].trace).or_default().push(*id);
            }
            for hops in traces.values() {
                self.count_trace(hops, spans, &mut figures);
            }
        }
        figures
    }

    fn count_trace(&self, ids: &[HopId], spans: &BTreeMap<u64, Received>, figures: &mut Figures) {
        figures.traces += 1;
        let failed: Vec<HopId> = ids.iter().copied().filter(|id| self.hops[*id].triggered).collect();
        let head = self.hops[ids[0]].sampled;
        figures.sampled_traces += usize::from(head);
        if failed.is_empty() || head {
            return;
        }
        figures.error_traces += 1;
        let mut ancestors = BTreeSet::new();
        for id in &failed {
            let mut at = self.hops[*id].parent;
            while let Some(above) = at.filter(|above| ancestors.insert(*above)) {
                at = self.hops[above].parent;
            }
        }
        let mut whole = true;
        for id in ids.iter().filter(|id| !self.hops[**id].lost) {
            let hop = &self.hops[*id];
            let kept = hop.is_kept() || spans.contains_key(&hop.span);
            whole &= kept;
            if hop.told {
                figures.reached.add(kept);
            }
            if ancestors.contains(id) {
                figures.ancestors.add(kept);
                if !kept {
                    let below = |child: &HopId| self.hops[*child].parent == Some(*id);
                    let on_the_way = |child: &HopId| ancestors.contains(child) || self.hops[*child].triggered;
                    let below = ids.iter().copied().filter(|child| below(child) && on_the_way(child));
                    *figures.causes.entry(Cause::of(&self.hops, *id, below)).or_default() += 1;
                }
            } else if !hop.triggered {
                figures.siblings.add(kept);
                figures.unknown += usize::from(!kept && !self.learned.contains_key(&(hop.pod, hop.trace)));
            }
        }
        figures.whole.add(whole);
    }
}

impl Share {
    fn add(&mut self, kept: bool) {
        self.all += 1;
        self.kept += usize::from(kept);
    }
}
