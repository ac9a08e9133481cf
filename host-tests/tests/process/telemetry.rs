//! What the filter says of itself.

use std::time::Duration;

use serde_json::json;
use tracelift_host::{LogLevel, MetricKind, Response};

use crate::kit::{
    BATCH_DUE, COLLECTOR, closed_books, get, keep_all, keep_failures, process, seconds, serve, serve_on, started,
};

/// Dashboards and alerts hold on to these: `(kind, names under "tracelift.")`.
const METRICS: [(MetricKind, &[&str]); 3] = [
    (
        MetricKind::Counter,
        &[
            "adaptive.changes.boost",
            "adaptive.changes.budget",
            "adaptive.changes.calm",
            "adaptive.changes.load",
            "adaptive.offered",
            "answers.unseen",
            "applications.polls.answered",
            "applications.polls.busy",
            "applications.polls.denied",
            "applications.polls.refused",
            "applications.upgrades.listed",
            "applications.upgrades.missed",
            "audit.estimated.failed",
            "audit.estimated.ok",
            "audit.requests.failed",
            "audit.requests.ok",
            "audit.variance.failed",
            "audit.variance.ok",
            "central.borrowed",
            "central.fallback",
            "central.leads",
            "central.polls.failed",
            "central.polls.succeeded",
            "central.reservoir",
            "central.rules_refused",
            "central.statistics_lost",
            "config.accepted",
            "config.pass_through",
            "config.refused",
            "context.replaced",
            "context.restarted",
            "context.tracestate_discarded",
            "coverage.evicted",
            "coverage.kept",
            "coverage.refused",
            "decisions.dropped.adaptive",
            "decisions.dropped.parent",
            "decisions.dropped.ratio",
            "decisions.dropped.rule",
            "decisions.dropped.xray",
            "decisions.inconsistent",
            "decisions.sampled.adaptive",
            "decisions.sampled.forced",
            "decisions.sampled.parent",
            "decisions.sampled.ratio",
            "decisions.sampled.rule",
            "decisions.sampled.upgraded",
            "decisions.sampled.xray",
            "errors.headers_not_set",
            "errors.hostcall",
            "exports.failed",
            "exports.retried",
            "exports.succeeded",
            "force.accepted",
            "force.expired",
            "force.invalid",
            "force.over_budget",
            "joins.forgotten",
            "joins.refused",
            "metrics.clock_back",
            "metrics.exports.failed",
            "metrics.exports.succeeded",
            "metrics.overflowed",
            "metrics.points_lost",
            "parents.ambiguous",
            "parents.found",
            "parents.unknown",
            "recall.calls.answered",
            "recall.calls.lost",
            "recall.calls.outside",
            "recall.calls.unasked",
            "recall.clock_set_back",
            "recall.evicted",
            "recall.expired",
            "recall.given_up",
            "recall.held",
            "recall.missed",
            "recall.released",
            "recall.requests.answered",
            "recall.requests.busy",
            "recall.requests.denied",
            "recall.requests.outside",
            "recall.requests.refused",
            "recall.requests.sent",
            "recall.withheld",
            "rules.over_budget",
            "shadow.bytes",
            "shadow.decisions.dropped",
            "shadow.decisions.sampled",
            "shadow.disagreements.dropped",
            "shadow.disagreements.kept",
            "shadow.spans",
            "shadow.upgrades",
            "shadow.upgrades_shed",
            "slow.culprits",
            "slow.evicted",
            "spans.discarded.non_retryable",
            "spans.discarded.queue_bytes",
            "spans.discarded.queue_full",
            "spans.discarded.rejected",
            "spans.discarded.retries_exhausted",
            "spans.discarded.shutdown",
            "spans.discarded.too_large",
            "spans.exported",
            "spans.offered",
            "spans.upgraded_discarded",
            "upgrades.coverage",
            "upgrades.grpc_status",
            "upgrades.http_status",
            "upgrades.latency",
            "upgrades.recall",
            "upgrades.reset",
            "upgrades.response_flags",
            "upgrades.response_header",
            "upgrades.shed",
            "upgrades.signal",
            "upgrades.signals_refused",
            "upgrades.slow",
        ],
    ),
    (
        MetricKind::Gauge,
        &[
            "adaptive.boosted",
            "adaptive.bound",
            "adaptive.ratio_ppm",
            "adaptive.target_milli",
            "audit.z_centi",
            "central.rules",
            "config.ratio_ppm",
            "exports.in_flight_spans",
            "metrics.series",
            "pending.spans",
            "queue.bytes",
            "queue.spans",
            "recall.bytes",
            "recall.spans",
            "shadow.adaptive.ratio_ppm",
            "slow.learning",
            "slow.routes",
        ],
    ),
    (MetricKind::Histogram, &["exports.duration_ms"]),
];

