//! What is known of a stream that is kept comes by one hostcall where Envoy lets the filter call its expressions, and one by
//! one where it does not. Spans say the same.

use crate::mesh::{Pod, SOON, settings, traceparent};
use serde_json::json;
use std::collections::BTreeMap;
use tracelift_envoy::{Bootstrap, ReceivedSpan, Request};

/// All that the module exports and calls, but for `proxy_call_foreign_function`.
const WITHOUT_EXPRESSIONS: [&str; 35] = [
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "proxy_add_header_map_value",
    "proxy_define_metric",
    "proxy_done",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_request_headers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
    "proxy_record_metric",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_effective_context",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

/// Everything is kept, and one route has an answer of Envoy's own, which has no upstream.
fn keeping(bootstrap: &mut Bootstrap, kind: &str) {
    settings(bootstrap, |json| {
        json["sampling"] = json!({ "ratio": 1 });
        json["span_kind"] = kind.into();
    });
    bootstrap.add_route("inbound", "/teapot", json!({ "direct_response": { "status": 418 } })).unwrap();
}

/// Every attribute but ports, which no two runs have in common, by kind of span and name.
fn said(spans: &[ReceivedSpan]) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for span in spans {
        for attribute in &span.span.attributes {
            let value =
                if attribute.key.ends_with(".port") { "a port".to_owned() } else { format!("{:?}", attribute.value) };
            said.insert(format!("{:?} {}", span.kind(), attribute.key), value);
        }
        assert!(0 < span.duration().as_nanos(), "{:?}", span.span);
    }
    said
}

/// The hostcalls in each `proxy_on_log` that Envoy's own log tells of.
fn hostcalls_at_the_end(log: &str) -> Vec<Vec<&str>> {
    let mut calls: Vec<Vec<&str>> = Vec::new();
    let mut inside = false;
    for line in log.lines() {
        if line.contains("[host->vm] proxy_on_log(") {
            inside = true;
            calls.push(Vec::new());
        } else if line.contains("[host<-vm] proxy_on_log return") {
            inside = false;
        } else if inside && let Some((_, call)) = line.split_once("[vm->host] env.") {
            calls.last_mut().unwrap().push(call.split('(').next().unwrap_or(call));
        }
    }
    calls
}

/// How often two more requests were read by an expression, and how many attributes one by one. `exported` spans make up all.
async fn reads(pod: &Pod, exported: usize) -> (usize, usize) {
    pod.envoy.admin().post("/logging?wasm=trace").await.unwrap();
    for path in ["/cart", "/teapot"] {
        pod.get(path).await;
    }
    pod.settle(exported).await;
    let log = pod.envoy.log();
    let calls = hostcalls_at_the_end(&log);
    assert_eq!(calls.len(), 2, "{calls:?}");
    let count = |name| calls.iter().flatten().filter(|call| **call == name).count();
    (count("proxy_call_foreign_function"), count("proxy_get_property"))
}

/// Only of the wasm module: the other form makes no hostcalls. How the expressions differ by kind is told in `host-tests/tests/stream/attributes.rs`.
#[tokio::test]
async fn one_hostcall_reads_what_many_do_where_envoy_restricts_the_filter() {
    const PATHS: [&str; 5] = ["/cart?a=1", "/status/500", "/teapot", "/close", "/break"];
    for (kind, each) in [("auto", 1), ("both", 2)] {
        let free = Pod::of_wasm(|bootstrap| keeping(bootstrap, kind)).await;
        let restricted = Pod::of_wasm(|bootstrap| {
            keeping(bootstrap, kind);
            bootstrap.allow_only(&WITHOUT_EXPRESSIONS);
        })
        .await;
        for (number, path) in (1..).zip(PATHS) {
            let sent = traceparent(number, true);
            let mut found = Vec::new();
            for pod in [&free, &restricted] {
                let request = Request::get(pod.entry(), path).host("cart.example").header("traceparent", &sent);
                pod.send(request).await;
                let of_trace = |spans: &[ReceivedSpan]| {
                    let of_trace = spans.iter().filter(|span| span.trace_id() == sent[3..35]).cloned();
                    Some(of_trace.collect::<Vec<_>>()).filter(|spans| spans.len() == each)
                };
                found.push(said(&pod.collector.wait_for(SOON, of_trace).await.unwrap()));
            }
            assert_eq!(found[0], found[1], "{kind}, {path}");
        }
        let exported = (PATHS.len() + 2) * each;
        assert_eq!(reads(&free, exported).await, (2, 1), "an expression for each, and the flags of what had 418");
        let (together, single) = reads(&restricted, exported).await;
        assert!(together == 0 && 12 <= single, "{single}");
    }
}
