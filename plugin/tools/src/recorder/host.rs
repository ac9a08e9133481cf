//! One worker's process, as far as it is asked of.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tracelift::door::{Attribute, Description, Host, Level, Part, Refused, Wanted};
use tracelift::http::pairs;
use tracelift::telemetry::Metric;

use super::{Access, Ids, SharedValues};

/// A host with a given clock, ids and shared values.
#[derive(Debug)]
pub struct RecorderHost {
    now: Cell<u64>,
    ids: Rc<RefCell<Ids>>,
    shared: SharedValues,
    accesses: RefCell<Vec<Access>>,
    calls: RefCell<Vec<Call>>,
    next_token: Cell<u32>,
    counts: RefCell<Vec<(&'static str, i64)>>,
    logged: RefCell<Vec<(Level, String)>>,
}

/// A request that the filter made itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// By which its answer finds it.
    pub token: u32,
    /// Where to.
    pub cluster: String,
    /// What was sent.
    pub body: Vec<u8>,
}

impl RecorderHost {
    /// `now` is Unix nanoseconds.
    pub fn new(now: u64, ids: Rc<RefCell<Ids>>, shared: SharedValues) -> Self {
        Self {
            now: Cell::new(now),
            ids,
            shared,
            accesses: RefCell::default(),
            calls: RefCell::default(),
            next_token: Cell::default(),
            counts: RefCell::default(),
            logged: RefCell::default(),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, nanoseconds: u64) {
        self.now.set(self.now.get().saturating_add(nanoseconds));
    }

    /// The values that this process shares.
    pub fn shared_values(&self) -> &SharedValues {
        &self.shared
    }

    /// Takes what was done with shared values since the last time.
    pub fn take_accesses(&self) -> Vec<Access> {
        self.accesses.take()
    }

    /// Takes the calls made since the last time.
    pub fn take_calls(&self) -> Vec<Call> {
        self.calls.take()
    }

    /// Takes the log lines since the last time.
    pub fn take_logged(&self) -> Vec<(Level, String)> {
        self.logged.take()
    }

    /// A count, as it was shown last.
    pub fn count(&self, metric: Metric) -> i64 {
        let name = metric.describe().name;
        self.counts.borrow().iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }

    /// Names and values of all counts that are not 0, as they were shown last.
    pub fn counts(&self) -> Vec<(&'static str, i64)> {
        self.counts.borrow().iter().filter(|(_, count)| *count != 0).copied().collect()
    }

    fn change(&self, metric: u32, change: impl FnOnce(&mut i64)) -> bool {
        let mut counts = self.counts.borrow_mut();
        let count = usize::try_from(metric).ok().and_then(|place| counts.get_mut(place));
        count.map(|(_, count)| change(count)).is_some()
    }
}

impl Host for RecorderHost {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn random(&self, bytes: &mut [u8]) -> bool {
        self.ids.borrow_mut().fill(bytes);
        true
    }

    fn shared(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Refused> {
        self.accesses.borrow_mut().push(Access { key: key.to_vec(), changed: false });
        Ok(self.shared.get(key))
    }

    fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> Result<bool, Refused> {
        let changed = self.shared.swap(key, value, mark);
        self.accesses.borrow_mut().push(Access { key: key.to_vec(), changed });
        Ok(changed)
    }

    fn call(&self, cluster: &str, _headers: &[(&[u8], &[u8])], body: &[u8], _timeout_ms: u32) -> Result<u32, Refused> {
        let token = self.next_token.get().wrapping_add(1);
        self.next_token.set(token);
        self.calls.borrow_mut().push(Call { token, cluster: cluster.to_owned(), body: body.to_vec() });
        Ok(token)
    }

    /// Every answer is a 200 without a body.
    fn answer_part(&self, part: Part) -> Vec<u8> {
        match part {
            Part::Headers => pairs::encode(&[(b":status", b"200")]),
            Part::Trailers | Part::Body { .. } => Vec::new(),
        }
    }

    fn as_root(&self, _root: u32, _stream: u32, work: impl FnOnce()) -> Result<(), Refused> {
        work();
        Ok(())
    }

    /// A worker of the recorder ticks between its requests: none is open then.
    fn number_of(&self, _root: u32, _stream: u32, _attribute: Attribute) -> Option<i64> {
        None
    }

    fn tick_every(&self, _milliseconds: u32) {}

    fn done(&self) {}

    fn log(&self, level: Level, text: &str) {
        self.logged.borrow_mut().push((level, text.to_owned()));
    }

    fn define(&self, metric: Description) -> Option<u32> {
        let mut counts = self.counts.borrow_mut();
        counts.push((metric.name, 0));
        u32::try_from(counts.len() - 1).ok()
    }

    fn add(&self, metric: u32, offset: i64) -> bool {
        self.change(metric, |count| *count = count.saturating_add(offset))
    }

    fn record(&self, metric: u32, value: u64) {
        self.change(metric, |count| *count = i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn prepare(&self, _root: u32, _wanted: &[Wanted]) {}
}
