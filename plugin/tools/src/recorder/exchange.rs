//! One request at one listener, and all that the filter did with it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tracelift::door::{Attribute, Exchange, Refused, Side, Value, Wanted};
use tracelift::http::ResponseFlags;
use tracelift::http::pairs;
use tracelift::span::ListenerDirection;

use super::{HeaderList, RecorderHost};

/// What only the proxy knows of a request.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// On which side of its application the listener is.
    pub direction: ListenerDirection,
    /// `request.protocol`.
    pub protocol: Option<String>,
    /// `source.address`.
    pub source: Option<String>,
    /// `destination.address`.
    pub destination: Option<String>,
    /// `upstream.address`.
    pub upstream: Option<String>,
    /// `xds.route_name`.
    pub route: Option<String>,
    /// `xds.cluster_name`.
    pub cluster: Option<String>,
    /// `response.code_details`.
    pub code_details: Option<String>,
}

impl Default for Surroundings {
    /// Where only the request is known: it came by HTTP/1.1.
    fn default() -> Self {
        Self {
            direction: ListenerDirection::Unspecified,
            protocol: Some("HTTP/1.1".to_owned()),
            source: None,
            destination: None,
            upstream: None,
            route: None,
            cluster: None,
            code_details: None,
        }
    }
}

/// What was done with headers of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more line.
    Added,
    /// One line in place of all.
    Replaced,
    /// No line is left.
    Removed,
}

/// A header that the filter wrote or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Whose.
    pub side: Side,
    /// What was done.
    pub change: Change,
    /// Its name.
    pub name: String,
    /// Its value; `None` for one that was removed.
    pub value: Option<Vec<u8>>,
}

/// A request on its way, and the record of it.
#[derive(Debug)]
pub struct Recording {
    pub(super) id: u32,
    /// Headers by side, as they stand; `None` before they came.
    sides: [RefCell<Option<Rc<HeaderList>>>; 3],
    /// What only the proxy knows.
    pub surroundings: Surroundings,
    /// Envoy's response flags.
    pub flags: ResponseFlags,
    /// Unix nanoseconds of its first byte.
    pub(super) started: u64,
    writes: RefCell<Vec<Write>>,
    notes: RefCell<Vec<(String, String)>>,
    answered: Cell<Option<u32>>,
}

impl Recording {
    pub(super) fn new(id: u32, started: u64, request: HeaderList) -> Self {
        Self {
            id,
            sides: [RefCell::new(Some(Rc::new(request))), RefCell::default(), RefCell::default()],
            surroundings: Surroundings::default(),
            flags: ResponseFlags::default(),
            started,
            writes: RefCell::default(),
            notes: RefCell::default(),
            answered: Cell::default(),
        }
    }

    /// The headers of a side as they stand now; none before they came.
    pub fn headers(&self, side: Side) -> Rc<HeaderList> {
        self.side(side).borrow().clone().unwrap_or_default()
    }

    /// What the filter wrote, in that order.
    pub fn writes(&self) -> Vec<Write> {
        self.writes.borrow().clone()
    }

    /// What the filter left for access logs under this key.
    pub fn noted(&self, key: &str) -> Option<String> {
        self.notes.borrow().iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    /// The status with which the filter answered the request itself.
    pub fn answered(&self) -> Option<u32> {
        self.answered.get()
    }

    pub(super) fn came(&mut self, side: Side, headers: HeaderList) {
        self.side(side).replace(Some(Rc::new(headers)));
    }

    fn side(&self, side: Side) -> &RefCell<Option<Rc<HeaderList>>> {
        let [request, response, trailers] = &self.sides;
        match side {
            Side::Request => request,
            Side::Response => response,
            Side::Trailers => trailers,
        }
    }

    fn write(&self, side: Side, change: Change, name: &str, value: Option<&[u8]>) -> Result<(), Refused> {
        let mut headers = self.side(side).borrow_mut();
        let headers = Rc::make_mut(headers.as_mut().ok_or(ABSENT)?);
        match (change, value) {
            (Change::Added, Some(value)) => headers.add(name, value),
            (Change::Replaced, Some(value)) => headers.replace(name, value),
            _ => headers.remove(name),
        }
        let value = value.map(<[u8]>::to_vec);
        self.writes.borrow_mut().push(Write { side, change, name: name.to_owned(), value });
        Ok(())
    }
}

/// There is no such map (yet), as Envoy says it.
const ABSENT: Refused = Refused(1);

/// A recording while a callback runs.
pub(super) struct Recorder<'a> {
    pub(super) host: &'a RecorderHost,
    pub(super) recording: &'a Recording,
}

