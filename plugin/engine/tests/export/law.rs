//! `offered + adopted == exported + discarded + queued + in flight + released`, whatever the host and the collector do.

use proptest::collection::vec;
use proptest::prelude::*;
use tracelift::export::{Answer, DiscardReason, ExportRequest, Exporter, MAX_ANSWER};
use tracelift::otlp::{Compression, Protocol, Settings};

use crate::kit::{Headers, START, borrowed, encoded, resource, settings, sized};

#[derive(Clone, Debug)]
enum Step {
    Offer { spans: u8 },
    OfferLarge { bytes: usize },
    Poll { force: bool },
    Refuse { which: usize, status: u32 },
    Answer { which: usize, status: Option<u16>, headers: Headers, trailers: Headers, body: Vec<u8> },
    Time { millis: i64 },
    Reconfigure,
    AdoptAgain,
    Close,
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        Just(b"retry-after".to_vec()),
        Just(b"grpc-status".to_vec()),
        Just(b"grpc-status-details-bin".to_vec()),
        Just(b"content-type".to_vec()),
        vec(any::<u8>(), 0..20),
    ];
    let value = prop_oneof![
        (0..20_u32).prop_map(|number| number.to_string().into_bytes()),
        Just(b"application/x-protobuf".to_vec()),
        Just(b"CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBw==".to_vec()),
        vec(any::<u8>(), 0..40),
    ];
    (name, value)
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        4 => Just(Some(200)),
        2 => Just(Some(503)),
        1 => Just(None),
        1 => any::<u16>().prop_map(Some),
        1 => (400..600_u16).prop_map(Some),
    ];
    let body = prop_oneof![
        4 => vec(any::<u8>(), 0..64),
        2 => (any::<i64>()).prop_map(partial),
        1 => Just(vec![0x0a; MAX_ANSWER + 1]),
    ];
    let answer = (any::<usize>(), status, vec(field(), 0..4), vec(field(), 0..4), body)
        .prop_map(|(which, status, headers, trailers, body)| Step::Answer { which, status, headers, trailers, body });
    let millis =
        prop_oneof![0..3_000_i64, -10_000_000..10_000_000_i64, Just(i64::MAX / 1_000_000), Just(i64::MIN / 1_000_000)];
    prop_oneof![
        8 => (1..20_u8).prop_map(|spans| Step::Offer { spans }),
        1 => (0..1_200_000_usize).prop_map(|bytes| Step::OfferLarge { bytes }),
        8 => any::<bool>().prop_map(|force| Step::Poll { force }),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(which, status)| Step::Refuse { which, status }),
        8 => answer,
        6 => millis.prop_map(|millis| Step::Time { millis }),
        1 => Just(Step::Reconfigure),
        1 => Just(Step::AdoptAgain),
        1 => Just(Step::Close),
    ]
}

/// An `ExportTraceServiceResponse` that rejects so many spans.
fn partial(rejected: i64) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
    use prost::Message;
    let partial_success = ExportTracePartialSuccess { rejected_spans: rejected, error_message: String::new() };
    ExportTraceServiceResponse { partial_success: Some(partial_success) }.encode_to_vec()
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let protocol = prop_oneof![Just(Protocol::HttpProtobuf), Just(Protocol::Grpc)];
    let compression = prop_oneof![3 => Just(Compression::None), 1 => Just(Compression::Gzip)];
    let bytes = prop_oneof![0..20_000_usize, Just(4 << 20), Just(usize::MAX)];
    (protocol, compression, 0..40_usize, bytes, 0..20_usize, 0..3_000_u64, any::<u32>()).prop_map(
        |(protocol, compression, size, bytes, batch, delay, timeout_ms)| Settings {
            compression,
            max_queue_size: size,
            max_queue_bytes: bytes,
            max_export_batch_size: batch,
            scheduled_delay_ms: delay,
            timeout_ms,
            ..settings(protocol)
        },
    )
}

/// The exporters of successive configurations, the last one current, and every request that they ever made.
struct World {
    exporters: Vec<Exporter>,
    requests: Vec<(usize, ExportRequest)>,
    now: u64,
    offered: u64,
}

impl World {
    fn current(&mut self) -> &mut Exporter {
        self.exporters.last_mut().expect("there is always one")
    }

