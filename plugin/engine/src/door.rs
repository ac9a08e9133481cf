//! The engine's door: all that it asks of the proxy around it. Static dispatch, as for [`crate::trace_context::Headers`], so
//! that one build can hold several hosts: Envoy's, a recorder, a simulation.
//!
//! Bytes in, bytes out. What a host cannot do is an error that costs a detail, never a request.

/// A request of the engine that the host did not serve, with the host's own number for the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u32);

use crate::http::NameEnd;
use crate::http::pairs::{Encoded, Pairs};

/// What a metric is to Prometheus and to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down; summed over all worker VMs of a process, but for `config.ratio_ppm`, `audit.z_centi` and
    /// `adaptive.ratio_ppm` (and the shadow's), which each of them sets.
    Gauge,
    /// Values in milliseconds.
    Histogram,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The whole name. Envoy shows it under `wasmcustom.`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
}

/// How urgent a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For those who look for a fault in the filter.
    Debug,
    /// What an operator may want to know.
    Info,
    /// What an operator should mend.
    Warn,
    /// What an operator must mend.
    Error,
}

/// A part of the answer to a call of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its headers, encoded as [`crate::http::pairs`].
    Headers,
    /// Its trailers, likewise.
    Trailers,
    /// Its body.
    Body {
        /// Bytes that are read at most.
        max: usize,
    },
}

/// A worker's process, as long as the worker lives.
pub trait Host {
    /// Unix time in nanoseconds; 0 where there is no clock, which makes a span without length instead of a fault.
    fn now(&self) -> u64;

    /// Fills `bytes` from a random source; `false` where there is none.
    fn random(&self, bytes: &mut [u8]) -> bool;

    /// A value that all workers of the process share, with the mark that guards a change of it.
    fn shared(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Refused>;

    /// Changes a shared value if no other worker has since its mark was read; `false` if one has. Mark 0 writes whatever is
    /// there: the very first write cannot be guarded.
    fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> Result<bool, Refused>;

    /// Sends a request to a cluster on behalf of the root in effect; the answer comes with this token. The path is among
    /// `headers`. A timeout of 0 ms is read as 1.
    fn call(&self, cluster: &str, headers: &[(&[u8], &[u8])], body: &[u8], timeout_ms: u32) -> Result<u32, Refused>;

    /// A part of the answer that has just come; empty where there is none.
    fn answer_part(&self, part: Part) -> Vec<u8>;

    /// Runs `work` on behalf of a root during a callback of a stream: a call that is made there outlives the stream.
    fn as_root(&self, root: u32, stream: u32, work: impl FnOnce()) -> Result<(), Refused>;

    /// An attribute, which is a number, of a stream that has not ended, during a callback of its root.
    fn number_of(&self, root: u32, stream: u32, attribute: Attribute) -> Option<i64>;

    /// The roots' tick from now on.
    fn tick_every(&self, milliseconds: u32);

    /// The root in effect had asked for time to end, and needs no more.
    fn done(&self);

    /// One log line, never one for each request.
    fn log(&self, level: Level, text: &str);

    /// The host's number for a metric of this process; the same name gives the same metric in every worker.
    fn define(&self, metric: Description) -> Option<u32>;

    /// Adds to a counter (above 0 only) or a gauge (either way); `false` if it was not taken.
    fn add(&self, metric: u32, offset: i64) -> bool;

    /// Records one value of a histogram, or sets a gauge.
    fn record(&self, metric: u32, value: u64);

    /// Called when a root takes up a configuration: the sets of attributes that its streams will ask for.
    fn prepare(&self, root: u32, wanted: &[Wanted]);

    /// Changes a shared value by compare-and-swap. `change` makes the new value of the old one, or `None` to leave it; it is
    /// called again whenever another worker was faster, at most `tries` times in all.
    fn update<V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        tries: usize,
        mut change: impl FnMut(Option<&[u8]>) -> Option<V>,
    ) -> Update {
        for _ in 0..tries {
            let Ok(found) = self.shared(key) else { return Update::Failed };
            let (value, mark) = found.map_or((None, 0), |(value, mark)| (Some(value), mark));
            let Some(next) = change(value.as_deref()) else { return Update::Left };
            match self.swap(key, next.as_ref(), mark) {
                Ok(true) => return Update::Changed,
                Ok(false) => {}
                Err(_) => return Update::Failed,
            }
        }
        Update::Failed
    }
}

/// What became of [`Host::update`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The new value is there.
    Changed,
    /// There was nothing to change.
    Left,
    /// The host has no shared values, or other workers were always faster.
    Failed,
}

/// The headers of one side of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request's headers.
    Request,
    /// The headers of its answer.
    Response,
    /// The answer's trailers.
    Trailers,
}

/// Headers as the host shows them, borrowed for a look.
pub trait HeaderView<'a>: Copy {
    /// No header.
    const NONE: Self;

    /// The values of that name, in order of arrival. `name` is in lower case.
    fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]>;

    /// The first of them.
    fn first(self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Shows every entry whose name has one of these lengths (bits of `lengths`, so below 64), in order of arrival.
    fn of_lengths(self, lengths: u64, take: impl FnMut(&'a [u8], &'a [u8]));

    /// The same, and whether there is an entry whose name, of another length, ends like this.
    #[inline(always)] // For every request, where a token is looked for.
    fn of_lengths_and(self, lengths: u64, end: &NameEnd, mut take: impl FnMut(&'a [u8], &'a [u8])) -> bool {
        let mut found = false;
        self.of_lengths(lengths | end.bit, |key, value| match key.len() == end.length {
            true => found |= end.is_of(key),
            false => take(key, value),
        });
        found
    }

    /// All entries, in one allocation.
    fn entries(self) -> Vec<(&'a [u8], &'a [u8])>;
}

