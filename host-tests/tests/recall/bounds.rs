//! Everything that recall holds is bounded, and what does not fit is counted.

use serde_json::json;
use std::time::Duration;
use tracelift_host::{Headers, RequestSpec, VmId, testing};

use crate::mesh::{Mesh, recalling, recalling_with, told, unsampled};

#[test]
fn the_oldest_spans_make_room_for_newer_ones() {
    let mut mesh = Mesh::of(["web"], &recalling_with(json!({"max_bytes": 20_000})));
    for number in 1..=500_u32 {
        mesh.serve("web", &testing::unsampled(&format!("{number:032x}")), &mut |_, _| 200);
    }
    mesh.run(Duration::from_millis(500));
    let web = mesh.envoy("web");
    let (spans, bytes) = (web.gauge("tracelift.recall.spans"), web.gauge("tracelift.recall.bytes"));
    assert!(bytes <= 2 * 20_000, "{bytes} in two workers");
    assert!((500..=900).contains(&(bytes / spans)), "{spans} spans in {bytes} bytes: the sizing in upgrade/README.md");
    assert_eq!(web.counter("tracelift.recall.evicted"), 500 - spans as u64);
    mesh.spans();
}

#[test]
fn a_span_is_held_for_its_time_and_no_longer() {
    for (wait_ms, kept) in [(1_000, true), (2_600, false)] {
        let mut mesh = Mesh::of(["web", "cart"], &recalling_with(json!({"hold_ms": 2000})));
        mesh.serve("web", &unsampled(), &mut |mesh, context| {
            mesh.simple_call("web", "cart", context, 200);
            mesh.run(Duration::from_millis(wait_ms));
            500
        });
        let spans = mesh.spans();
        let all = ["cart server recall", "web client recall", "web server http_status"];
        assert_eq!(told(&spans), if kept { &all[..] } else { &all[2..] }, "after {wait_ms} ms");
    }
}

#[test]
fn a_path_longer_than_all_room_is_not_held() {
    let mut mesh = Mesh::of(["web"], &recalling_with(json!({"max_bytes": 4096})));
    let path = format!("/{}", "x".repeat(8000));
    let web = mesh.envoy("web");
    let request = web.open(RequestSpec::new("inbound", [(":method", "GET"), (":path", &path), (":authority", "web")]));
    request.respond(web, 200);
    mesh.spans();
    assert_eq!((mesh.counter("recall.held"), mesh.counter("recall.evicted")), (1, 1));
}

#[test]
fn more_upgrades_between_two_ticks_than_the_log_has_room_for_are_counted() {
    let mut configuration = recalling();
    configuration["upgrade"]["traces_per_second"] = 1_000_000.into();
    let mut mesh = Mesh::of(["web"], &configuration);
    for number in 1..=600_u32 {
        mesh.serve("web", &testing::unsampled(&format!("{number:032x}")), &mut |_, _| 500);
    }
    mesh.spans();
    assert_eq!(mesh.counter("recall.missed"), 3 * 88, "in each worker, and in the main thread's VM");
    let shared = mesh.envoy("web").shared_data();
    assert_eq!(shared.get("tracelift.upgrades.2").map(|(log, _)| log.len()), Some(16 + 512 * 16));
}

#[test]
fn a_hundred_failed_traces_are_asked_for_in_few_requests() {
    let mut configuration = recalling();
    configuration["upgrade"]["traces_per_second"] = 1000.into();
    let mut mesh = Mesh::of(["web", "cart"], &configuration);
    for number in 1..=100_u32 {
        mesh.serve("web", &testing::unsampled(&format!("{number:032x}")), &mut |mesh, context| {
            mesh.simple_call("web", "cart", context, 200);
            500
        });
    }
    mesh.spans();
    assert_eq!(mesh.counter("upgrades.recall"), 200);
    assert_eq!(mesh.asked.iter().map(|(_, ids)| ids).sum::<usize>(), 100);
    assert!(mesh.asked.iter().all(|(_, ids)| *ids <= 64) && mesh.asked.len() <= 4, "{:?}", mesh.asked);
}

#[test]
fn an_hour_of_traffic_leaves_nothing_behind() {
    let mut mesh = Mesh::of(["web"], &recalling_with(json!({"max_bytes": 100_000})));
    let mut sizes = Vec::new();
    for round in 0..6_u32 {
        for number in 0..500 {
            let context: Headers = testing::unsampled(&format!("{:032x}", u64::from(round) * 1000 + number + 1));
            mesh.serve("web", &context, &mut |_, _| 200);
        }
        mesh.run(Duration::from_secs(6));
        sizes.push(mesh.envoy("web").memory_size(VmId::Worker(0)));
    }
    assert_eq!(sizes[2], sizes[5], "{sizes:?}");
    mesh.spans();
}
