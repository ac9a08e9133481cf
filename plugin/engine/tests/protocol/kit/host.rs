//! A worker's side of the simulated host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use tracelift::door::{Attribute, Description, Host, Level, Part, Refused, Wanted};
use tracelift::http::pairs;

use super::faults::{Faults, Operation};
use super::shared::SharedData;

/// What a host says when it fails on demand: proxy-wasm's `InternalFailure`.
pub const BROKEN: Refused = Refused(10);

/// A request of the engine's own that awaits its answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// Names it.
    pub token: u32,
    /// The worker that made it.
    pub worker: usize,
    /// The root on whose behalf.
    pub root: u32,
    /// Where it goes.
    pub cluster: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Call {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The answer to a call, by hand.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// `None`: nothing came.
    pub status: Option<u16>,
    /// Beside the status.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// After the body.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// The process around all workers.
#[derive(Debug, Default)]
pub struct State {
    /// Unix nanoseconds.
    pub now: Cell<u64>,
    /// What the workers share.
    pub shared: SharedData,
    /// What fails.
    pub faults: Faults,
    /// Calls that await their answers, oldest first.
    pub calls: RefCell<Vec<Call>>,
    /// What was logged, with the worker's number.
    pub logs: RefCell<Vec<(usize, Level, String)>>,
    names: RefCell<Vec<Description>>,
    tokens: Cell<u32>,
    drawn: Cell<u64>,
}

/// A root, and the sets of attributes that its streams ask for together.
type Prepared = (u32, Vec<Wanted>);

/// One worker's host.
#[derive(Clone, Debug)]
pub struct SimHost {
    /// The process.
    pub state: Rc<State>,
    worker: usize,
    /// The context in effect, and whether it is a root.
    effective: Rc<Cell<(u32, bool)>>,
    /// This worker's part of each metric, by its number.
    amounts: Rc<RefCell<BTreeMap<u32, i64>>>,
    records: Rc<RefCell<BTreeMap<u32, Vec<u64>>>>,
    /// The answer that has just come.
    answer: Rc<RefCell<Reply>>,
    prepared: Rc<RefCell<Vec<Prepared>>>,
    tick_ms: Rc<Cell<u32>>,
    done: Rc<Cell<u32>>,
    /// A count was not taken since the last tick.
    owes: Rc<Cell<bool>>,
    /// Attributes that are numbers, of every stream that has not ended.
    numbers: Rc<RefCell<BTreeMap<(u32, u16), i64>>>,
}

impl SimHost {
    /// The host of worker number `worker`.
    pub fn new(state: Rc<State>, worker: usize) -> Self {
        Self {
            state,
            worker,
            effective: Rc::default(),
            amounts: Rc::default(),
            records: Rc::default(),
            answer: Rc::default(),
            prepared: Rc::default(),
            tick_ms: Rc::default(),
            done: Rc::default(),
            owes: Rc::default(),
            numbers: Rc::default(),
        }
    }

    /// A callback of this context begins.
    pub fn enter(&self, context: u32, is_root: bool) {
        self.effective.set((context, is_root));
    }

    /// A stream has an attribute that is a number.
    pub(super) fn has_number(&self, stream: u32, attribute: Attribute, number: i64) {
        self.numbers.borrow_mut().insert((stream, attribute as u16), number);
    }

    /// A stream is gone.
    pub(super) fn forget(&self, stream: u32) {
        self.numbers.borrow_mut().retain(|(known, _), _| *known != stream);
    }

    /// A tick begins, which passes every count again that was not taken.
    pub fn settle(&self) {
        self.owes.set(false);
    }

    /// Whether some count was not taken since.
    pub fn owes(&self) -> bool {
        self.owes.get()
    }

    /// The answer that the next callback is about.
    pub fn show_answer(&self, reply: Reply) {
        self.answer.replace(reply);
    }

    /// What this worker has added to the metric of that name, without `tracelift.`.
    pub fn metric(&self, name: &str) -> i64 {
        self.number_of(name).map_or(0, |number| self.amounts.borrow().get(&number).copied().unwrap_or_default())
    }

    /// What this worker has recorded under that name.
    pub fn recorded(&self, name: &str) -> Vec<u64> {
        self.number_of(name)
            .map_or_else(Vec::new, |number| self.records.borrow().get(&number).cloned().unwrap_or_default())
    }

    /// Every metric of this worker that begins so, summed.
    pub fn sum_of(&self, beginning: &str) -> i64 {
        let names = self.state.names.borrow();
        let beginning = format!("tracelift.{beginning}");
        let named = self.amounts.borrow();
        named
            .iter()
            .filter(|(number, _)| names[**number as usize].name.starts_with(&beginning))
            .map(|(_, sum)| sum)
            .sum()
    }

    /// The tick that was asked for last, milliseconds.
    pub fn tick_ms(&self) -> u32 {
        self.tick_ms.get()
    }

    /// How many roots have said that they need no more time.
    pub fn roots_done(&self) -> u32 {
        self.done.get()
    }

    /// Whether the list was prepared for streams of the root.
    pub(super) fn has_prepared(&self, root: u32, wanted: Wanted) -> bool {
        self.prepared.borrow().iter().any(|(known, lists)| *known == root && lists.contains(&wanted))
    }

    /// Whether this call fails.
    pub(super) fn breaks(&self, operation: Operation) -> bool {
        self.state.faults.strikes(operation)
    }

    fn number_of(&self, name: &str) -> Option<u32> {
        let names = self.state.names.borrow();
        let place = names.iter().position(|known| known.name.strip_prefix("tracelift.") == Some(name));
        place.and_then(|place| u32::try_from(place).ok())
    }
}

impl Host for SimHost {
    fn now(&self) -> u64 {
        if self.breaks(Operation::Now) { 0 } else { self.state.now.get() }
    }

    fn random(&self, bytes: &mut [u8]) -> bool {
        if self.breaks(Operation::Random) {
            return false;
        }
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.state.drawn.get() + 1;
            self.state.drawn.set(drawn);
            let mut hasher = DefaultHasher::new(); // Of fixed keys: a run can be repeated.
            hasher.write_u64(drawn);
            chunk.copy_from_slice(&hasher.finish().to_le_bytes()[..chunk.len()]);
        }
        true
    }

    fn shared(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Refused> {
        if self.breaks(Operation::Shared) { Err(BROKEN) } else { Ok(self.state.shared.get(key)) }
    }

    fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> Result<bool, Refused> {
        if self.breaks(Operation::Swap) {
            return Err(BROKEN);
        }
        let shared = &self.state.shared;
        if self.breaks(Operation::Contend)
            && let Some((known, _)) = shared.get(key)
        {
            shared.swap(key, &known, 0);
        }
        Ok(shared.swap(key, value, mark))
    }

    fn call(&self, cluster: &str, headers: &[(&[u8], &[u8])], body: &[u8], timeout_ms: u32) -> Result<u32, Refused> {
        let (root, is_root) = self.effective.get();
        assert!(is_root, "a call on behalf of stream {root}, which would not outlive it");
        assert!(0 < timeout_ms, "a call without a timeout");
        if self.breaks(Operation::Call) {
            return Err(BROKEN);
        }
        let token = self.state.tokens.get() + 1;
        self.state.tokens.set(token);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = headers.iter().map(|(name, value)| (text(name), text(value))).collect();
        let call = Call { token, worker: self.worker, root, cluster: cluster.to_owned(), headers, body: body.to_vec() };
        self.state.calls.borrow_mut().push(call);
        Ok(token)
    }

    fn answer_part(&self, part: Part) -> Vec<u8> {
        if self.breaks(Operation::AnswerPart) {
            return Vec::new();
        }
        let answer = self.answer.borrow();
        let lent = |pairs: &[(Vec<u8>, Vec<u8>)]| -> Vec<u8> {
            pairs::encode(&pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect::<Vec<_>>())
        };
        match part {
            Part::Headers => {
                let status = answer.status.map(|status| (b":status".to_vec(), status.to_string().into_bytes()));
                lent(&status.into_iter().chain(answer.headers.clone()).collect::<Vec<_>>())
            }
            Part::Trailers => lent(&answer.trailers),
            Part::Body { max } => answer.body[..max.min(answer.body.len())].to_vec(),
        }
    }

    fn as_root(&self, root: u32, stream: u32, work: impl FnOnce()) -> Result<(), Refused> {
        assert_eq!(self.effective.get(), (stream, false), "the stream in effect");
        if self.breaks(Operation::EnterRoot) {
            return Ok(());
        }
        self.enter(root, true);
        work();
        self.enter(stream, false);
        if self.breaks(Operation::LeaveRoot) { Err(BROKEN) } else { Ok(()) }
    }

    fn number_of(&self, root: u32, stream: u32, attribute: Attribute) -> Option<i64> {
        assert_eq!(self.effective.get(), (root, true), "the root in effect");
        let broken = [Operation::Number, Operation::EnterRoot].into_iter().any(|operation| self.breaks(operation));
        let numbers = self.numbers.borrow();
        if broken { None } else { numbers.get(&(stream, attribute as u16)).copied() }
    }

    fn tick_every(&self, milliseconds: u32) {
        self.tick_ms.set(milliseconds);
    }

    fn done(&self) {
        self.done.set(self.done.get() + 1);
    }

    fn log(&self, level: Level, text: &str) {
        self.state.logs.borrow_mut().push((self.worker, level, text.to_owned()));
    }

    fn define(&self, metric: Description) -> Option<u32> {
        if self.breaks(Operation::Define) {
            return None;
        }
        let mut names = self.state.names.borrow_mut();
        let place = names.iter().position(|known| known.name == metric.name).unwrap_or_else(|| {
            names.push(metric);
            names.len() - 1
        });
        u32::try_from(place).ok()
    }

    fn add(&self, metric: u32, offset: i64) -> bool {
        if self.breaks(Operation::Count) {
            self.owes.set(true);
            return false;
        }
        let kind = self.state.names.borrow()[metric as usize];
        let mut amounts = self.amounts.borrow_mut();
        let amount = amounts.entry(metric).or_default();
        *amount = amount.checked_add(offset).unwrap_or_else(|| panic!("{} grew by {offset}", kind.name));
        let grows_only = kind.kind == tracelift::door::Kind::Counter;
        assert!(!grows_only || 0 < offset, "{} changed by {offset}", kind.name);
        assert!(0 <= *amount, "{} is {amount}", kind.name);
        true
    }

    fn record(&self, metric: u32, value: u64) {
        self.records.borrow_mut().entry(metric).or_default().push(value);
    }

    fn prepare(&self, root: u32, wanted: &[Wanted]) {
        let mut prepared = self.prepared.borrow_mut();
        prepared.retain(|(known, _)| *known != root);
        prepared.push((root, wanted.to_vec()));
    }
}
