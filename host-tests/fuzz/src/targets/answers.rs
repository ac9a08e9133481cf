//! What collectors answer: any status, headers, trailers and body leave the books balanced and the exporter alive.

use tracelift::export::{Answer, RequestId};
use tracelift::otlp::{Compression, EncodedSpan, Protocol, Settings, encode_span};
use tracelift::span::{Span, SpanKind, Status};
use tracelift::trace_context::{SpanId, TraceFlags, TraceId};

use super::exporter::{START, exporter, settings};
use crate::Input;

/// Offers, ticks and answers in any order, to a clock that may run backwards.
pub(super) fn answers(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let settings = Settings {
        protocol: input.one_of(&[Protocol::HttpProtobuf, Protocol::Grpc]),
        timeout_ms: input.any::<u16>().into(),
        compression: input.one_of(&[Compression::None, Compression::Gzip]),
        max_queue_bytes: 2_048,
        scheduled_delay_ms: input.any::<u8>().into(),
        ..settings()
    };
    let mut exporter = exporter(settings);
    let (mut now, mut sent): (u64, Vec<RequestId>) = (START, Vec::new());
    while !input.is_empty() {
        match input.below(6) {
            0 | 1 => {
                for _ in 0..input.below(6) {
                    let _ = exporter.offer(span());
                }
            }
            2 => {
                now = now.wrapping_add_signed(i64::from(input.any::<i32>()) * 1_000_000);
                let force = input.below(8) == 0;
                while let Some(request) = exporter.poll(now, input.any(), force) {
                    sent.push(request.id);
                }
            }
            3 if !sent.is_empty() => {
                let id = sent.swap_remove(input.below(sent.len()));
                exporter.refused(id, input.any(), now, input.any());
            }
            _ if !sent.is_empty() => {
                let id = sent[input.below(sent.len())]; // Not taken out: an answer may come twice.
                let status = input.any::<bool>().then(|| input.one_of(&[200, 429, 503, 413, 400, 0, 999]));
                let headers = named(&mut input);
                let trailers = named(&mut input);
                let body = input.bytes();
                let (headers, trailers) = (lent(&headers), lent(&trailers));
                let answer = Answer { status, headers: &headers, trailers: &trailers, body };
                exporter.answered(id, answer, now, input.any());
            }
            _ => {}
        }
        assert!(exporter.counts().balance(), "{:?}", exporter.counts());
        while exporter.next_event().is_some() {}
        while exporter.next_duration_ms().is_some() {}
    }
    exporter.close();
    assert!(exporter.counts().balance() && exporter.is_idle(), "{:?}", exporter.counts());
}

/// Headers, most of them of a name that means something.
fn named(input: &mut Input<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    const NAMES: [&str; 6] =
        ["retry-after", "grpc-status", "grpc-message", "grpc-status-details-bin", "content-type", "Retry-After"];
    let count = input.below(4);
    (0..count).map(|_| (input.one_of(&NAMES).as_bytes().to_vec(), input.bytes().to_vec())).collect()
}

fn lent(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (&name[..], &value[..])).collect()
}

fn span() -> EncodedSpan {
    let span = Span {
        trace_id: TraceId::from_u128(1).expect("not zero"),
        span_id: SpanId::from_u64(1).expect("not zero"),
        parent_id: None,
        parent_remote: false,
        flags: TraceFlags::from_bits(1),
        tracestate: None,
        kind: SpanKind::Server,
        name: "GET".into(),
        start_unix_nanos: START,
        end_unix_nanos: START,
        attributes: Vec::new(),
        status: Status::Unset,
    };
    encode_span(&span, true)
}
