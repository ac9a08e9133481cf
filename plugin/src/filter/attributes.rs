//! The attributes of a stream that is kept, read with one hostcall: each hostcall that returns a value costs Envoy some 11,400
//! instructions, one more element of a list some 3,000.
//!
//! The list is an expression in CEL (<https://cel.dev>), which Envoy compiles once for each root context (foreign functions
//! `expr_create`, `expr_evaluate`, `expr_delete` in its `source/extensions/common/wasm/foreign.cc`). A host without them, and
//! a stream without one of the attributes, is asked for them one by one.

use super::host;
use super::pairs::Pairs;
use crate::span::{KindSetting, Kinds, ListenerDirection, SpanKind};
use crate::upgrade::ResponseFlags;

/// An attribute that is a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Text {
    Protocol,
    SourceAddress,
    UpstreamAddress,
    RouteName,
    ClusterName,
    CodeDetails,
    TransportFailureReason,
    /// Never in the list: it is wanted only where the client did not name the server.
    DestinationAddress,
}

const TEXTS: usize = Text::DestinationAddress as usize + 1;

/// Those that [`Attributes::read`] cares for, with the paths of [`host::property`], newer name first.
const READ: [(Text, &str, Option<&str>); 7] = [
    (Text::Protocol, "request\0protocol", None),
    (Text::SourceAddress, "source\0address", None),
    (Text::UpstreamAddress, "upstream\0address", None),
    (Text::RouteName, "xds\0route_name", Some("route_name")),
    (Text::ClusterName, "xds\0cluster_name", Some("cluster_name")),
    (Text::CodeDetails, "response\0code_details", None),
    (Text::TransportFailureReason, "upstream\0transport_failure_reason", None),
];

/// An element of the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Flags,
    Started,
    Direction,
    Text(Text),
}

/// In this order, numbers first: they decide which texts are wanted. One absent attribute would fail the whole list.
const ELEMENTS: [(Element, &str); 10] = [
    (Element::Flags, "response.flags"),
    (Element::Started, "request.time"),
    (Element::Direction, "xds.listener_direction"),
    (Element::Text(Text::Protocol), "request.protocol"),
    (Element::Text(Text::SourceAddress), "source.address"),
    (Element::Text(Text::UpstreamAddress), "has(upstream.address)?upstream.address:''"),
    (Element::Text(Text::RouteName), "xds.route_name"),
    (Element::Text(Text::ClusterName), "has(xds.cluster_name)?xds.cluster_name:''"),
    (Element::Text(Text::CodeDetails), "has(response.code_details)?response.code_details:''"),
    (
        Element::Text(Text::TransportFailureReason),
        "has(upstream.transport_failure_reason)?upstream.transport_failure_reason:''",
    ),
];

/// The elements that can matter under this setting, in order; more of them for a stream that has failed.
fn elements(kind: KindSetting, failed: bool) -> impl Iterator<Item = &'static (Element, &'static str)> {
    ELEMENTS.iter().filter(move |(element, _)| match element {
        Element::Flags | Element::Started => true,
        Element::Direction => kind == KindSetting::Auto,
        Element::Text(text) => match text {
            Text::Protocol | Text::SourceAddress => kind != KindSetting::Client,
            Text::UpstreamAddress => kind != KindSetting::Server,
            Text::CodeDetails | Text::TransportFailureReason => failed,
            _ => true,
        },
    })
}

/// The lists of one root context, which alone knows their tokens; none where the host refused them.
#[derive(Clone, Copy)]
pub struct Lists {
    kind: KindSetting,
    ordinary: Option<Token>,
    failed: Option<Token>,
}

type Token = [u8; 4];

impl Lists {
    /// Lets the host compile the lists for the root context in effect, unless those it `had` will do.
    pub fn new(kind: KindSetting, had: Option<Self>) -> Self {
        if let Some(had) = had {
            if had.kind == kind {
                return had;
            }
            for token in [had.ordinary, had.failed].into_iter().flatten() {
                let _ = host::with_foreign("expr_delete", &token, |_| ()); // Only the host's memory is at stake.
            }
        }
        let create = |failed| {
            let mut list = String::with_capacity(512);
            for (_, expression) in elements(kind, failed) {
                list.push(if list.is_empty() { '[' } else { ',' });
                list.push_str(expression);
            }
            list.push(']');
            let token = |answer: Option<&[u8]>| answer?.first_chunk::<4>().copied();
            host::with_foreign("expr_create", list.as_bytes(), token).ok().flatten()
        };
        Self { kind, ordinary: create(false), failed: create(true) }
    }
}

/// What was read of a stream. A text that is empty is none.
#[derive(Default)]
pub struct Attributes {
    pub flags: ResponseFlags,
    /// Unix nanoseconds.
    pub started: Option<u64>,
    kind: KindSetting,
    direction: ListenerDirection,
    complete: bool,
    /// One text behind the other, in one allocation.
    bytes: Vec<u8>,
    /// Where each begins and ends.
    places: [(u32, u32); TEXTS],
}

