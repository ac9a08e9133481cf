//! Judging one request from outside, once everything that it set off has come to rest: was what must be kept, kept?
//!
//! The judge knows every failure, every answer that reached its caller and in which order, and what the access log says of
//! each hop. From the failures that were kept it follows the ways on which the filter says that an upgrade travels; every
//! hop on them must be kept. What it does not ask the filter for is why.

use std::collections::BTreeMap;

use super::hop::{Hop, HopId, Kept, RECALLED, Side, Step, When};
use super::simulation::{Mesh, RequestId};
use super::topology::PodId;

/// What became of a trace at a hop that had a trigger.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    upgraded: bool,
    when: When,
}

/// One moment at which a hop can learn something.
pub(crate) struct Moment {
    pub(crate) step: Step,
    pub(crate) hop: HopId,
    /// The head of its answer, or its end.
    pub(crate) head: bool,
}

/// What one request's hops have said so far, in the order in which they said it.
#[derive(Default)]
struct Said {
    of_hop: BTreeMap<HopId, Verdict>,
    in_pod: BTreeMap<(PodId, u128), bool>,
}

impl Mesh {
    /// Judges a request that has come to rest.
    pub(crate) fn judge(&mut self, request: RequestId) {
        let hops = std::mem::take(&mut self.requests[request].hops);
        let mut callees: BTreeMap<HopId, Vec<HopId>> = BTreeMap::new();
        for id in &hops {
            let hop = &self.hops[*id];
            if let Some(parent) = hop.parent.filter(|_| hop.relayed && hop.side == Side::Inbound) {
                callees.entry(parent).or_default().push(*id);
            }
        }
        let mut said = Said::default();
        for moment in moments(&self.hops, &hops) {
            let none = Vec::new();
            let below = callees.get(&moment.hop).unwrap_or(&none);
            let told = self.recalled_before(&moment).or_else(|| told(&self.hops, &said, &moment, below));
            self.judge_moment(&moment, told, &mut said);
        }
        for id in &hops {
            let upgraded = said.of_hop.get(id).is_some_and(|verdict| verdict.upgraded);
            self.judge_hop(*id, upgraded);
        }
        self.requests[request].hops = hops;
    }

    /// `told` is what the hop was told of its trace by then: kept, shed, or nothing.
    fn judge_moment(&mut self, moment: &Moment, told: Option<bool>, said: &mut Said) {
        let hop = &self.hops[moment.hop];
        if said.of_hop.contains_key(&moment.hop) {
            return;
        }
        let own = hop.failed.filter(|when| (*when == When::Head) == moment.head);
        // A sampled hop is kept anyway and asks nobody.
        if own.is_none() && (told != Some(true) || hop.sampled) {
            return;
        }
        let when = match (moment.head, own) {
            (true, _) => When::Head,
            (false, Some(when)) => when,
            (false, None) => When::Trailers,
        };
        // A hop whose VM trapped has no line in the log; its answer may have left before.
        let heard_saying = hop.said[usize::from(!moment.head)];
        let upgraded = if hop.lost { heard_saying == Some(true) } else { hop.is_upgraded() };
        if !hop.lost {
            if told == Some(true) && !upgraded {
                // Beyond ten times the budget signals are not believed and traces not joined, and counted: the last reckoning
                // compares.
                *self.unbelieved.entry(hop.pod).or_default() += 1;
                return;
            }
            if own.is_some() && told.is_none() && !upgraded && !hop.crowded {
                self.violation(moment.hop, "a failure within the budget was not kept");
            }
            if told == Some(false) && upgraded {
                self.violation(moment.hop, "a failure was kept that had been shed below");
            }
            self.judge_words(moment.hop, when, upgraded);
        }
        let hop = &self.hops[moment.hop];
        let (pod, trace) = (hop.pod, hop.trace);
        let at = hop.time_of(when).map_or(self.now, |(_, at)| at);
        if own.is_some() && told.is_none() && upgraded {
            self.charge(pod, at);
        }
        if upgraded {
            self.learned.entry((pod, trace)).and_modify(|known| *known = at.min(*known)).or_insert(at);
        }
        let in_pod = said.in_pod.entry((pod, trace)).or_default();
        *in_pod |= upgraded;
        said.of_hop.insert(moment.hop, Verdict { upgraded, when });
        let hop = &mut self.hops[moment.hop];
        hop.told = told == Some(true);
        hop.triggered = own.is_some() && upgraded;
    }

    /// Whether the answer says what became of the trace.
    fn judge_words(&mut self, id: HopId, when: When, upgraded: bool) {
        let hop = &self.hops[id];
        let part = match when {
            When::Head => 0,
            When::Trailers => 1,
            When::End => return, // Too late for any words.
        };
        if hop.side != Side::Gateway && hop.said[part] != Some(upgraded) {
            self.violation(id, "the answer does not tell its caller what became of the trace");
        }
    }

    fn judge_hop(&mut self, id: HopId, upgraded: bool) {
        let hop = &self.hops[id];
        if hop.lost || hop.ended.is_none() {
            return;
        }
        if hop.sampled && !hop.is_kept() {
            self.violation(id, "a sampled hop was not kept");
        }
        let hop = &self.hops[id];
        let recalled = hop.kept == Kept::Upgraded(RECALLED.to_owned()) && self.options.recall;
        if hop.is_kept() && !hop.sampled && !upgraded && !recalled {
            self.violation(id, "a hop was kept without a head decision or a trigger");
        }
    }

    pub(crate) fn violation(&mut self, id: HopId, what: &'static str) {
        let hop = &self.hops[id];
        let Hop { pod, side, trace, span, kept, failed, sampled, .. } = hop;
        let place = format!("pod {pod} {side:?}, trace {trace:032x}, span {span:016x}");
        let facts = format!("sampled {sampled}, kept {kept:?}, failed {failed:?}, hop {id} below {:?}", hop.parent);
        self.violations.add(self.now - self.started, what, format!("{place}, {facts}"));
    }
}

/// Heads and ends of answers, in the order in which they passed.
fn moments(hops: &[Hop], ids: &[HopId]) -> Vec<Moment> {
    let mut moments = Vec::new();
    for &hop in ids {
        let head = hops[hop].time_of(When::Head).map(|(step, _)| Moment { step, hop, head: true });
        let end = hops[hop].time_of(When::End).map(|(step, _)| Moment { step, hop, head: false });
        moments.extend(head.into_iter().chain(end));
    }
    moments.sort_by_key(|moment| (moment.step, !moment.head, moment.hop));
    moments
}

/// What a hop is told of its trace: in front of an application by the other listener of its pod, at the head of an answer;
/// behind one by the answer itself.
fn told(hops: &[Hop], said: &Said, moment: &Moment, callees: &[HopId]) -> Option<bool> {
    let hop = &hops[moment.hop];
    if hop.side == Side::Inbound {
        return said.in_pod.get(&(hop.pod, hop.trace)).copied().filter(|_| moment.head);
    }
    callees.iter().find_map(|callee| {
        let verdict = said.of_hop.get(callee)?;
        let part = if moment.head { When::Head } else { When::Trailers };
        (verdict.when == part && Some(part) <= hops[*callee].heard).then_some(verdict.upgraded)
    })
}
