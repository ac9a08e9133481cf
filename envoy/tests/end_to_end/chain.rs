//! client -> gateway -> `cart`'s sidecar -> an application that swallows errors -> the sidecar again -> the sidecar of
//! `payments` -> upstream. Two workers in each Envoy, ratio 0.

use crate::mesh::{settings, settle, shipped, start};
use axum::Router;
use axum::extract::Request as Served;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::task::JoinHandle;
use tracelift_envoy::{Client, Collector, Envoy, Ledger, ReceivedSpan, Reply, Request, Shipped, Upstream, ports};

/// The whole of it.
pub struct Chain {
    pub gateway: Envoy,
    pub cart: Envoy,
    pub payments: Envoy,
    pub collector: Collector,
    /// The application behind `payments`.
    pub upstream: Upstream,
    application: JoinHandle<()>,
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.application.abort();
    }
}

impl Chain {
    /// `change` gets the name of each service, and its filter's settings.
    pub async fn start(change: impl Fn(&str, &mut Value)) -> Self {
        let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
        let bootstrap = |which, service: &str| {
            let mut bootstrap = shipped(which, &collector);
            settings(&mut bootstrap, |json| {
                json["service_name"] = service.into();
                json["sampling"]["ratio"] = 0.into();
                change(service, json);
            });
            bootstrap
        };

        let mut payments = bootstrap(Shipped::Sidecar, "payments");
        payments.endpoints("application", &[upstream.address()]).unwrap();
        let payments = start(&payments).await;

        let listener = ports::listen(ports::any_loopback()).unwrap();
        let mut cart = bootstrap(Shipped::Sidecar, "cart");
        cart.endpoints("application", &[listener.local_addr().unwrap()]).unwrap();
        cart.endpoints("payments", &[payments.address("inbound").unwrap()]).unwrap();
        // So that its statistics can be asked for by name.
        cart.listener("outbound").unwrap()["stat_prefix"] = "outbound".into();
        let cart = start(&cart).await;
        let outbound = cart.address("outbound").unwrap();
        let router = Router::new().fallback(move |request: Served| swallow(outbound, request));
        let application = tokio::spawn(async move { axum::serve(listener, router).await.expect("a listener") });

        let mut gateway = bootstrap(Shipped::Gateway, "gateway");
        gateway.endpoints("frontend", &[cart.address("inbound").unwrap()]).unwrap();
        Self { gateway: start(&gateway).await, cart, payments, collector, upstream, application }
    }

    /// A client's request to the gateway, without a trace. The application calls `payments` with the same path and, if
    /// there is a query `then=<path>`, with that path afterwards.
    pub async fn enter(&self, client: &Client, path: &str) -> Reply {
        let request = Request::get(self.gateway.address("edge").unwrap(), path);
        client.send(request).await.unwrap_or_else(|error| panic!("{error}\n{}", self.gateway.log()))
    }

    /// Closes the books of all three; see [`settle`].
    pub async fn settle(&self, exported: usize) -> Ledger {
        settle(&[&self.gateway, &self.cart, &self.payments], &self.collector, exported, 0).await
    }
}

/// An application that passes its trace on, shows a page whatever its callee says, and times itself.
async fn swallow(outbound: SocketAddr, request: Served) -> impl IntoResponse {
    let uri = request.uri();
    let then = uri.query().and_then(|query| query.strip_prefix("then="));
    for path in [Some(uri.path()), then].into_iter().flatten() {
        // A client without a pool: every call is a connection of its own.
        let _ = Client::new().send(carry(request.headers(), Request::get(outbound, path).host("payments"))).await;
    }
    ([("server-timing", r#"db;dur=53, cache;desc="hit, mostly""#)], "a page without the failed part")
}

fn carry(from: &HeaderMap, request: Request) -> Request {
    ["traceparent", "tracestate"].into_iter().fold(request, |request, name| match from.get(name) {
        Some(value) => request.header(name, value),
        None => request,
    })
}

/// Service, kind and trigger of each span of one trace, from its root to its leaf; why not, if it is no such line.
pub fn lineage(spans: &[ReceivedSpan]) -> Result<Vec<(&str, SpanKind, &str)>, String> {
    let (mut line, mut parent) = (Vec::new(), String::new());
    while line.len() < spans.len() {
        let mut children = spans.iter().filter(|span| span.parent_span_id() == parent);
        let (Some(child), None) = (children.next(), children.next()) else {
            return Err(format!("not one child of {parent:?} after {line:?} in {spans:#?}"));
        };
        line.push((child.service_name(), child.kind(), child.trigger().unwrap_or_default()));
        parent = child.span_id();
    }
    Ok(line)
}
