//! What the spans themselves say of how whole their trace is, in a fleet that has the filter everywhere and in one that has
//! not: `front` calls `middle` calls `back`, each an application behind a sidecar.

use crate::fleet::{Filter, Member};
use crate::kit::{SOON, settle, traceparent};
use axum::Router;
use axum::extract::Request as Served;
use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{Client as CLIENT, Server as SERVER};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::task::JoinHandle;
use tracelift_envoy::{Client, Collector, ReceivedSpan, Request, Upstream, ports};

/// Requests of which the caller has sampled each third, and each fifth fails at `back`.
const REQUESTS: u64 = 60;

/// A sidecar and an application that knows nothing of tracing but to pass its caller's context on.
struct Pod {
    member: Member,
    application: JoinHandle<()>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.application.abort();
    }
}

impl Pod {
    /// The application calls `callee` by the sidecar, and answers as it was answered; `swallows` makes it answer 200.
    async fn start(filter: &Filter, callee: SocketAddr, collector: SocketAddr, swallows: bool) -> Self {
        let listener = ports::listen(ports::any_loopback()).unwrap();
        let own = listener.local_addr().unwrap();
        let outbound = Arc::new(OnceLock::new());
        let router = Router::new().fallback({
            let (outbound, client) = (outbound.clone(), Client::new());
            move |request: Served| {
                let (outbound, client) = (outbound.clone(), client.clone());
                async move { serve(&client, *outbound.get().expect("a started sidecar"), request, swallows).await }
            }
        });
        let application = tokio::spawn(async move { axum::serve(listener, router).await.expect("a listener") });
        let member = Member::calling(filter, own, callee, collector).await;
        outbound.set(member.envoy.address("outbound").unwrap()).expect("set once");
        Self { member, application }
    }
}

async fn serve(client: &Client, outbound: SocketAddr, request: Served, swallows: bool) -> StatusCode {
    let mut call = Request::get(outbound, request.uri().path()).host("payments");
    for name in ["traceparent", "tracestate"] {
        if let Some(value) = request.headers().get(name) {
            call = call.header(name, value);
        }
    }
    match client.send(call).await {
        Ok(reply) if !swallows => StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY),
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_GATEWAY,
    }
}

struct Chain {
    front: Pod,
    middle: Pod,
    back: Member,
    collector: Collector,
    _upstream: Upstream,
}

impl Chain {
    async fn start(middle: &Filter, swallows: bool) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let back = Member::start(&named("back"), upstream.address(), collector.address()).await;
        let middle = Pod::start(middle, back.inbound(), collector.address(), swallows).await;
        let front = Pod::start(&named("front"), middle.member.inbound(), collector.address(), false).await;
        Self { front, middle, back, collector, _upstream: upstream }
    }

    /// Sends all requests, and waits until that many spans of them have arrived.
    async fn drive(&self, spans: usize, swallowed: bool) {
        let client = Client::new();
        for number in 1..=REQUESTS {
            let path = if fails(number) { "/status/503" } else { "/cart" };
            let request = Request::get(self.front.member.inbound(), path);
            let reply = client.send(request.header("traceparent", traceparent(number, sampled(number)))).await.unwrap();
            assert_eq!(reply.status, if fails(number) && !swallowed { 503 } else { 200 }, "{number}");
        }
        let envoys = [&self.front.member.envoy, &self.middle.member.envoy, &self.back.envoy];
        settle(&envoys, &self.collector, spans).await;
        self.collector.wait_for_spans(spans, SOON).await.unwrap();
    }

    fn trace(&self, number: u64) -> Vec<ReceivedSpan> {
        self.collector.trace(&traceparent(number, false)[3..35])
    }
}

/// As for the time of a rollout: the earlier version's signal is believed, too.
fn named(name: &str) -> Filter {
    let signal = json!({ "accept_previous": true });
    Filter::on(json!({ "service_name": name, "sampling": { "ratio": 0 }, "upgrade": { "signal": signal } }))
}

fn sampled(number: u64) -> bool {
    number.is_multiple_of(3)
}

fn fails(number: u64) -> bool {
    number.is_multiple_of(5)
}

fn numbers(of: impl Fn(u64) -> bool) -> usize {
    (1..=REQUESTS).filter(|number| of(*number)).count()
}

