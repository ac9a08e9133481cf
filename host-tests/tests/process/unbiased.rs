//! Counts from spans are right under every policy: a million requests through the release module, held against what there was, in
//! every stratum. Two faults that a policy of this kind can have are planted, and must be found.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::json;
use tracelift_host::otlp::Value;
use tracelift_host::{Headers, RequestSpec, Response};

use crate::kit::{COLLECTOR, closed_books, process, seconds, started};

/// Requests of all policies together.
const REQUESTS: u64 = 1_000_000;
/// Share that the head keeps; a threshold has it exactly.
const RATIO: f64 = 0.125;
/// Routes, the first of which is called most.
const ROUTES: u64 = 40;
/// Standard deviations that chance may be off, for each of some hundred strata.
const SIGMAS: f64 = 4.0;

/// What there was and what is known of it by spans, in one stratum.
#[derive(Clone, Copy, Default)]
struct Stratum {
    requests: f64,
    estimated: f64,
    /// Requests that are kept for certain.
    certain: f64,
}

impl Stratum {
    /// Standard deviations between estimate and number.
    fn z(&self) -> f64 {
        let variance = (self.requests - self.certain) * (1.0 - RATIO) / RATIO;
        let difference = self.estimated - self.requests;
        if difference == 0.0 { 0.0 } else { difference / variance.sqrt() }
    }
}

type Strata = BTreeMap<String, Stratum>;

/// The strata that a request is in.
fn strata_of(route: u64, status: u16) -> [String; 3] {
    ["all".to_owned(), format!("status {status}"), format!("route {route}")]
}

/// The largest deviation, with its stratum.
fn worst(strata: &Strata) -> (f64, &str) {
    strata
        .iter()
        .map(|(name, stratum)| (stratum.z().abs(), name.as_str()))
        .fold((0.0, ""), |worst, next| if worst.0 < next.0 { next } else { worst })
}

/// The traffic: the `number`th request's route, its status, and whether the application marks its answer.
fn request(number: u64) -> (u64, u16, bool) {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    // Each route is called half as often as the four before it.
    let route = u64::from((spread >> 2).trailing_zeros()).min(ROUTES / 4 - 1) * 4 + spread % 4;
    let status = match number.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 54 {
        0..4 => 503,
        4..20 => 404,
        20..40 => 301,
        _ => 200,
    };
    (route, status, spread.is_multiple_of(97))
}

/// Runs so many requests under a policy: what there was and what spans say.
fn run(upgrade: serde_json::Value, count: u64) -> Strata {
    let configuration = json!({
        "span_kind": "server", "sampling": {"ratio": RATIO}, "upgrade": upgrade,
        "metrics": {"route_header": "x-route"}, "attributes": {"response_headers": ["x-route"]},
        "export": {"max_queue_size": 65_536, "max_queue_bytes": 64 << 20},
    });
    let mut envoy =
        started(process(configuration.to_string()).workers(2).collector(COLLECTOR, Duration::from_millis(20)));
    let mut strata = Strata::new();
    for number in 0..count {
        let (route, status, marked) = request(number);
        for name in strata_of(route, status) {
            strata.entry(name).or_default().requests += 1.0;
        }
        let head = [(":method", "GET"), (":path", "/"), (":authority", "shop"), (":scheme", "http")];
        let spec = RequestSpec::new("inbound", Headers::from(head)).worker((number % 2) as usize);
        let mut answer = Response::status(status).header("x-route", format!("/{route}"));
        if marked {
            answer = answer.header("x-keep", "yes");
        }
        envoy.open(spec).respond(&mut envoy, answer);
        if number % 1000 == 999 {
            envoy.advance(Duration::from_millis(1_500));
            collect(&mut envoy, &mut strata);
        }
    }
    for _ in 0..3 {
        envoy.advance(seconds(3));
        collect(&mut envoy, &mut strata);
    }
    assert!(envoy.gauge("tracelift.audit.z_centi") < 400, "the audit agrees");
    closed_books(&mut envoy);
    strata
}

