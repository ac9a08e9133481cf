//! The upgrade signal: how an answer tells its caller what became of the trace, so that every ancestor does the same.
//!
//! [`SIGNAL`] is our own mark, written by nobody who does not mean it, and all that is read; `docs/applications.md` has its
//! grammar. Beside it stand `traceresponse` (W3C Trace Context, earlier editor's drafts) and `Server-Timing: trace;desc=…`
//! (editor's draft since 2025-10), for browsers and back ends. Any SDK writes these two, and writes flag 0 wherever the trace
//! is not sampled: they are read only as the signal of the previous version, where the configuration says so.

use crate::trace_context::{HeaderEdit, SpanId, TraceFlags, TraceId, TraceParent};

/// What became of a trace that had a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The budget admitted it: every hop keeps its span.
    Upgraded,
    /// The budget did not: no hop keeps it for that reason.
    Shed,
}

/// What a hop says of the trace in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The trace was dropped by the head and is kept from here down.
    Upgraded,
    /// There was a trigger below that the budget there did not admit: whoever passes the failure on sheds it too, or the trace
    /// would be kept in pieces.
    Shed,
    /// The caller had sampled the trace, and this hop keeps its part; nothing was upgraded.
    Kept,
    /// This hop holds a dropped span of the trace, and would give it up for a recall.
    Here,
}

/// Name of the header that is our own mark.
pub const SIGNAL: &str = "x-tracelift-signal";
/// Name of the header that we write for others, in the form of `traceparent`.
pub const TRACERESPONSE: &str = "traceresponse";
/// Name of the header that we write for others, browsers above all.
pub const SERVER_TIMING: &str = "server-timing";

/// The version of [`SIGNAL`] that is written and read.
const VERSION: &[u8] = b"2";
/// Longest value that is read, in bytes.
const MAX_BYTES: usize = 512;
/// Signals of one value that are looked at.
const MAX_SIGNALS: usize = 4;
/// The metric name of `Server-Timing` entries that carry a trace context.
const METRIC: &[u8] = b"trace";

impl Mark {
    /// In the order in which they count where an answer has several.
    const ALL: [Self; 4] = [Self::Upgraded, Self::Shed, Self::Kept, Self::Here];

    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgraded => "upgraded",
            Self::Shed => "shed",
            Self::Kept => "kept",
            Self::Here => "here",
        }
    }

    /// What it says of a trigger below; `None`: it speaks of none.
    pub const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Upgraded => Some(Verdict::Upgraded),
            Self::Shed => Some(Verdict::Shed),
            Self::Kept | Self::Here => None,
        }
    }

    /// Whoever wrote it exports its span of the trace.
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Upgraded | Self::Kept)
    }

    /// The value of [`SIGNAL`].
    pub fn write(self, trace_id: TraceId) -> Vec<u8> {
        [VERSION, self.name().as_bytes(), &trace_id.hex()].join(&b';')
    }
}

impl From<Verdict> for Mark {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Upgraded => Self::Upgraded,
            Verdict::Shed => Self::Shed,
        }
    }
}

/// The three header values that one mark becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// For [`SIGNAL`].
    pub mark: Vec<u8>,
    /// For [`TRACERESPONSE`].
    pub traceresponse: [u8; 55],
    /// For [`SERVER_TIMING`], to be added behind what an application wrote.
    pub server_timing: [u8; 66],
}

impl Signal {
    /// What this hop's span answers its caller.
    pub fn new(trace_id: TraceId, span_id: SpanId, random: bool, mark: Mark) -> Self {
        let flags = TraceFlags::default().with_random(random).with_sampled(mark.is_kept());
        let traceresponse = TraceParent { trace_id, parent_id: span_id, flags }.write();
        let mut server_timing = *b"trace;desc=-------------------------------------------------------";
        if let Some(place) = server_timing.last_chunk_mut() {
            *place = traceresponse;
        }
        Self { mark: mark.write(trace_id), traceresponse, server_timing }
    }
}

/// Reads [`SIGNAL`], its lines joined by `,`. Believed for this trace-id only: an answer cannot upgrade any other trace. Another
/// version, an unknown word and whatever breaks the grammar are skipped. Of several the first of [`Mark::ALL`] counts.
pub fn read(value: &[u8], trace_id: TraceId) -> Option<Mark> {
    if MAX_BYTES < value.len() {
        return None;
    }
    let signals = value.split(|&byte| byte == b',').take(MAX_SIGNALS);
    signals.filter_map(|signal| read_one(signal, trace_id)).min_by_key(|mark| *mark as u8)
}

