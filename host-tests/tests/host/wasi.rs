//! The part of WASI that Envoy offers.

use tracelift_host::{LogLevel, VmId};

use crate::wat;

#[test]
fn the_environment_is_read_and_stderr_is_an_error_line() {
    let source = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $environ_sizes (i32.const 16) (i32.const 20)))
      (drop (call $environ (i32.const 1024) (i32.const 2048)))
      (i32.store (i32.const 24) (i32.load (i32.const 1024)))
      (i32.store (i32.const 28) (i32.sub (i32.load (i32.const 20)) (i32.const 1)))
      (call $note (call $fd_write (i32.const 2) (i32.const 24) (i32.const 1) (i32.const 16)))
      (call $note (call $fd_write (i32.const 9) (i32.const 24) (i32.const 1) (i32.const 16)))
      (i32.const 1))"#;
    let envoy = wat::envoy(source).workers(0).env("OTEL_SERVICE_NAME", "cart").start().unwrap();
    assert_eq!(wat::messages(&envoy), ["OTEL_SERVICE_NAME=cart", "00", "08"]);
    assert_eq!(envoy.logs().last().map(|line| (line.vm, line.level)), Some((VmId::Main, LogLevel::Info)));
    assert!(envoy.logs().iter().any(|line| line.level == LogLevel::Error));
}

#[test]
fn randomness_differs_between_vms_and_repeats_with_the_seed() {
    let source = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $random (i32.const 16) (i32.const 1)))
      (call $note (i32.rem_u (i32.load8_u (i32.const 16)) (i32.const 100)))
      (drop (call $random (i32.const 16) (i32.const 1)))
      (call $note (i32.rem_u (i32.load8_u (i32.const 16)) (i32.const 100)))
      (i32.const 1))"#;
    let run = |seed| {
        let envoy = wat::envoy(source).workers(1).seed(seed).start().unwrap();
        wat::messages(&envoy).iter().map(|message| (*message).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let both = run(7);
    assert_ne!(both[..2], both[2..], "main and worker");
}

#[test]
fn proc_exit_fails_the_vm() {
    let source = r#"(func (export "proxy_on_tick") (param i32) (call $exit (i32.const 3)))"#;
    let mut envoy = wat::envoy(source).workers(0).start().unwrap();
    envoy.tick_all();
    assert!(envoy.traps()[0].reason.contains("proc_exit(3)"), "{}", envoy.traps()[0].reason);
}
