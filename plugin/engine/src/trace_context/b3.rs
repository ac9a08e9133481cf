//! B3, in one header (`b3`) or in several (`X-B3-*`). Zipkin's "B3 Propagation"; OTel "B3 Requirements".

use super::hex::{self, FieldError};
use super::{CallerDecision, OutgoingContext, ParentContext, SpanId, TraceId, scan};

/// Bytes of the `b3` header that this plugin writes: 32 digits `-` 16 digits `-` one digit.
pub const B3_LEN: usize = 51;

/// What B3 headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct B3 {
    /// The trace to continue; `None` where they hold a sampling state alone.
    pub context: Option<ParentContext>,
    /// The sampling state.
    pub state: State,
}

/// A sampling state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What the caller decided.
    pub decision: CallerDecision,
    /// Debug: sampled, and marked as such. Zipkin's "B3 Propagation", "Debug Flag".
    pub debug: bool,
}

impl State {
    const DEBUG: Self = Self { decision: CallerDecision::Sampled, debug: true };

    const fn of(sampled: bool) -> Self {
        Self { decision: CallerDecision::of(sampled), debug: false }
    }
}

/// Why a B3 context was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum B3Error {
    /// More fields than trace-id, span id, state and parent span id, or one of the ids without the other.
    Fields,
    /// The trace-id: 32 digits, or 16 as the right half.
    TraceId(FieldError),
    /// The span id.
    SpanId(FieldError),
    /// The parent span id, which is not used here but has to be valid.
    ParentSpanId(FieldError),
    /// The sampling state: `0`, `1` or `d`; in `X-B3-Sampled` also `true` and `false`, as old senders write.
    State,
}

/// Reads the `b3` header: ids with or without a state, or a state alone.
pub fn parse(value: &[u8]) -> Result<B3, B3Error> {
    let value = scan::trim(value);
    if let Ok(state) = state(value) {
        return Ok(B3 { context: None, state });
    }
    let mut fields = value.split(|&byte| byte == b'-');
    let (Some(trace_id), Some(span_id)) = (fields.next(), fields.next()) else {
        return Err(if value.contains(&b'-') { B3Error::Fields } else { B3Error::State });
    };
    let state = fields.next().map_or(Ok(State::default()), state)?;
    if let Some(parent) = fields.next() {
        SpanId::parse(parent).map_err(B3Error::ParentSpanId)?;
    }
    match fields.next() {
        None => context(trace_id, span_id, state),
        Some(_) => Err(B3Error::Fields),
    }
}

fn state(text: &[u8]) -> Result<State, B3Error> {
    match text {
        b"1" => Ok(State::of(true)),
        b"0" => Ok(State::of(false)),
        b"d" => Ok(State::DEBUG),
        _ => Err(B3Error::State),
    }
}

/// Reads the values of `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled` and `X-B3-Flags`, whose `1` means debug.
pub fn parse_multi(
    trace_id: &[u8],
    span_id: &[u8],
    sampled: Option<&[u8]>,
    flags: Option<&[u8]>,
) -> Result<B3, B3Error> {
    let B3 { state, .. } = parse_state(sampled, flags)?;
    context(scan::trim(trace_id), scan::trim(span_id), state)
}

/// Reads `X-B3-Sampled` and `X-B3-Flags`, which may come without ids.
pub fn parse_state(sampled: Option<&[u8]>, flags: Option<&[u8]>) -> Result<B3, B3Error> {
    let state = match (flags.map(scan::trim), sampled.map(scan::trim)) {
        (Some(b"1"), _) => State::DEBUG,
        (_, Some(b"1" | b"true")) => State::of(true),
        (_, Some(b"0" | b"false")) => State::of(false),
        (_, None) => State::default(),
        (_, Some(_)) => return Err(B3Error::State),
    };
    Ok(B3 { context: None, state })
}

/// B3 has no random flag, and a 64-bit id is padded with zeros: `random` is never set.
fn context(trace_id: &[u8], span_id: &[u8], state: State) -> Result<B3, B3Error> {
    if !matches!(trace_id.len(), 16 | 32) {
        return Err(B3Error::TraceId(FieldError::Length { found: trace_id.len() }));
    }
    let number = hex::lower(trace_id).map_err(B3Error::TraceId)?;
    let trace_id = TraceId::from_u128(number).ok_or(B3Error::TraceId(FieldError::AllZero))?;
    let parent_id = Some(SpanId::parse(span_id).map_err(B3Error::SpanId)?);
    let context = ParentContext { trace_id, parent_id, decision: state.decision, random: false };
    Ok(B3 { context: Some(context), state })
}

