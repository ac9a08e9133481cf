//! The rules of the collector's X-Ray exporter that the filter's spans are made for, one by one, on spans of these tests' own
//! making: no Envoy. When a newer exporter breaks one, this says which.

use crate::kit::{SOON, flags};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tracelift_envoy::{Client, Request};
use tracelift_xray::{Pipeline, StoredTrace};

/// Kinds as OTLP numbers them (opentelemetry-proto, `Span.SpanKind`).
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PARENT: &str = "0909090909090909";

/// A collector, and one span after the other.
struct Exporter {
    pipeline: Pipeline,
    client: Client,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Exporter {
    async fn start() -> Self {
        Self { pipeline: Pipeline::start().await.unwrap(), client: Client::new() }
    }

    /// What becomes of a span of `cart` with these attributes: a trace of so many documents.
    async fn stored(&self, documents: usize, kind: u64, attributes: Value, more: Value) -> StoredTrace {
        let trace_id = format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let mut span = json!({
            "traceId": trace_id, "spanId": "0101010101010101", "name": "GET /x?", "kind": kind,
            "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 5_000_000).to_string(),
            "attributes": pairs(&attributes),
        });
        let mut resource = json!({ "service.name": "cart" });
        for (key, value) in more.as_object().into_iter().flatten() {
            if key == "resource" {
                resource.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            } else {
                span[key] = value.clone();
            }
        }
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": pairs(&resource) }, "scopeSpans": [{ "spans": [span] }],
        }]});
        let request = Request::post(self.pipeline.otlp(), "/v1/traces", body.to_string());
        let reply = self.client.send(request.header("content-type", "application/json")).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let stored = self.pipeline.trace(&trace_id, SOON, |it| documents <= it.documents.len()).await;
        let stored = stored.unwrap_or_else(|error| panic!("{error:#}\n{}", self.pipeline.collector().log()));
        assert_eq!(stored.documents.len(), documents, "{:#?}", stored.documents);
        stored
    }

    async fn only(&self, kind: u64, attributes: Value, more: Value) -> Value {
        self.stored(1, kind, attributes, more).await.documents.remove(0)
    }

    async fn server(&self, attributes: Value) -> Value {
        self.only(SERVER, attributes, json!({ "parentSpanId": PARENT })).await
    }

    async fn client(&self, attributes: Value) -> Value {
        self.only(CLIENT, attributes, json!({ "parentSpanId": PARENT })).await
    }
}