fn read_one(signal: &[u8], trace_id: TraceId) -> Option<Mark> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = signal.iter().position(|byte| !blank(byte))?;
    let end = signal.iter().rposition(|byte| !blank(byte))?;
    let mut fields = signal.get(start..=end)?.split(|&byte| byte == b';');
    let is_ours = fields.next() == Some(VERSION);
    let word = fields.next()?;
    let names_trace = fields.next()? == trace_id.hex();
    let is_parameter = |field: &[u8]| {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'-' | b'.' | b'_');
        !field.is_empty() && field.iter().all(fits)
    };
    if !is_ours || !names_trace || !fields.all(is_parameter) {
        return None;
    }
    Mark::ALL.into_iter().find(|mark| mark.name().as_bytes() == word)
}

/// Reads the signal of version 1: a verdict is `traceresponse` beside a `Server-Timing` entry that says the same, and
/// `traceresponse` with flag 1 alone is the context of a hop whose caller had sampled the trace.
pub fn read_previous<'a>(
    traceresponse: &[u8],
    server_timing: impl Iterator<Item = &'a [u8]>,
    trace_id: TraceId,
) -> Option<Mark> {
    let context = TraceParent::parse(traceresponse).ok().filter(|context| context.trace_id == trace_id)?;
    let sampled = context.flags.sampled();
    match (announces(server_timing, trace_id, sampled), sampled) {
        (true, true) => Some(Mark::Upgraded),
        (true, false) => Some(Mark::Shed),
        (false, true) => Some(Mark::Kept),
        (false, false) => None,
    }
}

/// Reads `Server-Timing: trace;desc=…` as the W3C draft of today has it, without our mark: flag 1 says that whoever answered
/// records its part. That is an upgrade where the call had not been `sampled`. Flag 0 says nothing.
pub fn read_server_timing<'a>(lines: impl Iterator<Item = &'a [u8]>, trace_id: TraceId, sampled: bool) -> Option<Mark> {
    announces(lines, trace_id, true).then_some(if sampled { Mark::Kept } else { Mark::Upgraded })
}

/// Whether one of these lines of `Server-Timing` shows this trace with this `sampled` flag.
pub fn announces<'a>(mut lines: impl Iterator<Item = &'a [u8]>, trace_id: TraceId, sampled: bool) -> bool {
    let says_so = |context: TraceParent| context.trace_id == trace_id && context.flags.sampled() == sampled;
    lines.any(|line| entries(line).filter_map(context).any(says_so))
}

/// The trace context of a `Server-Timing` entry: its parameter `desc`, with or without quotes.
fn context(entry: &[u8]) -> Option<TraceParent> {
    let value = entry.split(|&byte| byte == b';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(parameter.iter().position(|&byte| byte == b'=')?)?;
        name.trim_ascii().eq_ignore_ascii_case(b"desc").then(|| value.get(1..)).flatten()
    })?;
    let value = value.trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    if is_context(entry) { TraceParent::parse(bare).ok() } else { None }
}

