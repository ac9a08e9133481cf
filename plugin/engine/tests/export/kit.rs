//! Settings, spans, a clock and a collector to answer.

use tracelift::export::{Answer, Counts, Event, ExportRequest, Exporter, RequestId};
use tracelift::otlp::{Compression, EncodedSpan, Protocol, Settings, encode_span};
use tracelift::policy::ResourceSources;
use tracelift::span::{NodeMetadata, Resource, Span, SpanKind, Status, Value};
use tracelift::trace_context::{SpanId, TraceFlags, TraceId};

pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// Sat, 21 Nov 2026 10:00:00 GMT.
pub const START: u64 = 1_795_255_200_000_000_000;
pub const SECOND: u64 = 1_000_000_000;
/// Makes every jittered wait as long as it can be.
pub const LONGEST: u64 = u64::MAX;

pub fn settings(protocol: Protocol) -> Settings {
    Settings {
        protocol,
        cluster: "otel_collector".to_owned(),
        path: "/v1/traces".to_owned(),
        authority: "otel-collector".to_owned(),
        headers: vec![("Authorization".to_owned(), "Bearer t".to_owned())],
        timeout_ms: 10_000,
        compression: Compression::None,
        max_queue_size: 64,
        max_queue_bytes: 1 << 20,
        max_export_batch_size: 4,
        scheduled_delay_ms: 1_000,
        tracestate: true,
    }
}

pub fn resource(service: &str) -> Resource {
    let sources = ResourceSources { service_name: Some(service.to_owned()), ..ResourceSources::default() };
    sources.merge(&NodeMetadata::default())
}

pub fn span(number: u64) -> Span<'static> {
    Span {
        trace_id: TraceId::from_u128(u128::from(number) + 1).unwrap(),
        span_id: SpanId::from_u64(number + 1).unwrap(),
        parent_id: SpanId::from_u64(77),
        parent_remote: true,
        flags: TraceFlags::from_bits(3),
        tracestate: Some("ot=th:0,vendor=x".to_owned()),
        kind: SpanKind::Server,
        name: "GET".into(),
        start_unix_nanos: START,
        end_unix_nanos: START + 5,
        attributes: vec![("http.response.status_code".into(), Value::Int(500))],
        status: Status::Unset,
    }
}

pub fn encoded(number: u64) -> EncodedSpan {
    encode_span(&span(number), true)
}

/// A span whose encoding has about this many bytes.
pub fn sized(bytes: usize) -> EncodedSpan {
    let mut span = span(1);
    span.attributes.push(("padding".into(), Value::Text("x".repeat(bytes).into())));
    encode_span(&span, true)
}

/// An exporter with a hand-driven clock.
pub struct Bench {
    pub exporter: Exporter,
    pub now: u64,
    offered: u64,
}

impl Bench {
    pub fn new(settings: Settings) -> Self {
        Self { exporter: Exporter::new(settings, &resource("cart")), now: START, offered: 0 }
    }

    pub fn offer(&mut self, spans: u64) {
        for _ in 0..spans {
            self.offered += 1;
            let _ = self.exporter.offer(encoded(self.offered));
        }
    }

    /// A tick after so much time: every request that is due.
    pub fn tick(&mut self, nanos: u64) -> Vec<ExportRequest> {
        self.now += nanos;
        std::iter::from_fn(|| self.exporter.poll(self.now, LONGEST, false)).collect()
    }

    pub fn only_request(&mut self, nanos: u64) -> ExportRequest {
        let mut requests = self.tick(nanos);
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }

    pub fn flush(&mut self) -> Vec<ExportRequest> {
        std::iter::from_fn(|| self.exporter.poll(self.now, LONGEST, true)).collect()
    }

    pub fn answer(&mut self, id: RequestId, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = lent(headers);
        let answer = Answer { status: Some(status), headers: &headers, trailers: &[], body };
        self.exporter.answered(id, answer, self.now, LONGEST);
    }

    pub fn counts(&self) -> &Counts {
        self.exporter.counts()
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.exporter.next_event()).collect()
    }
}

pub fn lent<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

pub fn borrowed(headers: &Headers) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

pub fn header<'a>(request: &'a ExportRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
