//! What only the proxy knows of a stream that is kept, read together where the host can: in wasm each value costs Envoy some
//! 11,400 instructions alone, and 3,000 as one more of a list.

use crate::door::{Attribute, Exchange, Value, Wanted};
use crate::http::ResponseFlags;
use crate::span::{KindSetting, Kinds, ListenerDirection, SpanKind};

/// Bytes of the texts of an ordinary stream.
const ORDINARY_TEXTS: usize = 256;
/// Texts of a stream: from the first of [`Attribute::TEXTS`] to the one that is read apart.
const PLACES: usize = Attribute::DestinationAddress as usize - Attribute::Protocol as usize + 1;

/// What can matter under this setting, and with recall on; more of it for a stream that has failed. What a host may be asked for together:
/// see [`crate::door::Host::prepare`].
pub fn wanted(kind: KindSetting, recall: bool, failed: bool) -> Wanted {
    let mut wanted = Wanted::default().with(Attribute::ResponseFlags).with(Attribute::StartTime);
    wanted = wanted.with(Attribute::RouteName).with(Attribute::ClusterName);
    if kind == KindSetting::Auto {
        wanted = wanted.with(Attribute::ListenerDirection);
    }
    if kind != KindSetting::Client {
        wanted = wanted.with(Attribute::Protocol).with(Attribute::SourceAddress);
    }
    if kind != KindSetting::Server {
        wanted = wanted.with(Attribute::UpstreamAddress);
        if recall {
            wanted = wanted.with(Attribute::UpstreamTls);
        }
    }
    if failed {
        wanted = wanted.with(Attribute::CodeDetails).with(Attribute::TransportFailureReason);
    }
    wanted
}

fn place(text: Attribute) -> usize {
    (text as usize).wrapping_sub(Attribute::Protocol as usize)
}

/// What was read of a stream. A text that is empty is absent.
#[derive(Default)]
pub struct Attributes {
    pub flags: ResponseFlags,
    /// Unix nanoseconds.
    pub started: Option<u64>,
    /// The status that was logged, where it was wanted.
    pub status: Option<u16>,
    kind: KindSetting,
    direction: ListenerDirection,
    complete: bool,
    recall: bool,
    /// One text behind the other, in one allocation.
    bytes: Vec<u8>,
    /// Where each begins and ends.
    places: [(u32, u32); PLACES],
}

impl Attributes {
    /// Reads what spans of this stream say. `flags` are Envoy's response flags, if they were read already.
    pub fn read(
        exchange: &impl Exchange,
        root: u32,
        (kind, recall): (KindSetting, bool),
        flags: Option<ResponseFlags>,
        complete: bool,
    ) -> Self {
        let failed = !complete || flags.is_some_and(|flags| !flags.is_empty());
        let mut read = Self { kind, recall, complete, ..Self::default() };
        let together = exchange.attributes(root, wanted(kind, recall, failed), |name, value| read.take(name, value));
        read.rest(exchange, flags, together, failed)
    }

    /// The same of a stream of whose answer nothing was seen, with the status that was logged.
    #[inline(never)]
    pub fn read_unseen(exchange: &impl Exchange, root: u32, (kind, recall): (KindSetting, bool)) -> Self {
        let mut read = Self { kind, recall, complete: true, ..Self::default() };
        let wanted = wanted(kind, recall, false).with(Attribute::ResponseCode);
        let together = exchange.attributes(root, wanted, |name, value| read.take(name, value));
        let mut read = read.rest(exchange, None, together, false);
        if !together {
            read.status = response_code(exchange);
        }
        read
    }

    /// Reads one by one what did not come together.
    #[inline(never)] // Two callers.
    fn rest(self, exchange: &impl Exchange, flags: Option<ResponseFlags>, together: bool, failed: bool) -> Self {
        let Self { kind, recall, complete, .. } = self;
        let mut read = self;
        if !together {
            let flags = flags.unwrap_or_else(|| response_flags(exchange));
            read = Self { kind, recall, complete, flags, ..Self::default() };
            read.started = exchange.number(Attribute::StartTime).and_then(|time| u64::try_from(time).ok());
            if kind == KindSetting::Auto {
                read.direction = direction(exchange);
            }
        }
        if together && (failed || read.flags.is_empty()) {
            return read;
        }
        for text in Attribute::TEXTS {
            let of_failure = matches!(text, Attribute::CodeDetails | Attribute::TransportFailureReason);
            if (!together || of_failure) && read.wants(text) {
                read.fetch(exchange, text);
            }
        }
        read
    }

