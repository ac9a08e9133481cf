//! An upgrade on its way through real Envoys: two workers each, an application in the middle that swallows the failure.

use crate::mesh::{SOON, settings, settle, shipped, start, traceparent};
use axum::http::HeaderMap;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Request, Shipped, Upstream};

/// The hops of a failed request: gateway SERVER and CLIENT, web inbound and outbound, cart inbound.
const HOPS: usize = 5;

/// Answers 200 whatever its callee says, as a page without the failed part would.
async fn swallowing_application(outbound: &'static OnceLock<SocketAddr>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new();
    let answer = move |headers: HeaderMap| {
        let client = client.clone();
        async move {
            let mut call = Request::get(*outbound.get().unwrap(), "/status/500").host("payments");
            for name in ["traceparent", "tracestate"] {
                if let Some(value) = headers.get(name) {
                    call = call.header(name, value.as_bytes());
                }
            }
            assert_eq!(client.send(call).await.unwrap().status, 500);
            ([("server-timing", "db;dur=53")], "a page without the failed part")
        }
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Records nothing by itself, and every failure.
fn of_service<'a>(name: &'a str) -> impl FnOnce(&mut Bootstrap) + 'a {
    move |bootstrap| {
        settings(bootstrap, |json| {
            json["service_name"] = name.into();
            json["sampling"]["ratio"] = 0.into();
            json["upgrade"]["traces_per_second"] = 10_000.into();
        });
    }
}

async fn sidecar(name: &str, collector: &Collector, application: SocketAddr, payments: SocketAddr) -> Envoy {
    let mut bootstrap = shipped(Shipped::Sidecar, collector);
    of_service(name)(&mut bootstrap);
    bootstrap.endpoints("application", &[application]).unwrap();
    bootstrap.endpoints("payments", &[payments]).unwrap();
    start(&bootstrap).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hop_above_a_swallowed_failure_is_kept_and_nobody_outside_is_told() {
    static OUTBOUND: OnceLock<SocketAddr> = OnceLock::new();
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let cart = sidecar("cart", &collector, upstream.address(), upstream.address()).await;
    let application = swallowing_application(&OUTBOUND).await;
    let web = sidecar("web", &collector, application, cart.address("inbound").unwrap()).await;
    OUTBOUND.set(web.address("outbound").unwrap()).unwrap();
    let mut bootstrap = shipped(Shipped::Gateway, &collector);
    of_service("gateway")(&mut bootstrap);
    bootstrap.endpoints("frontend", &[web.address("inbound").unwrap()]).unwrap();
    let gateway = start(&bootstrap).await;

    // Several clients, so that several connections and both workers have a part in it.
    let entry = gateway.address("edge").unwrap();
    let clients: Vec<_> = (0..4_u32)
        .map(|client| {
            tokio::spawn(async move {
                let sender = Client::new();
                for number in 0..25 {
                    let context = traceparent((1 + client * 25 + number).into(), false);
                    let request = Request::get(entry, "/cart").header("traceparent", context);
                    let reply = sender.send(request).await.unwrap();
                    assert_eq!(reply.status, 200);
                    assert_eq!(
                        (reply.header("traceresponse"), reply.header("server-timing")),
                        (None, Some("db;dur=53"))
                    );
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }

    let spans = collector.wait_for_spans(100 * HOPS, SOON).await.unwrap();
    let traces: HashSet<_> = spans.iter().map(|span| span.trace_id()).collect();
    assert_eq!(traces.len(), 100);
    for trace in traces {
        let hops = collector.trace(&trace);
        assert_eq!(hops.len(), HOPS, "trace {trace}");
        let ids: HashSet<_> = hops.iter().map(|hop| hop.span_id()).collect();
        let tops = hops.iter().filter(|hop| !ids.contains(&hop.parent_span_id())).count();
        assert_eq!(tops, 1, "every hop of {trace} but the first hangs below another");
        let told = hops.iter().filter(|hop| hop.trigger() == Some("signal")).count();
        assert_eq!(told, 3, "both of the gateway's and web's inbound hop saw no failure themselves");
    }
    settle(&[&gateway, &web, &cart], &collector, 100 * HOPS, 0).await;
}
