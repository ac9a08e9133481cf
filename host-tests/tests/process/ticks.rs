//! What request metrics add to a tick of a VM that serves requests, for which requests wait. In fuel, which a busy machine does not change:
//! what it is in processor time under Envoy, `cargo xtask bench --level ticks` measures.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracelift_host::{Envoy, RequestSpec, Response, Status, VmId};

use crate::kit::{COLLECTOR, get, process, started};

/// Wasm instructions. A tick of 300,000 adds less than 0.2 ms of processor time under Envoy (docs/metrics.md).
const MOST: u64 = 400_000;
/// The same where a worker that serves requests has to export, because the main thread's VM does not.
const MOST_OF_A_LEADER: u64 = 600_000;
const SERIES: u64 = 490;
const WORKER: VmId = VmId::Worker(0);

/// The dearest tick of a worker that serves requests of 490 series in durations of many doublings, and how long the dearest one took here.
fn dearest(metrics: Value, leads: bool) -> (u64, Duration) {
    let configuration = json!({"span_kind": "server", "sampling": {"ratio": 0.01}, "metrics": metrics});
    let builder = process(configuration.to_string()).collector(COLLECTOR, Duration::from_millis(20));
    // Without ticks of the main thread's VM, a worker that serves requests has to export.
    let builder = builder.fault(move |call| {
        (leads && call.vm == VmId::Main && call.name == "proxy_set_tick_period_milliseconds")
            .then_some(Status::InternalFailure)
    });
    let mut envoy = started(builder);
    let mut dearest = (0, Duration::ZERO);
    for round in 0..10_u32 {
        for number in 0..SERIES {
            let request = envoy.open(RequestSpec::new("inbound", get("/")));
            // By hand, so that no tick comes in between.
            let route = format!("/route/{number}");
            if number % 49 == 0 {
                watched(&mut envoy, Duration::from_millis(1 << (round + 1)), &mut dearest);
            }
            request.respond(&mut envoy, Response::status(200).header("x-route", &route));
        }
        watched(&mut envoy, Duration::from_secs(3), &mut dearest);
        envoy.forget_callouts();
    }
    let exported = envoy.counter("tracelift.metrics.exports.succeeded");
    assert_eq!(exported == 0, metrics_are_off(&envoy), "it exports");
    dearest
}

fn metrics_are_off(envoy: &Envoy) -> bool {
    envoy.gauge("tracelift.metrics.series") == 0
}

/// Moves time on, one tick at a time.
fn watched(envoy: &mut Envoy, by: Duration, dearest: &mut (u64, Duration)) {
    let end = envoy.now() + by;
    while let Some(next) = envoy.next_due().filter(|next| *next <= end) {
        let (before, began) = (envoy.cost_of(WORKER).fuel, Instant::now());
        envoy.advance(next.saturating_sub(envoy.now()));
        let fuel = envoy.cost_of(WORKER).fuel - before;
        if dearest.0 < fuel {
            *dearest = (fuel, began.elapsed());
        }
    }
    envoy.advance(end.saturating_sub(envoy.now()));
}

#[test]
fn a_tick_adds_less_than_a_third_of_a_millisecond_where_requests_wait_for_it() {
    let on = json!({"enabled": true, "route_header": "x-route", "interval_ms": 1000});
    let (without, _) = dearest(json!({}), false);
    for (leads, most) in [(false, MOST), (true, MOST_OF_A_LEADER)] {
        let (with, took) = dearest(on.clone(), leads);
        println!("leads: {leads}; {without} -> {with}, {took:?}");
        assert!(with <= without + most, "leads: {leads}; {without} -> {with}");
    }
}
