//! Requests of many kinds, and what should be counted of them.

use axum::http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::task::JoinSet;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Client, Random, Request};

use crate::mesh::{Pod, SOON};
use crate::points::Cells;

/// Requests by label sets without `error.type`, which is judged by the code under test.
pub type Truth = BTreeMap<String, u64>;

/// Connections, enough for both workers to have some.
const LANES: usize = 16;
/// `PURGE` is one that conventions do not know.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PURGE"];
/// Templates with the end of a path that they match, behind `/status/<code>`.
const ROUTES: [(Option<&str>, &str); 3] = [
    (Some("/status/{code}"), ""),
    (Some("/status/{code}/orders/{id}"), "/orders/{number}"),
    (None, "/other/{number}/things"),
];
const STATUSES: [u16; 7] = [200, 204, 304, 404, 429, 500, 503];
/// Milliseconds that an answer takes.
const DELAYS: [u64; 4] = [2, 12, 60, 180];
/// Paths of gRPC calls, with the method and the status that should be counted.
const CALLS: [(&str, &str, &str); 5] = [
    ("/answer.Trailers/Status0", "answer.Trailers/Status0", "OK"),
    ("/answer.Trailers/Status5", "answer.Trailers/Status5", "NOT_FOUND"),
    ("/answer.Trailers/Status14", "answer.Trailers/Status14", "UNAVAILABLE"),
    ("/answer.TrailersOnly/Status0", "answer.TrailersOnly/Status0", "OK"),
    ("/answer.TrailersOnly/Status12", "_OTHER", "UNIMPLEMENTED"),
];
/// Paths that have no good answer, with the status that the client gets.
const BROKEN: [(&str, u16); 3] = [("/close", 503), ("/break", 200), ("/refused", 503)];

/// The filter's `metrics` for these requests.
pub fn metrics(histogram: &str, temporality: &str) -> Value {
    let routes: Vec<_> = ROUTES.iter().filter_map(|(template, _)| *template).chain(["/delay/{ms}"]).collect();
    json!({ "enabled": true, "interval_ms": 1000, "histogram": histogram, "temporality": temporality, "routes": routes })
}

/// Has `/refused` lead to a port where nothing listens.
pub fn refuse(bootstrap: &mut Bootstrap, refusing: &RefusingPort) {
    bootstrap.copy_cluster("application", "refusing", &[refusing.address()]).unwrap();
    bootstrap.add_route("inbound", "/refused", json!({ "route": { "cluster": "refusing" } })).unwrap();
}

/// A request of the kind of that number, and its cell.
fn request(entry: SocketAddr, number: usize) -> (Request, String) {
    let statuses = METHODS.len() * ROUTES.len() * STATUSES.len();
    let kind = number % (statuses + DELAYS.len() + CALLS.len() + BROKEN.len());
    if let Some((path, method, status)) = kind.checked_sub(statuses + DELAYS.len()).and_then(|kind| CALLS.get(kind)) {
        let cell = format!("rpc.method={method},rpc.status_code={status},rpc.system.name=grpc");
        return (Request::grpc(entry, path, b""), cell);
    }
    let (method, path, status, route) = if kind < statuses {
        let (status, kind) = (STATUSES[kind % STATUSES.len()], kind / STATUSES.len());
        let (route, end) = ROUTES[kind % ROUTES.len()];
        let end = end.replace("{number}", &number.to_string());
        (METHODS[kind / ROUTES.len()], format!("/status/{status}{end}?page={number}"), status, route)
    } else if let Some(delay) = DELAYS.get(kind - statuses) {
        ("GET", format!("/delay/{delay}"), 200, Some("/delay/{ms}"))
    } else {
        let (path, status) = BROKEN[kind - statuses - DELAYS.len() - CALLS.len()];
        ("GET", path.to_owned(), status, None)
    };
    let route = route.map(|route| format!("http.route={route},")).unwrap_or_default();
    let known = if method == "PURGE" { "_OTHER" } else { method };
    let cell = format!("http.request.method={known},http.response.status_code={status},{route}url.scheme=http");
    let request = Request::get(entry, &path).method(Method::from_bytes(method.as_bytes()).unwrap());
    (request, cell)
}

/// Sends `count` requests of all kinds over both workers, and has some clients leave before their answers. Trace-ids are those of the
/// seed: which traces a ratio keeps is the same in every run.
pub async fn send(pod: &Pod, count: usize, seed: u64) -> Truth {
    let (mut random, mut truth, mut lanes) = (Random(seed), Truth::new(), JoinSet::new());
    let mut all: Vec<Vec<Request>> = vec![Vec::new(); LANES];
    for number in 0..count {
        let (request, cell) = request(pod.entry(), number);
        *truth.entry(cell).or_default() += 1;
        all[number % LANES].push(request.header("traceparent", traceparent(&mut random)));
    }
    for requests in all {
        lanes.spawn(async move {
            let client = Client::new();
            for request in requests {
                client.send(request).await.expect("an answer, of Envoy's own if need be");
            }
        });
    }
    let answered = lanes.join_all().await.len();
    assert_eq!(answered, LANES);
    truth
}

/// Sends requests whose clients leave as soon as the upstream has them.
pub async fn leave(pod: &Pod, count: usize, seed: u64) -> Truth {
    let (mut random, mut held) = (Random(seed), Vec::new());
    let before = pod.upstream.arrivals().len();
    for _ in 0..count {
        let request = Request::get(pod.entry(), "/silence").header("traceparent", traceparent(&mut random));
        held.push(pod.client.send_and_hold(request).await.unwrap());
    }
    assert!(pod.upstream.wait_for(before + count, SOON).await, "the upstream has all of them");
    Truth::from([("http.request.method=GET,url.scheme=http".to_owned(), count as u64)])
}

fn traceparent(random: &mut Random) -> String {
    format!("00-{:016x}{:016x}-{:016x}-02", random.next() | 1, random.next(), random.next() | 1)
}

/// One after the other.
pub fn sum(parts: impl IntoIterator<Item = Truth>) -> Truth {
    let mut all = Truth::new();
    for (cell, count) in parts.into_iter().flatten() {
        *all.entry(cell).or_default() += count;
    }
    all
}

/// What was measured, as the requests that were sent are known.
pub fn without_errors(cells: &Cells) -> Truth {
    sum(cells.iter().map(|(cell, point)| {
        let parts: Vec<_> = cell.split(',').filter(|part| !part.starts_with("error.type=")).collect();
        Truth::from([(parts.join(","), point.count)])
    }))
}
