//! What an export looks like on the wire, and when it leaves.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{CalloutState, Envoy, RequestSpec, VmId, otlp};

use crate::kit::{BATCH_DUE, COLLECTOR, books, closed_books, get, keep_all, process, seconds, serve, started, waiting};

const ACCEPTED_AFTER: Duration = Duration::from_millis(20);

fn with_collector(export: Value) -> Envoy {
    started(process(keep_all(export)).collector(COLLECTOR, ACCEPTED_AFTER))
}

fn header<'a>(envoy: &'a Envoy, name: &str) -> Option<&'a str> {
    envoy.callouts().last().and_then(|callout| callout.headers.text(name))
}

#[test]
fn an_http_export_is_a_post_of_protobuf_with_the_configured_headers() {
    let headers = json!({"Authorization": "Bearer t0ken", "x-tenant": "gold"});
    let mut envoy = with_collector(
        json!({"headers": headers, "path": "/otlp/v1/traces", "authority": "otel:4318", "timeout_ms": 2500}),
    );
    serve(&mut envoy, 3, 200);
    envoy.advance(BATCH_DUE);

    let [callout] = envoy.callouts() else { panic!("one export, found {:?}", envoy.callouts()) };
    assert_eq!((callout.cluster.as_str(), callout.timeout), (COLLECTOR, Some(Duration::from_millis(2500))));
    for (name, value) in [
        (":method", Some("POST")),
        (":path", Some("/otlp/v1/traces")),
        (":authority", Some("otel:4318")),
        ("content-type", Some("application/x-protobuf")),
        ("authorization", Some("Bearer t0ken")),
        ("x-tenant", Some("gold")),
        ("content-encoding", None),
        ("te", None),
    ] {
        assert_eq!(header(&envoy, name), value, "{name}");
    }
    let agent = header(&envoy, "user-agent").expect("a user agent");
    assert!(agent.starts_with("OTel-OTLP-Exporter-Tracelift/"), "{agent}");
    let spans = envoy.exports().accepted().spans();
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| span.resource_attribute("service.name") == "cart" && span.scope == "tracelift"));
    assert_eq!(closed_books(&mut envoy).exported, 3);
}

#[test]
fn gzip_makes_the_body_small_and_says_so() {
    let sizes = [("http/protobuf", "content-encoding"), ("grpc", "grpc-encoding")].map(|(protocol, encoding)| {
        ["none", "gzip"].map(|compression| {
            let mut envoy = with_collector(json!({"protocol": protocol, "compression": compression}));
            serve(&mut envoy, 100, 200);
            envoy.advance(BATCH_DUE);
            let gzip = (compression == "gzip").then_some("gzip");
            assert_eq!(header(&envoy, encoding), gzip, "{protocol} {compression}");
            assert_eq!(envoy.exports().accepted().spans().len(), 100);
            closed_books(&mut envoy);
            envoy.exports().iter().map(|export| export.wire_size).sum::<usize>()
        })
    });
    for [plain, zipped] in sizes {
        assert!(zipped * 3 < plain, "{plain} bytes became {zipped}");
    }
}

#[test]
fn a_grpc_export_is_one_framed_message_to_the_trace_service() {
    let mut envoy = with_collector(json!({"protocol": "grpc", "path": "/ignored", "headers": {"api-key": "k"}}));
    serve(&mut envoy, 2, 200);
    envoy.advance(BATCH_DUE);
    for (name, value) in [
        (":method", Some("POST")),
        (":path", Some("/opentelemetry.proto.collector.trace.v1.TraceService/Export")),
        ("content-type", Some("application/grpc")),
        ("te", Some("trailers")),
        ("api-key", Some("k")),
        ("grpc-encoding", None),
    ] {
        assert_eq!(header(&envoy, name), value, "{name}");
    }
    assert_eq!(envoy.callouts()[0].body[0], 0, "uncompressed");
    assert_eq!(envoy.exports().accepted().spans().len(), 2);
    assert_eq!(closed_books(&mut envoy).exported, 2);
}

