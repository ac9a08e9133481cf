//! What travels with a request, and what the simulation knows of it beside the headers.

use super::hop::HopId;
use super::marks::MARK;
use crate::Headers;

/// The trace context of a request on its way, with the truth about where it came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// `traceparent` and `tracestate`.
    pub(crate) headers: Headers,
    /// The hop whose span-id it carries; `None` if no hop of ours had it before.
    pub(crate) hop: Option<HopId>,
    /// Whether what an answer says of the trace can reach that hop: not through an application, nor through a pod without
    /// the filter, whose application passes no signal on.
    pub(crate) relays: bool,
    /// The span-id that it carries in place of the hop's: of a span of the application in between.
    pub(crate) own: Option<u64>,
}

impl Context {
    /// What leaves a hop of ours with these headers.
    pub(crate) fn from_hop(hop: HopId, forwarded: &Headers) -> Self {
        let names = [&b"traceparent"[..], b"tracestate"];
        let headers = forwarded.iter().filter(|(name, _)| names.contains(name)).collect();
        Self { headers, hop: Some(hop), relays: true, own: None }
    }

    /// The trace that it names.
    pub(crate) fn trace(&self) -> Option<u128> {
        let value = self.headers.get("traceparent")?;
        let id = value.get(3..35).and_then(|id| std::str::from_utf8(id).ok())?;
        u128::from_str_radix(id, 16).ok()
    }

    /// What a pod without the filter passes on.
    pub(crate) fn unheard(&self) -> Self {
        Self { relays: false, ..self.clone() }
    }
}

/// The randomness R of a trace, 56 bits: `rv` in `tracestate`, or the end of the trace-id.
pub(crate) fn randomness_in(headers: &Headers, trace: u128) -> u128 {
    let state = headers.text("tracestate").unwrap_or_default();
    let ot = state.split(',').find_map(|member| member.trim().strip_prefix("ot="));
    let rv = ot.into_iter().flat_map(|ot| ot.split(';')).find_map(|pair| pair.strip_prefix("rv:"));
    let rv = rv.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    rv.unwrap_or(trace & ((1 << 56) - 1))
}

/// What an answer's headers or trailers say of the trace in this hop's name: kept (`true`) or shed. What a hop only passes
/// on has the name of another. Mark and `traceresponse` must say the same.
pub(crate) fn verdict_in(headers: &Headers, trace: u128, span: u64) -> Option<bool> {
    let value = std::str::from_utf8(headers.get("traceresponse")?).ok()?;
    let (ids, flags) = value.rsplit_once('-')?;
    let (_, name) = ids.rsplit_once('-')?;
    let kept = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    let words = if kept { &["upgraded", "kept"][..] } else { &["shed"] };
    let mark = headers.joined(MARK)?;
    let is_marked = words.iter().any(|word| mark == format!("2;{word};{trace:032x}").as_bytes());
    (name == format!("{span:016x}") && is_marked).then_some(kept)
}