/// The `b3` header.
pub fn write(context: &OutgoingContext) -> [u8; B3_LEN] {
    let mut text = *b"................................-................-.";
    if let Some((trace_id, [_, rest @ ..])) = text.split_first_chunk_mut::<32>()
        && let Some((span_id, [_, state])) = rest.split_first_chunk_mut::<16>()
    {
        *trace_id = context.trace_id.hex();
        *span_id = context.span_id.hex();
        *state = if context.debug { b'd' } else { b'0' | u8::from(context.sampled) };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDS: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1";

    fn decision(value: &str) -> Result<CallerDecision, B3Error> {
        parse(value.as_bytes()).map(|read| read.state.decision)
    }

    #[test]
    fn the_state_says_what_the_caller_decided() {
        let not_hex = Err(B3Error::ParentSpanId(FieldError::Length { found: 1 }));
        for (rest, expected) in [
            ("", Ok(CallerDecision::Deferred)),
            ("-1", Ok(CallerDecision::Sampled)),
            ("-d", Ok(CallerDecision::Sampled)),
            ("-0", Ok(CallerDecision::NotSampled)),
            ("-1-05e3ac9a4f6e3b90", Ok(CallerDecision::Sampled)),
            ("-1-0", not_hex),
            ("-1-05e3ac9a4f6e3b90-1", Err(B3Error::Fields)),
            ("-", Err(B3Error::State)),
            ("-D", Err(B3Error::State)),
            ("-true", Err(B3Error::State)),
            ("-1,0", Err(B3Error::State)),
        ] {
            assert_eq!(decision(&format!(" {IDS}{rest}\t")), expected, "{rest:?}");
        }
        assert_eq!(decision(""), Err(B3Error::State));
    }

    #[test]
    fn a_state_may_come_without_ids() {
        for (text, decision, debug) in [
            ("0", CallerDecision::NotSampled, false),
            ("1", CallerDecision::Sampled, false),
            (" d ", CallerDecision::Sampled, true),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(B3 { context: None, state: State { decision, debug } }), "{text}");
        }
    }

    #[test]
    fn a_64_bit_trace_id_is_padded_on_the_left_and_not_called_random() {
        let context = parse(b"a3ce929d0e0e4736-00f067aa0ba902b7-1").unwrap().context.unwrap();
        assert_eq!(context.trace_id.to_string(), "0000000000000000a3ce929d0e0e4736");
        assert!(!context.random);
    }

    #[test]
    fn ids_of_another_length_case_or_value_are_refused() {
        for trace_id in ["", "a3ce929d0e0e473", "a3ce929d0e0e47360", "A3CE929D0E0E4736", "0000000000000000"] {
            let header = format!("{trace_id}-00f067aa0ba902b7-1");
            assert!(matches!(parse(header.as_bytes()), Err(B3Error::TraceId(_))), "{header}");
        }
        for span_id in ["0000000000000000", "00f067aa0ba902b", "00f067aa0ba902b7a", "00f067aa0ba902bg"] {
            let header = format!("a3ce929d0e0e4736-{span_id}-1");
            assert!(matches!(parse(header.as_bytes()), Err(B3Error::SpanId(_))), "{header}");
        }
    }

    #[test]
    fn in_several_headers_debug_comes_before_the_state() {
        for (sampled, flags, expected) in [
            (None, None, Ok(CallerDecision::Deferred)),
            (Some("1"), None, Ok(CallerDecision::Sampled)),
            (Some(" true"), None, Ok(CallerDecision::Sampled)),
            (Some("0"), Some("0"), Ok(CallerDecision::NotSampled)),
            (Some("false"), None, Ok(CallerDecision::NotSampled)),
            (Some("0"), Some("1"), Ok(CallerDecision::Sampled)),
            (None, Some("1"), Ok(CallerDecision::Sampled)),
            (None, Some("x"), Ok(CallerDecision::Deferred)),
            (Some("d"), None, Err(B3Error::State)),
            (Some("1,1"), None, Err(B3Error::State)),
        ] {
            let found = parse_multi(
                b"80f198ee56343ba864fe8b2a57d3eff7",
                b"e457b5a2e4d86bd1",
                sampled.map(str::as_bytes),
                flags.map(str::as_bytes),
            );
            assert_eq!(found.map(|read| read.state.decision), expected, "{sampled:?} {flags:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace_id in 1_u128.., span_id in 1_u64.., sampled: bool) {
            let trace_id = TraceId::from_u128(trace_id).unwrap();
            let span_id = SpanId::from_u64(span_id).unwrap();
            for debug in [false, true] {
                let outgoing = OutgoingContext { trace_id, span_id, sampled: sampled || debug, random: true, debug };
                let read = parse(&write(&outgoing)).unwrap();
                let context = read.context.unwrap();
                prop_assert_eq!((context.trace_id, context.parent_id), (trace_id, Some(span_id)));
                prop_assert_eq!(read.state.decision, CallerDecision::of(sampled || debug));
                prop_assert_eq!(read.state.debug, debug);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(a: Vec<u8>, b: Vec<u8>, c: Option<Vec<u8>>) {
            let _ = (parse(&a), parse_multi(&a, &b, c.as_deref(), c.as_deref()));
        }
    }
}
