//! Updates at run time: what is queued, what is in flight, who obeys which policy.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{Answer, Envoy, LogLevel, Reply, VmId};

use crate::kit::{
    BATCH_DUE, COLLECTOR, books, closed_books, discarded, get, no_signal, process, seconds, serve, started, waiting,
    warnings,
};

const AT_ONCE: Duration = Duration::from_millis(5);

fn of_service(name: &str, export: Value) -> String {
    json!({"service_name": name, "sampling": {"ratio": 1}, "export": export}).to_string()
}

#[track_caller]
fn update(envoy: &mut Envoy, configuration: impl AsRef<[u8]>) {
    envoy.update_config("inbound", configuration).unwrap_or_else(|nack| panic!("{nack}"));
}

/// How many accepted spans came under this service name.
fn accepted(envoy: &Envoy, service: &str) -> usize {
    let spans = envoy.exports().accepted().spans();
    spans.iter().filter(|span| span.resource_attribute("service.name") == service).count()
}

#[test]
fn queued_spans_move_to_the_new_root_and_keep_their_resource() {
    let slow = json!({"scheduled_delay_ms": 600_000});
    let mut envoy = started(process(of_service("cart", slow)).collector(COLLECTOR, AT_ONCE));
    serve(&mut envoy, 5, 200);
    update(&mut envoy, of_service("basket", json!({"protocol": "grpc"})));
    serve(&mut envoy, 3, 200);
    assert_eq!(books(&mut envoy).queued, 8);
    envoy.drain();
    envoy.advance(BATCH_DUE);
    assert_eq!((accepted(&envoy, "cart"), accepted(&envoy, "basket")), (5, 3));
    assert!(envoy.callouts().iter().all(|callout| callout.path().ends_with("TraceService/Export")), "the new protocol");
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.exported, balance.discarded_total()), (8, 0));
}

#[test]
fn until_it_has_drained_the_old_root_exports_what_it_has() {
    let mut envoy = started(process(of_service("cart", json!({}))).collector(COLLECTOR, AT_ONCE));
    let open = envoy.request("inbound", get("/slow"));
    serve(&mut envoy, 2, 200);
    update(&mut envoy, of_service("basket", json!({})));
    serve(&mut envoy, 1, 200);
    envoy.advance(BATCH_DUE);
    assert_eq!((accepted(&envoy, "cart"), accepted(&envoy, "basket")), (2, 1));
    open.respond(&mut envoy, 200);
    envoy.advance(BATCH_DUE);
    assert_eq!(accepted(&envoy, "cart"), 3, "a stream that began before the update");
    envoy.drain();
    assert_eq!(closed_books(&mut envoy).exported, 4);
}

#[test]
fn spans_that_wait_for_a_retry_outlive_their_root() {
    let mut envoy = started(process(of_service("cart", json!({"max_export_batch_size": 4}))));
    envoy.answer_with(|_| Reply::After(AT_ONCE, Answer::connection_failure()));
    serve(&mut envoy, 10, 200);
    envoy.advance(seconds(20));
    update(&mut envoy, of_service("basket", json!({})));
    envoy.drain();
    envoy.answer_with(|callout| Reply::accept(callout, AT_ONCE));
    envoy.advance(seconds(40));
    assert_eq!(accepted(&envoy, "cart"), 10);
    assert_eq!(closed_books(&mut envoy).exported, 10);
}

#[test]
fn an_old_root_stays_for_the_answers_it_awaits_and_no_longer() {
    let worker = VmId::Worker(0);
    for (answer, by_the_old, by_the_new) in [(Answer::status(200), 2, 1), (Answer::connection_failure(), 0, 3)] {
        let mut envoy = started(process(of_service("cart", json!({"max_export_batch_size": 2}))));
        serve(&mut envoy, 3, 200);
        update(&mut envoy, of_service("basket", json!({})));
        let balance = books(&mut envoy);
        assert_eq!((balance.in_flight, balance.queued), (2, 1));
        envoy.drain();
        assert_eq!(envoy.roots(worker).len(), 2, "it asked for time");
        let id = waiting(&envoy)[0];
        envoy.answer(id, answer);
        assert_eq!(envoy.roots(worker).len(), 1);
        assert_eq!(books(&mut envoy).exported, by_the_old);
        envoy.answer_with(|callout| Reply::accept(callout, AT_ONCE));
        for id in waiting(&envoy) {
            envoy.answer(id, 200);
        }
        envoy.advance(BATCH_DUE);
        assert_eq!(accepted(&envoy, "cart"), 3, "all of it under the old name");
        assert_eq!(closed_books(&mut envoy).exported, by_the_old + by_the_new);
    }
}

