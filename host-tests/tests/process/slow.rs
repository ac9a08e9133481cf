//! What is slower than usual, by the release module: learned by the workers of a process, and not forgotten with a configuration or a VM.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{Envoy, RequestSpec, Response};

use crate::kit::{COLLECTOR, closed_books, get, process, seconds, started};

fn configuration(factor: f64) -> Value {
    json!({
        "span_kind": "server", "sampling": {"ratio": 0}, "metrics": {"routes": ["/users/{id}"]},
        "upgrade": {"slow": {"enabled": true, "factor": factor}},
    })
}

/// So many requests that take so long, on all workers in turn; how many of them are kept.
fn serve(envoy: &mut Envoy, count: usize, ms: u64) -> usize {
    let open: Vec<_> =
        (0..count).map(|at| envoy.open(RequestSpec::new("inbound", get("/users/7")).worker(at % 2))).collect();
    envoy.advance(Duration::from_millis(ms));
    let finished = open.into_iter().map(|request| request.respond(envoy, Response::status(200)));
    finished.filter(|finished| finished.filter_state("tracelift.decision").is_some()).count()
}

#[test]
fn workers_learn_together_and_a_new_configuration_goes_by_what_they_have_learned() {
    let configured = process(configuration(1.5).to_string()).workers(2);
    let mut envoy = started(configured.collector(COLLECTOR, Duration::from_millis(20)));
    assert_eq!(serve(&mut envoy, 2, 5_000), 0, "nothing is known yet");
    for _ in 0..12 {
        assert_eq!(serve(&mut envoy, 100, 40), 0);
        envoy.advance(seconds(3));
    }
    assert_eq!(
        (envoy.gauge("tracelift.slow.routes"), envoy.gauge("tracelift.slow.learning")),
        (2, 0),
        "in each worker"
    );
    assert_eq!(serve(&mut envoy, 10, 55), 0);
    assert_eq!(serve(&mut envoy, 10, 200), 10);
    envoy.update_config("inbound", configuration(8.0).to_string()).expect("a configuration");
    assert_eq!(serve(&mut envoy, 10, 200), 0);
    assert_eq!(serve(&mut envoy, 10, 400), 10, "the same baseline, another factor");
    envoy.advance(seconds(3));
    assert_eq!((envoy.counter("tracelift.upgrades.slow"), envoy.counter("tracelift.slow.culprits")), (20, 20));
    for span in envoy.exports().spans() {
        assert_eq!(span.attribute("tracelift.upgrade.trigger"), "slow");
        assert!(span.span.trace_state.contains("th:0"), "{}", span.span.trace_state);
    }
    closed_books(&mut envoy);
}