impl Recorder<'_> {
    fn value(&self, attribute: Attribute) -> Value<'_> {
        let Recording { surroundings: around, flags, started, .. } = self.recording;
        let bits = |bits: u64| Value::Number(i64::try_from(bits).unwrap_or(i64::MAX));
        match attribute {
            Attribute::ResponseFlags => bits(flags.bits()),
            Attribute::StartTime => bits(*started),
            Attribute::ListenerDirection => Value::Number(match around.direction {
                ListenerDirection::Unspecified => 0,
                ListenerDirection::Inbound => 1,
                ListenerDirection::Outbound => 2,
            }),
            Attribute::ResponseCode => Value::Number(self.status()),
            Attribute::Protocol => Value::Text(bytes(&around.protocol)),
            Attribute::SourceAddress => Value::Text(bytes(&around.source)),
            Attribute::UpstreamAddress => Value::Text(bytes(&around.upstream)),
            Attribute::RouteName => Value::Text(bytes(&around.route)),
            Attribute::ClusterName => Value::Text(bytes(&around.cluster)),
            Attribute::CodeDetails => Value::Text(bytes(&around.code_details)),
            Attribute::DestinationAddress => Value::Text(bytes(&around.destination)),
            Attribute::TransportFailureReason | Attribute::UpstreamTls | Attribute::PeerIdentity => Value::Text(&[]),
        }
    }

    fn status(&self) -> i64 {
        let headers = self.recording.headers(Side::Response);
        let status = headers.first(":status").and_then(|status| str::from_utf8(status).ok());
        status.and_then(|status| status.parse().ok()).unwrap_or_default()
    }
}

fn bytes(text: &Option<String>) -> &[u8] {
    text.as_deref().unwrap_or_default().as_bytes()
}

impl Exchange for Recorder<'_> {
    type Host = RecorderHost;
    type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

    fn host(&self) -> &RecorderHost {
        self.host
    }

    /// As they are when the look begins: what is written meanwhile is seen by the next look.
    fn headers<T>(&self, side: Side, work: impl FnOnce(Result<Self::Headers<'_>, Refused>) -> T) -> T {
        let headers = self.recording.side(side).borrow().clone();
        match headers {
            Some(headers) => work(Ok(&headers.iter().collect::<Vec<_>>()[..])),
            None => work(Err(ABSENT)),
        }
    }

    fn header<T>(&self, side: Side, name: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
        read(self.recording.headers(side).first(name))
    }

    fn copied(&self, side: Side, _wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        pairs::encode(&self.recording.headers(side).iter().collect::<Vec<_>>())
    }

    fn add(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.recording.write(side, Change::Added, name, Some(value))
    }

    fn replace(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.recording.write(side, Change::Replaced, name, Some(value))
    }

    fn remove(&self, side: Side, name: &str) -> Result<(), Refused> {
        self.recording.write(side, Change::Removed, name, None)
    }

    fn number(&self, attribute: Attribute) -> Option<i64> {
        match self.value(attribute) {
            Value::Number(number) => Some(number),
            Value::Text(_) => None,
        }
    }

    fn text<T>(&self, attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T {
        match self.value(attribute) {
            Value::Text(text) => read(text),
            Value::Number(_) => read(&[]),
        }
    }

    fn attributes(&self, _root: u32, wanted: Wanted, mut take: impl FnMut(Attribute, Value<'_>)) -> bool {
        let together = Attribute::NUMBERS.into_iter().chain(Attribute::TEXTS);
        for attribute in together.filter(|attribute| wanted.contains(*attribute)) {
            take(attribute, self.value(attribute));
        }
        true
    }

    fn answer(&self, status: u32, _details: &str, _headers: &[(&[u8], &[u8])]) -> Result<(), Refused> {
        self.recording.answered.set(Some(status));
        Ok(())
    }

    fn note(&self, key: &str, value: &str) {
        self.recording.notes.borrow_mut().push((key.to_owned(), value.to_owned()));
    }
}
