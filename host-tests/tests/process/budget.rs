//! `traces_per_second` over the workers of a process.

use std::time::Duration;

use serde_json::json;
use tracelift_host::{Envoy, EnvoyBuilder, Hostcall, Status};

use crate::kit::{books, no_signal, process, seconds, serve, serve_on, started};

const KEY_PREFIX: &[u8] = b"tracelift.";

fn limited(rate: f64) -> EnvoyBuilder {
    let export = json!({"max_queue_size": 65_536, "max_queue_bytes": 64 << 20, "scheduled_delay_ms": 600_000,
                        "max_export_batch_size": 65_536});
    let upgrade = json!({"traces_per_second": rate, "signal": no_signal()});
    process(json!({"sampling": {"ratio": 0}, "upgrade": upgrade, "export": export}).to_string())
}

/// Kept and shed so far.
fn upgrades(envoy: &mut Envoy) -> (u64, u64) {
    books(envoy);
    (envoy.counter("tracelift.upgrades.http_status"), envoy.counter("tracelift.upgrades.shed"))
}

/// So many errors in each of `steps` steps of 25 ms, over all workers in turn; kept ones by step.
fn storm(envoy: &mut Envoy, workers: usize, steps: usize, errors: usize) -> Vec<u64> {
    let mut kept = Vec::new();
    for step in 0..steps {
        let before = upgrades(envoy).0;
        for error in 0..errors {
            serve_on(envoy, (step + error) % workers, 503);
        }
        kept.push(upgrades(envoy).0 - before);
        envoy.advance(Duration::from_millis(25));
    }
    kept
}

#[test]
fn four_workers_share_one_budget_through_a_storm() {
    let mut envoy = started(limited(50.0).workers(4));
    let kept = storm(&mut envoy, 4, 200, 10);
    let (upgraded, shed) = upgrades(&mut envoy);
    assert_eq!(upgraded + shed, 2000);
    assert!((295..=301).contains(&upgraded), "a burst of 50 and 5 s of 50: {upgraded}");
    for (step, second) in kept.windows(40).enumerate() {
        let kept: u64 = second.iter().sum();
        assert!(kept <= 101, "{kept} in the second from step {step}");
        assert!(step < 40 || (48..=52).contains(&kept), "{kept} in the second from step {step}");
    }
    assert_eq!(books(&mut envoy).offered, upgraded, "what is shed is no span");
}

#[test]
fn a_trigger_of_a_sampled_request_is_charged_too() {
    let mut envoy = started(limited(5.0));
    for _ in 0..5 {
        let sampled = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
        let headers: Vec<_> = crate::kit::get("/").into_iter().chain(sampled).collect();
        envoy.request("inbound", headers).respond(&mut envoy, 503);
    }
    serve(&mut envoy, 3, 503);
    assert_eq!(upgrades(&mut envoy), (0, 3), "admission does not depend on the head");
    assert_eq!(books(&mut envoy).offered, 5);
}

#[test]
fn listeners_share_the_budget_and_zero_switches_upgrades_off() {
    let configuration = |rate: u32| {
        json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": rate, "signal": no_signal()}}).to_string()
    };
    for (rate, kept) in [(0, 0), (7, 7)] {
        let mut envoy = started(process(configuration(rate)).outbound(configuration(rate)));
        for listener in ["inbound", "outbound"].repeat(10) {
            envoy.request(listener, crate::kit::get("/")).respond(&mut envoy, 500);
        }
        assert_eq!(upgrades(&mut envoy), (kept, 20 - kept));
    }
}

#[test]
fn quiet_errors_all_pass_and_a_slow_rate_admits_one_now_and_then() {
    let mut envoy = started(limited(2.0));
    for _ in 0..40 {
        serve(&mut envoy, 1, 500);
        envoy.advance(Duration::from_millis(500));
    }
    assert_eq!(upgrades(&mut envoy), (40, 0));

    let mut envoy = started(limited(0.1));
    for _ in 0..100 {
        serve(&mut envoy, 1, 500);
        envoy.advance(seconds(1));
    }
    assert_eq!(upgrades(&mut envoy), (10, 90));
}

