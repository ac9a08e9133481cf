//! Is every failed trace here, from the failure up to the gateway? Asked all the time, of what services and clients saw
//! themselves.

use super::traces::Traces;
use crate::hops::{Head, Hop};
use crate::request::Request;
use crate::truth::{Answered, Arrival, Call};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long after its answer a request is looked at: whoever was hung up on notices a little later.
const RIPE: Duration = Duration::from_secs(1);
/// How long a span may be under way: batching delay, export, and a retry or two.
const GRACE: Duration = Duration::from_secs(10);
/// Requests in progress whose parts are remembered; more than the load generator keeps open.
const OPEN: usize = 4096;

/// Hops, or traces, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All here.
    pub kept: u64,
    /// Under way, as far as we know.
    pub pending: u64,
    /// Not here in time.
    pub missing: u64,
}

impl Tally {
    /// What was kept and went missing after that; what is pending is so now.
    pub fn since(self, before: Self) -> Self {
        Self {
            kept: self.kept.saturating_sub(before.kept),
            pending: self.pending,
            missing: self.missing.saturating_sub(before.missing),
        }
    }
}

/// A failed request whose spans are waited for.
#[derive(Debug)]
struct Awaited {
    since: Instant,
    /// The head had sampled it: it would have been recorded without any failure.
    by_head: bool,
    hops: Vec<Hop>,
}

/// Failed requests: the hops that saw the failure, and all above them.
#[derive(Debug, Default)]
pub struct Completeness {
    open: HashMap<u64, (Vec<Arrival>, Vec<Call>)>,
    by_age: VecDeque<u64>,
    answered: VecDeque<(Instant, Answered)>,
    awaited: VecDeque<Awaited>,
    hops: Tally,
    traces: Tally,
    by_head: u64,
    counted_from: Option<Instant>,
}

impl Completeness {
    /// Part of a request.
    pub fn arrival(&mut self, arrival: &Arrival) {
        self.part(arrival.visit).0.push(arrival.clone());
    }

    /// Part of a request.
    pub fn call(&mut self, call: &Call) {
        self.part(call.visit).1.push(call.clone());
    }

    /// The end of a request, for its client.
    pub fn answered(&mut self, now: Instant, answered: &Answered) {
        self.answered.push_back((now, answered.clone()));
    }

    /// Requests that were answered before that are no longer judged: they began under other settings.
    pub fn count_from(&mut self, moment: Instant) {
        self.counted_from = Some(moment);
        self.awaited.retain(|awaited| moment <= awaited.since);
        (self.hops.pending, self.traces.pending) = (0, 0);
    }

    /// Looks for what is not found yet; what stays away for too long is missing.
    pub fn look(&mut self, now: Instant, traces: &Traces) {
        while let Some((since, answered)) = self.answered.pop_front() {
            if now.saturating_duration_since(since) < RIPE {
                self.answered.push_front((since, answered));
                break;
            }
            let (arrivals, calls) = self.open.remove(&answered.visit.number).unwrap_or_default();
            if self.counted_from.is_some_and(|moment| since < moment) {
                continue;
            }
            let mut hops = Request { answered: &answered, arrivals: &arrivals, calls: &calls }.hops();
            hops.retain(Hop::upgraded);
            if !hops.is_empty() {
                let by_head = hops.iter().any(|hop| hop.head == Head::Sampled);
                self.awaited.push_back(Awaited { since, by_head, hops });
            }
        }
        let (of_hops, of_traces, kept_by_head) = (&mut self.hops, &mut self.traces, &mut self.by_head);
        self.awaited.retain_mut(|Awaited { since, by_head, hops }| {
            let before = hops.len();
            hops.retain(|hop| !traces.of(hop.trace_id).iter().any(|span| hop.is(span)));
            of_hops.kept += (before - hops.len()) as u64;
            let late = GRACE < now.saturating_duration_since(*since);
            of_traces.kept += u64::from(hops.is_empty());
            *kept_by_head += u64::from(hops.is_empty() && *by_head);
            if late && !hops.is_empty() {
                of_hops.missing += hops.len() as u64;
                of_traces.missing += 1;
            }
            !hops.is_empty() && !late
        });
        of_hops.pending = self.awaited.iter().map(|awaited| awaited.hops.len() as u64).sum();
        of_traces.pending = self.awaited.len() as u64;
    }

    /// Hops that saw a failure or are above one.
    pub fn hops(&self) -> Tally {
        self.hops
    }

    /// Failed requests, complete when each of these hops is.
    pub fn traces(&self) -> Tally {
        self.traces
    }

    /// Of the kept ones, those that the head had sampled: all that head sampling alone would have kept.
    pub fn kept_by_head(&self) -> u64 {
        self.by_head
    }