#[test]
fn a_full_batch_leaves_from_the_log_phase_and_its_answer_reaches_the_root() {
    let mut envoy = started(process(keep_all(json!({"max_export_batch_size": 10, "scheduled_delay_ms": 60_000}))));
    serve(&mut envoy, 9, 200);
    assert!(waiting(&envoy).is_empty());
    serve(&mut envoy, 2, 200);
    let (root, _) = envoy.roots(VmId::Worker(0))[0];
    let callout = envoy.only_callout();
    assert_eq!((callout.context, callout.root), (root, root), "the stream is gone: its callout would be cancelled");
    let export = otlp::decode(callout).expect("OTLP");
    assert_eq!(export.spans().len(), 10);
    let id = callout.id;
    let balance = books(&mut envoy);
    assert_eq!((balance.in_flight, balance.queued), (10, 1));

    envoy.answer(id, 200);
    assert!(matches!(envoy.callouts()[0].state, CalloutState::Answered(_)));
    let balance = books(&mut envoy);
    assert_eq!((balance.exported, balance.in_flight, balance.queued), (10, 0, 1));
}

#[test]
fn a_partial_batch_waits_for_the_scheduled_delay_and_a_tick_at_most() {
    let mut envoy = with_collector(json!({"scheduled_delay_ms": 3000}));
    envoy.advance(Duration::from_millis(1500));
    serve(&mut envoy, 1, 200);
    envoy.advance(Duration::from_millis(400));
    serve(&mut envoy, 1, 200);
    envoy.advance(Duration::from_millis(1600));
    assert!(envoy.callouts().is_empty(), "two seconds are too early");
    envoy.advance(seconds(1));
    assert_eq!(envoy.exports().accepted().spans().len(), 2, "both go together");
    assert_eq!(closed_books(&mut envoy).exported, 2);
}

#[test]
fn a_batch_is_split_where_a_request_would_pass_one_mebibyte() {
    let names: Vec<String> = (0..8).map(|n| format!("x-large-{n}")).collect();
    let value = "v".repeat(1000);
    let configuration = json!({
        "sampling": {"ratio": 1},
        "attributes": {"request_headers": names},
        "export": {"max_export_batch_size": 2000, "max_queue_bytes": 16 << 20, "scheduled_delay_ms": 60_000},
    });
    let mut envoy = started(process(configuration.to_string()));
    for _ in 0..150 {
        let large = names.iter().map(|name| (&name[..], &value[..]));
        let headers: Vec<_> = get("/items").into_iter().chain(large).collect();
        envoy.open(RequestSpec::new("inbound", headers)).respond(&mut envoy, 200);
    }
    let export = otlp::decode(envoy.only_callout()).expect("OTLP");
    assert!((900_000..=1 << 20).contains(&export.wire_size), "{} bytes", export.wire_size);
    let sent = export.spans().len();
    assert!((100..150).contains(&sent), "{sent} spans");
    let balance = books(&mut envoy);
    assert_eq!((balance.in_flight, balance.queued), (sent as i64, 150 - sent as i64));
}

#[test]
fn workers_export_apart_and_the_main_thread_sends_nothing() {
    let configuration = keep_all(json!({}));
    let mut envoy =
        started(process(&configuration).outbound(&configuration).workers(3).collector(COLLECTOR, ACCEPTED_AFTER));
    for worker in 0..3 {
        for listener in ["inbound", "outbound"] {
            let request = envoy.open(RequestSpec::new(listener, get("/items")).worker(worker));
            request.respond(&mut envoy, 200);
        }
    }
    envoy.advance(BATCH_DUE);
    let mut senders: Vec<_> = envoy.callouts().iter().map(|callout| callout.vm).collect();
    senders.sort();
    let workers = (0..3).map(VmId::Worker);
    assert_eq!(senders, workers.flat_map(|worker| [worker, worker]).collect::<Vec<_>>(), "one export a listener");
    assert_eq!(closed_books(&mut envoy).exported, 6);
}
