//! Side by side with the sampler that Envoy has of its own: the same trace-ids, random ones and X-Ray's, the same ratios.
//!
//! Envoy's `trace_id_ratio_based` looks at the first eight bytes of an id, where X-Ray's ids have the time. Ours looks at the
//! last seven, which are random in both.

use crate::mesh::{SOON, settings, settle, shipped, start};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::task::JoinSet;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Client, Collector, Random, Request, Shipped, Upstream};

const REQUESTS: u64 = 4000;
const LANES: u64 = 16;
/// 2026-11-21T14:00:00Z. Any second of these years makes the same point: the first byte of the id is 0x6a to 0x6b.
const TODAY: u128 = 0x6b00_8a20;

/// Ratio in percent, and its rejection threshold: 2^56 times the rest, with four significant hexadecimal digits.
const RATIOS: [(u32, u64); 2] = [(1, 0xfd_70a0_0000_0000), (3, 0xf8_51f0_0000_0000)];

fn random_id(number: u64) -> u128 {
    u128::from(Random::of(2 * number)) << 64 | u128::from(Random::of(2 * number + 1))
}

fn xray_id(number: u64) -> u128 {
    TODAY << 96 | random_id(number) & (u128::MAX >> 32)
}

/// A listener without Tracelift, whose traces Envoy samples itself at that percentage.
fn envoys_own(percent: u32, collector: SocketAddr, upstream: SocketAddr) -> Bootstrap {
    let address = |address: SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let cluster = |name: &str, to: SocketAddr| {
        let endpoint = json!({ "endpoint": { "address": address(to) } });
        let hosts = json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] });
        json!({ "name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": hosts })
    };
    let typed = |name: &str, rest: Value| {
        let mut config = json!({ "@type": format!("type.googleapis.com/envoy.{name}") });
        config.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        config
    };
    let uri = json!({ "uri": "http://collector/v1/traces", "cluster": "collector", "timeout": "1s" });
    let ratio = json!({ "sampling_percentage": { "numerator": percent, "denominator": "HUNDRED" } });
    let tracer = json!({
        "service_name": "own",
        "http_service": { "http_uri": uri },
        "sampler": {
            "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
            "typed_config": typed("extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig", ratio),
        },
    });
    let manager = json!({
        "stat_prefix": "own",
        "tracing": { "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": typed("config.trace.v3.OpenTelemetryConfig", tracer),
        }},
        "route_config": { "name": "own", "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": typed("extensions.filters.http.router.v3.Router", json!({})),
        }],
    });
    let filter = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager),
    });
    let anywhere = address(([127, 0, 0, 1], 0).into());
    let bootstrap = json!({
        "admin": { "address": anywhere },
        "static_resources": {
            "listeners": [{ "name": "own", "address": anywhere, "filter_chains": [{ "filters": [filter] }] }],
            "clusters": [cluster("upstream", upstream), cluster("collector", collector)],
        },
    });
    Bootstrap::from_yaml(&bootstrap.to_string()).unwrap()
}

/// Sends every id to the listener, not sampled by its caller, and returns those that the upstream got as sampled.
async fn sampled(to: SocketAddr, path: &str, upstream: &Upstream, id: fn(u64) -> u128) -> BTreeSet<u128> {
    let before = upstream.arrivals().len();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let path = path.to_owned();
        lanes.spawn(async move {
            let client = Client::new();
            for number in (lane..REQUESTS).step_by(LANES as usize) {
                let context = format!("00-{:032x}-00f067aa0ba902b7-00", id(number));
                let request = Request::get(to, &path).header("traceparent", context);
                assert_eq!(client.send(request).await.unwrap().status, 200);
            }
        });
    }
    lanes.join_all().await;
    let arrivals = upstream.arrivals();
    let contexts: Vec<_> = arrivals[before..].iter().map(|arrival| arrival.text("traceparent")).collect();
    assert_eq!(contexts.len() as u64, REQUESTS);
    let of = |context: &String| u128::from_str_radix(&context[3..35], 16).unwrap();
    let ids: BTreeSet<_> = contexts.iter().map(of).collect();
    assert_eq!(ids, (0..REQUESTS).map(id).collect(), "every id went through as it was");
    contexts.iter().filter(|context| matches!(&context[52..], "-01" | "-03")).map(of).collect()
}

/// Within five standard deviations of a fair sampler: such a one is outside once in a million runs.
fn assert_fair(what: &str, kept: usize, percent: u32) {
    let (n, p) = (REQUESTS as f64, f64::from(percent) / 100.0);
    let tolerance = 5.0 * (n * p * (1.0 - p)).sqrt();
    assert!((kept as f64 - n * p).abs() < tolerance, "{what}: {kept} of {n} at {percent} %");
}

#[tokio::test]
async fn of_xrays_ids_we_keep_the_ratio_and_envoys_own_sampler_keeps_none() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let mut ours = shipped(Shipped::Sidecar, &collector);
    ours.endpoints("application", &[upstream.address()]).unwrap();
    // `independent`: every trace is decided here, as Envoy's sampler does whatever the caller said.
    let rules = RATIOS.map(|(percent, _)| {
        json!({ "match": { "path": { "exact": format!("/{percent}") } }, "ratio": f64::from(percent) / 100.0 })
    });
    settings(&mut ours, |json| json["sampling"] = json!({ "mode": "independent", "rules": rules, "ratio": 0 }));
    let ours = start(&ours).await;

    let mut exported = 0;
    for (percent, threshold) in RATIOS {
        let nowhere = RefusingPort::any().unwrap();
        let own = start(&envoys_own(percent, nowhere.address(), upstream.address())).await;
        let (to_ours, to_own) = (ours.address("inbound").unwrap(), own.address("own").unwrap());
        let path = format!("/{percent}");
        for (kind, id) in [("random ids", random_id as fn(u64) -> u128), ("X-Ray's ids", xray_id)] {
            let kept = sampled(to_ours, &path, &upstream, id).await;
            let expected: BTreeSet<_> =
                (0..REQUESTS).map(id).filter(|id| threshold <= (*id as u64) & (u64::MAX >> 8)).collect();
            assert_eq!(kept, expected, "{kind} at {percent} %: what the id's last 56 bits say");
            assert_fair(kind, kept.len(), percent);
            exported += kept.len();

            let by_envoy = sampled(to_own, &path, &upstream, id).await.len();
            println!("{percent} % of {REQUESTS} {kind}: {} kept by Tracelift, {by_envoy} by Envoy", kept.len());
            if kind == "X-Ray's ids" {
                assert_eq!(by_envoy, 0, "Envoy's sampler has changed: say so in examples/xray/README.md");
            } else {
                assert_fair("Envoy's own with random ids", by_envoy, percent);
            }
        }
    }
    assert!(collector.wait_for_spans(exported, SOON).await.is_ok());
    settle(&[&ours], &collector, exported, 0).await;
}