    fn take(&mut self, step: Step, random: u64, next: &Settings) {
        let now = self.now;
        match step {
            Step::Offer { spans } => {
                for _ in 0..spans {
                    self.offered += 1;
                    let span = encoded(self.offered).upgraded(self.offered.is_multiple_of(3));
                    let _ = self.current().offer(span);
                }
            }
            Step::OfferLarge { bytes } => {
                self.offered += 1;
                let _ = self.current().offer(sized(bytes));
            }
            Step::Poll { force } => {
                for (index, exporter) in self.exporters.iter_mut().enumerate() {
                    while let Some(request) = exporter.poll(now, random, force) {
                        assert!(!request.body.is_empty() && request.body.len() <= 1 << 20 && 0 < request.timeout_ms);
                        self.requests.push((index, request));
                    }
                }
            }
            Step::Refuse { which, status } => {
                if let Some((exporter, request)) = pick(&self.requests, which) {
                    self.exporters[*exporter].refused(request.id, status, now, random);
                }
            }
            Step::Answer { which, status, headers, trailers, body } => {
                if let Some((exporter, request)) = pick(&self.requests, which) {
                    let (headers, trailers) = (borrowed(&headers), borrowed(&trailers));
                    let answer = Answer { status, headers: &headers, trailers: &trailers, body: &body };
                    // Sometimes to an exporter that does not know the id, or knows another request by it.
                    let exporter = if random.is_multiple_of(16) { self.exporters.len() - 1 } else { *exporter };
                    self.exporters[exporter].answered(request.id, answer, now, random);
                }
            }
            Step::Time { millis } => self.now = now.saturating_add_signed(millis.saturating_mul(1_000_000)),
            Step::Reconfigure => {
                if self.exporters.len() < 4 {
                    let mut new = Exporter::new(next.clone(), &resource("new"));
                    new.adopt(self.current());
                    self.exporters.push(new);
                }
            }
            Step::AdoptAgain => {
                if let [.., old, new] = &mut self.exporters[..] {
                    new.adopt(old);
                }
            }
            Step::Close => {
                if random.is_multiple_of(4) {
                    self.current().close();
                }
            }
        }
    }

    fn check(&self) {
        let mut sums = [0_u64; 2];
        for exporter in &self.exporters {
            let counts = exporter.counts();
            assert!(counts.balance(), "{counts:?}");
            sums[0] += counts.offered;
            sums[1] += counts.exported + counts.discarded_in_all() + counts.queued + counts.in_flight;
            let held = counts.queued_bytes + counts.in_flight_bytes;
            assert!(held <= exporter.settings().max_queue_bytes as u64, "{counts:?}");
            assert!(counts.upgraded_discarded <= counts.discarded_in_all(), "{counts:?}");
            assert!(counts.queued_upgraded <= counts.queued, "{counts:?}");
        }
        assert_eq!(sums, [self.offered; 2], "over all configurations");
    }
}

fn pick(requests: &[(usize, ExportRequest)], which: usize) -> Option<&(usize, ExportRequest)> {
    requests.get(which % requests.len().max(1))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_span_is_lost_without_a_reason(
        first in any_settings(),
        next in any_settings(),
        steps in vec((step(), any::<u64>()), 1..80),
    ) {
        let exporters = vec![Exporter::new(first, &resource("cart"))];
        let mut world = World { exporters, requests: Vec::new(), now: START, offered: 0 };
        for (step, random) in steps {
            world.take(step, random, &next);
            world.check();
            for exporter in &mut world.exporters {
                while let Some(event) = exporter.next_event() {
                    let line = event.to_string();
                    prop_assert!(line.len() < 1_500 && !line.contains(char::is_control), "{}", line);
                }
            }
        }
        for exporter in &mut world.exporters {
            exporter.close();
            prop_assert!(exporter.is_idle());
        }
        world.check();
    }

    #[test]
    fn with_a_collector_that_is_well_every_span_that_was_taken_arrives(
        batch in 1..20_usize,
        offers in vec(0..12_u8, 1..40),
    ) {
        let mut exporter = Exporter::new(
            Settings { max_export_batch_size: batch, ..settings(Protocol::HttpProtobuf) },
            &resource("cart"),
        );
        let mut now = START;
        for spans in offers.into_iter().chain([0, 0, 0, 0]) {
            for number in 0..spans {
                let _ = exporter.offer(encoded(u64::from(number)));
            }
            now += 1_000_000_000;
            while let Some(request) = exporter.poll(now, 7, false) {
                exporter.answered(request.id, Answer { status: Some(200), headers: &[], trailers: &[], body: b"" }, now, 7);
            }
        }
        let counts = exporter.counts();
        prop_assert_eq!(counts.exported, counts.offered - counts.discarded(DiscardReason::QueueFull));
        prop_assert!(exporter.is_idle());
    }
}
