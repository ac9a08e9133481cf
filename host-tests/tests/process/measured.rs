//! Request metrics of the release module: equal to the request, whatever is sampled and however many workers count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{Envoy, RequestSpec, Response, VmId, measured};

use crate::kit::{COLLECTOR, closed_books, get, process, seconds, started};

const HTTP: &str = "http.server.request.duration";

fn configuration(ratio: f64, metrics: Value, protocol: &str) -> String {
    let mut metrics = metrics;
    metrics["enabled"] = true.into();
    metrics["interval_ms"] = 2000.into();
    json!({
        "service_name": "cart", "span_kind": "server", "sampling": {"ratio": ratio},
        "upgrade": {"traces_per_second": 1_000_000}, "metrics": metrics, "export": {"protocol": protocol},
    })
    .to_string()
}

fn with_workers(configuration: String, workers: usize) -> Envoy {
    started(process(configuration).workers(workers).collector(COLLECTOR, Duration::from_millis(20)))
}

/// Requests over methods, routes, statuses, gRPC and resets, in turn over the workers; what a collector should count.
fn traffic(envoy: &mut Envoy, count: usize, workers: usize) -> BTreeMap<String, u64> {
    let mut expected = BTreeMap::<String, u64>::new();
    for number in 0..count {
        let worker = number % workers;
        let method = ["GET", "POST", "BREW"][number % 3];
        let known = if method == "BREW" { "_OTHER" } else { method };
        let path = ["/users/1", "/users/2?x=1", "/health"][number / 3 % 3];
        let route = if path == "/health" { "" } else { "http.route=/users/{id}," };
        let labels = |error: &str, status: &str| {
            format!("{HTTP}{{{error}http.request.method={known},{status}{route}url.scheme=http}}")
        };
        let head = [(":method", method), (":path", path), (":authority", "cart.example"), (":scheme", "http")];
        let series = match number % 7 {
            0..4 => {
                let code = [200, 404, 503, 204][number % 7];
                envoy.open(RequestSpec::new("inbound", head).worker(worker)).respond(envoy, code);
                let error = if code == 503 { "error.type=503," } else { "" };
                labels(error, &format!("http.response.status_code={code},"))
            }
            4 => {
                let request = envoy.open(RequestSpec::new("inbound", head).worker(worker));
                request.break_off(envoy, Response::status(200).body("["));
                labels("error.type=protocol_error,", "http.response.status_code=200,") // As Envoy flags an answer that breaks off.
            }
            rest => {
                let head = [(":method", "POST"), (":path", "/shop.Cart/Add"), ("content-type", "application/grpc")];
                let code = if rest == 5 { 0 } else { 14 };
                let request = envoy.open(RequestSpec::new("inbound", head).worker(worker));
                request.respond(envoy, Response::grpc(code));
                let (error, status) = if code == 0 { ("", "OK") } else { ("error.type=UNAVAILABLE,", "UNAVAILABLE") };
                format!(
                    "rpc.server.call.duration{{{error}rpc.method=shop.Cart/Add,rpc.status_code={status},rpc.system.name=grpc}}"
                )
            }
        };
        *expected.entry(series).or_default() += 1;
        if number.is_multiple_of(97) {
            envoy.advance(Duration::from_millis(50));
        }
    }
    expected
}

#[test]
fn what_is_counted_is_equal_to_the_request_at_any_ratio_by_http_and_by_grpc() {
    for (ratio, protocol, histogram, count) in
        [(1.0, "http/protobuf", "explicit", 1_500), (0.05, "grpc", "exponential", 6_000)]
    {
        let metrics = json!({"routes": ["/users/{id}"], "histogram": histogram});
        let mut envoy = with_workers(configuration(ratio, metrics, protocol), 4);
        let expected = traffic(&mut envoy, count, 4);
        envoy.advance(seconds(20));
        let exports = envoy.measured();
        assert_eq!(measured::counts(exports.last().expect("an export")), expected, "{ratio} {protocol}");
        closed_books(&mut envoy);
    }
}