    fn part(&mut self, visit: u64) -> &mut (Vec<Arrival>, Vec<Call>) {
        if !self.open.contains_key(&visit) {
            self.by_age.push_back(visit);
        }
        while OPEN < self.by_age.len() {
            if let Some(oldest) = self.by_age.pop_front() {
                self.open.remove(&oldest);
            }
        }
        self.open.entry(visit).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Operation, Visit};
    use crate::span::Kind;
    use crate::testing::{arrival, span};
    use crate::truth::Outcome;

    #[test]
    fn a_failed_trace_is_pending_then_complete_or_missing() {
        let start = Instant::now();
        let (mut complete, mut traces) = (Completeness::default(), Traces::default());
        for number in [1, 2] {
            let fault = Some(Fault::CatalogCrash);
            let visit = Visit { number, operation: Operation::Browse, fault, context: None };
            let seen = arrival("storefront", number.into(), 3, Outcome::Status(502));
            complete.arrival(&Arrival { visit: number, ..seen });
            complete.answered(start, &Answered { visit, status: Ok(502), signal: None });
        }
        complete.look(start, &traces);
        assert_eq!(complete.traces(), Tally::default(), "looked at before everybody has noticed");
        complete.look(start + RIPE, &traces);
        assert_eq!(complete.hops(), Tally { pending: 6, ..Tally::default() });
        traces.add(start, span("gateway", Kind::Server, 2, 1, None).upgraded(502).build());
        traces.add(start, span("gateway", Kind::Client, 2, 2, Some(1)).upgraded(502).build());
        complete.look(start + GRACE, &traces);
        assert_eq!((complete.hops().kept, complete.traces()), (2, Tally { pending: 2, ..Tally::default() }));
        traces.add(start, span("storefront", Kind::Server, 2, 3, Some(2)).upgraded(502).build());
        complete.look(start + GRACE, &traces);
        assert_eq!(complete.traces(), Tally { kept: 1, pending: 1, missing: 0 });
        complete.look(start + GRACE * 2, &traces);
        assert_eq!(complete.traces(), Tally { kept: 1, pending: 0, missing: 1 });
        assert_eq!(complete.hops(), Tally { kept: 3, pending: 0, missing: 3 });
    }

    #[test]
    fn of_the_kept_ones_it_is_known_which_the_head_had_sampled() {
        let start = Instant::now();
        let (mut complete, mut traces) = (Completeness::default(), Traces::default());
        for (number, sampled) in [(1, true), (2, false)] {
            let fault = Some(Fault::CatalogCrash);
            let visit = Visit { number, operation: Operation::Browse, fault, context: None };
            let mut seen = arrival("storefront", number.into(), 3, Outcome::Status(502));
            (seen.visit, seen.context.sampled) = (number, sampled);
            complete.arrival(&seen);
            complete.answered(start, &Answered { visit, status: Ok(502), signal: None });
            let trace_id = u128::from(number);
            traces.add(start, span("gateway", Kind::Server, trace_id, 1, None).upgraded(502).build());
            traces.add(start, span("gateway", Kind::Client, trace_id, 2, Some(1)).upgraded(502).build());
            traces.add(start, span("storefront", Kind::Server, trace_id, 3, Some(2)).upgraded(502).build());
        }
        complete.look(start + RIPE, &traces);
        assert_eq!((complete.traces().kept, complete.kept_by_head()), (2, 1));
    }

    #[test]
    fn what_was_answered_before_a_change_is_not_judged_after_it() {
        let (start, traces) = (Instant::now(), Traces::default());
        let mut complete = Completeness::default();
        let mut answer = |number: u64, at: Instant| {
            let fault = Some(Fault::CatalogCrash);
            let visit = Visit { number, operation: Operation::Browse, fault, context: None };
            let seen = arrival("storefront", number.into(), 3, Outcome::Status(502));
            complete.arrival(&Arrival { visit: number, ..seen });
            complete.answered(at, &Answered { visit, status: Ok(502), signal: None });
        };
        answer(1, start);
        answer(2, start + RIPE);
        complete.look(start + RIPE, &traces);
        assert_eq!(complete.traces().pending, 1);
        complete.count_from(start + RIPE * 2);
        complete.look(start + RIPE * 3, &traces);
        assert_eq!((complete.traces(), complete.hops()), (Tally::default(), Tally::default()));
    }

    #[test]
    fn requests_without_an_answer_are_forgotten_some_time() {
        let mut complete = Completeness::default();
        for visit in 0..=OPEN as u64 {
            complete.arrival(&Arrival { visit, ..arrival("cart", 1, 1, Outcome::Status(200)) });
        }
        assert_eq!((complete.open.len(), complete.by_age.len()), (OPEN, OPEN));
    }
}
