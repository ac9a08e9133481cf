//! Whoever lies: outsiders that fail, requests that look like recalls, and what was overheard. Each beside its honest twin.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracelift::trace_context::TraceId;
use tracelift::upgrade::recall::wire;
use tracelift_envoy::process::module;
use tracelift_envoy::upstream::Arrival;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Launch, Reply, Request, Shipped, Upstream};

use crate::stage::{SOON, bootstrap, inbound, launch, until};

const TOKEN: &str = "the-secret-of-the-whole-mesh";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CERTIFICATE: &str = include_str!("files/test-certificate.pem");
const KEY: &str = include_str!("files/test-key.pem");

/// Samples nothing by itself, and recalls.
fn recalling(collector: &Collector, upstream: &Upstream, service: &str) -> Bootstrap {
    let mut bootstrap = bootstrap(collector, upstream);
    bootstrap
        .plugin(|json| {
            json["service_name"] = service.into();
            json["sampling"]["ratio"] = 0.into();
            json["upgrade"] = json!({ "traces_per_second": 1000 });
        })
        .unwrap();
    bootstrap.recall(TOKEN).unwrap();
    bootstrap
}

/// `web`, whose application calls `stock`, a pod with the filter, and an interface of strangers, which fails.
struct Scene {
    web: Envoy,
    stock: Envoy,
    collector: Collector,
    stranger: Upstream,
    application: Upstream,
}

impl Scene {
    /// With a change to each of the two Envoys.
    async fn start(change_web: impl FnOnce(&mut Bootstrap), change_stock: impl FnOnce(&mut Bootstrap)) -> Self {
        let collector = Collector::start().await.unwrap();
        let (stranger, application) = (Upstream::start().await.unwrap(), Upstream::start().await.unwrap());
        let mut stock = recalling(&collector, &application, "stock");
        change_stock(&mut stock);
        let stock = launch(&stock).await;
        let mut web = recalling(&collector, &stranger, "web");
        web.add_outbound("stock", inbound(&stock)).unwrap();
        change_web(&mut web);
        let web = launch(&web).await;
        Self { web, stock, collector, stranger, application }
    }

    /// The application's calls in one dropped trace: one that goes well, then one to strangers, who fail.
    async fn call_both(&self) {
        let outbound = self.web.address("outbound").unwrap();
        for (host, path, status) in [("stock", "/items", 200), ("payments", "/status/500", 500)] {
            let call = Request::get(outbound, path).host(host).header("traceparent", unsampled());
            assert_eq!(Client::new().send(call).await.unwrap().status, status, "{}", self.web.log());
        }
    }

    /// Nobody but a pod of the mesh was asked for anything, and nobody at all has read the secret.
    fn assert_nothing_was_told(&self) {
        let [strangers, applications] = [&self.stranger, &self.application].map(Upstream::arrivals);
        assert_eq!(strangers.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["/status/500"]);
        for arrival in strangers.iter().chain(&applications) {
            assert!(!arrival.path.contains("tracelift") && !holds_secret(arrival), "{arrival:?}");
            assert_eq!(arrival.text("x-tracelift-mac"), "");
        }
    }
}

fn holds_secret(arrival: &Arrival) -> bool {
    let secret = TOKEN.as_bytes();
    arrival.headers.values().any(|value| value.as_bytes().windows(secret.len()).any(|part| part == secret))
}

fn unsampled() -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-02")
}

/// A recall as an instance sends it, `ago` before now.
fn recall(address: SocketAddr, to: SocketAddr, token: &str, ago: Duration) -> Request {
    let now = (SystemTime::now() - ago).duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let trace = TraceId::parse(TRACE.as_bytes()).unwrap();
    let headers = wire::request(&to.to_string(), token, &[trace], now);
    let named = headers.iter().filter(|(name, _)| !name.starts_with(':'));
    named.fold(Request::get(address, wire::PATH).host(&to.to_string()), |request, (name, value)| {
        request.header(name, value)
    })
}

async fn send(request: Request) -> Reply {
    Client::new().send(request).await.unwrap()
}

/// A pod that holds one dropped span of the trace.
async fn holding(collector: &Collector, application: &Upstream) -> Envoy {
    let pod = launch(&recalling(collector, application, "stock")).await;
    assert_eq!(send(Request::get(inbound(&pod), "/items").header("traceparent", unsampled())).await.status, 200);
    until(&pod, "a span is held", |stats| stats.tracelift("recall.spans") == 1).await;
    pod
}

#[tokio::test]
async fn an_interface_of_strangers_that_fails_gets_no_recall_and_a_pod_that_showed_the_filter_does() {
    let scene = Scene::start(|_| {}, |_| {}).await;
    scene.call_both().await;
    let done = until(&scene.web, "stock was asked", |stats| stats.tracelift("recall.calls.answered") == 1).await;
    assert_eq!(["withheld", "requests.sent"].map(|name| done.tracelift(&format!("recall.{name}"))), [1, 1]);
    let spans = scene.collector.wait_for_spans(3, SOON).await.unwrap();
    let mut told: Vec<_> =
        spans.iter().map(|span| (span.service_name(), span.trigger(), span.int("tracelift.calls.lost"))).collect();
    told.sort_unstable();
    let expected =
        [("stock", Some("recall"), None), ("web", Some("http_status"), Some(1)), ("web", Some("recall"), Some(0))];
    assert_eq!(told, expected);
    scene.assert_nothing_was_told();
}