#[test]
fn a_root_without_a_successor_sends_each_batch_once_more_and_ends() {
    // With a configuration that passes everything through, as an environment may ask for it, there is no successor.
    let mut envoy = started(process(of_service("cart", json!({}))).env("TRACELIFT_ON_INVALID_CONFIG", "pass_through"));
    serve(&mut envoy, 4, 200);
    update(&mut envoy, "{");
    envoy.drain();
    let id = envoy.only_callout().id;
    assert_eq!(envoy.roots(VmId::Worker(0)).len(), 2);
    envoy.answer(id, Answer::connection_failure());
    assert_eq!(envoy.roots(VmId::Worker(0)).len(), 1, "a second attempt is not awaited");
    closed_books(&mut envoy);
    assert_eq!(discarded(&envoy, "shutdown"), 4);
}

#[test]
fn a_smaller_queue_takes_over_what_fits() {
    let mut envoy = started(process(of_service("cart", json!({}))).collector(COLLECTOR, AT_ONCE));
    serve(&mut envoy, 30, 200);
    update(&mut envoy, of_service("cart", json!({"max_queue_size": 16, "max_export_batch_size": 5})));
    envoy.drain();
    books(&mut envoy);
    assert_eq!(discarded(&envoy, "queue_full"), 18);
    envoy.advance(BATCH_DUE);
    assert_eq!(closed_books(&mut envoy).exported, 12);
}

#[test]
fn a_stream_obeys_the_policy_it_began_under() {
    let keep = json!({"sampling": {"ratio": 0}, "upgrade": {"http_status": ["5xx"]}}).to_string();
    let ignore = json!({"sampling": {"ratio": 0}, "upgrade": {"http_status": []}}).to_string();
    for (before, after, kept) in [(&keep, &ignore, 1), (&ignore, &keep, 0)] {
        let mut envoy = started(process(before).collector(COLLECTOR, AT_ONCE));
        let open = envoy.request("inbound", get("/slow"));
        update(&mut envoy, after);
        open.respond(&mut envoy, 503);
        assert_eq!(books(&mut envoy).offered, kept);
        serve(&mut envoy, 1, 503);
        assert_eq!(books(&mut envoy).offered, 1, "the new one holds for new streams");
    }
}

