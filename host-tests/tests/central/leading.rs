//! One VM asks on behalf of all, and another one takes over when it goes.

use crate::kit::{PROXY, Process, configuration, rule, seconds};
use serde_json::json;
use tracelift_host::{SamplingService, Status, VmId};

/// A process in which the main thread's VM cannot lead: shared data is out of its reach.
fn led_by_a_worker() -> Process {
    let service = SamplingService::with_rules([rule(json!({"FixedRate": 1.0, "ReservoirSize": 0}))]);
    let mut process = Process::with(service, |builder| {
        builder.inbound(configuration().to_string()).fault(|call| {
            (call.vm == VmId::Main && call.name.contains("shared_data")).then_some(Status::InternalFailure)
        })
    });
    process.envoy.advance(seconds(5));
    assert!(matches!(process.leader(), VmId::Worker(_)));
    process
}

#[test]
fn of_all_vms_one_asks() {
    let mut process = Process::ready([rule(json!({}))]);
    process.envoy.advance(seconds(605));
    let vms: std::collections::BTreeSet<_> =
        process.envoy.callouts().iter().filter(|it| it.cluster == PROXY).map(|it| format!("{:?}", it.vm)).collect();
    assert_eq!(vms.len(), 1, "{vms:?}");
    assert_eq!(process.service().calls_of("/GetSamplingRules"), 3);
    let reports = process.service().calls_of("/SamplingTargets") as u64;
    assert!((50..=60).contains(&reports), "{reports}: every 10 s, and the tick after that");
    assert_eq!(process.counter("central.leads"), 1);
    assert_eq!(process.counter("central.polls.succeeded"), reports + 3);
    assert_eq!(process.warnings(), Vec::<&str>::new());
    process.books();
}

#[test]
fn when_the_leading_vm_dies_another_takes_over_as_the_same_client() {
    let mut process = led_by_a_worker();
    process.roots(6, "/");
    process.envoy.advance(seconds(10));
    let VmId::Worker(dead) = process.leader() else { panic!("a worker leads") };
    // A new VM in its place knows nothing of the past; the other worker's VM goes on.
    process.envoy.reload(dead).expect("the same configuration");
    process.envoy.advance(seconds(1));
    assert_eq!(process.roots(6, "/"), 6, "the rules are still known, to the new VM, too");
    process.envoy.advance(seconds(30));
    let calls = process.service().calls.clone();
    let gaps: Vec<_> = calls.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| *gap < seconds(25)), "{gaps:?}");
    assert_eq!(process.service().calls_of("/GetSamplingRules"), 1, "what was fetched is still good");
    assert_eq!(process.service().reported("Default"), (12, 12, 0));
    let clients: std::collections::BTreeSet<_> = process.service().reports.iter().map(|it| it.client.clone()).collect();
    assert_eq!(clients.len(), 1);
    assert_eq!(process.counter("central.leads"), 2);
    process.books();
}

#[test]
fn a_new_configuration_takes_over_at_once_and_nothing_is_lost() {
    let mut process = Process::ready([rule(json!({"FixedRate": 1.0, "ReservoirSize": 0}))]);
    process.roots(5, "/");
    let mut changed = configuration();
    changed["upgrade"] = json!({"latency_ms": 800});
    process.envoy.update_config("inbound", changed.to_string()).expect("accepted");
    process.envoy.advance(seconds(2));
    assert_eq!(process.roots(5, "/"), 5);
    process.envoy.drain();
    process.envoy.advance(seconds(15));
    assert_eq!(process.service().calls_of("/GetSamplingRules"), 1);
    assert_eq!(process.service().reported("Default"), (10, 10, 0));
    process.books();
}

#[test]
fn a_configuration_without_central_sampling_ends_it() {
    let mut process = Process::ready([rule(json!({"FixedRate": 1.0, "ReservoirSize": 0}))]);
    let off = json!({"service_name": "cart", "sampling": {"ratio": 0}});
    process.envoy.update_config("inbound", off.to_string()).expect("accepted");
    process.envoy.drain();
    let calls = process.service().calls.len();
    assert_eq!(process.roots(5, "/"), 0);
    process.envoy.advance(seconds(700));
    assert_eq!(process.service().calls.len(), calls);
    process.books();
}

#[test]
fn what_is_kept_in_shared_data_does_not_grow() {
    let mut process = Process::ready([rule(json!({"ReservoirSize": 5}))]);
    let mut sizes = Vec::new();
    for round in 0..40 {
        let now = process.now();
        let rules = (0..10)
            .map(|n| rule(json!({"RuleName": format!("rule {round} {n}"), "Priority": n + 1, "ReservoirSize": 5})));
        process.service().change_rules(rules, now);
        process.roots(20, "/");
        process.envoy.advance(seconds(21));
        let keys = process.envoy.shared_data().keys().filter(|key| key.starts_with(b"tracelift.central.")).count();
        assert_eq!(keys, 4);
        sizes.push(process.envoy.shared_data().byte_size());
    }
    assert!(sizes[10..].iter().all(|size| *size < 16_000), "{sizes:?}");
    process.books();
}

#[test]
fn two_workers_that_write_at_once_lose_nothing() {
    let mut process = Process::ready([rule(json!({"FixedRate": 1.0, "ReservoirSize": 3}))]);
    process.envoy.advance(seconds(10));
    // Another worker changes each value between a read and the write that follows, every other time.
    let mut writes = 0_u32;
    process.envoy.fault(move |call| {
        writes += u32::from(call.name == "proxy_set_shared_data");
        if call.name == "proxy_set_shared_data" && writes.is_multiple_of(2) {
            let keys: Vec<Vec<u8>> =
                call.shared_data.keys().filter(|key| !key.ends_with(b".lead")).map(<[u8]>::to_vec).collect();
            for key in keys {
                let value = call.shared_data.get(&key).map(|(value, _)| value.to_vec()).unwrap_or_default();
                let _ = call.shared_data.set(&key, &value, 0);
            }
        }
        None
    });
    process.roots(50, "/");
    process.envoy.advance(seconds(25));
    assert_eq!(process.service().reported("Default"), (50, 50, 0));
    assert_eq!(process.counter("central.reservoir"), 3);
    process.books();
}
