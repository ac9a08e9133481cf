//! Trace context: any bytes are read, and what is written can be read back and carries nothing into other headers.

use tracelift::json::Named;
use tracelift::trace_context::{
    HeaderEdit, Headers, MAX_MEMBERS, MAX_OT_LEN, MAX_WRITTEN_LEN, OtMember, OutgoingContext, Propagator, SpanId,
    ThEdit, TraceParent, TraceState, b3, extract, inject, xray,
};

use crate::Input;

/// Thresholds and randomness have 56 bits.
const BITS_56: u64 = (1 << 56) - 1;

/// A byte that could end a header line, or the header itself.
pub(super) fn is_clean(value: &[u8]) -> bool {
    value.iter().all(|byte| !matches!(byte, b'\r' | b'\n' | 0))
}

pub(super) fn traceparent(bytes: &[u8]) {
    if let Ok(context) = TraceParent::parse(bytes) {
        let written = context.write();
        assert_eq!(TraceParent::parse(&written), Ok(context), "what is written means the same");
        assert!(written.starts_with(b"00-"), "we write version 00 and no other");
    }
}

pub(super) fn ot(bytes: &[u8]) {
    if let Some(member) = OtMember::parse(bytes) {
        assert!(member.th.is_none_or(|th| th <= BITS_56));
        assert!(member.rv.is_none_or(|rv| rv <= BITS_56));
        assert!(member.rest().map(<[u8]>::len).sum::<usize>() <= bytes.len());
    }
}

pub(super) fn tracestate(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let th = match input.below(3) {
        0 => ThEdit::Keep,
        1 => ThEdit::Erase,
        _ => ThEdit::Set(input.any()),
    };
    let rv = input.any::<bool>().then(|| input.any::<u64>() & BITS_56);
    let combined = input.rest();
    let Ok(state) = TraceState::parse(combined) else { return };
    let before = state.unique_members();
    assert!(state.get(b"ot").is_none_or(|value| value.len() <= combined.len()));
    assert!(before.len() + state.duplicates() <= combined.len());
    match state.edit(th, rv) {
        HeaderEdit::Keep | HeaderEdit::Remove => {}
        HeaderEdit::Replace(written) => {
            assert!(written.len() <= MAX_WRITTEN_LEN, "{} bytes", written.len());
            assert!(is_clean(&written), "{}", written.escape_ascii());
            let again = TraceState::parse(&written).expect("what we write keeps to the grammar");
            assert!(again.unique_members().len() <= MAX_MEMBERS);
            assert_eq!(again.duplicates(), 0);
            for member in again.unique_members().iter().filter(|member| member.key != b"ot") {
                assert!(before.contains(member), "a member that nobody sent: {}", member.text.escape_ascii());
            }
            if let (ThEdit::Set(threshold), Some(found)) = (th, again.ot().th)
                && threshold >> 56 == 0
            {
                assert_eq!(found, threshold);
            }
            assert!(again.get(b"ot").is_none_or(|value| value.len() <= MAX_OT_LEN));
        }
    }
}

pub(super) fn xray(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let outgoing = outgoing(&mut input);
    let incoming = xray::XRayHeader::parse(input.rest());
    let written = xray::write(&outgoing, incoming.as_ref().ok());
    assert!(is_clean(&written) && !written.contains(&b','), "{}", written.escape_ascii());
    let again = xray::XRayHeader::parse(&written).expect("what we write can be read").context();
    assert_eq!((again.trace_id, again.parent_id), (outgoing.trace_id, Some(outgoing.span_id)));
}

pub(super) fn b3(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let multi = [input.bytes(), input.bytes()];
    let (sampled, flags) = (input.maybe_bytes(), input.maybe_bytes());
    let contexts = [b3::parse_multi(multi[0], multi[1], sampled, flags), b3::parse(input.rest())];
    for b3::B3 { context, state } in contexts.into_iter().flatten() {
        let Some(context) = context else { continue };
        assert!(!context.random, "B3 has no random flag");
        let span_id = context.parent_id.expect("B3 names the caller's span");
        let (trace_id, debug) = (context.trace_id, state.debug);
        let outgoing = OutgoingContext { trace_id, span_id, sampled: true, random: false, debug };
        let again = b3::parse(&b3::write(&outgoing)).expect("what we write can be read");
        assert_eq!(again.state.debug, debug);
        let again = again.context.expect("ids");
        assert_eq!((again.trace_id, again.parent_id), (trace_id, context.parent_id));
    }
}

/// A request's headers, several lines of a name joined already.
struct Sent(Vec<(&'static str, Vec<u8>)>);

impl Headers for Sent {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

const NAMES: [&str; 9] = [
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-b3-parentspanid",
];

/// Whatever headers come in and whichever propagators are listed: what goes out is one context, in every listed form.
pub(super) fn propagation(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut propagators: Vec<Propagator> = (0..=input.below(4)).map(|_| input.one_of(Propagator::ALL)).collect();
    propagators.dedup();
    let mut outgoing = outgoing(&mut input);
    let mut sent = Sent(Vec::new());
    for _ in 0..input.below(8) {
        let name = input.one_of(&NAMES);
        sent.0.push((name, input.bytes().to_vec()));
    }
    let extracted = extract(&propagators, &mut sent);
    if let Some(parent) = extracted.parent {
        outgoing.trace_id = parent.trace_id;
    }
    let edit = extracted.trace_state().edit(ThEdit::Erase, None);
    inject(&propagators, &outgoing, edit, &extracted, &mut |name, value| {
        sent.0.retain(|(known, _)| *known != name);
        if let Some(value) = value {
            assert!(is_clean(value), "{name}: {}", value.escape_ascii());
            sent.0.push((name, value.to_vec()));
        }
    });
    for propagator in propagators {
        let read = extract(&[propagator], &mut sent).parent;
        let read = read.unwrap_or_else(|| panic!("{propagator:?} is not there to read: {:?}", sent.0));
        assert_eq!((read.trace_id, read.parent_id), (outgoing.trace_id, Some(outgoing.span_id)), "{propagator:?}");
    }
}

fn outgoing(input: &mut Input<'_>) -> OutgoingContext {
    let trace_id = input.any::<u128>().max(1);
    let span_id = input.any::<u64>().max(1);
    OutgoingContext {
        trace_id: tracelift::trace_context::TraceId::from_u128(trace_id).expect("not zero"),
        span_id: SpanId::from_u64(span_id).expect("not zero"),
        sampled: input.any(),
        random: input.any(),
        debug: false,
    }
}