#[test]
fn a_refused_update_changes_nothing_and_names_the_field() {
    let mut envoy = started(process(of_service("cart", json!({}))).workers(2).collector(COLLECTOR, AT_ONCE));
    serve(&mut envoy, 2, 200);
    let roots = envoy.roots(VmId::Worker(1)).len();
    let nack = envoy.update_config("inbound", r#"{"export": {"timeout_ms": "soon"}}"#).expect_err("a NACK");
    assert!(nack.trap.is_none());
    let errors: Vec<_> = nack.logs.iter().filter(|line| LogLevel::Error <= line.level).collect();
    assert!(errors.len() == 1 && errors[0].message.contains("export.timeout_ms"), "{errors:?}");
    assert_eq!(envoy.roots(VmId::Worker(1)).len(), roots);
    assert_eq!(envoy.counter("tracelift.config.refused"), 1);
    serve(&mut envoy, 3, 200);
    envoy.advance(BATCH_DUE);
    assert_eq!(accepted(&envoy, "cart"), 5);
    assert_eq!(warnings(&envoy), Vec::<&str>::new());
    closed_books(&mut envoy);
}

#[test]
fn one_listener_can_be_updated_and_the_other_does_not_notice() {
    let builder = process(of_service("in", json!({}))).outbound(of_service("out", json!({})));
    let mut envoy = started(builder.collector(COLLECTOR, AT_ONCE));
    let both = |envoy: &mut Envoy| {
        for listener in ["inbound", "outbound"] {
            envoy.request(listener, get("/")).respond(envoy, 200);
        }
    };
    both(&mut envoy);
    update(&mut envoy, of_service("in2", json!({})));
    both(&mut envoy);
    envoy.drain();
    both(&mut envoy);
    envoy.advance(BATCH_DUE);
    let found = ["in", "in2", "out"].map(|service| accepted(&envoy, service));
    assert_eq!(found, [1, 2, 3]);
    assert_eq!(closed_books(&mut envoy).exported, 6);
}

/// Listeners with the same plugin name and the same configuration share one root context in Envoy, which configures it
/// again for each of them.
#[test]
fn a_root_that_is_configured_again_loses_nothing() {
    let configuration = of_service("cart", json!({"max_export_batch_size": 4}));
    let mut envoy = started(process(&configuration));
    serve(&mut envoy, 9, 200);
    let balance = books(&mut envoy);
    assert_eq!((balance.in_flight, balance.queued), (8, 1), "two full batches, and one that waits for more");
    let worker = VmId::Worker(0);
    let (root, _) = envoy.roots(worker)[0];
    for callback in ["proxy_on_vm_start", "proxy_on_configure"] {
        let size = if callback == "proxy_on_configure" { configuration.len() as u32 } else { 0 };
        assert_eq!(envoy.callback(worker, callback, &[root, size]), Some(1));
    }
    let balance = books(&mut envoy);
    assert_eq!((balance.offered, balance.in_flight), (9, 9), "what had waited is sent next");
    envoy.answer_with(|callout| Reply::accept(callout, AT_ONCE));
    for id in waiting(&envoy) {
        envoy.answer(id, 200);
    }
    envoy.advance(BATCH_DUE);
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.offered, balance.exported), (9, 9), "{balance}");
}

#[test]
fn two_hundred_updates_leave_nothing_behind() {
    let configuration = |update: usize| {
        let rules: Vec<_> = (0..20).map(|n| json!({"match": {"path": {"prefix": format!("/{update}/{n}")}}})).collect();
        let attributes = json!({"request_headers": ["x-a", "x-b"]});
        let upgrade = json!({"signal": no_signal()}); // Else each failed trace has a slot of the shared data.
        let sampling = json!({"ratio": 1, "rules": rules});
        let name = format!("v{update}");
        json!({"service_name": name, "sampling": sampling, "upgrade": upgrade, "attributes": attributes}).to_string()
    };
    let outbound = json!({"sampling": {"ratio": 1}, "upgrade": {"signal": no_signal()}}).to_string();
    let mut envoy = started(process(configuration(0)).outbound(outbound).collector(COLLECTOR, AT_ONCE));
    let worker = VmId::Worker(0);
    let mut sizes = Vec::new();
    let mut served = 0;
    for number in 1..=200 {
        update(&mut envoy, configuration(number));
        let open = envoy.request("inbound", get("/slow"));
        serve(&mut envoy, 3, 503);
        served += 4;
        if number % 3 == 0 {
            envoy.drain();
            envoy.advance(AT_ONCE);
            assert_eq!(envoy.roots(worker).len(), 2);
        }
        open.respond(&mut envoy, 200);
        envoy.advance(Duration::from_millis(700));
        books(&mut envoy);
        sizes.push(envoy.memory_size(worker));
    }
    envoy.drain();
    envoy.advance(BATCH_DUE);
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.offered, balance.exported), (served, served));
    assert!(sizes[199] <= sizes[40] + (64 << 10), "memory grows: {sizes:?}");
    assert_eq!(envoy.roots(worker).len(), 2);
    let shared: Vec<_> = envoy.shared_data().keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    assert!(shared.len() <= 2, "the budget, and the log of upgrades: {shared:?}");
    assert_eq!(envoy.metrics().names().count(), started(process("{}")).metrics().names().count());
    assert_eq!(warnings(&envoy), Vec::<&str>::new());
}