/// Headers that were listed already.
impl<'a> HeaderView<'a> for &'a [(&'a [u8], &'a [u8])] {
    const NONE: Self = &[];

    fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }

    fn of_lengths(self, lengths: u64, mut take: impl FnMut(&'a [u8], &'a [u8])) {
        for (key, value) in self.iter().filter(|(key, _)| key.len() < 64 && lengths >> key.len() & 1 != 0) {
            take(key, value);
        }
    }

    fn entries(self) -> Vec<(&'a [u8], &'a [u8])> {
        self.to_vec()
    }
}

/// Headers in one block of bytes.
impl<'a> HeaderView<'a> for Encoded<'a> {
    const NONE: Self = Self(&[]);

    fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        Pairs::new(self.0).values_of(name.as_bytes())
    }

    fn of_lengths(self, lengths: u64, take: impl FnMut(&'a [u8], &'a [u8])) {
        Pairs::new(self.0).of_lengths(lengths, take);
    }

    #[inline(always)] // It has one caller.
    fn of_lengths_and(self, lengths: u64, end: &NameEnd, take: impl FnMut(&'a [u8], &'a [u8])) -> bool {
        Pairs::new(self.0).of_lengths_and(lengths, end, take)
    }

    fn entries(self) -> Vec<(&'a [u8], &'a [u8])> {
        Pairs::all(self.0)
    }
}

/// What only the proxy knows of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Number: Envoy's response flags.
    ResponseFlags,
    /// Number: Unix nanoseconds of its first byte.
    StartTime,
    /// Number: the listener's `traffic_direction`.
    ListenerDirection,
    /// Number: the status that is logged; 0 where none is.
    ResponseCode,
    /// Text: `HTTP/1.1` and the like.
    Protocol,
    /// Text, address: the client.
    SourceAddress,
    /// Text, address: the host that the request went to.
    UpstreamAddress,
    /// Text.
    RouteName,
    /// Text.
    ClusterName,
    /// Text: why the answer is what it is.
    CodeDetails,
    /// Text: why no connection to the upstream came about.
    TransportFailureReason,
    /// Text: the version of TLS towards the host that the request went to.
    UpstreamTls,
    /// Text, address: what the client connected to.
    DestinationAddress,
    /// Text: the first URI SAN of the client's certificate.
    PeerIdentity,
}

impl Attribute {
    /// Numbers that may be wanted together with others.
    pub const NUMBERS: [Self; 4] = [Self::ResponseFlags, Self::StartTime, Self::ListenerDirection, Self::ResponseCode];
    /// Texts that may be wanted together with others; a host shows them after the numbers.
    pub const TEXTS: [Self; 8] = [
        Self::Protocol,
        Self::SourceAddress,
        Self::UpstreamAddress,
        Self::RouteName,
        Self::ClusterName,
        Self::CodeDetails,
        Self::TransportFailureReason,
        Self::UpstreamTls,
    ];

    /// Whether its value is a number; else it is a text.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::ResponseFlags | Self::StartTime | Self::ListenerDirection | Self::ResponseCode)
    }
}

/// A set of attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted(u16);

impl Wanted {
    /// The set with this one as well.
    #[must_use]
    pub const fn with(self, attribute: Attribute) -> Self {
        Self(self.0 | 1 << attribute as u16)
    }

    /// Whether it is in the set.
    pub const fn contains(self, attribute: Attribute) -> bool {
        self.0 & 1 << attribute as u16 != 0
    }
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of one that is a number.
    Number(i64),
    /// Of one that is a text; empty where there is none.
    Text(&'a [u8]),
}

/// One request, while a callback for it runs.
pub trait Exchange {
    /// The worker's host.
    type Host: Host;

    /// Headers of a side.
    type Headers<'a>: HeaderView<'a>;

    /// To read one header is less work than to read all of them, where the proxy keeps a slot for it.
    const GAINS_BY_SLOTS: bool = false;

    /// The worker's host.
    fn host(&self) -> &Self::Host;

    /// Lets `work` look at all headers of a side, or at the reason why there are none.
    fn headers<T>(&self, side: Side, work: impl FnOnce(Result<Self::Headers<'_>, Refused>) -> T) -> T;

    /// Lets `read` look at the first value of one header of a side. `name` is in lower case.
    fn header<T>(&self, side: Side, name: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T;

    /// Headers of a side, copied, encoded as [`crate::http::pairs`]; empty where there are none. Those with a name that `wanted`
    /// refuses may be left out, where that is less work.
    fn copied(&self, side: Side, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8>;

    /// Adds one more entry behind those of that name. The value must be fit for a header.
    fn add(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Leaves exactly one entry of that name, with this value. The value must be fit for a header.
    fn replace(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Leaves no entry of that name.
    fn remove(&self, side: Side, name: &str) -> Result<(), Refused>;

    /// An attribute that is a number.
    fn number(&self, attribute: Attribute) -> Option<i64>;

    /// Lets `read` look at an attribute that is a text; empty where there is none.
    fn text<T>(&self, attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T;

    /// Shows `take` the attributes of a set that the host can read together: all of them, numbers before texts, and
    /// `true`. A host that has to be asked for each answers `false`, and may have shown some.
    fn attributes(&self, root: u32, wanted: Wanted, take: impl FnMut(Attribute, Value<'_>)) -> bool;

    /// Answers the request at hand without a body, in place of the upstream; `details` is for the access log.
    fn answer(&self, status: u32, details: &str, headers: &[(&[u8], &[u8])]) -> Result<(), Refused>;

    /// Leaves a note that an access log can show.
    fn note(&self, key: &str, value: &str);
}
