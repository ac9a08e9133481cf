//! Judging recall, when everything is over: in an Envoy that knew a trace as kept nothing of it is missing, and everybody
//! that it had called knew it, too.

use std::collections::BTreeMap;
use std::time::Duration;

use super::collector::Received;
use super::hop::{Hop, Side};
use super::simulation::Mesh;
use super::topology::{HOLD, PodId};

/// A worker reads the log of upgrades on its tick, every quarter of a second.
const TICK: Duration = Duration::from_millis(300);

impl Mesh {
    /// Compares what is missing with what was counted. `spare` are spans of each pod that were offered for export and did
    /// not arrive, and that no kept hop needs as its excuse.
    pub(crate) fn check_siblings(&mut self, spans: &BTreeMap<u64, Received>, spare: &BTreeMap<PodId, u64>) {
        let mut dropped: BTreeMap<PodId, u64> = BTreeMap::new();
        let mut unasked: BTreeMap<PodId, u64> = BTreeMap::new();
        let mut example = BTreeMap::new();
        for hop in self.hops.iter().filter(|hop| !self.liars.repeat(hop.trace)) {
            let is_kept = hop.is_kept() || spans.contains_key(&hop.span);
            let Some(learned) = self.learned.get(&(hop.pod, hop.trace)).filter(|_| self.lived_on(hop)) else {
                continue;
            };
            if !is_kept && was_held(hop, *learned) {
                *dropped.entry(hop.pod).or_default() += 1;
                example.entry(hop.pod).or_insert_with(|| self.facts(hop, *learned));
            }
            let Some(callee) = hop.reached.filter(|_| is_kept && !hop.sampled && hop.side != Side::Inbound) else {
                continue;
            };
            // Who lies may say that its part is kept, and is then asked for nothing.
            if !self.learned.contains_key(&(callee, hop.trace)) && !self.liars.has(callee) {
                *unasked.entry(hop.pod).or_default() += 1;
            }
        }
        let at = self.now - self.started;
        for (pod, missing) in dropped {
            let counted = self.counted(pod, &["recall.evicted", "recall.missed", "joins.refused"]);
            let counted = counted + spare.get(&pod).copied().unwrap_or(0);
            if counted < missing {
                let first = example.get(&pod).map(String::as_str).unwrap_or_default();
                let details = format!("{missing} hops in pod {pod}, which counts {counted}; the first: {first}");
                self.violations.add(at, "siblings within the hold time were dropped", details);
            }
        }
        for (pod, missing) in unasked {
            let counted =
                self.counted(pod, &["recall.calls.lost", "recall.calls.unasked", "recall.withheld", "recall.missed"]);
            if counted < missing {
                let details = format!("{missing} calls of pod {pod}, which counts {counted}");
                self.violations.add(at, "instances that were called were not asked", details);
            }
        }
    }

    fn facts(&self, hop: &Hop, learned: Duration) -> String {
        let Hop { worker, side, trace, span, generation, kept, .. } = hop;
        let ended = hop.ended.map_or(Duration::ZERO, |(_, ended)| ended - self.started);
        let learned = learned - self.started;
        format!(
            "{side:?}, worker {worker}, VM number {generation}, trace {trace:032x}, span {span:016x}, kept {kept:?}, \
             ended at {ended:?}, its Envoy learnt of the upgrade at {learned:?}"
        )
    }

    /// The VM of a hop was there to the end: what it held could be given up, and whom it called could be asked.
    fn lived_on(&self, hop: &Hop) -> bool {
        !hop.lost && hop.ended.is_some() && hop.generation == self.topology.pods[hop.pod].generation[hop.worker]
    }

    fn counted(&self, pod: PodId, counters: &[&str]) -> u64 {
        let Some(envoy) = &self.topology.pods[pod].envoy else { return 0 };
        counters.iter().map(|name| envoy.counter(&format!("tracelift.{name}"))).sum()
    }
}

/// Whether a hop's span was still held, or was yet to end, when its Envoy learnt of the upgrade.
fn was_held(hop: &Hop, learned: Duration) -> bool {
    let Some((_, ended)) = hop.ended else { return false };
    ended.abs_diff(learned) + TICK < HOLD
}
