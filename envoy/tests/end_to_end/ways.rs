//! Envoy's own ways to end a request that is no failure: at ratio 0 none of them is kept, and none spends the budget.

use crate::mesh::{Pod, SOON, settings, traceparent};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracelift_envoy::{Bootstrap, Client, Request};

/// A filter in front of all others of the listener `inbound`.
fn in_front(bootstrap: &mut Bootstrap, name: &str, kind: &str, config: Value) {
    let mut typed = json!({ "@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}") });
    typed.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let filters = bootstrap.connection_manager("inbound").unwrap()["http_filters"].as_array_mut().unwrap();
    filters.insert(0, json!({ "name": name, "typed_config": typed }));
}

/// One trace a second may be upgraded: whatever spends it is seen by the failure after it.
fn one_a_second(bootstrap: &mut Bootstrap) {
    settings(bootstrap, |json| {
        json["sampling"] = json!({ "ratio": 0 });
        json["upgrade"] = json!({ "traces_per_second": 1 });
    });
}

/// Refuses `/forbidden`, answers `/ready`, limits `/limited`, answers preflights.
fn with_filters_in_front(bootstrap: &mut Bootstrap) {
    one_a_second(bootstrap);
    let path = |path: &str| json!({ "name": ":path", "string_match": { "prefix": path } });
    let forbidden = json!({
        "rules": { "action": "DENY", "policies": { "forbidden": {
            "permissions": [{ "header": path("/forbidden") }], "principals": [{ "any": true }],
        }}},
    });
    in_front(bootstrap, "envoy.filters.http.rbac", "rbac.v3.RBAC", forbidden);
    let ready = json!({ "pass_through_mode": false, "headers": [path("/ready")] });
    in_front(bootstrap, "envoy.filters.http.health_check", "health_check.v3.HealthCheck", ready);
    in_front(bootstrap, "envoy.filters.http.cors", "cors.v3.Cors", json!({}));
    let unlimited = json!({ "stat_prefix": "limits" });
    in_front(bootstrap, "envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", unlimited);
    let per_route = json!({ "envoy.filters.http.local_ratelimit": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limits",
        "token_bucket": { "max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s" },
        "filter_enabled": { "default_value": { "numerator": 100 } },
        "filter_enforced": { "default_value": { "numerator": 100 } },
    }});
    let limited = json!({ "route": { "cluster": "application" }, "typed_per_filter_config": per_route });
    bootstrap.add_route("inbound", "/limited", limited).unwrap();
    let cors = json!({ "envoy.filters.http.cors": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{ "exact": "http://shop.example" }],
        "allow_methods": "GET",
    }});
    let asked = json!({ "route": { "cluster": "application" }, "typed_per_filter_config": cors });
    bootstrap.add_route("inbound", "/asked", asked).unwrap();
}

/// A failure after all that was sent before it shows that nothing of it is merely late, and that no budget was spent.
async fn only_this_is_kept(pod: &Pod, number: u64) {
    let sent = traceparent(number, false);
    assert_eq!(pod.send(Request::get(pod.entry(), "/status/503").header("traceparent", &sent)).await.status, 503);
    assert_eq!(pod.span_of(&sent).await.trigger(), Some("http_status"));
    pod.settle(1).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!((stats.sum("upgrades."), stats.tracelift("upgrades.shed")), (1, 0));
}

#[tokio::test]
async fn an_answer_of_a_filter_in_front_is_kept_for_its_status_alone() {
    let pod = Pod::sidecar(with_filters_in_front).await;
    assert_eq!(pod.get("/limited").await.status, 200, "the one token");
    for (path, status) in [("/forbidden", 403), ("/ready", 200), ("/limited", 429)] {
        for number in 1..=10 {
            let request = Request::get(pod.entry(), path).header("traceparent", traceparent(number, false));
            assert_eq!(pod.send(request).await.status, status, "{path}");
        }
    }
    let preflight = b"OPTIONS /asked HTTP/1.1\r\nhost: cart\r\norigin: http://shop.example\r\n\
        access-control-request-method: GET\r\n\r\n";
    let mut connection = Client::send_bytes(pod.entry(), preflight).await.unwrap();
    assert!(head_of(&mut connection).await.starts_with("HTTP/1.1 200"));
    only_this_is_kept(&pod, 100).await;
}

