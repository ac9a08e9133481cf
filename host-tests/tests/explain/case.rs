//! Requests, answers and configurations of every kind.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// One request and what becomes of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub configuration: Value,
    pub outbound: bool,
    pub method: &'static str,
    pub path: &'static str,
    pub headers: Vec<(String, String)>,
    pub journey: Journey,
}

/// How a request is answered and ends.
#[derive(Clone, Debug)]
pub struct Journey {
    pub status: Option<u16>,
    pub grpc_status: Option<u8>,
    pub flags: u64,
    pub complete: bool,
    pub duration_ms: u64,
    /// The upstream's `traceresponse`: its flag, and whether `server-timing` is there, too.
    pub told: Option<(bool, bool)>,
    /// What its `x-tracelift-signal` says.
    pub marked: Option<&'static str>,
    pub headers: Vec<(String, String)>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            seed: 7,
            configuration: json!({}),
            outbound: false,
            method: "GET",
            path: "/cart",
            headers: Vec::new(),
            journey: Journey::default(),
        }
    }
}

impl Default for Journey {
    fn default() -> Self {
        Self {
            status: Some(200),
            grpc_status: None,
            flags: 0,
            complete: true,
            duration_ms: 0,
            told: None,
            marked: None,
            headers: Vec::new(),
        }
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn sampling() -> impl Strategy<Value = Value> {
    let ratio = || select(vec![0.0, 0.05, 0.5, 1.0]);
    let algorithm = select(vec!["consistent", "consistent", "traceidratio", "modulo", "hash_seed"]);
    let rules = (ratio(), any::<bool>(), option::of(Just(100))).prop_map(|(ratio, upgrade, latency)| {
        let mut gold = json!({"name": "gold", "match": {"headers": {"x-tenant": {"exact": "gold"}}}, "ratio": ratio});
        if let Some(latency) = latency.filter(|_| upgrade) {
            gold["latency_ms"] = json!(latency);
        }
        json!([gold, {"name": "probes", "match": {"path": {"prefix": "/health"}, "method": ["GET"]}, "ratio": 0, "upgrade": upgrade}])
    });
    (ratio(), select(vec!["parent_based", "independent"]), algorithm, option::of(rules)).prop_map(
        |(ratio, mode, algorithm, rules)| {
            let mut sampling = json!({"ratio": ratio, "mode": mode, "algorithm": algorithm});
            if let Some(rules) = rules {
                sampling["rules"] = rules;
            }
            sampling
        },
    )
}

fn upgrade() -> impl Strategy<Value = Value> {
    (any::<[bool; 4]>(), option::of(select(vec![1, 800])), select(vec![0, 100])).prop_map(
        |([emit, accept, accept_previous, flags], latency_ms, traces_per_second)| {
            json!({
                "signal": {"emit": emit, "accept": accept, "accept_previous": accept_previous},
                "response_flags": flags, "latency_ms": latency_ms,
                "traces_per_second": traces_per_second,
            })
        },
    )
}

fn configuration() -> impl Strategy<Value = Value> {
    let propagators = subsequence(vec!["tracecontext", "xray", "b3", "b3multi"], 1..=3).prop_shuffle();
    let kind = select(vec!["auto", "server", "client", "both"]);
    (sampling(), upgrade(), propagators, kind, any::<[bool; 4]>()).prop_map(
        |(sampling, upgrade, propagators, kind, [edge, tracestate, query, headers])| {
            let listed = if headers { json!(["x-tenant"]) } else { json!([]) };
            json!({
                "service_name": "cart", "sampling": sampling, "upgrade": upgrade, "propagators": propagators,
                "span_kind": kind, "edge": edge, "export": {"tracestate": tracestate},
                "attributes": {"query": query, "request_headers": listed, "response_headers": listed},
            })
        },
    )
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let caller = "b7ad6b7169203331";
    let values = |name: &'static str, values: Vec<String>| {
        option::of(select(values)).prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    let traceparents = ["00", "01", "02", "03"].map(|flags| format!("00-{TRACE}-{caller}-{flags}"));
    let traceparent = [&traceparents[..], &["00-0-0-0".to_owned(), format!("ff-{TRACE}-{caller}-01")]].concat();
    let root = "1-0af76519-16cd43dd8448eb211c80319c";
    let xray = [";Sampled=1", ";Sampled=0", ";Sampled=?", ""];
    let xray = xray.map(|sampled| format!("Root={root};Parent={caller}{sampled}")).to_vec();
    let b3 =
        [format!("{TRACE}-{caller}-1"), format!("{TRACE}-{caller}-0"), format!("{TRACE}-{caller}"), "0".to_owned()];
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (
        values("traceparent", traceparent),
        values(
            "tracestate",
            texts(&["ot=th:8", "ot=th:f;rv:00000000000001", "ot=rv:ffffffffffffff,a=b", "a=b", "=;,"]),
        ),
        values("x-amzn-trace-id", xray),
        values("b3", b3.to_vec()),
        values("x-tenant", texts(&["gold", "lead"])),
        values("user-agent", texts(&["curl/8"])),
        values("content-type", texts(&["application/grpc"])),
        values("traceresponse", texts(&["of the client"])),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].into_iter().flatten().collect())
}

fn journey() -> impl Strategy<Value = Journey> {
    let status = option::weighted(0.9, select(vec![200, 200, 204, 404, 500, 503]));
    let grpc_status = option::weighted(0.2, select(vec![0, 2, 14]));
    let flags = select(vec![0, 0, 0, 0x20 | 0x8000, 0x4000, 0x800]);
    let told = option::weighted(0.3, any::<(bool, bool)>());
    let marked = option::weighted(0.4, select(vec!["upgraded", "shed", "kept", "here"]));
    let own = option::of(select(vec![("server-timing", "db;dur=53"), ("x-tenant", "gold")]));
    (status, grpc_status, flags, prop::bool::weighted(0.9), select(vec![0, 3, 900]), told, marked, own).prop_map(
        |(status, grpc_status, flags, complete, duration_ms, told, marked, own)| Journey {
            complete: complete && status.is_some(),
            status,
            grpc_status,
            flags,
            duration_ms,
            told,
            marked,
            headers: own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        },
    )
}

/// Any of them.
pub fn cases() -> impl Strategy<Value = Case> {
    let line =
        (select(vec!["GET", "POST", "CONNECT", "PURGE"]), select(vec!["/cart?a=1", "/healthz", "/", "/shop.Cart/Get"]));
    (any::<u64>(), configuration(), any::<bool>(), line, headers(), journey()).prop_map(
        |(seed, configuration, outbound, (method, path), headers, journey)| Case {
            seed,
            configuration,
            outbound,
            method,
            path,
            headers,
            journey,
        },
    )
}
