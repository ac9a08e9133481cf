//! What a request looks like in X-Ray, by how it ended.

use crate::kit::{CALLER, Pod, flags, only};
use serde_json::{Value, json};
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Request, Shipped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_decides_between_fault_error_and_throttle_and_grpc_and_resets_are_faults() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::start(Shipped::Sidecar, |bootstrap| {
        bootstrap.copy_cluster("application", "gone", &[refusing.address()]).unwrap();
        bootstrap.add_route("inbound", "/gone", json!({ "route": { "cluster": "gone" } })).unwrap();
        bootstrap
            .add_route("inbound", "/silence", json!({ "route": { "cluster": "application", "timeout": "0.2s" } }))
            .unwrap();
    })
    .await;
    // The path, whether it is a gRPC call, what is shown in X-Ray.
    let cases: [(&str, bool, Value, &[&str]); 14] = [
        ("/cart", false, json!(200), &[]),
        ("/status/302", false, json!(302), &[]),
        ("/status/404", false, json!(404), &["error"]),
        ("/status/429", false, json!(429), &["error", "throttle"]),
        ("/status/500", false, json!(500), &["fault"]),
        ("/status/503", false, json!(503), &["fault"]),
        ("/close", false, json!(503), &["fault"]),
        ("/gone", false, json!(503), &["fault"]),
        ("/silence", false, json!(504), &["fault"]),
        ("/break", false, json!(200), &["fault"]),
        ("/answer.Trailers/Status14", true, json!(200), &["fault"]),
        ("/answer.TrailersOnly/Status13", true, json!(200), &["fault"]),
        ("/close", true, json!(200), &["fault"]),
        ("/gone", true, json!(200), &["fault"]),
    ];
    for (path, grpc, status, expected) in cases {
        let request = if grpc {
            Request::grpc(pod.envoy.address("inbound").unwrap(), path, b"")
        } else {
            Request::get(pod.envoy.address("inbound").unwrap(), path)
        };
        let (trace_id, request) = pod.in_a_trace(request);
        pod.client.send(request).await.unwrap();
        let trace = pod.stored(&trace_id, 1).await;
        let segment = only(&trace);
        assert_eq!((flags(segment), &segment["http"]["response"]["status"]), (expected.to_vec(), &status), "{path}");
        let named = segment.pointer("/cause/exceptions/0/message").and_then(Value::as_str).unwrap_or_default();
        let why = match (path, grpc) {
            ("/close", false) => "UC ",
            // Over HTTP/2 the stream is reset.
            ("/close", true) => "UR ",
            ("/gone", _) => "UF",
            ("/silence", _) => "UT ",
            ("/answer.Trailers/Status14", _) => "gRPC status UNAVAILABLE",
            ("/answer.TrailersOnly/Status13", _) => "gRPC status INTERNAL",
            _ => "",
        };
        assert!(named.starts_with(why), "{path}: {named:?} is the reason");
        assert_eq!(named.is_empty(), !expected.contains(&"fault") || path.starts_with("/status"), "{path}: {named:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_the_caller_is_kept_and_says_that_it_left() {
    let pod = Pod::start(Shipped::Sidecar, |_| {}).await;
    let (trace_id, request) = pod.in_a_trace(Request::get(pod.envoy.address("inbound").unwrap(), "/silence"));
    let connection = pod.client.send_and_hold(request).await.unwrap();
    assert!(pod.upstream.wait_for(1, crate::kit::SOON).await);
    drop(connection);
    let trace = pod.stored(&trace_id, 1).await;
    let segment = only(&trace);
    assert_eq!(segment["annotations"]["error.type"], "client_disconnect");
    assert_eq!(segment["annotations"]["tracelift.response_flags"], "DC");
    assert_eq!(flags(segment), Vec::<&str>::new(), "nobody here did anything wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_shows_who_asked_whom_for_what_and_why_it_is_kept() {
    let pod = Pod::start(Shipped::Sidecar, |bootstrap| {
        bootstrap.plugin(|json| json["sampling"] = json!({ "ratio": 0 })).unwrap();
    })
    .await;
    let ask = |request: Request| {
        request
            .host("shop.example")
            .header("user-agent", "curl/8")
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-proto", "https")
    };
    let (_, trace) = pod.trace_of("inbound", 1, ask, "/status/503?token=secret").await;
    let segment = only(&trace);
    assert_eq!(
        (&segment["name"], &segment["parent_id"], &segment["type"]),
        (&json!("cart"), &json!(CALLER), &Value::Null)
    );
    let request = &segment["http"]["request"];
    assert_eq!(
        request,
        &json!({
            "method": "GET", "url": "https://shop.example/status/503", "user_agent": "curl/8",
            "client_ip": "203.0.113.7", "x_forwarded_for": true,
        }),
        "no query unless it is asked for"
    );
    let annotations = &segment["annotations"];
    for (key, value) in
        [("tracelift.sampling.reason", "parent"), ("tracelift.upstream_cluster", "application"), ("error.type", "503")]
    {
        assert_eq!(annotations[key], value, "{annotations}");
    }
    let start = segment["start_time"].as_f64().unwrap();
    assert!(start <= segment["end_time"].as_f64().unwrap(), "{segment}");
    assert_eq!(segment["aws"]["xray"]["sdk"], "tracelift for rust");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_names_its_trigger_flags_and_route_as_annotations() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::start(Shipped::Sidecar, |bootstrap| {
        bootstrap.plugin(|json| json["sampling"] = json!({ "ratio": 0 })).unwrap();
        bootstrap.copy_cluster("application", "gone", &[refusing.address()]).unwrap();
        let route = json!({ "name": "/orders/{id}", "route": { "cluster": "gone" } });
        bootstrap.add_route("inbound", "/orders", route).unwrap();
    })
    .await;
    let trace_id = "4bf92f3577b34da6ffffffffffffffff";
    let request = Request::get(pod.envoy.address("inbound").unwrap(), "/orders/7");
    pod.client.send(request.header("traceparent", format!("00-{trace_id}-{CALLER}-02"))).await.unwrap();
    let trace = pod.stored(trace_id, 1).await;
    let annotations = &only(&trace)["annotations"];
    for (key, value) in [
        ("tracelift.sampling.reason", "parent"),
        ("tracelift.upgrade.trigger", "response_flags"),
        ("tracelift.route_name", "/orders/{id}"),
        ("http.route", "/orders/{id}"),
        ("tracelift.upstream_cluster", "gone"),
    ] {
        assert_eq!(annotations[key], value, "{annotations}");
    }
    let named = annotations["tracelift.response_flags"].as_str().unwrap();
    assert!(named.split(',').any(|flag| flag == "UF"), "{named}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_a_segment_and_its_call_a_remote_subsegment_of_the_upstreams_name() {
    let pod = Pod::start(Shipped::Gateway, |bootstrap| {
        // The client is a stranger, whose flag is not believed: the ratio decides.
        bootstrap.plugin(|json| json["sampling"] = json!({ "ratio": 1 })).unwrap();
    })
    .await;
    let (_, trace) = pod.trace_of("edge", 2, |request| request.host("shop.example"), "/status/500").await;
    let top = trace.tops()[0].clone();
    assert_eq!((&top["name"], &top["type"], &top["namespace"]), (&json!("gateway"), &Value::Null, &Value::Null));
    let below: Vec<_> = trace.children(top["id"].as_str().unwrap()).collect();
    assert_eq!(below.len(), 1, "{}", trace.outline());
    assert_eq!(
        (&below[0]["name"], &below[0]["type"], &below[0]["namespace"]),
        (&json!("frontend"), &json!("subsegment"), &json!("remote"))
    );
    assert_eq!(below[0]["http"]["request"]["url"], "http://shop.example/status/500");
    assert_eq!(top["http"]["request"]["client_ip"], "127.0.0.1");
    for document in [&top, below[0]] {
        assert_eq!(document["annotations"]["tracelift.sampling.reason"], "ratio", "{document}");
        assert_eq!(document["annotations"]["tracelift.upstream_cluster"], "frontend", "{document}");
    }
    assert_eq!((flags(&top), flags(below[0])), (vec!["fault"], vec!["fault"]));
    let sent = pod.upstream.last().unwrap().text("traceparent");
    assert_eq!(below[0]["id"], sent[36..52], "what the upstream records hangs below the call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_begins_a_trace_is_a_segment_of_its_service_with_the_call_below() {
    let pod = Pod::start(Shipped::Sidecar, |_| {}).await;
    let request = Request::get(pod.envoy.address("outbound").unwrap(), "/status/500").host("payments");
    pod.client.send(request).await.unwrap();
    let sent = pod.upstream.last().unwrap().text("traceparent");
    let trace = pod.stored(&sent[3..35], 2).await;
    let top = trace.tops()[0].clone();
    assert_eq!((&top["name"], &top["type"], &top["http"]), (&json!("cart"), &Value::Null, &Value::Null));
    let call: Vec<_> = trace.children(top["id"].as_str().unwrap()).collect();
    assert_eq!(
        (&call[0]["name"], &call[0]["type"], &call[0]["namespace"]),
        (&json!("payments"), &json!("subsegment"), &json!("remote"))
    );
    assert_eq!(call[0]["id"], sent[36..52]);
    assert_eq!((flags(&top), flags(call[0])), (vec!["fault"], vec!["fault"]));
}