#[tokio::test]
async fn a_call_over_tls_is_asked_about_over_tls_or_not_at_all() {
    let accepts_tls = |bootstrap: &mut Bootstrap| {
        let inline = |text: &str| json!({ "inline_string": text });
        bootstrap.listener("inbound").unwrap()["filter_chains"][0]["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": { "tls_certificates": [
                    { "certificate_chain": inline(CERTIFICATE), "private_key": inline(KEY) }
                ] },
            },
        });
    };
    let tls = || -> Value {
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            },
        })
    };
    for has_tls_cluster in [false, true] {
        let calls_over_tls = |bootstrap: &mut Bootstrap| {
            bootstrap.cluster("stock").unwrap()["transport_socket"] = tls();
            if has_tls_cluster {
                bootstrap.recall_over("tracelift_recall_tls", tls()).unwrap();
            }
        };
        let scene = Scene::start(calls_over_tls, accepts_tls).await;
        scene.call_both().await;
        let counted = if has_tls_cluster { ("recall.calls.answered", 1) } else { ("recall.withheld", 2) };
        let done = until(&scene.web, "asked, or withheld", |stats| stats.tracelift(counted.0) == counted.1).await;
        assert_eq!(done.tracelift("recall.requests.sent"), u64::from(has_tls_cluster));
        let answered = if has_tls_cluster { 1 } else { 0 };
        until(&scene.stock, "answered", |stats| stats.tracelift("recall.requests.answered") == answered).await;
        scene.assert_nothing_was_told();
    }
}

#[tokio::test]
async fn what_was_overheard_or_made_up_is_denied_and_an_honest_recall_is_answered() {
    let (collector, application) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let pod = holding(&collector, &application).await;
    let other = launch(&recalling(&collector, &application, "other")).await;
    let (here, there, now) = (inbound(&pod), inbound(&other), Duration::ZERO);
    for (what, request, status) in [
        ("a guess", recall(here, here, "a-guess-of-a-stranger", now), 403),
        ("a recall of another instance, sent on to this one", recall(here, there, TOKEN, now), 403),
        ("one of two minutes ago", recall(here, here, TOKEN, Duration::from_secs(120)), 403),
        ("a version that nobody speaks", recall(here, here, TOKEN, now).header("traceparent", "x"), 400),
        ("an honest one, late by half a minute", recall(here, here, TOKEN, Duration::from_secs(30)), 200),
    ] {
        let answer = send(request).await;
        assert_eq!((answer.status, answer.header("x-tracelift-recall")), (status, Some("2")), "{what}");
    }
    let spans = collector.wait_for_spans(1, SOON).await.unwrap();
    assert_eq!(spans.iter().map(|span| span.trigger()).collect::<Vec<_>>(), [Some("recall")]);
    assert_eq!(application.arrivals().len(), 1, "no application saw one");
}

#[tokio::test]
async fn a_recall_from_outside_through_a_gateway_without_the_filter_is_any_other_request() {
    let (collector, application) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let pod = holding(&collector, &application).await;
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    let gateway = |change: &dyn Fn(&mut Bootstrap)| {
        let mut gateway = Bootstrap::shipped(Shipped::Gateway, &module).unwrap();
        gateway.endpoints("otel_collector", &[collector.address()]).unwrap();
        gateway.endpoints("frontend", &[inbound(&pod)]).unwrap();
        change(&mut gateway);
        gateway
    };
    let b3 = |bootstrap: &mut Bootstrap| {
        bootstrap
            .plugin(|json| {
                json["propagators"] = json!(["b3"]);
                json["sampling"]["ratio"] = 0.into();
            })
            .unwrap();
    };
    for (what, gateway, outside) in [
        ("without the filter", gateway(&Bootstrap::without_plugin), 1),
        ("with propagators that do not read the mark", gateway(&b3), 0),
    ] {
        let gateway = launch(&gateway).await;
        application.forget();
        let before = pod.admin().stats().await.unwrap().tracelift("recall.requests.outside");
        // Even with a MAC that is right for the pod behind it.
        send(recall(gateway.address("edge").unwrap(), inbound(&pod), TOKEN, Duration::ZERO)).await;
        let arrivals = application.arrivals();
        assert_eq!(arrivals.len(), 1, "{what}: the application answers it as it does any request");
        let names: Vec<_> = arrivals[0].headers.keys().map(|name| name.as_str()).collect();
        assert!(names.iter().all(|name| !name.starts_with("x-tracelift-")), "{what}: {names:?}");
        assert!(!arrivals[0].text("traceparent").starts_with("ff-"), "{what}");
        let counted = until(&pod, "counted", |stats| {
            stats.tracelift("recall.requests.outside") == before + outside
                && stats.tracelift("recall.requests.answered") == 0
        });
        counted.await;
    }
    let direct = send(recall(inbound(&pod), inbound(&pod), TOKEN, Duration::ZERO)).await;
    assert_eq!(direct.status, 200, "the honest twin");
}

#[tokio::test]
async fn a_secret_of_the_environment_is_in_no_configuration_dump() {
    let (collector, application) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut secretive = recalling(&collector, &application, "stock");
    secretive
        .plugin(|json| {
            json["upgrade"]["recall"].as_object_mut().unwrap().remove("token");
        })
        .unwrap();
    secretive.host_environment("TRACELIFT_RECALL_TOKEN");
    let launch = Launch::new().unwrap_or_else(|error| panic!("{error}")).workers(2);
    let pod = launch.environment("TRACELIFT_RECALL_TOKEN", TOKEN).start(&secretive).await.unwrap();
    let here = inbound(&pod);
    assert_eq!(send(recall(here, here, TOKEN, Duration::ZERO)).await.status, 200);
    assert_eq!(send(recall(here, here, "a-guess-of-a-stranger", Duration::ZERO)).await.status, 403);
    assert!(!pod.admin().config_dump().await.unwrap().to_string().contains(TOKEN));
    assert!(!pod.log().contains(TOKEN));
}