impl Attributes {
    /// Reads what spans of this stream say. `flags` are Envoy's response flags, if they were read already.
    pub fn read(lists: &Lists, flags: Option<ResponseFlags>, complete: bool) -> Self {
        let kind = lists.kind;
        let failed = !complete || flags.is_some_and(|flags| !flags.is_empty());
        let token = if failed { lists.failed } else { lists.ordinary };
        let answer = |answer: Option<&[u8]>| Self::answered(kind, failed, complete, answer?);
        let listed = token.and_then(|token| host::with_foreign("expr_evaluate", &token, answer).ok().flatten());
        let is_listed = listed.is_some();
        let mut read = listed.unwrap_or_else(|| Self {
            flags: flags.unwrap_or_else(response_flags),
            started: integer("request\0time").and_then(|time| u64::try_from(time).ok()),
            direction: if kind == KindSetting::Auto { direction() } else { ListenerDirection::default() },
            kind,
            complete,
            ..Self::default()
        });
        if is_listed && (failed || read.flags.is_empty()) {
            return read;
        }
        for (text, path, older) in READ {
            let of_failure = matches!(text, Text::CodeDetails | Text::TransportFailureReason);
            if is_listed && !of_failure || !read.wants(text) {
                continue;
            }
            read.fetch(text, path);
            if let Some(older) = older.filter(|_| read.text(text).is_none()) {
                read.fetch(text, older);
            }
        }
        read
    }

    /// The answer to a list: its elements are the keys of a map without values. `None` if it is anything else.
    fn answered(kind: KindSetting, failed: bool, complete: bool, answer: &[u8]) -> Option<Self> {
        let mut read = Self { kind, complete, ..Self::default() };
        read.bytes.reserve_exact(answer.len().saturating_sub(TEXTS * 10));
        let mut pairs = Pairs::new(answer);
        for (element, _) in elements(kind, failed) {
            let (value, nothing) = pairs.next()?;
            if !nothing.is_empty() {
                return None;
            }
            match *element {
                Element::Flags => read.flags = flags(number(value)?),
                Element::Started => read.started = u64::try_from(number(value)?).ok(),
                Element::Direction => read.direction = ListenerDirection::from_property(number(value)?),
                Element::Text(text) if read.wants(text) => read.set(text, value),
                Element::Text(_) => {}
            }
        }
        pairs.next().is_none().then_some(read)
    }

    /// The spans that the stream becomes.
    pub fn kinds(&self) -> Kinds {
        self.kind.kinds(self.direction)
    }

    fn wants(&self, text: Text) -> bool {
        match text {
            Text::Protocol | Text::SourceAddress | Text::DestinationAddress => {
                self.kinds() != Kinds::One(SpanKind::Client)
            }
            Text::UpstreamAddress => self.kinds() != Kinds::One(SpanKind::Server),
            Text::RouteName | Text::ClusterName => true,
            Text::CodeDetails => !self.complete || !self.flags.is_empty(),
            Text::TransportFailureReason => !self.flags.is_empty(),
        }
    }

    /// Reads the address that was connected to, where a span can say it.
    pub fn read_destination(&mut self) {
        if self.wants(Text::DestinationAddress) {
            self.fetch(Text::DestinationAddress, "destination\0address");
        }
    }

    fn fetch(&mut self, text: Text, path: &str) {
        let _ = host::with_property(path.as_bytes(), |value| self.set(text, value.unwrap_or_default()));
    }

    fn set(&mut self, text: Text, value: &[u8]) {
        let end = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let start = end(&self.bytes);
        self.bytes.extend_from_slice(value);
        if let Some(place) = self.places.get_mut(text as usize) {
            *place = (start, end(&self.bytes));
        }
    }

    /// A text, if it was read and is not empty.
    pub fn text(&self, text: Text) -> Option<&[u8]> {
        let (start, end) = *self.places.get(text as usize)?;
        self.bytes.get(start as usize..end as usize).filter(|text| !text.is_empty())
    }

    /// Bytes on the heap.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Envoy's response flags; none where the host does not know any.
pub fn response_flags() -> ResponseFlags {
    integer("response\0flags").map(flags).unwrap_or_default()
}

fn flags(bits: i64) -> ResponseFlags {
    ResponseFlags::from_bits(u64::try_from(bits).unwrap_or_default())
}

/// The status that Envoy logs; 0 where it logs none.
pub fn response_code() -> Option<u16> {
    integer("response\0code").and_then(|code| u16::try_from(code).ok())
}

/// The listener's `traffic_direction`; older hosts know it under the shorter name.
pub fn direction() -> ListenerDirection {
    integer("xds\0listener_direction")
        .or_else(|| integer("listener_direction"))
        .map_or(ListenerDirection::Unspecified, ListenerDirection::from_property)
}

fn integer(path: &str) -> Option<i64> {
    host::with_property(path.as_bytes(), |value| number(value?)).ok().flatten()
}

/// Integers and times are eight bytes, little-endian.
fn number(value: &[u8]) -> Option<i64> {
    value.first_chunk::<8>().map(|bytes| i64::from_le_bytes(*bytes))
}
