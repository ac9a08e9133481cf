//! Native benches of what a request goes through: parse, decide, match, write, build, encode, queue.
//!
//! They say which part got slower, not what a request costs: in Envoy the way into the VM is dearer than all of this.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tracelift::config::{Environment, load};
use tracelift::export::Exporter;
use tracelift::otlp::encode_span;
use tracelift::sampling::{
    Algorithm, Mode, Parent, Policy, Randomness, RequestFacts, RequestMatcher, Rule, Sampler, Steps, StringMatcher,
    Threshold, decide,
};
use tracelift::span::{AttributeSettings, HttpFacts, Identity, NodeMetadata, Provenance, Span, SpanKind, build};
use tracelift::trace_context::{
    Headers, OutgoingContext, Propagator, SpanId, TraceFlags, TraceId, TraceParent, TraceState, extract, inject,
};

const TRACEPARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
const TRACESTATE: &[u8] = b"rojo=00f067aa0ba902b7,ot=th:f3333333333333;rv:123456789abcde,congo=t61rcWkgMzE";
const SECOND: u64 = 1_000_000_000;

struct Given;

impl Headers for Given {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        match name {
            "traceparent" => Some(TRACEPARENT.to_vec()),
            "tracestate" => Some(TRACESTATE.to_vec()),
            _ => None,
        }
    }
}

fn trace_context(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trace context");
    group.bench_function("parse traceparent", |b| b.iter(|| TraceParent::parse(black_box(TRACEPARENT))));
    group.bench_function("parse tracestate", |b| b.iter(|| TraceState::parse(black_box(TRACESTATE)).is_ok()));
    group.bench_function("extract both", |b| b.iter(|| extract(&[Propagator::TraceContext], &mut Given)));
    let extracted = extract(&[Propagator::TraceContext], &mut Given);
    let context =
        OutgoingContext { trace_id: trace_id(), span_id: span_id(), sampled: true, random: true, debug: false };
    group.bench_function("inject traceparent", |b| {
        b.iter(|| {
            let edit = extracted.trace_state().edit(tracelift::trace_context::ThEdit::Keep, None);
            inject(&[Propagator::TraceContext], &context, edit, &extracted, &mut |name, value| {
                black_box((name, value));
            });
        });
    });
    group.finish();
}

fn policy(rules: usize) -> Policy {
    let rule = |number: usize| Rule {
        name: format!("rule {number}"),
        matcher: RequestMatcher {
            path: Some(StringMatcher::Prefix(format!("/never/{number}/"))),
            method: vec!["GET".into()],
            host: None,
            headers: Vec::new(),
        },
        sampler: Sampler::new(Algorithm::Consistent, 1.0).ok(),
        upgrade: true,
        latency_ms: None,
        metrics: true,
    };
    Policy {
        mode: Mode::ParentBased,
        fallback: Sampler::new(Algorithm::Consistent, 0.05).expect("a ratio"),
        pace: None,
        rules: (0..rules).map(rule).collect(),
    }
}

fn sampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sampling");
    let policies = [policy(0), policy(5), policy(50)];
    let randomness = Randomness::from_trace_id(trace_id());
    let parent = Parent { sampled: true, threshold: Some(Threshold::ALWAYS) };
    group.bench_function("decide, no parent", |b| {
        b.iter(|| decide(&policies[0], (None, None), None, black_box(trace_id()), black_box(randomness)));
    });
    group.bench_function("decide, sampled parent", |b| {
        b.iter(|| decide(&policies[0], (None, None), Some(black_box(&parent)), trace_id(), randomness));
    });
    let headers = [(&b"user-agent"[..], &b"curl/8"[..]), (b"accept", b"*/*"), (b"x-tenant", b"gold")];
    let facts =
        RequestFacts { path: b"/cart/items?page=2", method: b"GET", host: b"cart.shop.example", headers: &headers };
    for policy in &policies[1..] {
        group.bench_function(format!("match none of {} rules", policy.rules.len()), |b| {
            b.iter(|| policy.first_match(black_box(&facts), &mut Steps::default()));
        });
    }
    group.finish();
}

fn span() -> Span<'static> {
    let facts = HttpFacts {
        method: Some(b"GET"),
        path: Some(b"/cart/42?token=secret&sig=abc"),
        scheme: Some(b"http"),
        authority: Some(b"cart.shop:8080"),
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        protocol: Some(b"HTTP/1.1"),
        status_code: Some(200),
        source_address: Some(b"10.0.0.7:51234"),
        destination_address: Some(b"10.0.0.8:8080"),
        upstream_address: Some(b"10.0.0.9:80"),
        route_name: Some(b"default"),
        cluster_name: Some(b"outbound|8080||cart.shop.svc.cluster.local"),
        ..HttpFacts::default()
    };
    let identity = Identity {
        trace_id: trace_id(),
        span_id: span_id(),
        parent_id: Some(span_id()),
        parent_remote: true,
        flags: TraceFlags::from_bits(3),
        tracestate: Some(TRACESTATE.to_vec()),
        start_unix_nanos: SECOND,
        end_unix_nanos: 2 * SECOND,
    };
    let provenance = Provenance {
        reason: "ratio",
        rule: None,
        xray_rule: None,
        force_key: None,
        trigger: None,
        adjusted_count: Some(20.0),
        calls: None,
        unrecorded_parent: None,
    };
    build(&AttributeSettings::default(), SpanKind::Server, identity, black_box(&facts), &provenance)
}

/// As the default configuration has it.
fn exporter() -> Exporter {
    let loaded = load(br#"{"service_name": "cart"}"#, &Environment::default()).expect("a working configuration");
    let policy = loaded.policy;
    Exporter::new(policy.export, &policy.resource.merge(&NodeMetadata::default()))
}

fn export(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("export");
    group.bench_function("build a span", |b| b.iter(span));
    let span = span();
    group.bench_function("encode a span", |b| b.iter(|| encode_span(black_box(&span), true)));
    let encoded = encode_span(&span, true);
    group.bench_function("queue 512 spans and make their batch", |b| {
        b.iter_batched(
            || (exporter(), vec![encoded.clone(); 512]),
            |(mut exporter, spans)| {
                for span in spans {
                    let _ = black_box(exporter.offer(span));
                }
                exporter.poll(SECOND, 0, true)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn trace_id() -> TraceId {
    TraceId::from_u128(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).expect("not zero")
}

fn span_id() -> SpanId {
    SpanId::from_u64(0x00f0_67aa_0ba9_02b7).expect("not zero")
}

criterion_group!(micro, trace_context, sampling, export);
criterion_main!(micro);