/// An object as OTLP's list of attributes.
fn pairs(attributes: &Value) -> Vec<Value> {
    fn value(of: &Value) -> Value {
        match of {
            Value::Bool(truth) => json!({ "boolValue": truth }),
            Value::Number(number) => json!({ "intValue": number.to_string() }),
            Value::Array(items) => json!({ "arrayValue": { "values": items.iter().map(value).collect::<Vec<_>>() } }),
            other => json!({ "stringValue": other }),
        }
    }
    attributes.as_object().unwrap().iter().map(|(key, of)| json!({ "key": key, "value": value(of) })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kind_and_parent_make_segments_and_subsegments_and_attributes_their_names() {
    let exporter = Exporter::start().await;
    for (kind, parent, subsegment, namespace) in [
        (SERVER, PARENT, false, Value::Null),
        (SERVER, "", false, Value::Null),
        (CLIENT, PARENT, true, json!("remote")),
        (CLIENT, "", false, json!("remote")),
        (INTERNAL, PARENT, true, Value::Null),
    ] {
        let document = exporter.only(kind, json!({}), json!({ "parentSpanId": parent })).await;
        let expected = if subsegment { json!("subsegment") } else { Value::Null };
        assert_eq!((&document["type"], &document["namespace"]), (&expected, &namespace), "{kind} {parent:?}");
        let resource = &document["metadata"]["default"]["otel.resource.service.name"];
        assert_eq!(resource.is_null(), subsegment, "of segments only");
    }

    for (kind, attributes, expected) in [
        (SERVER, json!({ "aws.local.service": "local", "peer.service": "payments" }), "local"),
        (SERVER, json!({ "aws.remote.service": "remote", "server.address": "shop.example" }), "cart"),
        (CLIENT, json!({ "aws.remote.service": "remote", "peer.service": "payments" }), "remote"),
        (CLIENT, json!({ "aws.local.service": "local", "peer.service": "payments" }), "payments"),
        // Nobody's name: the filter names every call's cluster.
        (CLIENT, json!({ "server.address": "shop.example" }), "GET /x"),
    ] {
        let document = exporter.only(kind, attributes.clone(), json!({ "parentSpanId": PARENT })).await;
        assert_eq!(document["name"], expected, "{kind} {attributes}");
    }

    let first = json!({
        "aws.span.kind": "LOCAL_ROOT", "aws.local.service": "cart", "peer.service": "payments",
        "http.response.status_code": 503,
    });
    let trace = exporter.stored(2, CLIENT, first.clone(), json!({})).await;
    let service = trace.tops()[0];
    assert_eq!((&service["name"], &service["type"], &service["http"]), (&json!("cart"), &Value::Null, &Value::Null));
    let call = trace.children(service["id"].as_str().unwrap()).next().unwrap();
    assert_eq!(
        (&call["name"], &call["type"], &call["namespace"]),
        (&json!("payments"), &json!("subsegment"), &json!("remote"))
    );
    assert_eq!((&service["fault"], &call["fault"]), (&json!(true), &json!(true)));
    exporter.only(SERVER, first, json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_integer_status_decides_the_flags_and_a_code_that_tells_nothing_leaves_it_to_the_spans_status() {
    let exporter = Exporter::start().await;
    for (code, expected) in [
        (json!(200), vec!["fault"]),
        (json!(404), vec!["error"]),
        (json!(429), vec!["error", "throttle"]),
        (json!(599), vec!["fault"]),
        (json!(600), vec!["fault"]),
        (json!("404"), vec!["fault"]),
    ] {
        let failed = json!({ "parentSpanId": PARENT, "status": { "code": 2, "message": "UF refused" } });
        let document = exporter.only(SERVER, json!({ "http.response.status_code": code }), failed).await;
        assert_eq!(flags(&document), expected, "{code}");
        assert_eq!(document["cause"]["exceptions"][0]["message"], "UF refused");
    }
    assert_eq!(flags(&exporter.server(json!({})).await), Vec::<&str>::new());
    assert_eq!(flags(&exporter.server(json!({ "http.response.status_code": 404 })).await), ["error"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_clients_and_annotations_are_shown_as_spans_give_them() {
    let exporter = Exporter::start().await;
    for (more, expected) in [
        (json!({}), "https://shop.example/cart"),
        (json!({ "server.port": 443 }), "https://shop.example/cart"),
        (json!({ "server.port": 8443 }), "https://shop.example:8443/cart"),
        (json!({ "url.query": "a=b" }), "https://shop.example/cart?a=b"),
    ] {
        let mut all = json!({ "server.address": "shop.example", "url.scheme": "https", "url.path": "/cart" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(exporter.server(all).await["http"]["request"]["url"], expected);
    }
    let given = exporter.client(json!({ "url.full": "http://bank/pay", "network.peer.port": 1 })).await;
    assert_eq!(given["http"]["request"]["url"], "http://bank/pay");

    for (address, shown) in [("203.0.113.7", true), ("2001:db8::1", true), ("203.0.113.7:80", false), ("client", false)]
    {
        let document =
            exporter.server(json!({ "client.address": address, "http.request.method": "GET" })).await["http"].clone();
        assert_eq!(document["request"]["client_ip"].is_string(), shown, "{address}");
        assert_eq!(document["request"]["x_forwarded_for"] == true, shown, "no peer is known");
    }

    let document = exporter
        .server(json!({
            "error.type": "503", "rpc.status_code": 3, "b-c.d": true, "e": "metadata", "list": ["x"],
            "http.request.method": "GET", "aws.xray.annotations": ["b-c.d", "list", "http.request.method", "absent"],
        }))
        .await;
    assert_eq!(
        document["annotations"],
        json!({ "error.type": "503", "rpc.status_code": 3, "b_c.d": true }),
        "by config.yaml and by the span; never what http has taken, nor a list"
    );
    let metadata = &document["metadata"]["default"];
    assert_eq!((&metadata["e"], &metadata["otel.resource.service.name"]), (&json!("metadata"), &json!("cart")));
}
