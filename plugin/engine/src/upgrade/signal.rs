//! The upgrade signal: how an answer tells its caller what became of the trace, so that every ancestor does the same.
//!
//! Two headers say one thing. `traceresponse` (W3C Trace Context, earlier editor's drafts) has the form of `traceparent` and
//! is what our own hops read; `Server-Timing: trace;desc=…` (editor's draft since 2025-10) is for everyone else.
//! A `sampled` flag of 1 says that the trace was upgraded below, a 0 that it had a trigger below which the budget there did
//! not admit: whoever passes the failure on sheds it too, or the trace would be kept in pieces. An answer to a call that
//! had left sampled carries `traceresponse` alone, as a context: kept below by the head decision, nothing was upgraded.

use crate::trace_context::{SpanId, TraceFlags, TraceId, TraceParent};

/// What became of a trace that had a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The budget admitted it: every hop keeps its span.
    Upgraded,
    /// The budget did not: no hop keeps it for that reason.
    Shed,
}

/// Name of the header that we read and write.
pub const TRACERESPONSE: &str = "traceresponse";
/// Name of the header that we write for others.
pub const SERVER_TIMING: &str = "server-timing";

/// The metric name of `Server-Timing` entries that carry a trace context.
const METRIC: &[u8] = b"trace";

/// The two header values that one verdict becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// For [`TRACERESPONSE`].
    pub traceresponse: [u8; 55],
    /// For [`SERVER_TIMING`], to be added behind what an application wrote.
    pub server_timing: [u8; 66],
}

impl Signal {
    /// What this hop's span answers its caller.
    pub fn new(trace_id: TraceId, span_id: SpanId, random: bool, verdict: Verdict) -> Self {
        let flags = TraceFlags::default().with_random(random).with_sampled(verdict == Verdict::Upgraded);
        let traceresponse = TraceParent { trace_id, parent_id: span_id, flags }.write();
        let mut server_timing = *b"trace;desc=-------------------------------------------------------";
        if let Some(place) = server_timing.last_chunk_mut() {
            *place = traceresponse;
        }
        Self { traceresponse, server_timing }
    }
}

/// Reads `traceresponse`. Believed for this trace-id only: an answer cannot upgrade any other trace.
pub fn read(traceresponse: &[u8], trace_id: TraceId) -> Option<Verdict> {
    let context = TraceParent::parse(traceresponse).ok().filter(|context| context.trace_id == trace_id)?;
    Some(if context.flags.sampled() { Verdict::Upgraded } else { Verdict::Shed })
}

/// Whether `Server-Timing` tells of an upgrade of this trace. `traceresponse` with flag 1 alone is the context of a hop that
/// its caller had sampled: kept, but not upgraded.
pub fn announces(server_timing: &[u8], trace_id: TraceId) -> bool {
    let id = trace_id.hex();
    entries(server_timing).any(|entry| is_context(entry) && entry.windows(id.len()).any(|window| window == id))
}

/// `Server-Timing` without the entries that carry a trace context, for the edge of the mesh; `None` when nothing is left.
/// Commas and semicolons inside quoted strings separate nothing. W3C Server Timing, "Server-Timing Header Field".
pub fn without_context(server_timing: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(server_timing.len());
    for entry in entries(server_timing).filter(|entry| !is_context(entry)) {
        if !kept.is_empty() {
            kept.extend_from_slice(b", ");
        }
        kept.extend_from_slice(entry);
    }
    (!kept.is_empty()).then_some(kept)
}

fn is_context(entry: &[u8]) -> bool {
    let name = entry.split(|&byte| byte == b';').next().unwrap_or(entry);
    name.trim_ascii().eq_ignore_ascii_case(METRIC)
}

/// The entries of a list whose members may hold quoted strings (RFC 9110, section 5.6.4), trimmed, none empty.
fn entries(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |&byte| {
        let separates = byte == b',' && !quoted;
        if escaped {
            escaped = false;
        } else if byte == b'\\' && quoted {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        separates
    })
    .map(<[u8]>::trim_ascii)
    .filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace() -> TraceId {
        TraceId::parse(b"4bf92f3577b34da6a3ce929d0e0e4736").expect("an id")
    }

    fn span() -> SpanId {
        SpanId::parse(b"00f067aa0ba902b7").expect("an id")
    }

    #[test]
    fn a_verdict_comes_back_from_the_header_it_was_written_to() {
        for verdict in [Verdict::Upgraded, Verdict::Shed] {
            let signal = Signal::new(trace(), span(), true, verdict);
            assert_eq!(read(&signal.traceresponse, trace()), Some(verdict));
        }
        let signal = Signal::new(trace(), span(), false, Verdict::Upgraded);
        assert_eq!(&signal.traceresponse, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(&signal.server_timing, b"trace;desc=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    #[test]
    fn a_signal_for_another_trace_or_of_another_form_is_not_believed() {
        let other = Signal::new(TraceId::MIN, span(), true, Verdict::Upgraded);
        assert_eq!(read(&other.traceresponse, trace()), None);
        for bad in ["", "01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "trace"] {
            assert_eq!(read(bad.as_bytes(), trace()), None, "{bad}");
        }
    }

    #[test]
    fn an_upgrade_is_told_from_a_context_by_its_server_timing() {
        let signal = Signal::new(trace(), span(), true, Verdict::Upgraded);
        let timing = [b"db;dur=53, ".as_slice(), &signal.server_timing].concat();
        assert!(announces(&signal.server_timing, trace()) && announces(&timing, trace()));
        for other in ["", "db;dur=53", "trace;desc=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "trace"] {
            assert!(!announces(other.as_bytes(), trace()), "{other}");
        }
        assert!(!announces(&timing, TraceId::MIN));
    }

    #[test]
    fn the_edge_takes_our_entry_out_and_leaves_the_others_as_they_are() {
        for (found, left) in [
            ("trace;desc=00-a-b-01", None),
            ("db;dur=53, trace;desc=00-a-b-01", Some("db;dur=53")),
            (
                "TRACE ; desc=x , db;dur=53,cache;desc=\"a, trace;desc=b\"",
                Some("db;dur=53, cache;desc=\"a, trace;desc=b\""),
            ),
            ("cache;desc=\"\\\",trace\", trace", Some("cache;desc=\"\\\",trace\"")),
            ("traces;dur=1", Some("traces;dur=1")),
            (",, ,", None),
            ("", None),
        ] {
            let kept = without_context(found.as_bytes());
            assert_eq!(kept.as_deref(), left.map(str::as_bytes), "{found}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, trace());
            let once = without_context(&bytes).unwrap_or_default();
            prop_assert!(once.len() <= bytes.len().saturating_mul(2));
        }
    }
}
