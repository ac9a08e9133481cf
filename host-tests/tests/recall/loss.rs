//! Networks lose messages, pods lack the filter, clusters are missing: what then, and who is told.

use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tracelift_host::LogLevel;
use tracelift_host::otlp::SpanKind;

use crate::mesh::{Mesh, RECALL, calls, recalling, recalling_with, told, unsampled};

/// One request that fails after `cart` had answered well.
fn fail_after_cart(mesh: &mut Mesh) {
    mesh.serve("web", &unsampled(), &mut |mesh, context| {
        mesh.simple_call("web", "cart", context, 200);
        500
    });
}

#[test]
fn lost_requests_are_sent_again_as_long_as_they_help() {
    let mut mesh = Mesh::of(["web", "cart"], &recalling());
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    mesh.network(move |_| {
        count.set(count.get() + 1);
        2 < count.get()
    });
    fail_after_cart(&mut mesh);
    assert_eq!(told(&mesh.spans()), ["cart server recall", "web client recall", "web server http_status"]);
    assert_eq!((sent.get(), mesh.counter("recall.requests.sent")), (3, 3));
}

#[test]
fn a_network_that_loses_everything_costs_a_bounded_number_of_messages_and_the_span_says_so() {
    let mut mesh = Mesh::of(["web", "cart"], &recalling());
    mesh.network(|_| false);
    fail_after_cart(&mut mesh);
    let spans = mesh.spans();
    assert_eq!(told(&spans), ["web client recall", "web server http_status"]);
    let client = spans.iter().find(|span| span.attribute("tracelift.upgrade.trigger") == "recall").expect("the call");
    assert_eq!(calls(client), [1, 0, 0, 1]);
    let sent = mesh.counter("recall.requests.sent");
    assert!((2..=5).contains(&sent), "{sent}");
    assert_eq!(mesh.counter("recall.calls.lost"), 1);
}

#[test]
fn a_pod_that_has_not_shown_the_filter_is_asked_only_where_its_cluster_is_listed() {
    let listed = recalling_with(json!({"clusters": ["*"]}));
    for (web, asks) in [(recalling(), false), (listed, true)] {
        for other in [Value::Null, recalling_with(json!({"enabled": false}))] {
            let mut mesh = Mesh::new([("web", web.clone()), ("cart", other)]);
            fail_after_cart(&mut mesh);
            let spans = mesh.spans();
            assert_eq!(told(&spans), ["web client recall", "web server http_status"]);
            let client = spans.iter().find(|span| span.kind() == SpanKind::Client).expect("the call");
            assert_eq!(calls(client), if asks { [1, 0, 1, 0] } else { [1, 0, 0, 1] });
            let counted = ["calls.outside", "requests.sent", "withheld"];
            let counted = counted.map(|name| mesh.counter(&format!("recall.{name}")));
            assert_eq!(counted, if asks { [1, 1, 0] } else { [0, 0, 1] });
        }
    }
}

#[test]
fn an_outsider_that_fails_hears_of_no_recall() {
    for status in [500, 200] {
        let mut mesh = Mesh::new([("web", recalling()), ("api", Value::Null)]);
        mesh.serve("web", &unsampled(), &mut |mesh, context| {
            mesh.simple_call("web", "api", context, status);
            500
        });
        let spans = mesh.spans();
        assert_eq!(spans.len(), 2, "both are kept: {:?}", told(&spans));
        assert!(mesh.asked.is_empty(), "{:?}", mesh.asked);
        assert_eq!((mesh.counter("recall.requests.sent"), mesh.counter("recall.withheld")), (0, 1));
    }
}

#[test]
fn a_pod_that_denies_us_is_asked_once_and_the_log_says_what_to_do() {
    let mut mesh =
        Mesh::new([("web", recalling()), ("cart", recalling_with(json!({"token": "another-secret-of-us"})))]);
    fail_after_cart(&mut mesh);
    mesh.spans();
    assert_eq!((mesh.counter("recall.requests.sent"), mesh.counter("recall.requests.denied")), (1, 1));
    assert_eq!(mesh.counter("recall.calls.lost"), 1);
    let said = mesh.envoy("web").messages_from(LogLevel::Warn);
    assert!(matches!(said[..], [line] if line.contains("denies") && line.contains("upgrade.recall.token")), "{said:?}");
}

#[test]
fn a_cluster_that_is_not_there_is_told_once_with_what_to_do() {
    let mut mesh = Mesh::of(["web", "cart"], &recalling());
    mesh.envoy("web").set_cluster(RECALL, None);
    for _ in 0..3 {
        fail_after_cart(&mut mesh);
    }
    mesh.spans();
    let said = mesh.envoy("web").messages_from(LogLevel::Warn);
    assert!(
        matches!(said[..], [line] if line.contains("ORIGINAL_DST") && line.contains("upgrade.recall.cluster")),
        "{said:?}"
    );
}

#[test]
fn a_worker_that_begins_anew_has_lost_what_it_held_and_goes_on() {
    let mut mesh = Mesh::of(["web", "cart"], &recalling());
    mesh.serve("web", &unsampled(), &mut |mesh, context| {
        mesh.simple_call("web", "cart", context, 200);
        for worker in 0..2 {
            mesh.envoy("cart").reload(worker).expect("a worker");
        }
        500
    });
    mesh.run(Duration::from_secs(1));
    assert_eq!(mesh.envoy("cart").counter("tracelift.upgrades.recall"), 0);
    assert_eq!(mesh.counter("recall.calls.answered"), 1, "cart would have");
}

#[test]
fn a_process_that_ends_exports_the_calls_whose_fate_it_will_not_learn() {
    let mut mesh = Mesh::of(["web", "cart"], &recalling());
    mesh.network(|_| false);
    fail_after_cart(&mut mesh);
    mesh.run(Duration::from_millis(1500));
    let web = mesh.envoy("web");
    assert_eq!(web.counter("tracelift.spans.offered"), 1);
    web.shutdown();
    // Whether it still gets out is the connection's affair: that of a worker that has exported nothing so far is cold.
    assert_eq!((web.counter("tracelift.spans.offered"), web.counter("tracelift.recall.calls.lost")), (2, 1));
}
