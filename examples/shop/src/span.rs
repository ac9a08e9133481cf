//! A span as the demo looks at it: ids as numbers, and the few attributes that it shows or checks.

use std::fmt;
use tracelift_envoy::ReceivedSpan;

/// Which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The call as it arrived.
    Server,
    /// The call as it went on.
    Client,
    /// A piece of an application's work.
    Internal,
    /// None of the demo's.
    Other,
}

impl Kind {
    /// As the semantic conventions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "SERVER",
            Self::Client => "CLIENT",
            Self::Internal => "INTERNAL",
            Self::Other => "OTHER",
        }
    }
}

/// One exported span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace_id: u128,
    /// This span.
    pub span_id: u64,
    /// Its parent; none for a root.
    pub parent_id: Option<u64>,
    /// The parent that it had, where its proxy found out that this one was never recorded.
    pub unrecorded_parent_id: Option<u64>,
    /// `service.name` of the resource.
    pub service: String,
    /// Made by the service's own SDK; else by its proxy.
    pub application: bool,
    /// The span's name.
    pub name: String,
    /// Which side of the call.
    pub kind: Kind,
    /// Unix nanoseconds.
    pub start: u64,
    /// Unix nanoseconds.
    pub end: u64,
    /// Its status is ERROR.
    pub error: bool,
    /// HTTP status, if there was one.
    pub status: Option<i64>,
    /// Envoy's response flags, such as `UF,URX`.
    pub flags: Option<String>,
    /// What upgraded it, if anything did.
    pub trigger: Option<String>,
    /// Why the head decided as it did.
    pub reason: Option<String>,
    /// Whom it called or was called as.
    pub peer: Option<String>,
    /// `th` of the exported tracestate: the rejection threshold, 14 hexadecimal digits as a number.
    pub th: Option<u64>,
    /// The exported tracestate.
    pub tracestate: String,
    /// `sampling.priority`.
    pub priority: Option<i64>,
    /// The sampled bit of the exported flags.
    pub sampled: bool,
    /// All attributes as text, by their keys; empty once they are forgotten.
    pub attributes: Vec<(String, String)>,
}

impl From<&ReceivedSpan> for Span {
    fn from(received: &ReceivedSpan) -> Self {
        let span = &received.span;
        let parent_id = number(&span.parent_span_id);
        let text = |key: &str| received.text(key).map(str::to_owned);
        Self {
            trace_id: span.trace_id.iter().fold(0, |id, byte| id << 8 | u128::from(*byte)),
            span_id: number(&span.span_id),
            parent_id: (parent_id != 0).then_some(parent_id),
            unrecorded_parent_id: received
                .text("tracelift.parent.unrecorded")
                .and_then(|id| u64::from_str_radix(id, 16).ok()),
            service: received.service_name().to_owned(),
            application: received.resource_text("telemetry.sdk.name") != Some("tracelift"),
            name: received.name().to_owned(),
            kind: match received.kind().as_str_name() {
                "SPAN_KIND_SERVER" => Kind::Server,
                "SPAN_KIND_CLIENT" => Kind::Client,
                "SPAN_KIND_INTERNAL" => Kind::Internal,
                _ => Kind::Other,
            },
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            error: received.is_error(),
            status: received.int("http.response.status_code"),
            flags: text("tracelift.response_flags"),
            trigger: received.trigger().map(str::to_owned),
            reason: text("tracelift.sampling.reason"),
            peer: text("server.address"),
            th: threshold(&span.trace_state),
            tracestate: span.trace_state.clone(),
            priority: received.int("sampling.priority"),
            sampled: span.flags & 1 == 1,
            attributes: received.attributes(),
        }
    }
}

impl Span {
    /// It was slower than usual, and nothing below it was.
    pub fn is_culprit(&self) -> bool {
        self.attributes.iter().any(|(key, value)| key == "tracelift.slow.culprit" && value == "true")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.application { "application of " } else { "" };
        let (service, kind) = (&self.service, self.kind.name());
        write!(f, "trace {:032x}: {whose}{service} {kind} {:016x}", self.trace_id, self.span_id)
    }
}

fn number(id: &[u8]) -> u64 {
    id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// The `th` sub-key of the `ot` list-member, left-aligned in 56 bits (OTel "TraceState: Probability Sampling").
pub fn threshold(tracestate: &str) -> Option<u64> {
    let th = ot(tracestate, "th:")?;
    let digits = th.len();
    if !(1..=14).contains(&digits) {
        return None;
    }
    Some(u64::from_str_radix(th, 16).ok()? << (4 * (14 - digits)))
}

/// The `rv` sub-key, R where it is not the trace-id's (the same specification): 14 hexadecimal digits as a number.
pub fn randomness(tracestate: &str) -> Option<u64> {
    ot(tracestate, "rv:").filter(|rv| rv.len() == 14).and_then(|rv| u64::from_str_radix(rv, 16).ok())
}

fn ot<'a>(tracestate: &'a str, key: &str) -> Option<&'a str> {
    let ot = tracestate.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    ot.split(';').find_map(|pair| pair.strip_prefix(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_randomness_is_read_whole_or_not_at_all() {
        for (tracestate, expected) in [
            ("ot=rv:00000000000001", Some(1)),
            ("vendor=a,ot=th:fd70a;rv:fedcba98765432", Some(0xfe_dcba_9876_5432)),
            ("ot=rv:1", None),
            ("ot=th:fd70a", None),
            ("", None),
        ] {
            assert_eq!(randomness(tracestate), expected, "{tracestate}");
        }
    }

    #[test]
    fn a_threshold_is_read_left_aligned() {
        for (tracestate, expected) in [
            ("ot=th:0", Some(0)),
            ("ot=th:c", Some(0xc0_0000_0000_0000)),
            ("vendor=a,ot=rv:00000000000001;th:fd70a", Some(0xfd_70a0_0000_0000)),
            ("ot=rv:00000000000001", None),
            ("vendor=th:0", None),
            ("", None),
            ("ot=th:0123456789abcdef", None),
        ] {
            assert_eq!(threshold(tracestate), expected, "{tracestate}");
        }
    }
}
