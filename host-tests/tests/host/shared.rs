//! Shared data with compare-and-swap, and metrics, over several VMs.

use tracelift_host::{RequestSpec, Status};

use crate::wat;

/// A request adds one byte `+` to the value of `k`, guarded by CAS, and notes the statuses of read and write.
const APPENDS: &str = r#"
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $len i32)
  (i32.store (i32.const 12) (i32.const 0))
  (i32.store (i32.const 16) (i32.const 0))
  (call $note (call $get_shared str("k") (i32.const 8) (i32.const 12) (i32.const 16)))
  (local.set $len (i32.load (i32.const 12)))
  (memory.copy (i32.const 1024) (i32.load (i32.const 8)) (local.get $len))
  (i32.store8 (i32.add (i32.const 1024) (local.get $len)) (i32.const 43))
  (call $note (call $set_shared str("k") (i32.const 1024) (i32.add (local.get $len) (i32.const 1)) (i32.load (i32.const 16))))
  (i32.const 0))"#;

#[test]
fn two_workers_build_on_each_others_value() {
    let mut envoy = wat::envoy(APPENDS).workers(2).start().unwrap();
    for worker in [0, 1, 0] {
        envoy.open(RequestSpec::new("inbound", wat::get()).worker(worker)).respond(&mut envoy, 200);
    }
    assert_eq!(envoy.shared_data().get("k").map(|(value, _)| value), Some(&b"+++"[..]));
    assert_eq!(wat::messages(&envoy), ["01", "00", "00", "00", "00", "00"], "the first read finds nothing");
}

#[test]
fn a_write_that_another_vm_overtook_is_a_mismatch() {
    let mut envoy = wat::envoy(APPENDS).start().unwrap();
    envoy.shared_data_mut().set("k", b"a", 0).unwrap();
    envoy.fault(|call| {
        if call.name == "proxy_set_shared_data" {
            call.shared_data.set("k", b"b", 0).unwrap();
        }
        None
    });
    envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert_eq!(wat::messages(&envoy), ["00", "08"]);
    assert_eq!(envoy.shared_data().get("k").map(|(value, _)| value), Some(&b"b"[..]));
    let stale = envoy.shared_data_mut().set("k", b"c", 1);
    assert_eq!(stale, Err(Status::CasMismatch));
}

#[test]
fn metrics_of_one_name_are_one_number_in_all_vms_and_counters_only_grow() {
    let source = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (drop (call $define_metric (i32.const 0) str("hits") (i32.const 16)))
      (call $note (call $increment (i32.load (i32.const 16)) (i64.const 2)))
      (call $note (call $increment (i32.load (i32.const 16)) (i64.const 0)))
      (drop (call $define_metric (i32.const 1) str("level") (i32.const 16)))
      (call $note (call $increment (i32.load (i32.const 16)) (i64.const -1)))
      (i32.const 0))"#;
    let mut envoy = wat::envoy(source).workers(2).start().unwrap();
    for worker in [0, 1] {
        envoy.open(RequestSpec::new("inbound", wat::get()).worker(worker)).respond(&mut envoy, 200);
    }
    assert_eq!((envoy.counter("hits"), envoy.gauge("level")), (4, -2));
    assert_eq!(wat::messages(&envoy)[..3], ["00", "02", "00"]);
    assert_eq!((envoy.counter("other"), envoy.gauge("other")), (0, 0));
}