#[tokio::test]
async fn a_refusal_by_a_filter_in_front_of_a_sampled_request_is_a_span_without_an_error() {
    let pod = Pod::sidecar(with_filters_in_front).await;
    for (number, (path, status)) in (1..).zip([("/forbidden", 403), ("/ready", 200)]) {
        let sent = traceparent(number, true);
        pod.send(Request::get(pod.entry(), path).header("traceparent", &sent)).await;
        let span = pod.span_of(&sent).await;
        assert_eq!((span.int("http.response.status_code"), span.trigger()), (Some(status), None), "{path}");
        assert!(!span.is_error(), "{path}: {:?}", span.span);
        assert_eq!(span.parent_span_id(), "00f067aa0ba902b7", "{path}");
    }
    pod.settle(2).await;
}

/// `/old` is answered with a redirect to `/cart`, which Envoy follows.
fn with_a_redirect(bootstrap: &mut Bootstrap) {
    let policy = json!({ "max_internal_redirects": 1, "redirect_response_codes": [302] });
    let route = json!({ "route": { "cluster": "application", "internal_redirect_policy": policy } });
    bootstrap.add_route("inbound", "/status/302", route).unwrap();
}

fn to_cart(pod: &Pod, sent: &str) -> Request {
    Request::get(pod.entry(), "/status/302")
        .host("cart.example")
        .header("traceparent", sent)
        .header("x-answer-header", "location=http://cart.example/cart")
}

#[tokio::test]
async fn a_redirect_that_envoy_follows_is_no_failure() {
    let pod = Pod::sidecar(|bootstrap| {
        one_a_second(bootstrap);
        with_a_redirect(bootstrap);
    })
    .await;
    for number in 1..=5 {
        assert_eq!(pod.send(to_cart(&pod, &traceparent(number, false))).await.status, 200);
    }
    assert_eq!(pod.upstream.arrivals().len(), 10, "each went to the upstream twice");
    only_this_is_kept(&pod, 100).await;
}

#[tokio::test]
async fn both_requests_of_a_redirect_bear_their_own_paths() {
    for (kind, attribute, expected) in [
        ("server", "url.path", ["/status/302", "/cart"]),
        ("client", "url.full", ["http://cart.example/status/302", "http://cart.example/cart"]),
    ] {
        let pod = Pod::sidecar(|bootstrap| {
            settings(bootstrap, |json| json["span_kind"] = kind.into());
            with_a_redirect(bootstrap);
        })
        .await;
        assert_eq!(pod.send(to_cart(&pod, &traceparent(1, true))).await.status, 200);
        let spans = pod.collector.wait_for_spans(2, SOON).await.unwrap();
        let first = spans.iter().find(|span| span.parent_span_id() == "00f067aa0ba902b7").expect("the caller's child");
        let second = spans.iter().find(|span| span.parent_span_id() == first.span_id()).expect("the redirect's child");
        assert_eq!([first, second].map(|span| span.text(attribute).unwrap_or_default()), expected, "{kind}");
        assert!(!first.is_error() && !second.is_error(), "{:?}", first.span);
        pod.settle(2).await;
    }
}

/// The head of an answer, as text.
async fn head_of(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
    };
    timeout(SOON, read).await.expect("a head in time");
    String::from_utf8_lossy(&head).into_owned()
}

/// Reads until the other side closes.
async fn until_closed(connection: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(SOON, connection.read_to_end(&mut rest)).await.expect("closed in time"); // A reset is a close, too.
}