    #[inline(always)] // For each attribute of a kept stream.
    fn take(&mut self, attribute: Attribute, value: Value<'_>) {
        match (attribute, value) {
            (Attribute::ResponseFlags, Value::Number(bits)) => self.flags = flags(bits),
            (Attribute::StartTime, Value::Number(time)) => self.started = u64::try_from(time).ok(),
            (Attribute::ListenerDirection, Value::Number(number)) => {
                self.direction = ListenerDirection::from_property(number);
            }
            (Attribute::ResponseCode, Value::Number(code)) => self.status = u16::try_from(code).ok(),
            (text, Value::Text(value)) if self.wants(text) => self.set(text, value),
            _ => {}
        }
    }

    /// The spans that the stream becomes.
    pub fn kinds(&self) -> Kinds {
        self.kind.kinds(self.direction)
    }

    fn wants(&self, text: Attribute) -> bool {
        match text {
            Attribute::Protocol | Attribute::SourceAddress | Attribute::DestinationAddress => {
                self.kinds() != Kinds::One(SpanKind::Client)
            }
            Attribute::UpstreamAddress => self.kinds() != Kinds::One(SpanKind::Server),
            Attribute::UpstreamTls => self.recall && self.kinds() != Kinds::One(SpanKind::Server),
            Attribute::RouteName | Attribute::ClusterName => true,
            Attribute::CodeDetails => !self.complete || !self.flags.is_empty(),
            Attribute::TransportFailureReason => !self.flags.is_empty(),
            _ => false,
        }
    }

    /// Reads the address that was connected to, where a span can say it.
    pub fn read_destination(&mut self, exchange: &impl Exchange) {
        if self.wants(Attribute::DestinationAddress) {
            self.fetch(exchange, Attribute::DestinationAddress);
        }
    }

    fn fetch(&mut self, exchange: &impl Exchange, text: Attribute) {
        exchange.text(text, |value| self.set(text, value));
    }

    fn set(&mut self, text: Attribute, value: &[u8]) {
        let end = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(ORDINARY_TEXTS);
        }
        let start = end(&self.bytes);
        self.bytes.extend_from_slice(value);
        if let Some(place) = self.places.get_mut(place(text)) {
            *place = (start, end(&self.bytes));
        }
    }

    /// A text, if it was read and is not empty.
    pub fn text(&self, text: Attribute) -> Option<&[u8]> {
        let (start, end) = *self.places.get(place(text))?;
        self.bytes.get(start as usize..end as usize).filter(|text| !text.is_empty())
    }

    /// Bytes on the heap.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Envoy's response flags; none where the host does not know any.
pub fn response_flags(exchange: &impl Exchange) -> ResponseFlags {
    exchange.number(Attribute::ResponseFlags).map(flags).unwrap_or_default()
}

/// The status that Envoy logs.
pub fn response_code(exchange: &impl Exchange) -> Option<u16> {
    exchange.number(Attribute::ResponseCode).and_then(|code| u16::try_from(code).ok())
}

fn flags(bits: i64) -> ResponseFlags {
    ResponseFlags::from_bits(u64::try_from(bits).unwrap_or_default())
}

/// The listener's `traffic_direction`.
fn direction(exchange: &impl Exchange) -> ListenerDirection {
    let number = exchange.number(Attribute::ListenerDirection);
    number.map_or(ListenerDirection::Unspecified, ListenerDirection::from_property)
}

/// Whether a stream is a call to another service.
pub fn is_client(exchange: &impl Exchange, kind: KindSetting) -> bool {
    match kind {
        KindSetting::Auto => direction(exchange) == ListenerDirection::Outbound,
        _ => kind == KindSetting::Client,
    }
}
