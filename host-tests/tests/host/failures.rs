//! Traps, refused modules, and the bill of a callback.

use tracelift_host::{Module, ModuleError, RequestSpec, VmId};

use crate::wat;

#[test]
fn a_trap_fails_its_vm_and_no_other() {
    let source = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)
    (func (export "proxy_on_log") (param i32) (call $note (i32.const 1)))"#;
    let mut envoy = wat::envoy(source).workers(2).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert!(finished.vm_failed);
    assert_eq!(finished.status, Some(503));
    assert!(wat::messages(&envoy).is_empty(), "a failed VM is never entered again");
    let [trap] = envoy.traps() else { panic!("one trap") };
    assert_eq!((trap.vm, &trap.callback[..]), (VmId::Worker(0), "proxy_on_request_headers"));
    assert!(trap.reason.contains("unreachable"), "{}", trap.reason);
    envoy.reload(0).unwrap();
    let again = envoy.open(RequestSpec::new("inbound", wat::get()).worker(0)).respond(&mut envoy, 200);
    assert!(again.vm_failed);
    assert_eq!(envoy.traps().len(), 2);
}

#[test]
fn a_trap_while_starting_stops_envoy() {
    let source = r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) unreachable)"#;
    let refused = wat::envoy(source).start().err().expect("a refusal");
    assert_eq!(refused.callback, "proxy_on_vm_start");
    assert!(refused.trap.is_some());
}

#[test]
fn an_endless_loop_is_a_trap() {
    let source = r#"(func (export "proxy_on_tick") (param i32) (loop $again (br $again)))"#;
    let mut envoy = wat::envoy(source).workers(0).start().unwrap();
    envoy.tick_all();
    assert!(envoy.traps()[0].reason.contains("fuel"), "{}", envoy.traps()[0].reason);
}

fn refused(text: &str) -> ModuleError {
    let wasm = wat::parse(text);
    Module::from_wasm(&wasm).expect_err("a refusal")
}

#[test]
fn imports_that_envoy_has_not_are_named() {
    let error = refused(
        r#"(module
        (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
        (import "env" "__wbindgen_throw" (func (param i32 i32)))
        (import "wasi_snapshot_preview1" "sock_send" (func (result i32)))
        (func (export "proxy_abi_version_0_2_1")))"#,
    );
    let expected = ["env.__wbindgen_throw", "wasi_snapshot_preview1.sock_send"];
    assert!(matches!(&error, ModuleError::UnknownImports(names) if *names == expected), "{error}");
    assert!(error.to_string().contains("env.__wbindgen_throw, wasi_snapshot_preview1.sock_send"));
}

#[test]
fn an_import_of_a_wrong_type_and_a_module_of_another_abi_are_refused() {
    let error = refused(r#"(module (import "env" "proxy_log" (func)) (func (export "proxy_abi_version_0_2_1")))"#);
    assert!(matches!(error, ModuleError::ImportType(_)), "{error}");
    assert!(matches!(refused("(module)"), ModuleError::AbiVersion));
}

#[test]
fn the_bill_counts_hostcalls_returned_values_and_fuel_and_is_exact() {
    let source = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (drop (call $get_value (i32.const 0) str("x-a") (i32.const 8) (i32.const 12)))
      (drop (call $get_value (i32.const 0) str("x-missing") (i32.const 8) (i32.const 12)))
      (drop (call $get_pairs (i32.const 0) (i32.const 8) (i32.const 12)))
      (drop (call $get_pairs (i32.const 2) (i32.const 8) (i32.const 12)))
      (i32.const 0))
    (func (export "proxy_on_log") (param i32) (call $note (i32.const 1)))"#;
    let mut envoy = wat::envoy(source).start().unwrap();
    let first = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    let second = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert_eq!(first.cost, second.cost);
    let calls = [("proxy_get_header_map_value", 2), ("proxy_get_header_map_pairs", 2), ("proxy_log", 1)];
    assert_eq!(first.cost.hostcalls, calls);
    assert_eq!(first.cost.hostcall_count(), 5);
    assert_eq!(first.cost.returning, 2, "a miss and an empty map need no memory of the guest's");
    assert!((20..200).contains(&first.cost.fuel), "{}", first.cost.fuel);
    let [(_, headers), (_, log)] = &first.callbacks[..] else { panic!("two callbacks") };
    assert_eq!(headers.fuel + log.fuel, first.cost.fuel);
    assert_eq!(envoy.cost_of(VmId::Worker(0)).calls_of("proxy_log"), 2);
    assert_eq!(envoy.memory_size(VmId::Worker(0)), 2 * 65536);
}