/// Allows WebSocket and CONNECT, the latter ended here: its bytes go to the cluster as they are.
fn with_tunnels(bootstrap: &mut Bootstrap, sampled: bool, peer: &Peer) {
    one_a_second(bootstrap);
    if sampled {
        settings(bootstrap, |json| json["sampling"]["ratio"] = 1.into());
    }
    bootstrap.copy_cluster("application", "peer", &[peer.address]).unwrap();
    let manager = bootstrap.connection_manager("inbound").unwrap();
    manager["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }, { "upgrade_type": "CONNECT" }]);
    for path in ["/socket", "/events"] {
        bootstrap.add_route("inbound", path, json!({ "route": { "cluster": "peer", "timeout": "0s" } })).unwrap();
    }
    let route = json!({
        "match": { "connect_matcher": {} },
        "route": { "cluster": "peer", "timeout": "0s", "upgrade_configs": [
            { "upgrade_type": "CONNECT", "connect_config": {} },
        ]},
    });
    let manager = bootstrap.connection_manager("inbound").unwrap();
    manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap().insert(0, route);
}

/// An upstream by hand: answers with one head, or nothing to what is no HTTP, and closes when it is told to.
struct Peer {
    address: std::net::SocketAddr,
    close: tokio::sync::watch::Sender<u32>,
    _task: tokio::task::JoinSet<()>,
}

impl Peer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let close = tokio::sync::watch::Sender::new(0);
        let mut task = tokio::task::JoinSet::new();
        let closing = close.clone();
        task.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let closed = closing.subscribe();
                connections.spawn(serve(connection, closed));
            }
        });
        Self { address, close, _task: task }
    }

    fn close(&self) {
        self.close.send_modify(|count| *count += 1);
    }
}

