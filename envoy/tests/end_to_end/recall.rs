//! Recall between real Envoys: gateway -> `web` -> an application that calls `stock` and `payments`, each behind a sidecar.
//! Two workers in each Envoy, ratio 0.

use crate::mesh::{SOON, settings, settle, shipped, start};
use axum::Router;
use axum::extract::Request as Served;
use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind::{Client as CLIENT, Server as SERVER};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::task::{JoinHandle, JoinSet};
use tracelift_envoy::{Client, Collector, Envoy, ReceivedSpan, Reply, Request, Shipped, Upstream, ports};

const TOKEN: &str = "0123456789abcdef";
/// The gateway's two spans, `web` called and calling twice, `stock` and `payments`.
const WHOLE: usize = 7;

struct Tree {
    envoys: [Envoy; 4],
    collector: Collector,
    upstream: Upstream,
    application: JoinHandle<()>,
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.application.abort();
    }
}

impl Tree {
    /// `stock_token` is what the sidecar of `stock` knows as the mesh's secret.
    async fn start(stock_token: &str) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let bootstrap = |which, service: &str, token: &str| {
            let mut bootstrap = shipped(which, &collector);
            settings(&mut bootstrap, |json| {
                json["service_name"] = service.into();
                json["sampling"]["ratio"] = 0.into();
                json["upgrade"] = json!({ "traces_per_second": 1000 });
            });
            bootstrap.recall(token).unwrap();
            bootstrap
        };
        let leaf = async |service: &str, token: &str| {
            let mut leaf = bootstrap(Shipped::Sidecar, service, token);
            leaf.endpoints("application", &[upstream.address()]).unwrap();
            start(&leaf).await
        };
        let (stock, payments) = (leaf("stock", stock_token).await, leaf("payments", TOKEN).await);

        let listener = ports::listen(ports::any_loopback()).unwrap();
        let mut web = bootstrap(Shipped::Sidecar, "web", TOKEN);
        web.endpoints("application", &[listener.local_addr().unwrap()]).unwrap();
        web.endpoints("payments", &[payments.address("inbound").unwrap()]).unwrap();
        web.add_outbound("stock", stock.address("inbound").unwrap()).unwrap();
        let web = start(&web).await;
        let outbound = web.address("outbound").unwrap();
        let router = Router::new().fallback(move |request: Served| serve(outbound, request));
        let application = tokio::spawn(async move { axum::serve(listener, router).await.expect("a listener") });

        let mut gateway = bootstrap(Shipped::Gateway, "gateway", TOKEN);
        gateway.endpoints("frontend", &[web.address("inbound").unwrap()]).unwrap();
        let gateway = start(&gateway).await;
        Self { envoys: [gateway, web, stock, payments], collector, upstream, application }
    }

    async fn enter(&self, client: &Client, path: &str) -> Reply {
        client.send(Request::get(self.envoys[0].address("edge").unwrap(), path)).await.unwrap()
    }

    async fn settle(&self, exported: usize) {
        let [gateway, web, stock, payments] = &self.envoys;
        settle(&[gateway, web, stock, payments], &self.collector, exported, 0).await;
    }

    async fn counter(&self, name: &str) -> u64 {
        let mut sum = 0;
        for envoy in &self.envoys {
            sum += envoy.admin().stats().await.unwrap().tracelift(name);
        }
        sum
    }
}

/// Asks `stock`, which is well, then `payments` for this path; shows a page whatever they say.
async fn serve(outbound: SocketAddr, request: Served) -> StatusCode {
    for (host, path) in [("stock", "/items"), ("payments", request.uri().path())] {
        let mut call = Request::get(outbound, path).host(host);
        for name in ["traceparent", "tracestate"] {
            if let Some(value) = request.headers().get(name) {
                call = call.header(name, value);
            }
        }
        // A client without a pool: every call is a connection of its own, on whatever worker.
        let _ = Client::new().send(call).await;
    }
    StatusCode::OK
}

fn assert_whole(spans: &[ReceivedSpan]) {
    let ids: BTreeSet<_> = spans.iter().map(ReceivedSpan::span_id).collect();
    let roots = spans.iter().filter(|span| !ids.contains(&span.parent_span_id())).count();
    assert_eq!((spans.len(), roots), (WHOLE, 1), "{spans:#?}");
    let stock: Vec<_> = spans.iter().filter(|span| span.service_name() == "stock").collect();
    assert_eq!((stock.len(), stock[0].kind(), stock[0].trigger()), (1, SERVER, Some("recall")));
    for call in spans.iter().filter(|span| span.kind() == CLIENT) {
        let ledger = ["made", "answered", "outside", "lost"].map(|name| call.int(&format!("tracelift.calls.{name}")));
        assert_eq!(ledger, [1, 1, 0, 0].map(Some), "{call:#?}");
    }
}

#[tokio::test]
async fn siblings_that_had_answered_well_are_complete_for_every_failed_trace() {
    let tree = Tree::start(TOKEN).await;
    let edge = tree.envoys[0].address("edge").unwrap();
    let mut storm = JoinSet::new();
    for _ in 0..5 {
        storm.spawn(async move {
            let client = Client::new();
            for number in 0..20 {
                let path = if number % 4 == 0 { "/status/500" } else { "/fine" };
                assert_eq!(client.send(Request::get(edge, path)).await.unwrap().status, 200);
            }
        });
    }
    storm.join_all().await;
    tree.settle(25 * WHOLE).await;
    let failed: BTreeSet<_> = tree
        .upstream
        .arrivals()
        .iter()
        .filter(|arrival| arrival.path == "/status/500")
        .map(|arrival| arrival.text("traceparent")[3..35].to_owned())
        .collect();
    assert_eq!(failed.len(), 25);
    for trace in &failed {
        assert_whole(&tree.collector.trace(trace));
    }
    assert!(
        tree.upstream.arrivals().iter().all(|arrival| !arrival.path.contains("tracelift")),
        "no application saw one"
    );
    assert_eq!(tree.counter("recall.calls.lost").await, 0);
    assert!(0 < tree.counter("recall.requests.answered").await);
}

#[tokio::test]
async fn an_instance_that_does_not_trust_us_keeps_what_it_has_and_the_span_says_so() {
    let tree = Tree::start("another-secret-of-the-mesh").await;
    tree.enter(&Client::new(), "/status/500").await;
    tree.settle(WHOLE - 1).await;
    let lost = |spans: &[ReceivedSpan]| {
        spans.iter().filter(|span| span.int("tracelift.calls.lost") == Some(1)).count().checked_sub(1)
    };
    assert_eq!(tree.collector.wait_for(SOON, lost).await.unwrap(), 0);
    assert_eq!((tree.counter("recall.requests.denied").await, tree.counter("recall.requests.sent").await), (1, 1));
}
