//! Callouts: who hears of the answer, and what stands for a failure.

use std::time::Duration;

use tracelift_host::{Answer, CalloutState, Cluster, Envoy, RequestSpec, Response};

use crate::wat;

/// A tick sends one request with a timeout of 100 ms; its answer's `:status` is shown.
const CALLS: &str = r#"
(func $call (call $note (call $http_call str("collector")
    pairs(":method: POST; :path: /v1/traces; :authority: c") str("body") (i32.const 0) (i32.const 0)
    (i32.const 100) (i32.const 16))))
(func (export "proxy_on_tick") (param i32) (call $call))
(func (export "proxy_on_done") (param i32) (result i32) (call $call) (i32.const 1))
(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (local $status i32)
  (local.set $status (call $get_value (i32.const 6) str(":status") (i32.const 8) (i32.const 12)))
  (if (local.get $status) (then (call $note (local.get $status))) (else (call $show)))
  (drop (call $get_buffer (i32.const 4) (i32.const 0) (local.get 3) (i32.const 8) (i32.const 12)))
  (call $show))
"#;

/// Only the main thread's VM, so that one tick is one call.
fn envoy() -> Envoy {
    wat::envoy(CALLS).workers(0).cluster("collector").start().unwrap()
}

#[test]
fn the_test_answers_a_callout_by_hand() {
    let mut envoy = envoy();
    envoy.tick_all();
    let callout = envoy.only_callout().clone();
    assert_eq!((&callout.cluster[..], &callout.body[..]), ("collector", &b"body"[..]));
    assert_eq!((callout.path(), callout.timeout), ("/v1/traces".to_owned(), Some(Duration::from_millis(100))));
    envoy.answer(callout.id, Answer::status(429).body("slow down"));
    assert_eq!(wat::messages(&envoy), ["00", "429", "slow down"]);
    assert!(envoy.waiting_callouts().is_empty());
}

#[test]
fn nobody_answers_and_the_module_gets_a_504_of_envoys_making() {
    let mut envoy = envoy();
    envoy.tick_all();
    envoy.advance(Duration::from_millis(99));
    assert_eq!(envoy.waiting_callouts().len(), 1);
    envoy.advance(Duration::from_millis(1));
    assert_eq!(wat::messages(&envoy), ["00", "504", "upstream request timeout"]);
    assert_eq!(envoy.callouts()[0].state, CalloutState::TimedOut);
}

#[test]
fn an_old_host_tells_of_failure_by_an_empty_map() {
    let mut envoy = envoy();
    envoy.tick_all();
    let id = envoy.only_callout().id;
    envoy.answer(id, Answer::no_headers());
    assert_eq!(wat::messages(&envoy)[..2], ["00", "01"]);
}

#[test]
fn a_cluster_that_is_unknown_or_empty_fails_the_hostcall() {
    let mut envoy = envoy();
    envoy.set_cluster("collector", Some(Cluster::WithoutHost));
    envoy.tick_all();
    envoy.set_cluster("collector", None);
    envoy.tick_all();
    assert_eq!(wat::messages(&envoy), ["10", "02"]);
    assert!(envoy.callouts().is_empty());
}

#[test]
fn an_automatic_collector_answers_after_its_latency() {
    let latency = Duration::from_millis(20);
    let mut envoy = wat::envoy(CALLS).workers(0).collector("collector", latency).start().unwrap();
    envoy.tick_all();
    envoy.advance(Duration::from_millis(19));
    assert_eq!(wat::messages(&envoy), ["00"]);
    envoy.advance(Duration::from_millis(1));
    assert_eq!(wat::messages(&envoy), ["00", "200", ""]);
    envoy.forget_callouts();
    assert!(envoy.callouts().is_empty());
}

#[test]
fn a_stream_that_ends_takes_its_callouts_with_it_unless_the_root_sent_them() {
    let source = r#"
    (func (export "proxy_on_log") (param i32)
      (if (i32.and (local.get 0) (i32.const 1)) (then (drop (call $become (i32.const 1)))))
      (drop (call $http_call str("collector") pairs(":method: POST; :path: /; :authority: c")
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16))))"#;
    let mut envoy = wat::envoy(source).cluster("collector").start().unwrap();
    for _ in 0..2 {
        envoy.request("inbound", wat::get()).respond(&mut envoy, 200); // Contexts 2 and 3.
    }
    let [streams, roots] = envoy.callouts() else { panic!("two callouts") };
    assert_eq!((streams.context, streams.state.clone()), (2, CalloutState::Cancelled { delivered: true }));
    assert_eq!((roots.context, roots.root, roots.state.clone()), (1, 1, CalloutState::Waiting));
    assert_eq!(roots.timeout, None, "0 is for ever");
}

#[test]
fn a_last_request_at_exit_needs_an_open_connection() {
    for (warm, delivered) in [(false, false), (true, true)] {
        let mut envoy = envoy();
        if warm {
            envoy.tick_all();
            let id = envoy.only_callout().id;
            envoy.answer(id, 200);
        }
        envoy.shutdown();
        let last = envoy.callouts().last().expect("the call from on_done");
        assert_eq!(last.delivered(), delivered, "warm: {warm}");
    }
}

#[test]
fn a_callout_reaches_another_envoy_whose_answer_comes_back_after_its_latency() {
    // Answers requests for /v1/traces itself and lets others through.
    let source = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (drop (call $get_value (i32.const 0) str(":path") (i32.const 8) (i32.const 12)))
      (if (i32.eq (i32.load (i32.const 12)) (i32.const 10)) (then (drop
        (call $answer (i32.const 202) str("ours") str("taken") pairs("x-by: module") (i32.const -1)))))
      (i32.const 0))"#;
    let mut callee = wat::envoy(source).start().unwrap();
    let mut caller = envoy();
    caller.tick_all();
    let calls = caller.take_calls("collector");
    assert_eq!((calls.len(), caller.take_calls("collector").len()), (1, 0), "handed out once");
    let at = RequestSpec::new("inbound", calls[0].headers.clone());
    let answer = callee.receive(at, Response::status(404));
    assert_eq!((answer.headers.text(":status"), answer.headers.text("x-by")), (Some("202"), Some("module")));
    caller.answer_after(calls[0].id, Duration::from_millis(5), answer);
    caller.advance(Duration::from_millis(4));
    assert_eq!(wat::messages(&caller), ["00"]);
    caller.advance(Duration::from_millis(1));
    assert_eq!(wat::messages(&caller), ["00", "202", "taken"]);

    let other = RequestSpec::new("inbound", [(":method", "GET"), (":path", "/cart"), (":authority", "shop")]);
    let elsewhere = callee.receive(other, Response::status(404).body("no such page"));
    assert_eq!((elsewhere.headers.text(":status"), &elsewhere.body[..]), (Some("404"), &b"no such page"[..]));

    caller.tick_all();
    assert_eq!(caller.take_calls("collector").len(), 1, "and lost");
    caller.advance(Duration::from_millis(100));
    assert_eq!(wat::messages(&caller)[3..], ["00", "504", "upstream request timeout"]);
}