async fn serve(mut connection: TcpStream, mut closed: tokio::sync::watch::Receiver<u32>) {
    let mut read = [0; 4096];
    loop {
        tokio::select! {
            _ = closed.changed() => return,
            count = connection.read(&mut read) => {
                let request = &read[..count.unwrap_or(0)];
                let answer: &[u8] = match request {
                    [] => return,
                    request if request.starts_with(b"GET /socket") => {
                        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello"
                    }
                    request if request.starts_with(b"GET /events") => {
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                          8\r\ndata: 1\n\r\n"
                    }
                    _ => b"hello",
                };
                if connection.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What opens each kind of a lasting exchange, how its answer begins, and what is sent once the answer is there.
const LASTING: [(&str, &str, &str, &str); 3] = [
    (
        "a WebSocket",
        "GET /socket HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "HTTP/1.1 101",
        "",
    ),
    ("a tunnel", "CONNECT cart:443 HTTP/1.1\r\nhost: cart:443\r\n", "HTTP/1.1 200", "bytes"),
    ("server-sent events", "GET /events HTTP/1.1\r\nhost: cart\r\n", "HTTP/1.1 200", ""),
];

/// Opens one, waits until the upstream's first bytes are here, and has one side close it.
async fn open_and_close(pod: &Pod, peer: &Peer, number: u64, upstream_closes: bool) {
    for (place, (name, request, begins, then)) in (0..).zip(LASTING) {
        let sent = traceparent(10 * number + place, false);
        let head = format!("{request}traceparent: {sent}\r\n\r\n");
        let mut connection = Client::send_bytes(pod.entry(), head.as_bytes()).await.unwrap();
        let answer = head_of(&mut connection).await;
        assert!(answer.starts_with(begins), "{name}: {answer}");
        connection.write_all(then.as_bytes()).await.unwrap();
        timeout(SOON, connection.read_u8()).await.expect("in time").expect("a first byte");
        if upstream_closes {
            peer.close();
            until_closed(&mut connection).await;
        }
    }
}

async fn streams_ended(pod: &Pod, count: u64) {
    let ended = |stats: &tracelift_envoy::Stats| {
        let active = stats.get("http.inbound.downstream_rq_active");
        let all = stats.get("http.inbound.downstream_rq_total");
        (active == 0 && count <= all).then_some(())
    };
    pod.envoy.admin().wait_for_stats(SOON, ended).await.unwrap().expect("every stream has ended");
}

#[tokio::test]
async fn a_tunnel_and_a_stream_of_events_end_well_whoever_closes_them() {
    let peer = Peer::start().await;
    let pod = Pod::sidecar(|bootstrap| with_tunnels(bootstrap, false, &peer)).await;
    for number in 1..=6 {
        open_and_close(&pod, &peer, number, number % 2 == 0).await;
    }
    streams_ended(&pod, 18).await;
    only_this_is_kept(&pod, 100).await;
}

#[tokio::test]
async fn a_client_that_cancels_over_http_2_is_no_error() {
    let pod = Pod::sampling(0.0).await;
    let sent = traceparent(1, true);
    let request = Request::get(pod.entry(), "/silence").header("traceparent", &sent).http2();
    let client = pod.client.clone();
    // A request that is dropped while it waits sends RST_STREAM; the connection stays.
    let waiting = tokio::spawn(async move { client.send(request).await });
    assert!(pod.upstream.wait_for(1, SOON).await);
    waiting.abort();
    let span = pod.span_of(&sent).await;
    assert_eq!((span.trigger(), span.text("tracelift.response_flags")), (Some("response_flags"), Some("DR")));
    assert_eq!(span.text("error.type"), Some("client_disconnect"));
    assert!(!span.is_error(), "{:?}", span.span);
    pod.settle(1).await;
}

/// `/shop/…` goes on as `/…`, to another host.
fn rewriting(bootstrap: &mut Bootstrap, kind: &str) {
    settings(bootstrap, |json| json["span_kind"] = kind.into());
    let route = json!({ "route": {
        "cluster": "application", "prefix_rewrite": "/inner", "host_rewrite_literal": "cart.internal",
    }});
    bootstrap.add_route("inbound", "/shop", route).unwrap();
}

#[tokio::test]
async fn what_a_route_rewrote_is_named_as_it_was_asked_for() {
    let pod = Pod::sidecar(|bootstrap| rewriting(bootstrap, "both")).await;
    for (number, forged) in [(1, false), (2, true)] {
        let sent = traceparent(number, true);
        let mut request = Request::get(pod.entry(), "/shop/cart").host("cart.example").header("traceparent", &sent);
        if forged {
            request =
                request.header("x-envoy-original-path", "/fake/cart").header("x-envoy-original-host", "fake.example");
        }
        assert_eq!(pod.send(request).await.status, 200);
        assert_eq!(pod.upstream.last().unwrap().path, "/inner/cart");
        let of_trace = |spans: &[tracelift_envoy::ReceivedSpan]| {
            let of_trace = spans.iter().filter(|span| span.trace_id() == sent[3..35]).cloned();
            Some(of_trace.collect::<Vec<_>>()).filter(|spans| spans.len() == 2)
        };
        let spans = pod.collector.wait_for(SOON, of_trace).await.unwrap();
        let text = |key: &str| spans.iter().find_map(|span| span.text(key)).map(str::to_owned);
        assert_eq!(text("url.path").as_deref(), Some("/shop/cart"), "forged: {forged}");
        assert_eq!(text("url.full").as_deref(), Some("http://cart.internal/inner/cart"), "forged: {forged}");
        let asked = spans.iter().find(|span| span.text("url.path").is_some()).unwrap();
        assert_eq!(asked.text("server.address"), Some("cart.example"), "forged: {forged}");
    }
    // Where nothing is rewritten a header of the client's is not believed.
    let sent = traceparent(3, true);
    let request = Request::get(pod.entry(), "/cart")
        .host("cart.example")
        .header("traceparent", &sent)
        .header("x-envoy-original-path", "/fake")
        .header("x-envoy-original-host", "fake.example");
    pod.send(request).await;
    let spans = pod.collector.wait_for_spans(6, SOON).await.unwrap();
    let asked = spans.iter().find(|span| span.trace_id() == sent[3..35] && span.text("url.path").is_some()).unwrap();
    assert_eq!((asked.text("url.path"), asked.text("server.address")), (Some("/cart"), Some("cart.example")));
    pod.settle(6).await;
}
#[tokio::test]
async fn the_spans_of_tunnels_and_streams_of_events_have_no_error_whoever_closes_them() {
    let peer = Peer::start().await;
    let pod = Pod::sidecar(|bootstrap| {
        with_tunnels(bootstrap, true, &peer);
        settings(bootstrap, |json| json["sampling"]["mode"] = "independent".into());
    })
    .await;
    for upstream_closes in [false, true] {
        open_and_close(&pod, &peer, 1, upstream_closes).await;
    }
    let spans = pod.collector.wait_for_spans(6, SOON).await.unwrap();
    for span in &spans {
        assert_eq!((span.trigger(), span.text("error.type")), (None, None), "{:?}", span.span);
        assert!(!span.is_error(), "{:?}", span.span);
    }
    pod.settle(6).await;
}
