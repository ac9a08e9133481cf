//! Which callbacks run in which case, and which maps exist in them.

use tracelift_host::{LocalReply, RequestSpec, Response, Status, VmId, flags};

use crate::wat;

/// Notes the status of reading `x-a` from the request map in each phase.
const READS_REQUEST: &str = r#"
(func $read (call $note (call $get_value (i32.const 0) str("x-a") (i32.const 8) (i32.const 12))))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $read) (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $read) (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $read))
(func (export "proxy_on_done") (param i32) (result i32) (call $read) (i32.const 1))
"#;

/// Writes `x-new` to the request and the response map in each phase, and notes the status.
const WRITES: &str = r#"
(func $write (param i32)
  (call $note (call $replace (i32.const 0) str("x-new") str("v")))
  (call $note (call $replace (i32.const 2) str("x-new") str("v"))))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $write (i32.const 0)) (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $write (i32.const 0)) (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $write (i32.const 0)))
"#;

/// Every callback of a stream, doing nothing.
const ALL: &str = r#"
(func (export "proxy_on_context_create") (param i32 i32))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $note (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $note (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (i32.const 0))
(func (export "proxy_on_log") (param i32))
(func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
(func (export "proxy_on_delete") (param i32))
"#;

#[test]
fn the_request_map_is_gone_after_the_request_phase_and_back_at_the_log() {
    let mut envoy = wat::envoy(READS_REQUEST).start().unwrap();
    envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert_eq!(wat::messages(&envoy), ["00", "02", "00", "02"], "headers, response, log, done");
}

#[test]
fn a_map_that_never_was_reads_as_not_found_at_the_log() {
    let mut envoy = wat::envoy(READS_REQUEST).start().unwrap();
    let finished = envoy.codec_error("inbound");
    assert_eq!(wat::messages(&envoy), ["01", "02"], "log, done");
    assert_eq!((finished.status, finished.flags), (Some(400), flags::DPE));
}

#[test]
fn a_map_can_be_written_in_its_own_phase_only() {
    let mut envoy = wat::envoy(WRITES).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert_eq!(wat::messages(&envoy), ["00", "02", "02", "00", "02", "02"]);
    assert_eq!(finished.request_headers.text("x-new"), Some("v"));
    assert_eq!(finished.response_headers.text("x-new"), Some("v"));
}

#[test]
fn callbacks_run_in_envoys_order_with_the_log_before_done() {
    let mut envoy = wat::envoy(ALL).start().unwrap();
    let request = envoy.open(RequestSpec::new("inbound", wat::get()).with_body());
    request.body(&mut envoy, "hello", true);
    let finished = request.respond(&mut envoy, Response::grpc(0));
    let all = [
        "proxy_on_context_create",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_response_headers",
        "proxy_on_response_body",
        "proxy_on_response_trailers",
        "proxy_on_log",
        "proxy_on_done",
        "proxy_on_delete",
    ];
    assert_eq!(finished.callback_names(), all);
    assert_eq!(finished.response_trailers.text("grpc-status"), Some("0"));
    assert_eq!(wat::messages(&envoy), ["00", "00"], "the stream ends with its trailers");
}

#[test]
fn a_host_after_the_specification_calls_done_before_the_log() {
    let mut envoy = wat::envoy(ALL).log_after_done().start().unwrap();
    let finished = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    let names = finished.callback_names();
    assert_eq!(names[names.len() - 3..], ["proxy_on_done", "proxy_on_log", "proxy_on_delete"]);
}

#[test]
fn a_client_that_leaves_is_seen_at_the_log_only() {
    let mut envoy = wat::envoy(ALL).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).client_disconnect(&mut envoy);
    assert!(!finished.callback_names().contains(&"proxy_on_response_headers"));
    assert_eq!((finished.status, finished.flags), (None, flags::DC));
}

#[test]
fn a_local_reply_to_a_grpc_client_is_trailers_only() {
    let mut envoy = wat::envoy(ALL).start().unwrap();
    let mut headers = wat::get();
    headers.add("content-type", "application/grpc");
    let finished = envoy.request("inbound", headers).local_reply(&mut envoy, LocalReply::timeout());
    assert_eq!(finished.response_headers.text(":status"), Some("200"));
    assert_eq!(finished.response_headers.text("grpc-status"), Some("14"));
    assert_eq!(wat::messages(&envoy), ["01"], "one response callback, at the end of the stream");
}

#[test]
fn a_local_reply_to_others_has_a_body() {
    let mut envoy = wat::envoy(ALL).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).local_reply(&mut envoy, LocalReply::connect_failure());
    assert_eq!((finished.status, finished.flags), (Some(503), flags::URX | flags::UF));
    assert_eq!(wat::messages(&envoy), ["00", "01"]);
}

#[test]
fn a_response_that_breaks_off_keeps_its_status_and_tells_at_the_log() {
    let mut envoy = wat::envoy(ALL).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).break_off(&mut envoy, Response::status(200).body("half"));
    assert_eq!((finished.status, finished.flags), (Some(200), flags::UPE));
    assert_eq!(wat::messages(&envoy), ["00", "00"], "no end of stream");
}

#[test]
fn a_module_may_answer_a_request_itself() {
    let source = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (drop (call $answer (i32.const 403) str("") str("no") pairs("x-why: because") (i32.const -1)))
      (i32.const 1))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
      (call $note (call $replace (i32.const 2) str("x-seen") str("v"))) (i32.const 0))"#;
    let mut envoy = wat::envoy(source).start().unwrap();
    let request = envoy.request("inbound", wat::get());
    assert_eq!(request.local_response(&envoy).map(|answer| answer.status), Some(403));
    let finished = request.respond(&mut envoy, 200);
    assert_eq!((finished.status, &finished.body[..]), (Some(403), &b"no"[..]));
    assert_eq!(finished.response_headers.text("x-why"), Some("because"));
    assert_eq!(finished.response_headers.text("x-seen"), Some("v"), "its own filter sees the answer");
}

#[test]
fn callbacks_may_come_in_any_order_and_for_contexts_that_are_unknown() {
    let mut envoy = wat::envoy(READS_REQUEST).start().unwrap();
    let worker = VmId::Worker(0);
    assert_eq!(envoy.callback(worker, "proxy_on_response_headers", &[99, 0, 0]), Some(0));
    assert_eq!(envoy.callback(worker, "proxy_on_grpc_close", &[1, 2, 3]), None, "not exported, so not called");
    assert_eq!(wat::messages(&envoy), ["02"]);
    assert!(envoy.traps().is_empty());
}

#[test]
fn a_hostcall_can_be_made_to_fail() {
    let mut envoy = wat::envoy(READS_REQUEST).start().unwrap();
    envoy.fail_hostcall("proxy_get_header_map_value", Status::InternalFailure);
    let request = envoy.request("inbound", wat::get());
    envoy.clear_faults();
    request.respond(&mut envoy, 200);
    assert_eq!(wat::messages(&envoy), ["10", "02", "00", "02"]);
}
