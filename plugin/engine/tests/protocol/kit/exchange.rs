//! One request of the simulated host.

use std::cell::{Cell, RefCell};

use tracelift::door::{Attribute, Exchange, Refused, Side, Value, Wanted};
use tracelift::http::pairs;

use super::faults::Operation;
use super::host::{BROKEN, SimHost};

/// A header's lines, in order.
pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// What a stream says of itself.
#[derive(Clone, Debug)]
enum Said {
    Number(i64),
    Text(Vec<u8>),
}

/// A local answer of the engine: its status and headers.
pub type Answered = (u32, Lines);

/// A request, its answer, and what only the proxy knows of them.
pub struct SimExchange {
    host: SimHost,
    context: u32,
    sides: RefCell<[Option<Lines>; 3]>,
    said: RefCell<Vec<(Attribute, Said)>>,
    answered: RefCell<Option<Answered>>,
    notes: RefCell<Vec<(String, String)>>,
    writes: Cell<u32>,
}

impl SimExchange {
    /// A request without headers or attributes.
    pub fn new(host: SimHost, context: u32) -> Self {
        Self {
            host,
            context,
            sides: RefCell::default(),
            said: RefCell::default(),
            answered: RefCell::default(),
            notes: RefCell::default(),
            writes: Cell::default(),
        }
    }

    /// The headers of a side came.
    pub fn came(&self, side: Side, lines: Lines) {
        self.sides.borrow_mut()[side as usize] = Some(lines);
    }

    /// A side as it stands; empty before it came.
    pub fn side(&self, side: Side) -> Lines {
        self.sides.borrow()[side as usize].clone().unwrap_or_default()
    }

    /// All values of a name.
    pub fn values(&self, side: Side, name: &str) -> Vec<String> {
        let named = |(key, value): (Vec<u8>, Vec<u8>)| {
            (key == name.as_bytes()).then(|| String::from_utf8_lossy(&value).into_owned())
        };
        self.side(side).into_iter().filter_map(named).collect()
    }

    /// Sets an attribute that is a number.
    pub fn set_number(&self, attribute: Attribute, number: i64) {
        self.host.has_number(self.context, attribute, number);
        self.set(attribute, Said::Number(number));
    }

    /// Sets an attribute that is a text.
    pub fn set_text(&self, attribute: Attribute, text: &[u8]) {
        self.set(attribute, Said::Text(text.to_vec()));
    }

    /// The engine's own answer to this request, if it gave one.
    pub fn own_answer(&self) -> Option<Answered> {
        self.answered.borrow().clone()
    }

    /// What the access log would show of the decision.
    pub fn decision(&self) -> Option<String> {
        self.notes.borrow().iter().rfind(|(key, _)| key == "tracelift.decision").map(|(_, value)| value.clone())
    }

    /// The engine has left a note of that name.
    pub fn noted(&self, key: &str) -> bool {
        self.notes.borrow().iter().any(|(known, _)| known == key)
    }

    /// How often headers were written.
    pub fn writes(&self) -> u32 {
        self.writes.get()
    }

    fn set(&self, attribute: Attribute, said: Said) {
        let mut known = self.said.borrow_mut();
        known.retain(|(other, _)| *other != attribute);
        known.push((attribute, said));
    }

    fn said(&self, attribute: Attribute) -> Option<Said> {
        self.said.borrow().iter().find(|(known, _)| *known == attribute).map(|(_, said)| said.clone())
    }

    fn text_of(&self, attribute: Attribute) -> Vec<u8> {
        match self.said(attribute) {
            Some(Said::Text(text)) => text,
            _ => Vec::new(),
        }
    }

    fn number_of(&self, attribute: Attribute) -> Option<i64> {
        match self.said(attribute) {
            Some(Said::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// A write to a side: `false` where there is none yet.
    fn write(&self, operation: Operation, side: Side, change: impl FnOnce(&mut Lines)) -> Result<(), Refused> {
        if self.host.breaks(operation) {
            return Err(BROKEN);
        }
        self.writes.set(self.writes.get() + 1);
        change(self.sides.borrow_mut()[side as usize].get_or_insert_default());
        Ok(())
    }
}

/// A value that ends a line, or a name in capitals, is the engine's fault.
fn fit(name: &str, value: &[u8]) {
    assert!(!name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name:?}");
    let ends = value.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n'));
    assert!(!ends, "{name}: {:?}", String::from_utf8_lossy(value));
}

impl Exchange for SimExchange {
    type Host = SimHost;
    type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

    const GAINS_BY_SLOTS: bool = true;

    fn host(&self) -> &SimHost {
        &self.host
    }

    fn headers<T>(&self, side: Side, work: impl FnOnce(Result<Self::Headers<'_>, Refused>) -> T) -> T {
        if self.host.breaks(Operation::Headers) {
            return work(Err(BROKEN));
        }
        let lines = self.side(side);
        let lent: Vec<_> = lines.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        work(Ok(&lent))
    }

    fn header<T>(&self, side: Side, name: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
        if self.host.breaks(Operation::Header) {
            return read(None);
        }
        let lines = self.side(side);
        read(lines.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| &value[..]))
    }

    fn copied(&self, side: Side, _wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        if self.host.breaks(Operation::Copied) {
            return Vec::new();
        }
        let lines = self.side(side);
        pairs::encode(&lines.iter().map(|(name, value)| (&name[..], &value[..])).collect::<Vec<_>>())
    }

    fn add(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        fit(name, value);
        self.write(Operation::Add, side, |lines| lines.push((name.into(), value.into())))
    }

    fn replace(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        fit(name, value);
        self.write(Operation::Replace, side, |lines| {
            lines.retain(|(key, _)| key != name.as_bytes());
            lines.push((name.into(), value.into()));
        })
    }

    fn remove(&self, side: Side, name: &str) -> Result<(), Refused> {
        self.write(Operation::Remove, side, |lines| lines.retain(|(key, _)| key != name.as_bytes()))
    }

    fn number(&self, attribute: Attribute) -> Option<i64> {
        if self.host.breaks(Operation::Number) { None } else { self.number_of(attribute) }
    }

    fn text<T>(&self, attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T {
        let text = if self.host.breaks(Operation::Text) { Vec::new() } else { self.text_of(attribute) };
        read(&text)
    }

    /// A list that fails has shown its numbers already.
    fn attributes(&self, root: u32, wanted: Wanted, mut take: impl FnMut(Attribute, Value<'_>)) -> bool {
        if !self.host.has_prepared(root, wanted) {
            return false;
        }
        for attribute in Attribute::NUMBERS.into_iter().filter(|attribute| wanted.contains(*attribute)) {
            take(attribute, Value::Number(self.number_of(attribute).unwrap_or_default()));
        }
        if self.host.breaks(Operation::Attributes) {
            return false;
        }
        for attribute in Attribute::TEXTS.into_iter().filter(|attribute| wanted.contains(*attribute)) {
            take(attribute, Value::Text(&self.text_of(attribute)));
        }
        true
    }

    fn answer(&self, status: u32, details: &str, headers: &[(&[u8], &[u8])]) -> Result<(), Refused> {
        assert!(!details.is_empty() && !details.contains(' '), "{details:?}");
        if self.host.breaks(Operation::Answer) {
            return Err(BROKEN);
        }
        let headers = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let before = self.answered.replace(Some((status, headers)));
        assert!(before.is_none(), "a request is answered once");
        Ok(())
    }

    fn note(&self, key: &str, value: &str) {
        self.notes.borrow_mut().push((key.to_owned(), value.to_owned()));
    }
}
