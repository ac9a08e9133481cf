//! Properties by phase, and filter state.

use tracelift_host::{Direction, Envoy, Listener, LocalReply, Property, RequestSpec, Response, Status};

use crate::wat;

/// Reads one property in each phase; notes the status and shows the bytes if there are any.
fn reader(path: &str) -> String {
    format!(
        r#"
(func $read (local $status i32)
  (local.set $status (call $get_property path("{path}") (i32.const 8) (i32.const 12)))
  (if (local.get $status) (then (call $note (local.get $status))) (else (call $show))))
(func (export "proxy_on_configure") (param i32 i32) (result i32) (call $read) (i32.const 1))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $read) (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $read) (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (call $read) (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $read))
(func (export "proxy_on_done") (param i32) (result i32) (call $read) (i32.const 1))
"#
    )
}

/// What the worker reads: at configure, request headers, response headers, trailers, log, done.
fn seen(path: &str) -> Vec<String> {
    let mut envoy = wat::envoy(&reader(path)).start().unwrap();
    envoy.request("inbound", wat::get()).respond(&mut envoy, Response::grpc(7));
    wat::messages(&envoy)[1..].iter().map(|message| (*message).to_owned()).collect() // The first is the main VM's.
}

fn number(value: i64) -> String {
    String::from_utf8_lossy(&value.to_le_bytes()).into_owned()
}

#[test]
fn properties_exist_in_the_phases_in_which_envoy_has_them() {
    const NO: &str = "01";
    for (path, expected) in [
        ("request.path", [NO, "/cart?id=7", NO, NO, "/cart?id=7", NO]),
        ("request.url_path", [NO, "/cart", NO, NO, "/cart", NO]),
        ("request.query", [NO, "id=7", NO, NO, "id=7", NO]),
        ("request.headers.x-a", [NO, "1,2", NO, NO, "1,2", NO]),
        ("request.protocol", [NO, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1"]),
        ("upstream.address", [NO, NO, "10.0.0.2:8080", "10.0.0.2:8080", "10.0.0.2:8080", "10.0.0.2:8080"]),
        ("response.code_details", [NO, NO, "via_upstream", "via_upstream", "via_upstream", "via_upstream"]),
        ("xds.cluster_name", [NO, "backend", "backend", "backend", "backend", "backend"]),
        ("xds.node.cluster", ["cart"; 6]),
        ("plugin_name", ["tracelift"; 6]),
        ("cluster_name", [NO; 6]),
        ("listener_direction", [NO; 6]),
        ("filter_state", [NO, "03", "03", "03", "03", "03"]),
    ] {
        assert_eq!(seen(path), expected, "{path}");
    }
}

#[test]
fn numbers_are_eight_bytes_little_endian() {
    const NO: &str = "01";
    let code = &number(200)[..];
    assert_eq!(seen("response.code"), [NO, NO, code, code, code, code]);
    let (unset, denied, derived) = (number(2), number(7), number(2));
    assert_eq!(seen("response.grpc_status"), [NO, NO, &unset, &denied, &denied, &derived]);
    let inbound = &number(1)[..];
    assert_eq!(seen("xds.listener_direction"), [NO, inbound, inbound, inbound, inbound, inbound]);
}

#[test]
fn a_grpc_local_reply_has_its_http_status_at_the_headers_and_200_at_the_log() {
    let mut envoy = wat::envoy(&reader("response.code")).start().unwrap();
    let mut headers = wat::get();
    headers.add("content-type", "application/grpc");
    envoy.request("inbound", headers).local_reply(&mut envoy, LocalReply::connect_failure());
    assert_eq!(wat::messages(&envoy)[3..], [number(503), number(200), number(200)]);
}

#[test]
fn a_test_sets_values_and_failures_but_phases_stay() {
    let mut envoy = wat::envoy(&reader("upstream.address")).start().unwrap();
    let spec = RequestSpec::new("inbound", wat::get()).property("upstream.address", "10.9.9.9:1");
    envoy.open(spec).respond(&mut envoy, 200);
    let spec =
        RequestSpec::new("inbound", wat::get()).property("upstream.address", Property::failing(Status::ParseFailure));
    envoy.open(spec).respond(&mut envoy, 200);
    assert_eq!(wat::messages(&envoy)[2..], ["01", "10.9.9.9:1", "10.9.9.9:1", "10.9.9.9:1", "01", "04", "04", "04"]);
}

#[test]
fn node_metadata_may_have_dots_in_its_keys() {
    let source = r#"
    (data (i32.const 2048) "xds\00node\00metadata\00LABELS\00app.kubernetes.io/name")
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (call $note (call $get_property (i32.const 2048) (i32.const 47) (i32.const 8) (i32.const 12)))
      (call $show) (i32.const 1))"#;
    let module = wat::module(source);
    let envoy = Envoy::builder(&module)
        .listener(Listener::new("edge", Direction::Unspecified, ""))
        .node_metadata(&["LABELS", "app.kubernetes.io/name"], "cart")
        .workers(0)
        .start()
        .unwrap();
    assert_eq!(wat::messages(&envoy), ["00", "cart"]);
}

#[test]
fn what_a_module_sets_is_filter_state_of_its_stream() {
    let source = r#"
    (func (export "proxy_on_tick") (param i32) (call $note (call $set_property str("trace_id") str("abc"))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (call $note (call $set_property str("trace_id") str("abc")))
      (call $note (call $get_property path("trace_id") (i32.const 8) (i32.const 12))) (call $show)
      (i32.const 0))"#;
    let mut envoy = wat::envoy(source).workers(1).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert_eq!(finished.filter_state("trace_id"), Some(&b"abc"[..]));
    envoy.tick_all();
    assert_eq!(wat::messages(&envoy), ["00", "00", "abc", "01", "01"], "a root has no filter state");
}
