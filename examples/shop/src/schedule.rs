//! The plan of a run whose share of failures may change while it runs. A request keeps the share that held when its number was
//! drawn, so that every service which meets it later agrees on what goes wrong with it.

use crate::plan::{Plan, Visit};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes that are remembered: a request is long over when that many came after it.
const REMEMBERED: usize = 1_000;

/// Shared by the load generator, the services and the views.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// As it began.
    plan: Plan,
    drawn: Arc<Mutex<Drawn>>,
}

#[derive(Debug)]
struct Drawn {
    /// The number of the next request.
    next: u64,
    /// Shares of failures and of slow requests, with the number from which they hold. Never empty.
    shares: VecDeque<(u64, [f64; 2])>,
}

impl Schedule {
    /// Begins with that plan.
    pub fn new(plan: Plan) -> Self {
        let drawn = Drawn { next: 0, shares: VecDeque::from([(0, [plan.failures, plan.slow])]) };
        Self { plan, drawn: Arc::new(Mutex::new(drawn)) }
    }

    /// The next request, which nobody else gets.
    pub fn draw(&self) -> Visit {
        let mut drawn = self.lock();
        let number = drawn.next;
        drawn.next += 1;
        self.plan(&drawn, number).visit(number)
    }

    /// The request with that number.
    pub fn visit(&self, number: u64) -> Visit {
        self.plan(&self.lock(), number).visit(number)
    }

    /// Requests that are drawn from now on fail with that share, and find the catalog slow with the other one.
    pub fn set_faults(&self, failures: f64, slow: f64) {
        let mut drawn = self.lock();
        let next = drawn.next;
        drawn.shares.push_back((next, [failures, slow]));
        if REMEMBERED < drawn.shares.len() {
            drawn.shares.pop_front();
        }
    }

    fn plan(&self, drawn: &Drawn, number: u64) -> Plan {
        let holds = drawn.shares.iter().rev().find(|(from, _)| *from <= number);
        let [failures, slow] = holds.or(drawn.shares.front()).map_or([0.0; 2], |(_, shares)| *shares);
        Plan { failures, slow, ..self.plan }
    }

    fn lock(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Operation;

    fn failing(visits: &[Visit]) -> usize {
        visits.iter().filter(|visit| visit.operation != Operation::Probe && visit.fault.is_some()).count()
    }

    #[test]
    fn a_change_holds_for_what_is_drawn_after_it_and_for_nothing_that_was_drawn_before() {
        let schedule = Schedule::new(Plan { seed: 1, failures: 0.0, slow: 0.0, applications: true });
        let calm: Vec<_> = (0..200).map(|_| schedule.draw()).collect();
        schedule.set_faults(1.0, 0.0);
        let stormy: Vec<_> = (0..200).map(|_| schedule.draw()).collect();
        assert_eq!((failing(&calm), stormy[0].number), (0, 200));
        assert!(150 < failing(&stormy), "all but the probes");
        for visit in calm.iter().chain(&stormy) {
            assert_eq!(schedule.visit(visit.number), *visit, "a service that meets it later agrees");
        }
    }

    #[test]
    fn changes_without_end_are_bounded_and_the_last_one_holds() {
        let schedule = Schedule::new(Plan { seed: 1, failures: 1.0, slow: 0.0, applications: true });
        for _ in 0..REMEMBERED * 2 {
            schedule.draw();
            schedule.set_faults(0.0, 0.0);
        }
        assert_eq!(schedule.lock().shares.len(), REMEMBERED);
        assert!(matches!(schedule.draw().fault, None | Some(crate::plan::Fault::ProbeUnready)));
    }
}
