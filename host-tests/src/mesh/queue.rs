//! What will happen, in the order of virtual time; events of one instant in the order in which they were planned.

use std::collections::BTreeMap;
use std::time::Duration;

/// Planned events.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    planned: BTreeMap<(Duration, u64), E>,
    next: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { planned: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn plan(&mut self, at: Duration, event: E) {
        self.planned.insert((at, self.next), event);
        self.next += 1;
    }

    pub(crate) fn next(&mut self) -> Option<(Duration, E)> {
        self.planned.pop_first().map(|((at, _), event)| (at, event))
    }
}