/// Lets another worker change the slot between this one's read and its write, so many times for each request.
fn meddle(envoy: &mut Envoy, conflicts: usize) {
    let mut left = conflicts;
    envoy.fault(move |call: &mut Hostcall<'_>| {
        match call.name {
            "proxy_replace_header_map_value" => left = conflicts, // A new request.
            "proxy_set_shared_data" if 0 < left => {
                left -= 1;
                let keys: Vec<Vec<u8>> = call.shared_data.keys().map(<[u8]>::to_vec).collect();
                for key in keys {
                    let value = call.shared_data.get(&key).map(|(value, _)| value.to_vec()).unwrap_or_default();
                    call.shared_data.set(&key, &value, 0).expect("an unguarded write");
                }
            }
            _ => {}
        }
        None
    });
}

#[test]
fn a_lost_race_for_the_slot_is_run_again() {
    let mut envoy = started(limited(20.0).workers(4));
    serve(&mut envoy, 1, 503); // The slot exists.
    meddle(&mut envoy, 3);
    storm(&mut envoy, 4, 40, 10);
    let (upgraded, shed) = upgrades(&mut envoy);
    assert_eq!(upgraded + shed, 401);
    assert!((39..=41).contains(&upgraded), "conflicts change nothing: {upgraded}");
}

#[test]
fn a_slot_that_is_never_won_leaves_each_worker_its_own_books() {
    let mut envoy = started(limited(20.0).workers(4));
    serve(&mut envoy, 1, 503);
    meddle(&mut envoy, usize::MAX);
    storm(&mut envoy, 4, 40, 10);
    let (upgraded, _) = upgrades(&mut envoy);
    assert!((20..=4 * 41).contains(&upgraded), "four times the budget at most: {upgraded}");
}

#[test]
fn without_shared_data_each_worker_keeps_its_own_books() {
    for name in ["proxy_get_shared_data", "proxy_set_shared_data"] {
        let mut envoy = started(limited(20.0).workers(2));
        envoy.fail_hostcall(name, Status::InternalFailure);
        storm(&mut envoy, 2, 40, 10);
        let (upgraded, shed) = upgrades(&mut envoy);
        assert_eq!(upgraded + shed, 400);
        assert!((39..=82).contains(&upgraded), "{name}: {upgraded}");
    }
}

#[test]
fn a_slot_with_nonsense_in_it_stops_nothing() {
    for nonsense in [&b""[..], b"x", b"seven b", &[0xff; 8], &[0xff; 100], &[0; 8]] {
        let mut envoy = started(limited(5.0));
        serve(&mut envoy, 1, 503);
        let key = envoy.shared_data().keys().next().map(<[u8]>::to_vec).expect("a slot");
        envoy.shared_data_mut().set(&key, nonsense, 0).expect("an unguarded write");
        envoy.advance(seconds(2));
        serve(&mut envoy, 20, 503);
        let (upgraded, shed) = upgrades(&mut envoy);
        assert!((2..=6).contains(&upgraded), "{nonsense:?}: {upgraded} kept, {shed} shed");
    }
}

#[test]
fn shared_data_holds_one_slot_however_many_configurations_there_were() {
    let mut envoy = started(limited(1000.0).workers(2));
    for update in 0..60 {
        let configuration =
            json!({"service_name": format!("s{update}"), "sampling": {"ratio": 0}, "upgrade": {"signal": no_signal()}})
                .to_string();
        envoy.update_config("inbound", configuration).expect("accepted");
        serve(&mut envoy, 2, 503);
        envoy.drain();
    }
    let keys: Vec<_> = envoy.shared_data().keys().collect();
    assert!(keys.len() == 1 && keys[0].starts_with(KEY_PREFIX), "{keys:?}");
    assert!(envoy.shared_data().byte_size() < 100);
    books(&mut envoy);
}
