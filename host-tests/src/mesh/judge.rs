//! Judging one request from outside, once everything that it set off has come to rest: was what must be kept, kept?
//!
//! The judge knows every failure, every answer that reached its caller and in which order, and what the access log says of
//! each hop. From the failures that were kept it follows the ways on which the filter says that an upgrade travels; every
//! hop on them must be kept. What it does not ask the filter for is why.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bounds::Payer;
use super::hop::{Hop, HopId, Kept, RECALLED, SIGNALLED, Side, Step, When};
use super::simulation::{Mesh, RequestId};
use super::topology::PodId;

/// What became of a trace at a hop that had a trigger.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    upgraded: bool,
    when: When,
    lied: bool,
}

/// What a hop was told of its trace by others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) upgraded: bool,
    pub(crate) by: Teller,
    /// Somebody who is no filter said so first.
    pub(crate) lied: bool,
}

/// Who told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    /// The answer, whoever wrote the mark.
    Answer,
    /// Its own Envoy.
    Table,
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
    in_pod: BTreeMap<(PodId, u128), Told>,
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
            let told = self.told(&said, &moment, below);
            self.judge_moment(&moment, told, &mut said);
        }
        for id in &hops {
            let upgraded = said.of_hop.get(id).is_some_and(|verdict| verdict.upgraded);
            self.judge_hop(*id, upgraded);
        }
        self.requests[request].hops = hops;
    }

    /// `told` is what the hop was told of its trace by then: kept, shed, or nothing.
    fn judge_moment(&mut self, moment: &Moment, told: Option<Told>, said: &mut Said) {
        let hop = &self.hops[moment.hop];
        if said.of_hop.contains_key(&moment.hop) {
            return;
        }
        let own = hop.failed.filter(|when| (*when == When::Head) == moment.head);
        let told_kept = told.is_some_and(|told| told.upgraded);
        // A sampled hop is kept anyway and asks nobody.
        if own.is_none() && (!told_kept || hop.sampled) {
            return;
        }
        let when = match (moment.head, own) {
            (true, _) => When::Head,
            (false, Some(when)) => when,
            (false, None) => When::Trailers,
        };
        // A hop whose VM trapped has no line in the log; its answer may have left before.
        let heard_saying = hop.said[usize::from(!moment.head)];
        // What was refused at the head may be admitted with the trailers; then only they say so. Or the hop fails at its end, and is kept
        // for that, when no words can be written any more.
        let at_end = hop.failed == Some(When::End) && hop.kept != Kept::Upgraded(SIGNALLED.to_owned());
        let later = moment.head && own.is_none() && hop.said[0].is_none() && (hop.said[1] == Some(true) || at_end);
        let upgraded = if hop.lost { heard_saying == Some(true) } else { hop.is_upgraded() && !later };
        if !hop.lost {
            if told_kept && !upgraded {
                // Beyond ten times the budget nobody is believed, and that is counted: the last reckoning compares.
                *self.unbelieved.entry(hop.pod).or_default() += 1;
                if own.is_none() {
                    return;
                }
            }
            self.judge_failure(moment.hop, own.is_some(), told, upgraded);
            self.judge_words(moment.hop, when, upgraded);
        }
        let hop = &self.hops[moment.hop];
        let (pod, trace) = (hop.pod, hop.trace);
        let at = hop.time_of(when).map_or(self.now, |(_, at)| at);
        let lied = told.is_some_and(|told| told.lied && told.upgraded == upgraded);
        if upgraded {
            self.pay(moment.hop, own.is_some(), told, at);
            self.learned.entry((pod, trace)).and_modify(|known| *known = at.min(*known)).or_insert(at);
        }
        self.liars.figures.believed += usize::from(lied && upgraded && own.is_none());
        self.liars.figures.hidden += usize::from(lied && !upgraded);
        let news = Told { upgraded, by: Teller::Table, lied };
        let in_pod = said.in_pod.entry((pod, trace)).or_insert(news);
        if upgraded && !in_pod.upgraded {
            *in_pod = news;
        }
        said.of_hop.insert(moment.hop, Verdict { upgraded, when, lied });
        let hop = &mut self.hops[moment.hop];
        hop.told = told_kept && upgraded;
        hop.triggered = own.is_some() && upgraded;
    }

    /// Whether a failure was kept or shed as it must be.
    fn judge_failure(&mut self, id: HopId, own: bool, told: Option<Told>, upgraded: bool) {
        let hop = &self.hops[id];
        // Another request of the same trace-id may have told the Envoy anything.
        let known_otherwise = hop.side == Side::Inbound && self.liars.repeat(hop.trace);
        let excused = hop.crowded || known_otherwise;
        if own && told.is_none() && !upgraded && !excused {
            self.violation(id, "a failure within the budget was not kept");
        }
        let by_table = told.is_some_and(|told| told.by == Teller::Table);
        if told.is_some_and(|told| !told.upgraded) && upgraded && !(known_otherwise && by_table) {
            self.violation(id, "a failure was kept that had been shed below");
        }
    }

    /// Finds out who paid for what a hop kept, and charges them.
    fn pay(&mut self, id: HopId, own: bool, told: Option<Told>, at: Duration) {
        let hop = &self.hops[id];
        let (pod, trace) = (hop.pod, hop.trace);
        let is_join = told.is_none() && hop.side == Side::Inbound && self.liars.repeat(trace);
        let payer = match told.map(|told| told.by) {
            // Its budget, or an upgrade by another request.
            None if is_join => None,
            None => Some(Payer::Budget),
            // A failure of its own that was told, too, may have been paid for either way.
            Some(_) if own => None,
            Some(Teller::Answer) => Some(Payer::Signals),
            Some(Teller::Table) => Some(Payer::Joins),
        };
        for payer in payer.into_iter().chain([Payer::All]) {
            self.charge(pod, payer, at);
        }
        if own || told.is_some_and(|told| told.by == Teller::Answer) {
            self.reasoned.insert((pod, trace));
        }
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

    /// What a hop is told of its trace: in front of an application by the other listener of its pod, at the head of an answer;
    /// behind one by the answer itself. A lie counts where no filter has said anything, and in front of its own application.
    fn told(&mut self, said: &Said, moment: &Moment, callees: &[HopId]) -> Option<Told> {
        let hop = &self.hops[moment.hop];
        let part = usize::from(!moment.head);
        let lie = hop.lied[part].map(|upgraded| Told { upgraded, by: Teller::Answer, lied: true });
        if hop.side != Side::Inbound {
            let when = if moment.head { When::Head } else { When::Trailers };
            let honest = callees.iter().find_map(|callee| {
                let Verdict { upgraded, when: at, lied } = *said.of_hop.get(callee)?;
                let heard = at == when && Some(when) <= self.hops[*callee].heard;
                heard.then_some(Told { upgraded, by: Teller::Answer, lied })
            });
            return honest.or(lie);
        }
        let place = (hop.pod, hop.trace);
        let joins = hop.is_upgraded() && hop.failed != Some(When::Head) && hop.said[0] == Some(true);
        let table = || said.in_pod.get(&place).copied().filter(|_| moment.head);
        let told = lie.or_else(|| self.recalled_before(moment)).or_else(table);
        let shed_here = told.is_none_or(|told| told.by == Teller::Table && !told.upgraded);
        if shed_here && moment.head && joins && self.liars.repeat(hop.trace) {
            self.unexplained.push(moment.hop);
            return Some(Told { upgraded: true, by: Teller::Table, lied: false });
        }
        told
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