#[test]
fn deltas_add_up_to_the_same() {
    let metrics = json!({"routes": ["/users/{id}"], "temporality": "delta"});
    let mut envoy = with_workers(configuration(0.0, metrics, "http/protobuf"), 3);
    let mut expected = BTreeMap::<String, u64>::new();
    for _ in 0..5 {
        for (series, count) in traffic(&mut envoy, 300, 3) {
            *expected.entry(series).or_default() += count;
        }
        envoy.advance(seconds(3));
    }
    envoy.advance(seconds(20));
    let mut found = BTreeMap::<String, u64>::new();
    let exports = envoy.measured();
    assert!(4 < exports.len(), "{}", exports.len());
    for (series, count) in exports.iter().flat_map(measured::counts) {
        *found.entry(series).or_default() += count;
    }
    assert_eq!(found, expected);
}

#[test]
fn counting_a_dropped_request_asks_the_host_for_two_readings_of_the_clock_and_nothing_else() {
    let cost = |configuration: String| {
        let mut envoy = with_workers(configuration, 1);
        let mut last = None;
        for _ in 0..100 {
            let request = envoy.open(RequestSpec::new("inbound", get("/users/1")));
            last = Some(request.respond(&mut envoy, 200).cost);
            envoy.advance(Duration::from_millis(100));
        }
        last.expect("a request")
    };
    let without = cost(json!({"span_kind": "server", "sampling": {"ratio": 0}}).to_string());
    let with = cost(configuration(0.0, json!({"routes": ["/users/{id}"]}), "http/protobuf"));
    assert_eq!(with.returning, without.returning, "{with:?} {without:?}");
    assert_eq!(with.hostcall_count(), without.hostcall_count() + 2, "{with:?} {without:?}");
}

/// Methods, routes and gRPC methods, each only once: what a client or an application can make up. A million of them, in two processes
/// that are attacked at the same time; the engine's own test of this is `plugin/engine/tests/protocol/attacked.rs`.
#[test]
fn a_million_names_cost_no_memory_and_no_request() {
    const NAMES: u64 = 1_000_000;
    std::thread::scope(|scope| {
        let attacks = [0..NAMES / 2, NAMES / 2..NAMES].map(|names| scope.spawn(move || attack(names)));
        attacks.into_iter().for_each(|attack| attack.join().expect("no attack succeeds"));
    });
}

fn attack(names: std::ops::Range<u64>) {
    const MAX_SERIES: usize = 200;
    let requests = names.end - names.start;
    let metrics = json!({"route_header": "x-route", "max_series": MAX_SERIES});
    let mut envoy = with_workers(configuration(0.0, metrics, "http/protobuf"), 1);
    let (mut sizes, mut expected) = (Vec::new(), BTreeMap::<String, u64>::new());
    for (done, number) in (1..).zip(names) {
        let (method, path, name) = (format!("M{number}"), format!("/made.Up{number}/Name"), format!("/{number}"));
        let call = || vec![(":method", "POST"), (":path", path.as_str()), ("content-type", "application/grpc")];
        let code = 500 + (number / 4 % 20) as u16;
        let error = format!("error.type={code},");
        let (head, response, error) = match number % 4 {
            0 => (vec![(":method", "GET"), (":path", "/")], Response::status(code).header("x-route", &name), error),
            1 => (vec![(":method", method.as_str()), (":path", "/")], Response::status(code), error),
            2 => (call(), Response::grpc(14), "error.type=UNAVAILABLE,".to_owned()),
            _ => (call(), Response::status(200), "error.type=no_grpc_status,rpc.method=_OTHER,".to_owned()),
        };
        *expected.entry(error).or_default() += 1;
        envoy.open(RequestSpec::new("inbound", head)).respond(&mut envoy, response);
        if done % 400 == 0 {
            envoy.advance(Duration::from_millis(50));
            envoy.forget_callouts();
        }
        if done % (requests / 8) == 0 {
            sizes.push(envoy.memory_size(VmId::Worker(0)));
        }
    }
    // A heap that is full up to its last page may take one more, once.
    const PAGE: u64 = 65_536;
    assert_eq!(sizes[3..], [sizes[3]; 5], "after three eighths there is no more to grow: {sizes:?}");
    assert!(sizes[3] - sizes[0] <= PAGE, "a page at most: {sizes:?}");
    envoy.advance(seconds(20));
    let counts = measured::counts(envoy.measured().last().expect("an export"));
    let with =
        |part: &str| -> u64 { counts.iter().filter(|(series, _)| series.contains(part)).map(|(_, count)| count).sum() };
    assert_eq!(with(""), requests);
    for (error, count) in expected {
        assert_eq!(with(&error), count, "a name is given up before a status: {error}");
    }
    let of_http = counts.keys().filter(|series| series.starts_with(HTTP)).count();
    assert!(of_http <= MAX_SERIES && counts.len() <= 2 * MAX_SERIES, "{of_http} of {}", counts.len());
    let methods = counts.keys().filter(|series| series.contains("rpc.method=made.Up")).count();
    assert!((1..MAX_SERIES).contains(&methods), "{methods}");
}

