//! Failures in a row are one episode: told once at its start and once at its end.

use std::collections::VecDeque;

use super::clock::NANOS_PER_MILLI;
use super::event::{Event, Problem};

/// Events that wait for the log; the oldest make room.
const MAX_EVENTS: usize = 16;
/// Pause between two complaints about answers to successful exports, milliseconds.
const REMARK_PAUSE_MS: u64 = 5 * 60 * 1_000;

/// What of the exports' life goes to the log.
#[derive(Debug)]
pub(super) struct Episode {
    endpoint: String,
    /// While failing: the number of spans discarded before, and of the first request after the latest failure.
    failing: Option<(u64, u64)>,
    next_remark: u64,
    events: VecDeque<Event>,
}

impl Episode {
    pub(super) fn new(endpoint: String) -> Self {
        Self { endpoint, failing: None, next_remark: 0, events: VecDeque::new() }
    }

    /// A request failed when `discarded` spans had been lost and the next request was to be number `next`.
    pub(super) fn fail(&mut self, problem: &Problem, detail: String, retried: bool, discarded: u64, next: u64) {
        match &mut self.failing {
            Some((_, first_after)) => *first_after = next,
            None => {
                self.failing = Some((discarded, next));
                self.tell(Event::Failing {
                    problem: problem.clone(),
                    detail,
                    endpoint: self.endpoint.clone(),
                    retried,
                });
            }
        }
    }

    /// Request number `request` succeeded when `discarded` spans had been lost. One that was on its way before the
    /// latest failure proves nothing.
    pub(super) fn succeed(&mut self, request: u64, discarded: u64) {
        if let Some((before, first_after)) = self.failing
            && first_after <= request
        {
            self.failing = None;
            self.tell(Event::Recovered {
                endpoint: self.endpoint.clone(),
                discarded: discarded.saturating_sub(before),
            });
        }
    }

    /// The collector said more than "done".
    pub(super) fn remark(&mut self, rejected: u64, detail: String, readable: bool, now: u64) {
        let silent = readable && rejected == 0 && detail.is_empty();
        if silent || now < self.next_remark {
            return;
        }
        self.next_remark = now.saturating_add(REMARK_PAUSE_MS.saturating_mul(NANOS_PER_MILLI));
        let endpoint = self.endpoint.clone();
        self.tell(if readable {
            Event::PartialSuccess { rejected, detail, endpoint }
        } else {
            Event::UnreadableAnswer { detail, endpoint }
        });
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn tell(&mut self, event: Event) {
        if MAX_EVENTS <= self.events.len() {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