/// What becomes of `Server-Timing` at the edge of the mesh: the entries that carry a trace context are taken off, whoever wrote
/// them. Commas and semicolons inside quoted strings separate nothing, and a quotation ends with its line. W3C Server Timing,
/// "Server-Timing Header Field".
pub fn without_context<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderEdit {
    let mut kept = Vec::new();
    let mut found = false;
    for entry in lines.flat_map(entries) {
        if is_context(entry) {
            found = true;
            continue;
        }
        if !kept.is_empty() {
            kept.extend_from_slice(b", ");
        }
        kept.extend_from_slice(entry);
    }
    match (found, kept.is_empty()) {
        (false, _) => HeaderEdit::Keep,
        (true, true) => HeaderEdit::Remove,
        (true, false) => HeaderEdit::Replace(kept),
    }
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

    const TIMING: &str = "trace;desc=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn signal(word: &str) -> String {
        format!("2;{word};4bf92f3577b34da6a3ce929d0e0e4736")
    }

    fn lines<'a>(texts: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> {
        texts.iter().map(|text| text.as_bytes())
    }

    #[test]
    fn a_mark_comes_back_from_the_header_it_was_written_to() {
        for mark in Mark::ALL {
            let written = Signal::new(trace(), span(), true, mark);
            assert_eq!(written.mark, signal(mark.name()).as_bytes());
            assert_eq!(read(&written.mark, trace()), Some(mark));
            assert_eq!(read(&written.mark, TraceId::MIN), None, "of another trace");
        }
        let signal = Signal::new(trace(), span(), false, Mark::Upgraded);
        assert_eq!(&signal.traceresponse, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(&signal.server_timing, TIMING.as_bytes());
        assert!(Signal::new(trace(), span(), false, Mark::Shed).traceresponse.ends_with(b"-00"));
    }

    #[test]
    fn of_several_signals_the_strongest_counts_and_what_breaks_the_grammar_is_skipped() {
        let [upgraded, shed, kept, here] = Mark::ALL.map(|mark| signal(mark.name()));
        let other = "2;upgraded;0af7651916cd43dd8448eb211c80319c";
        let long = "x".repeat(MAX_BYTES);
        for (value, read_as) in [
            (format!("{here},{kept} ,\t{shed}, {upgraded}"), Some(Mark::Upgraded)),
            (format!("{other},{here},{shed}"), Some(Mark::Shed)),
            (format!("{other},{other},{other},{kept}"), Some(Mark::Kept)),
            (format!("{other},{other},{other},{other},{kept}"), None),
            (format!(",,,{here}"), Some(Mark::Here)),
            (format!("{upgraded};p=1;q-2._"), Some(Mark::Upgraded)),
            (format!("{upgraded};"), None),
            (format!("{upgraded};p=\"1\""), None),
            (format!("{upgraded};{long}"), None),
            (format!("{upgraded};{}", &long[..MAX_BYTES - upgraded.len() - 1]), Some(Mark::Upgraded)),
            (upgraded.to_uppercase(), None),
            (upgraded.replace("2;", "3;"), None),
            (upgraded.replace("2;", ""), None),
            (upgraded.replace("2;", "2; "), None),
            (signal("lost"), None),
            ("2;upgraded".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(read(value.as_bytes(), trace()), read_as, "{value}");
        }
    }

    #[test]
    fn the_previous_version_is_a_traceresponse_beside_a_server_timing_of_the_same_context() {
        let [yes, no] = ["01", "00"].map(|flag| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flag}"));
        let shed = format!("trace;desc={no}");
        let quoted = format!("db;dur=53, trace; desc = \"{yes}\"");
        let other = "trace;desc=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (context, timing, read_as) in [
            (&yes, vec![TIMING], Some(Mark::Upgraded)),
            (&yes, vec!["db;dur=53", TIMING], Some(Mark::Upgraded)),
            (&yes, vec![&*quoted], Some(Mark::Upgraded)),
            (&no, vec![&*shed], Some(Mark::Shed)),
            (&yes, vec![], Some(Mark::Kept)),
            (&yes, vec![other, "trace"], Some(Mark::Kept)),
            (&yes, vec![&*shed], Some(Mark::Kept)),
            (&no, vec![], None),
            (&no, vec![TIMING], None),
        ] {
            assert_eq!(read_previous(context.as_bytes(), lines(&timing), trace()), read_as, "{context} {timing:?}");
            assert_eq!(read_previous(context.as_bytes(), lines(&timing), TraceId::MIN), None);
        }
    }

    #[test]
    fn the_edge_takes_every_context_out_and_leaves_the_others_as_they_are() {
        let replace = |text: &str| HeaderEdit::Replace(text.into());
        let quoted = "cache;desc=\"a, trace;desc=b\"";
        for (found, left) in [
            (vec!["trace;desc=00-a-b-01"], HeaderEdit::Remove),
            (vec!["db;dur=53, trace;desc=00-a-b-01"], replace("db;dur=53")),
            (vec!["TRACE ; desc=x , db;dur=53", quoted], replace(&format!("db;dur=53, {quoted}"))),
            (vec!["cache;desc=\"\\\",trace\", trace"], replace("cache;desc=\"\\\",trace\"")),
            (vec!["open;desc=\"", "trace;desc=x"], replace("open;desc=\"")),
            (vec!["traces;dur=1", quoted], HeaderEdit::Keep),
            (vec![",, ,"], HeaderEdit::Keep),
            (vec![], HeaderEdit::Keep),
        ] {
            assert_eq!(without_context(lines(&found)), left, "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, trace());
            let _ = read_previous(&bytes, [&bytes[..]].into_iter(), trace());
            if let HeaderEdit::Replace(once) = without_context([&bytes[..]].into_iter()) {
                prop_assert!(once.len() <= bytes.len().saturating_mul(2));
            }
        }
    }
}