#[test]
fn every_metric_is_there_from_the_start_and_zero() {
    let envoy = started(process("{}"));
    let expected =
        METRICS.iter().flat_map(|(kind, names)| names.iter().map(|name| (*kind, format!("tracelift.{name}"))));
    let found = envoy.metrics().names().map(|(kind, name)| (kind, name.to_owned()));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for name in METRICS[0].1 {
        let value = envoy.counter(&format!("tracelift.{name}"));
        // The canary, the main thread and the worker.
        assert_eq!(value, if *name == "config.accepted" { 3 } else { 0 }, "{name}");
    }
    for name in METRICS[1].1 {
        // The default ratio; set by each VM, not added to.
        let expected = if *name == "config.ratio_ppm" { 50_000 } else { 0 };
        assert_eq!(envoy.gauge(&format!("tracelift.{name}")), expected, "{name}");
    }
    assert!(envoy.metrics().histogram("tracelift.exports.duration_ms").is_empty());
}

#[test]
fn gauges_follow_requests_and_spans_and_come_back_to_zero() {
    let mut envoy = started(process(keep_failures(json!({"max_export_batch_size": 2}))).workers(2));
    let open: Vec<_> = (0..5).map(|_| envoy.request("inbound", get("/slow"))).collect();
    serve(&mut envoy, 3, 503);
    envoy.tick_all();
    let gauge = |name: &str| envoy.gauge(&format!("tracelift.{name}"));
    assert_eq!(gauge("pending.spans"), 5);
    assert_eq!((gauge("queue.spans"), gauge("exports.in_flight_spans")), (1, 2));
    assert!(0 < gauge("queue.bytes"));

    envoy.answer_with(|callout| tracelift_host::Reply::accept(callout, Duration::from_millis(5)));
    let id = crate::kit::waiting(&envoy)[0];
    envoy.answer(id, 200);
    for request in open {
        request.respond(&mut envoy, 200);
    }
    envoy.advance(BATCH_DUE);
    assert_eq!(closed_books(&mut envoy).exported, 3);
}

#[test]
fn the_histogram_holds_the_duration_of_each_answered_export() {
    let builder = process(keep_all(json!({"max_export_batch_size": 1})));
    let mut envoy = started(builder.collector(COLLECTOR, Duration::from_millis(120)));
    serve(&mut envoy, 3, 200);
    envoy.advance(seconds(1));
    assert_eq!(envoy.metrics().histogram("tracelift.exports.duration_ms"), [120, 120, 120]);
    assert_eq!(envoy.counter("tracelift.exports.succeeded"), 3);
    closed_books(&mut envoy);
}

#[test]
fn a_request_path_counts_in_memory_and_the_tick_shows_it() {
    let mut envoy = started(process("{}"));
    let finished = serve_on(&mut envoy, 0, 200);
    let metric_calls: u64 = ["proxy_increment_metric", "proxy_record_metric", "proxy_define_metric", "proxy_log"]
        .iter()
        .map(|name| finished.cost.calls_of(name))
        .sum();
    assert_eq!(metric_calls, 0);
    envoy.advance(seconds(1));
    let decided = envoy.metrics().counters_under("tracelift.decisions.").into_iter();
    assert_eq!(decided.map(|(_, count)| count).sum::<u64>(), 1);
    closed_books(&mut envoy);
}

#[test]
fn a_host_that_takes_no_metric_for_a_while_gets_it_all_later() {
    let mut envoy = started(process(keep_all(json!({}))).collector(COLLECTOR, Duration::from_millis(5)));
    envoy.fail_hostcall("proxy_increment_metric", tracelift_host::Status::InternalFailure);
    serve(&mut envoy, 7, 200);
    envoy.advance(BATCH_DUE);
    assert_eq!(envoy.counter("tracelift.spans.offered"), 0);
    envoy.clear_faults();
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.offered, balance.exported), (7, 7));
}

#[test]
fn a_host_without_metrics_still_gets_its_requests_served_and_its_spans_exported() {
    let builder = process(keep_all(json!({}))).collector(COLLECTOR, Duration::from_millis(5));
    let mut envoy =
        started(builder.fault(|call| call.name.contains("metric").then_some(tracelift_host::Status::Unimplemented)));
    serve(&mut envoy, 7, 200);
    envoy.advance(BATCH_DUE);
    assert_eq!(envoy.exports().accepted().spans().len(), 7);
    assert!(envoy.traps().is_empty());
}

#[test]
fn thousands_of_requests_of_every_kind_are_not_worth_a_line() {
    let builder = process(keep_failures(json!({}))).collector(COLLECTOR, Duration::from_millis(5));
    let mut envoy = started(builder.log_level(LogLevel::Trace));
    let said = envoy.logs().len();
    for round in 0..100 {
        let bad = [("traceparent", "00-zz"), ("tracestate", "=,=,="), ("b3", "?"), ("x-amzn-trace-id", "Root=1")];
        let headers: Vec<_> = get("/").into_iter().chain(bad).collect();
        for status in [200, 404, 500, 503] {
            envoy.request("inbound", &headers[..]).respond(&mut envoy, Response::status(status));
            serve(&mut envoy, 10, status);
        }
        envoy.request("inbound", get("/")).client_disconnect(&mut envoy);
        envoy.codec_error("inbound");
        envoy.advance(Duration::from_millis(10 * (round % 7)));
    }
    envoy.advance(BATCH_DUE);
    assert_eq!(envoy.logs().len(), said, "{:?}", &envoy.logs()[said..]);
    closed_books(&mut envoy);
}