/// Durations over seven doublings, in a VM that serves requests and exports them, too.
#[test]
fn five_hundred_series_take_at_most_350_kilobytes_of_a_vm() {
    let memory = |configuration: String| {
        let mut envoy = with_workers(configuration, 1);
        for number in 0..4_000_u64 {
            let route = format!("/route/{}", number % 450);
            let request = envoy.open(RequestSpec::new("inbound", get("/")));
            envoy.advance(Duration::from_millis(1 << (number % 8)));
            request.respond(&mut envoy, Response::status([200, 404][number as usize % 2]).header("x-route", &route));
            if number.is_multiple_of(200) {
                envoy.forget_callouts();
            }
        }
        envoy.advance(seconds(15));
        envoy.memory_size(VmId::Worker(0))
    };
    let without = memory(json!({"span_kind": "server", "sampling": {"ratio": 0}}).to_string());
    let with = memory(configuration(0.0, json!({"route_header": "x-route"}), "http/protobuf"));
    assert!(with <= without + (350 << 10), "{without} -> {with}");
}

/// Requests that the newest export counts.
fn counted(envoy: &Envoy) -> u64 {
    envoy.measured().last().map_or(0, |export| measured::counts(export).values().sum())
}

/// The first export comes early, and opens the connection over which the last one goes.
#[test]
fn a_process_that_ends_young_has_exported_what_it_counted() {
    for temporality in ["cumulative", "delta"] {
        let configuration = configuration(0.0, json!({"temporality": temporality}), "http/protobuf");
        let configuration = configuration.replace("2000", "60000");
        let mut envoy = with_workers(configuration, 2);
        let serve = |envoy: &mut Envoy| {
            for worker in [0, 1, 1] {
                envoy.open(RequestSpec::new("inbound", get("/users/1")).worker(worker)).respond(envoy, 200);
            }
        };
        serve(&mut envoy);
        envoy.advance(seconds(10));
        assert_eq!((envoy.measured().len(), counted(&envoy)), (1, 3), "long before the interval is over");
        serve(&mut envoy);
        envoy.advance(seconds(1));
        envoy.shutdown();
        assert_eq!(counted(&envoy), if temporality == "delta" { 3 } else { 6 }, "{temporality}");
        assert_eq!(envoy.measured().len(), 2);
    }
}

#[test]
fn a_process_without_requests_exports_nothing_and_the_first_one_is_exported_within_seconds() {
    let configuration = configuration(0.0, json!({}), "http/protobuf").replace("2000", "60000");
    let mut envoy = with_workers(configuration, 1);
    envoy.advance(seconds(100));
    assert_eq!(envoy.measured().len(), 0);
    envoy.open(RequestSpec::new("inbound", get("/users/1"))).respond(&mut envoy, 200);
    envoy.advance(seconds(8));
    assert_eq!(counted(&envoy), 1);
    envoy.advance(seconds(50));
    assert_eq!(envoy.measured().len(), 1, "the next one is due after the interval");
    envoy.advance(seconds(9));
    assert_eq!(envoy.measured().len(), 2);
}