/// The trace's ledger, summed as the query of `plugin/engine/src/upgrade/README.md` does: made, answered, outside, lost.
fn ledger(spans: &[ReceivedSpan]) -> [i64; 4] {
    let sum = |name: &str| spans.iter().filter_map(|span| span.int(&format!("tracelift.calls.{name}"))).sum();
    ["made", "answered", "outside", "lost"].map(sum)
}

/// Services and sides of the spans, sorted.
fn hops(spans: &[ReceivedSpan]) -> Vec<(&str, &'static str)> {
    let side = |span: &ReceivedSpan| if span.kind() == CLIENT { "calls" } else { "called" };
    let mut hops: Vec<_> = spans.iter().map(|span| (span.service_name(), side(span))).collect();
    hops.sort_unstable();
    hops
}

#[tokio::test]
async fn with_the_filter_everywhere_every_kept_trace_is_whole_and_its_ledger_says_so() {
    let chain = Chain::start(&named("middle"), false).await;
    let kept = |number| sampled(number) || fails(number);
    chain.drive(5 * numbers(kept), false).await;
    for number in (1..=REQUESTS).filter(|number| kept(*number)) {
        let spans = chain.trace(number);
        let all =
            [("back", "called"), ("front", "called"), ("front", "calls"), ("middle", "called"), ("middle", "calls")];
        assert_eq!(hops(&spans), all, "{number}");
        assert_eq!(ledger(&spans), [2, 2, 0, 0], "{number}: two calls, both answered by a filter");
    }
}

#[tokio::test]
async fn a_pod_without_the_filter_in_the_middle_makes_traces_partial_and_their_ledger_says_so() {
    let chain = Chain::start(&Filter::Off, false).await;
    let kept = |number| sampled(number) || fails(number);
    chain.drive(3 * numbers(kept), false).await;
    for number in (1..=REQUESTS).filter(|number| kept(*number)) {
        let spans = chain.trace(number);
        assert_eq!(hops(&spans), [("back", "called"), ("front", "called"), ("front", "calls")], "{number}");
        // A sampled call was answered by nobody who would record it; of a dropped one nobody knows.
        let expected = if sampled(number) { [1, 0, 1, 0] } else { [1, 0, 0, 1] };
        assert_eq!(ledger(&spans), expected, "{number}: made is more than answered");
        let of = |name: &str, kind| spans.iter().find(|span| span.service_name() == name && span.kind() == kind);
        let (front, back) = (of("front", CLIENT).unwrap(), of("back", SERVER).unwrap());
        assert_eq!(back.parent_span_id(), front.span_id(), "{number}: the context went through the pod as it was");
    }
    assert_eq!(chain.middle.member.decisions().await, 0);
}

#[tokio::test]
async fn above_a_pod_without_the_filter_that_swallows_a_failure_only_the_missing_parent_tells() {
    let chain = Chain::start(&Filter::Off, true).await;
    let only_failed = |number| fails(number) && !sampled(number);
    chain.drive(3 * numbers(sampled) + numbers(only_failed), true).await;
    for number in (1..=REQUESTS).filter(|number| only_failed(*number)) {
        let spans = chain.trace(number);
        assert_eq!((hops(&spans), ledger(&spans)), (vec![("back", "called")], [0, 0, 0, 0]), "{number}");
        assert!(!spans[0].parent_span_id().is_empty(), "{number}: it names a parent that nobody exported");
    }
}

#[tokio::test]
async fn a_pod_with_an_earlier_version_keeps_its_part_and_is_counted_as_outside_until_it_is_brought_up() {
    let directory = tempfile::tempdir().unwrap();
    let settings = json!({ "service_name": "middle", "sampling": { "ratio": 0 } });
    let earlier = Filter::of_module(&crate::earlier::module(directory.path()), settings);
    let chain = Chain::start(&earlier, false).await;
    let kept = |number| sampled(number) || fails(number);
    chain.drive(5 * numbers(kept), false).await;
    for number in (1..=REQUESTS).filter(|number| kept(*number)) {
        let spans = chain.trace(number);
        assert_eq!(spans.len(), 5, "{number}: nothing lacks");
        // That version tells its caller of failures alone, and writes no ledger of its own.
        let expected = if fails(number) { [1, 1, 0, 0] } else { [1, 0, 1, 0] };
        assert_eq!(ledger(&spans), expected, "{number}");
    }
}
