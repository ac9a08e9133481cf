//! Start, ticks, updates, exit.

use std::time::Duration;

use tracelift_host::{Envoy, VmId};

use crate::wat;

/// Ticks every 100 ms and notes its context; refuses the configuration `no`.
const TICKS: &str = r#"
(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $note (i32.const 50)) (i32.const 1))
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (drop (call $set_tick (i32.const 100)))
  (drop (call $get_buffer (i32.const 7) (i32.const 0) (local.get 1) (i32.const 8) (i32.const 12)))
  (call $show)
  (if (result i32) (i32.eq (local.get 1) (i32.const 2)) (then (i32.const 0)) (else (i32.const 1))))
(func (export "proxy_on_tick") (param i32) (call $note (local.get 0)))
(func (export "proxy_on_log") (param i32) (call $note (i32.const 70)))
(func (export "proxy_on_done") (param i32) (result i32)
  (call $note (i32.add (i32.const 80) (local.get 0))) (i32.const 1))
(func (export "proxy_on_delete") (param i32) (call $note (i32.add (i32.const 90) (local.get 0))))
"#;

fn new_messages(envoy: &Envoy, from: &mut usize) -> Vec<String> {
    let lines = envoy.logs()[*from..].iter().map(|line| line.message.clone());
    let lines = lines.collect();
    *from = envoy.logs().len();
    lines
}

#[test]
fn a_canary_the_main_vm_and_each_worker_are_configured() {
    let module = wat::module(TICKS);
    let envoy = Envoy::builder(&module).inbound("in!").outbound("out").workers(2).start().unwrap();
    let lines: Vec<_> = envoy.logs().iter().map(|line| (line.vm, &line.message[..])).collect();
    let canaries = [(VmId::Canary, "50"), (VmId::Canary, "in!"), (VmId::Canary, "50"), (VmId::Canary, "out")];
    assert_eq!(lines[..4], canaries, "each configuration is tried alone");
    for (index, vm) in [VmId::Main, VmId::Worker(0), VmId::Worker(1)].into_iter().enumerate() {
        assert_eq!(lines[4 + 4 * index..][..4], [(vm, "50"), (vm, "in!"), (vm, "50"), (vm, "out")]);
        assert_eq!(envoy.roots(vm), [(1, "inbound"), (2, "outbound")]);
    }
}

#[test]
fn a_refused_configuration_stops_the_start_and_carries_the_log() {
    let refused = Envoy::builder(&wat::module(TICKS)).inbound("no").start().err().expect("a refusal");
    assert_eq!((refused.callback, &refused.listener[..]), ("proxy_on_configure", "inbound"));
    assert_eq!(refused.logs.last().map(|line| &line.message[..]), Some("no"));
    assert!(refused.trap.is_none());
}

#[test]
fn every_vm_ticks_at_its_period_also_the_main_one_that_sees_no_request() {
    let mut envoy = wat::envoy(TICKS).workers(1).start().unwrap();
    let start = envoy.now();
    let mut seen = envoy.logs().len();
    envoy.advance(Duration::from_millis(250));
    assert_eq!(new_messages(&envoy, &mut seen), ["01"; 4]);
    assert_eq!(envoy.now() - start, Duration::from_millis(250));
    let mut vms: Vec<_> = envoy.logs()[seen - 4..].iter().map(|line| line.vm).collect();
    vms.sort();
    assert_eq!(vms, [VmId::Main, VmId::Main, VmId::Worker(0), VmId::Worker(0)]);
}

#[test]
fn an_update_runs_beside_the_old_root_until_the_listener_has_drained() {
    let mut envoy = wat::envoy(TICKS).workers(1).start().unwrap();
    let old = envoy.request("inbound", wat::get()); // Context 2 under root 1.
    let mut seen = envoy.logs().len();
    let nack = envoy.update_config("inbound", "no").expect_err("a refusal");
    assert_eq!(nack.logs.last().map(|line| &line.message[..]), Some("no"));
    assert_eq!(envoy.roots(VmId::Worker(0)), [(1, "inbound")], "the old one keeps serving");
    envoy.update_config("inbound", "new").unwrap();
    assert_eq!(envoy.roots(VmId::Worker(0)), [(1, "inbound"), (3, "inbound")]);
    new_messages(&envoy, &mut seen);
    envoy.advance(Duration::from_millis(100));
    assert_eq!(new_messages(&envoy, &mut seen), ["01", "02", "01", "03"], "both tick, in the main VM and the worker");
    old.respond(&mut envoy, 200);
    assert_eq!(new_messages(&envoy, &mut seen), ["70", "82", "92"]);
    envoy.drain();
    assert_eq!(new_messages(&envoy, &mut seen), ["81", "91", "81", "91"]);
    envoy.advance(Duration::from_millis(100));
    assert_eq!(new_messages(&envoy, &mut seen), ["02", "03"], "only the new one ticks");
}

#[test]
fn a_drain_that_takes_too_long_cuts_the_streams_of_the_old_root() {
    let mut envoy = wat::envoy(TICKS).workers(1).start().unwrap();
    let _cut = envoy.request("inbound", wat::get());
    envoy.update_config("inbound", "new").unwrap();
    let mut seen = envoy.logs().len();
    envoy.drain();
    assert_eq!(new_messages(&envoy, &mut seen), ["81", "91", "70", "82", "92", "81", "91"]);
}

#[test]
fn at_exit_every_root_is_done_once() {
    let mut envoy = wat::envoy(TICKS).workers(2).start().unwrap();
    let mut seen = envoy.logs().len();
    envoy.shutdown();
    assert_eq!(new_messages(&envoy, &mut seen), ["81", "91", "81", "91", "81", "91"]);
    assert_eq!(envoy.logs().last().map(|line| line.vm), Some(VmId::Main));
}

#[test]
fn a_stream_that_is_not_done_yet_lives_until_the_module_says_so() {
    let source = r#"
    (func (export "proxy_on_done") (param i32) (result i32) (i32.const 0))
    (func (export "proxy_on_delete") (param i32) (call $note (local.get 0)))
    (func (export "proxy_on_tick") (param i32)
      (call $note (call $done))
      (drop (call $become (i32.const 2)))
      (call $note (call $done)))"#;
    let mut envoy = wat::envoy(source).start().unwrap();
    let finished = envoy.request("inbound", wat::get()).respond(&mut envoy, 200);
    assert!(!finished.callback_names().contains(&"proxy_on_delete"));
    envoy.callback(VmId::Worker(0), "proxy_on_tick", &[1]);
    assert_eq!(wat::messages(&envoy), ["01", "00", "02"], "a context that was not asked has nothing to finish");
}

#[test]
fn a_process_can_be_handed_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let envoy = wat::envoy(TICKS).start().unwrap();
    is_send(&envoy);
}
