//! `examples/node`, an application with OpenTelemetry's SDK for Node, behind a real Envoy: what the filter does for an SDK that knows
//! nothing of it does not depend on Python. Run seldom: `cargo xtask test --only node`.

#[path = "../applications/application.rs"]
#[allow(dead_code, reason = "the stories in Python use the rest")]
mod application;
#[path = "../applications/late.rs"]
mod late;
#[path = "../end_to_end/mesh.rs"]
#[allow(dead_code, reason = "its pod, in front of an upstream that is no application, is of the other stories")]
mod mesh;
#[path = "../applications/peer.rs"]
#[allow(dead_code, reason = "the stories in Python use the rest")]
mod peer;
#[path = "../applications/scene.rs"]
#[allow(dead_code, reason = "the stories in Python use the rest")]
mod scene;
#[path = "../applications/trace.rs"]
#[allow(dead_code, reason = "the stories in Python use the rest")]
mod trace;

use application::{EXPORT_DELAY_MS, Service};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use scene::{Contract, Setup};
use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Names the folder with the packages of `examples/node/package-lock.json`.
const PACKAGES: &str = "TRACELIFT_NODE_PACKAGES";

const NODE: Service = Service { name: "Node", command: node };

fn node(collector: SocketAddr) -> Command {
    let packages = env::var_os(PACKAGES).filter(|path| !path.is_empty()).unwrap_or_else(|| {
        panic!("{PACKAGES} is not set. It names a folder made by `npm ci` in examples/node; `cargo xtask test --only node` sets it")
    });
    let mut command = Command::new("node");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/node/reviews.js"))
        .env("NODE_PATH", packages)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", EXPORT_DELAY_MS.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_call_of_the_sdk_for_node_that_dropped_its_span_hangs_below_the_request() {
    let scene = Setup::new(NODE, Contract::None).start().await;
    let (well, reply) = scene.get("/reviews/7").await;
    assert_eq!(reply.status, 200);
    late::hangs_below_the_request(&scene).await;
    scene.settle(5).await;
    assert_eq!((scene.proxies.trace(&well), scene.sdk.spans()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn what_the_head_samples_has_the_spans_of_the_sdk_for_node_between_ours() {
    let scene = Setup::new(NODE, Contract::None).ratio(1.0).start().await;
    let (trace_id, reply) = scene.get("/reviews/503").await;
    assert_eq!(reply.status, 200);
    let trace = scene.whole(&trace_id, 5, &["SERVER", "GET"]).await;
    let way =
        ["ratings SERVER", "reviews CLIENT", "GET", "SERVER", "reviews SERVER", "gateway CLIENT", "gateway SERVER"];
    assert_eq!(trace.way_up(trace.proxy("ratings", SpanKind::Server)), way, "{trace}");
    assert_eq!(trace.proxy("reviews", SpanKind::Client).text(late::UNRECORDED), None);
    scene.settle(5).await;
}
