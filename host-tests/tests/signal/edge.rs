//! The outer listener: what happened inside stays inside.

use serde_json::json;
use tracelift_host::Response;

use crate::pods::{Pod, SIGNAL, TRACE, mark, unsampled};

#[test]
fn no_signal_leaves_the_mesh_and_an_applications_entries_do() {
    let told = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let mut gateway = Pod::new("gateway", json!({"sampling": {"ratio": 0}, "span_kind": "both", "edge": true}));
    let answer = Response::status(200)
        .header("server-timing", "db;dur=53")
        .header("traceresponse", &told)
        .header(SIGNAL, mark("upgraded"))
        .header("server-timing", format!("trace;desc={told}"));
    let finished = gateway.calls(&unsampled()).respond(&mut gateway.0, answer);
    assert_eq!((finished.response_headers.get("traceresponse"), finished.response_headers.get(SIGNAL)), (None, None));
    assert_eq!(finished.response_headers.all("server-timing"), [b"db;dur=53"]);
    let spans = gateway.spans();
    assert_eq!(spans.len(), 2, "SERVER and CLIENT: the gateway believes what its upstream says");
    assert!(spans.iter().all(|span| span.attribute("tracelift.upgrade.trigger") == "signal"));
}

#[test]
fn a_failure_at_the_edge_is_not_told_outside() {
    let mut gateway = Pod::new("gateway", json!({"sampling": {"ratio": 0}, "span_kind": "both", "edge": true}));
    let finished = gateway.calls(&unsampled()).respond(&mut gateway.0, 503);
    assert_eq!((finished.response_headers.get("traceresponse"), finished.response_headers.get(SIGNAL)), (None, None));
    assert_eq!(finished.response_headers.get("server-timing"), None);
    assert_eq!(gateway.spans().len(), 2);
}

#[test]
fn a_context_leaves_the_edge_whichever_header_it_is_in() {
    let told = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let timing = format!("trace;desc={told}");
    for (name, value) in [(SIGNAL, &mark("upgraded")), ("traceresponse", &told), ("server-timing", &timing)] {
        let mut gateway = Pod::new("gateway", json!({"sampling": {"ratio": 0}, "edge": true}));
        let finished = gateway.called(&unsampled()).respond(&mut gateway.0, Response::status(200).header(name, value));
        for header in [SIGNAL, "traceresponse", "server-timing"] {
            assert_eq!(finished.response_headers.get(header), None, "{name}: {header}");
        }
    }
}
