//! What is to be asked of other instances: batched by instance, retried while an answer can still help, bounded.

use std::sync::Arc;

use super::wire::{self, Reply};
use crate::trace_context::TraceId;

/// Calls to ask for at once; beyond that a new one is lost.
const MOST: usize = 4096;
/// Requests that may be unanswered at once.
const MAX_IN_FLIGHT: usize = 16;
const MILLISECOND: u64 = 1_000_000;
/// How long an instance may take to answer, milliseconds.
const TIMEOUT_MS: u64 = 1_000;
/// How long after its timeout a request counts as unanswered when the host has not called back, milliseconds.
const CALLBACK_SLACK_MS: u64 = 2_000;
/// The same in nanoseconds after it was sent.
const LOST_AFTER: u64 = (TIMEOUT_MS + CALLBACK_SLACK_MS) * MILLISECOND;
/// Before the second attempt, milliseconds; doubled before each further one.
const FIRST_PAUSE_MS: u64 = 250;

/// What became of a call that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The filter there gives up what it holds.
    Answered,
    /// There is no filter that would.
    Outside,
    /// Nobody could be asked in time, or a filter refused.
    Lost,
}

/// A call whose instance is to be asked for a trace. `item` is what waits to know its fate: the span of the call.
#[derive(Clone, Debug)]
pub struct Ask<T> {
    /// The trace.
    pub trace_id: TraceId,
    /// The instance, see [`wire::is_destination`].
    pub destination: Arc<str>,
    /// The call went over TLS.
    pub tls: bool,
    /// What waits, if there was room for it.
    pub item: Option<T>,
    /// Its bytes.
    pub bytes: usize,
    /// From when on an answer helps nobody, Unix nanoseconds.
    pub give_up_at: u64,
}

/// One request to one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskRequest {
    /// To be handed back with the answer.
    pub id: u64,
    /// The instance.
    pub destination: Arc<str>,
    /// To be asked over TLS.
    pub tls: bool,
    /// At least one and at most [`wire::MAX_IDS`].
    pub traces: Vec<TraceId>,
    /// At least 1.
    pub timeout_ms: u32,
}

#[derive(Debug)]
struct Entry<T> {
    ask: Ask<T>,
    attempts: u32,
    /// When it may be asked for.
    due: u64,
    /// The request that asks for it.
    request: Option<u64>,
}

/// Calls that are to be asked for, or are being asked for. Times are Unix nanoseconds.
#[derive(Debug)]
pub struct Asks<T> {
    entries: Vec<Entry<T>>,
    /// Requests that are unanswered, and when each counts as lost.
    in_flight: Vec<(u64, u64)>,
    next_id: u64,
    bytes: usize,
}

impl<T> Default for Asks<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), in_flight: Vec::new(), next_id: 0, bytes: 0 }
    }
}

impl<T> Asks<T> {
    /// Takes it up for the next [`Self::poll`], or hands it back when there are too many.
    pub fn add(&mut self, ask: Ask<T>) -> Result<(), Ask<T>> {
        if MOST <= self.entries.len() {
            return Err(ask);
        }
        self.bytes = self.bytes.saturating_add(ask.bytes);
        self.entries.push(Entry { ask, attempts: 0, due: 0, request: None });
        Ok(())
    }