/// Adds what the collector has received since the last time.
fn collect(envoy: &mut tracelift_host::Envoy, strata: &mut Strata) {
    for span in envoy.exports().accepted().spans() {
        let Value::Int(status) = span.attribute("http.response.status_code") else { panic!("no status: {span:?}") };
        let Value::List(routes) = span.attribute("http.response.header.x-route") else { panic!("no route: {span:?}") };
        let route = match routes.first() {
            Some(Value::Text(route)) => route.get(1..).and_then(|number| number.parse().ok()),
            _ => None,
        };
        let route = route.unwrap_or_else(|| panic!("no route: {span:?}"));
        let Value::Double(count) = span.attribute("tracelift.sampling.adjusted_count") else {
            panic!("no count: {span:?}")
        };
        for name in strata_of(route, status as u16) {
            let stratum = strata.entry(name).or_default();
            stratum.estimated += count;
            stratum.certain += f64::from(u8::from(count == 1.0));
        }
    }
    envoy.forget_callouts();
}

#[test]
fn a_million_requests_are_what_their_spans_stand_for_under_every_policy() {
    let coverage = json!({"enabled": true, "per_window": 3, "window_s": 10, "traces_per_minute": 100_000});
    let marks = json!({"x-keep": {"exact": "yes"}});
    let policies = [
        ("failures", json!({"traces_per_second": 2})),
        ("coverage", json!({"coverage": coverage})),
        ("a small budget", json!({"coverage": {"enabled": true, "window_s": 10, "traces_per_minute": 100}})),
        ("all", json!({"coverage": coverage, "response_headers": marks, "traces_per_second": 5})),
    ];
    let each = REQUESTS / policies.len() as u64;
    std::thread::scope(|scope| {
        for (name, upgrade) in policies {
            scope.spawn(move || {
                let strata = run(upgrade, each);
                assert_eq!(strata["all"].requests, each as f64);
                let (z, stratum) = worst(&strata);
                assert!(z < SIGMAS, "{name}: {stratum} is off by {z:.1} standard deviations");
            });
        }
    });
}

/// The same traffic under a policy of our own, which keeps the first three of each kind in a window of 6,667 requests. `keeps` says for a
/// request that is new to its kind, whether the head samples it, and how many were kept in this window: whether it is kept, and the
/// number of requests that its span says it stands for.
fn modelled(charges_only_the_missed: bool, cap: u64) -> Strata {
    let mut strata = Strata::new();
    let mut seen: BTreeMap<(u64, u16), u64> = BTreeMap::new();
    let mut kept = 0;
    let mut known = HashSet::new();
    for number in 0..REQUESTS / 4 {
        if number % 6_667 == 0 {
            seen.clear();
            kept = 0;
        }
        let (route, status, _) = request(number);
        let randomness = number.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31).wrapping_mul(0x94d0_49bb_1331_11eb);
        let sampled = (randomness >> 11) as f64 / (1_u64 << 53) as f64 >= 1.0 - RATIO;
        let count = seen.entry((route, status)).or_default();
        let is_asked = !(charges_only_the_missed && sampled);
        let is_first = is_asked && *count < 3;
        *count += u64::from(is_first);
        let mut stands_for = if is_first { Some(1.0) } else { sampled.then_some(1.0 / RATIO) };
        kept += u64::from(stands_for.is_some());
        if cap < kept {
            stands_for = None;
        }
        known.insert(route);
        for name in strata_of(route, status) {
            let stratum = strata.entry(name).or_default();
            stratum.requests += 1.0;
            stratum.estimated += stands_for.unwrap_or_default();
            stratum.certain += f64::from(u8::from(stands_for == Some(1.0)));
        }
    }
    assert_eq!(known.len() as u64, ROUTES, "every route is called");
    strata
}

#[test]
fn planted_faults_are_found_and_the_same_without_a_fault_is_not() {
    let strata = modelled(false, u64::MAX);
    let (z, stratum) = worst(&strata);
    assert!(z < SIGMAS, "nothing is planted: {stratum} {z:.1}");
    let (z, _) = worst(&modelled(true, u64::MAX));
    assert!(SIGMAS < z, "charged only where the head had missed it: {z:.1}");
    let (z, _) = worst(&modelled(false, 900));
    assert!(SIGMAS < z, "a hard cap after the decision: {z:.1}");
}
