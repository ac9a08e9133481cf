//! What is left out of a log, and why.

use serde::Serialize;

/// Why a line gave no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A line of a TCP listener: bytes in and out, no request.
    Connection,
    /// A request that broke off before its headers were read: no HTTP filter saw it.
    NoHeaders,
    /// What Envoy, or the agent beside it, writes into the same stream.
    OwnLog,
    /// None of the formats.
    NoLog,
    /// It begins like JSON and is not.
    NoJson,
    /// JSON without the fields of a request.
    NoRequest,
    /// A status that is not one.
    NoStatus,
    /// A time that cannot be read.
    NoTime,
    /// OTLP with a span that is not one.
    NoSpan,
}

impl Reason {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "TCP connections, which are no requests",
            Self::NoHeaders => "requests that broke off before their headers",
            Self::OwnLog => "the own log of Envoy or of Istio's agent",
            Self::NoLog => "neither an access log of Envoy nor OTLP",
            Self::NoJson => "not valid JSON",
            Self::NoRequest => "JSON without a method, a path and a status",
            Self::NoStatus => "no HTTP status where it should be",
            Self::NoTime => "a time that cannot be read",
            Self::NoSpan => "OTLP with a span that cannot be read",
        }
    }

    /// Whether such lines are to be expected in a log that is otherwise read well.
    pub const fn is_expected(self) -> bool {
        matches!(self, Self::Connection | Self::NoHeaders | Self::OwnLog)
    }
}

/// Why one line gave no request, and what in it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Why.
    pub reason: Reason,
    /// What was found; empty where the reason says all.
    pub detail: String,
}

impl Skip {
    /// For this reason, because of that.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<Reason> for Skip {
    fn from(reason: Reason) -> Self {
        Self::new(reason, "")
    }
}

/// All lines of one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub lines: u64,
    /// The number of the first, from 1.
    pub first: u64,
    /// What was found in the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether such lines are to be expected.
    pub is_expected: bool,
}

impl Skipped {
    /// As a sentence.
    pub fn text(&self) -> String {
        let Self { reason, lines, first, detail, .. } = self;
        let plural = if *lines == 1 { "line" } else { "lines" };
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        format!("{lines} {plural} left out: {reason} (the first is line {first}{detail}).")
    }
}