    /// Bytes of what waits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing is to be asked, and nothing is being asked.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The next request to send, if one is due. Call it until there is none.
    pub fn poll(&mut self, now: u64) -> Option<AskRequest> {
        if MAX_IN_FLIGHT <= self.in_flight.len() {
            return None;
        }
        let is_due = |entry: &Entry<T>| entry.request.is_none() && entry.due <= now;
        let first = &self.entries.iter().find(|entry| is_due(entry))?.ask;
        let (destination, tls) = (Arc::clone(&first.destination), first.tls);
        let is_there = |entry: &Entry<T>| entry.ask.destination == destination && entry.ask.tls == tls;
        let id = self.next_id;
        let mut traces = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| is_due(entry) && is_there(entry)) {
            if !traces.contains(&entry.ask.trace_id) {
                if wire::MAX_IDS <= traces.len() {
                    continue;
                }
                traces.push(entry.ask.trace_id);
            }
            entry.request = Some(id);
        }
        self.next_id = id.wrapping_add(1);
        self.in_flight.push((id, now.saturating_add(LOST_AFTER)));
        Some(AskRequest { id, destination, tls, traces, timeout_ms: TIMEOUT_MS as u32 })
    }

    /// An answer, or its absence. What is decided by it is handed to `decided`.
    pub fn answered(&mut self, id: u64, reply: Reply, now: u64, decided: &mut dyn FnMut(Option<T>, Fate)) {
        let Some(at) = self.in_flight.iter().position(|(known, _)| *known == id) else { return };
        self.in_flight.swap_remove(at);
        let fate = match reply {
            Reply::Done => Fate::Answered,
            Reply::NoFilter => Fate::Outside,
            Reply::Refused => Fate::Lost,
            Reply::Again => {
                for entry in self.entries.iter_mut().filter(|entry| entry.request == Some(id)) {
                    let pause = (FIRST_PAUSE_MS * MILLISECOND) << entry.attempts.min(8);
                    entry.attempts = entry.attempts.saturating_add(1);
                    entry.due = now.saturating_add(pause);
                    entry.request = None;
                }
                return;
            }
        };
        self.decide(fate, &|entry| entry.request == Some(id), decided);
    }

    /// Gives up what no answer can help any more, or not in time for the next look, and requests that the host has forgotten.
    /// `next` is when that look will be; both are Unix nanoseconds.
    pub fn expire(&mut self, now: u64, next: u64, decided: &mut dyn FnMut(Option<T>, Fate)) {
        while let Some((id, _)) = self.in_flight.iter().find(|(_, lost_at)| *lost_at <= now) {
            self.answered(*id, Reply::Again, now, decided);
        }
        let next = next.max(now.saturating_add(1));
        self.decide(Fate::Lost, &|entry| entry.ask.give_up_at < next, decided);
    }

    /// The clock was set back, to `now`: what waits is asked for soon, and given up at `latest`.
    pub fn set_back(&mut self, now: u64, latest: u64) {
        let (soon, lost) = (now.saturating_add(FIRST_PAUSE_MS * MILLISECOND), now.saturating_add(LOST_AFTER));
        for entry in &mut self.entries {
            entry.due = entry.due.min(soon);
            entry.ask.give_up_at = entry.ask.give_up_at.min(latest);
        }
        self.in_flight.iter_mut().for_each(|(_, lost_at)| *lost_at = (*lost_at).min(lost));
    }

    /// The VM ends: what waits is decided now.
    pub fn close(&mut self, decided: &mut dyn FnMut(Option<T>, Fate)) {
        self.in_flight.clear();
        self.decide(Fate::Lost, &|_| true, decided);
    }

    fn decide(&mut self, fate: Fate, is: &dyn Fn(&Entry<T>) -> bool, decided: &mut dyn FnMut(Option<T>, Fate)) {
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            if is(entry) {
                let Entry { ask, .. } = self.entries.swap_remove(at);
                self.bytes = self.bytes.saturating_sub(ask.bytes);
                decided(ask.item, fate);
            } else {
                at = at.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1000 * MILLISECOND;

    fn ask(trace: u64, destination: &str, item: u32) -> Ask<u32> {
        let trace_id = TraceId::from_u128(u128::from(trace) + 1).expect("above zero");
        Ask {
            trace_id,
            destination: destination.into(),
            tls: false,
            item: Some(item),
            bytes: 10,
            give_up_at: 5 * SECOND,
        }
    }

    fn decided(asks: &mut Asks<u32>, id: u64, reply: Reply, now: u64) -> Vec<(u32, Fate)> {
        let mut all = Vec::new();
        asks.answered(id, reply, now, &mut |item, fate| all.push((item.expect("an item"), fate)));
        all
    }

    #[test]
    fn calls_to_one_instance_travel_together_and_a_trace_is_named_once() {
        let mut asks = Asks::default();
        for (trace, to, item) in [(1, "a:1", 1), (2, "b:1", 2), (3, "a:1", 3), (1, "a:1", 4)] {
            asks.add(ask(trace, to, item)).expect("room");
        }
        let (first, second) = (asks.poll(0).expect("one"), asks.poll(0).expect("another"));
        assert_eq!((&*first.destination, first.traces.len()), ("a:1", 2));
        assert_eq!((&*second.destination, second.traces.len()), ("b:1", 1));
        assert_eq!(asks.poll(0), None);
        let mut fates = decided(&mut asks, first.id, Reply::Done, 1);
        fates.sort_unstable_by_key(|(item, _)| *item);
        assert_eq!(fates, [(1, Fate::Answered), (3, Fate::Answered), (4, Fate::Answered)]);
        assert_eq!(decided(&mut asks, second.id, Reply::NoFilter, 1), [(2, Fate::Outside)]);
        assert!(asks.is_empty() && asks.bytes() == 0);
    }

    #[test]
    fn one_instance_is_asked_over_each_transport_that_calls_used() {
        let mut asks = Asks::default();
        for (trace, tls) in [(1, false), (2, true), (3, false)] {
            asks.add(Ask { tls, ..ask(trace, "a:1", 0) }).expect("room");
        }
        let asked = [asks.poll(0), asks.poll(0)].map(|request| request.map(|it| (it.tls, it.traces.len())));
        assert_eq!((asked, asks.poll(0)), ([Some((false, 2)), Some((true, 1))], None));
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let (mut asks, day) = (Asks::default(), 86_400 * SECOND);
        asks.add(Ask { give_up_at: day + 5 * SECOND, ..ask(1, "a:1", 7) }).expect("room");
        let first = asks.poll(day).expect("one");
        asks.answered(first.id, Reply::Again, day, &mut |_, _| unreachable!("not decided"));
        asks.set_back(0, 5 * SECOND);
        assert!(asks.poll(0).is_none());
        let again = asks.poll(250 * MILLISECOND).expect("due after the pause");
        asks.answered(again.id, Reply::Again, 250 * MILLISECOND, &mut |_, _| unreachable!("not decided"));
        let mut fates = Vec::new();
        for now in [4 * SECOND, 5 * SECOND] {
            asks.expire(now, now, &mut |item, fate| fates.push((item, fate)));
        }
        assert_eq!(fates, [(Some(7), Fate::Lost)]);
    }

    #[test]
    fn a_request_holds_sixty_four_traces_and_the_rest_goes_in_the_next() {
        let mut asks = Asks::default();
        (0..100).for_each(|trace| asks.add(ask(trace, "a:1", 0)).expect("room"));
        let sizes = [asks.poll(0), asks.poll(0), asks.poll(0)].map(|request| request.map(|it| it.traces.len()));
        assert_eq!(sizes, [Some(64), Some(36), None]);
    }

    #[test]
    fn what_is_not_answered_is_asked_again_ever_later_and_lost_in_the_end() {
        let mut asks = Asks::default();
        asks.add(ask(1, "a:1", 7)).expect("room");
        let (mut now, mut attempts, mut fates) = (0, Vec::new(), Vec::new());
        while !asks.is_empty() {
            asks.expire(now, now, &mut |item, fate| fates.push((item, fate)));
            if let Some(request) = asks.poll(now) {
                attempts.push(now / MILLISECOND);
                asks.answered(request.id, Reply::Again, now, &mut |_, _| unreachable!("not decided"));
            }
            now += 50 * MILLISECOND;
        }
        assert_eq!(attempts, [0, 250, 750, 1750, 3750]);
        assert_eq!(fates, [(Some(7), Fate::Lost)]);
    }

    #[test]
    fn a_request_that_the_host_forgot_counts_as_unanswered() {
        let mut asks = Asks::default();
        asks.add(ask(1, "a:1", 7)).expect("room");
        let forgotten = asks.poll(0).expect("one");
        asks.expire(3 * SECOND, 0, &mut |_, _| unreachable!("it is asked again"));
        assert!(asks.poll(3 * SECOND + 250 * MILLISECOND).is_some());
        assert_eq!(decided(&mut asks, forgotten.id, Reply::Done, 4 * SECOND), []);
    }

    #[test]
    fn too_many_calls_are_handed_back_and_too_many_requests_wait() {
        let mut asks = Asks::default();
        (0..MOST as u64).for_each(|n| asks.add(ask(n, &format!("10.0.0.{}:1", n % 40), 0)).expect("room"));
        assert_eq!(asks.add(ask(0, "a:1", 9)).expect_err("full").item, Some(9));
        assert_eq!(std::iter::from_fn(|| asks.poll(0)).count(), MAX_IN_FLIGHT);
        let mut fates = 0;
        asks.close(&mut |_, fate| fates += usize::from(fate == Fate::Lost));
        assert_eq!((fates, asks.is_empty()), (MOST, true));
    }

    proptest! {
        #[test]
        fn every_call_has_one_fate_and_the_bytes_are_told(
            steps in proptest::collection::vec((0_u64..5, 0_u64..3, 0_u8..5, 0_u64..900), 1..150),
        ) {
            let (mut asks, mut now, mut added, mut fates, mut open) = (Asks::default(), 0, 0_u32, Vec::new(), Vec::new());
            for (trace, to, step, gap) in steps {
                now += gap * MILLISECOND;
                let mut request = ask(trace, &format!("10.0.0.{to}:1"), added);
                request.give_up_at = now + 2 * SECOND;
                if asks.add(request).is_ok() {
                    added += 1;
                }
                open.extend(asks.poll(now).map(|request| request.id));
                asks.expire(now, now, &mut |item, _| fates.push(item));
                if let Some(id) = open.pop() {
                    let reply = [Reply::Done, Reply::Refused, Reply::NoFilter, Reply::Again, Reply::Again][step as usize];
                    asks.answered(id, reply, now, &mut |item, _| fates.push(item));
                }
                prop_assert_eq!(asks.bytes(), 10 * (added as usize - fates.len()));
            }
            asks.close(&mut |item, _| fates.push(item));
            fates.sort_unstable();
            prop_assert_eq!(fates, (0..added).map(Some).collect::<Vec<_>>());
            prop_assert!(asks.is_empty() && asks.bytes() == 0);
        }
    }
}
