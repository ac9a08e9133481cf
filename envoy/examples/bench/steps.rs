//! What a plugin's cost is made of: filters that do one thing more than being entered, counted by Valgrind.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use crate::callgrind::{self, Extent};
use crate::rounds::Scene;
use crate::stage::Processors;
use crate::variant::{NONE, Tracer, Variant};

/// What the others are compared with.
const CALLBACKS: &str = "six callbacks, nothing in them";

/// Where the one thing is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Callback {
    RequestHeaders,
    ResponseHeaders,
    Log,
}

use Callback::{Log, RequestHeaders, ResponseHeaders};

/// Names, and which of the functions of [`FUNCTIONS`] are called.
const STEPS: [(&str, Callback, &str); 12] = [
    (CALLBACKS, Log, ""),
    ("+ the time", RequestHeaders, "(call $time)"),
    ("+ one more of a counter", RequestHeaders, "(call $count)"),
    ("+ a header that is not there", RequestHeaders, "(call $absent)"),
    ("+ a header", RequestHeaders, "(call $tenant)"),
    ("+ a header, and again", RequestHeaders, "(call $tenant) (call $tenant)"),
    ("+ a header that Envoy keeps a slot for", RequestHeaders, "(call $agent)"),
    ("+ all headers at once", RequestHeaders, "(call $all)"),
    ("+ a header set", RequestHeaders, "(call $set)"),
    ("+ a header, and one set", RequestHeaders, "(call $tenant) (call $set)"),
    ("+ :status of the answer", ResponseHeaders, "(call $status)"),
    ("+ a property, response.code", Log, "(call $code)"),
];

/// One hostcall each. Values that the host returns lie at 4,096, their address and length at 1,024; the counter's id at 1,032.
const FUNCTIONS: &str = r#"
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-tenant") (data (i32.const 16) "x-not-here") (data (i32.const 32) "user-agent")
  (data (i32.const 48) "traceparent") (data (i32.const 64) ":status") (data (i32.const 80) "response\00code")
  (data (i32.const 96) "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00") (data (i32.const 160) "steps")
  (func $time (drop (call $now (i32.const 1024))))
  (func $count (drop (call $increment (i32.load (i32.const 1032)) (i64.const 1))))
  (func $header (param $map i32) (param $name i32) (param $length i32)
    (drop (call $get (local.get $map) (local.get $name) (local.get $length) (i32.const 1024) (i32.const 1028))))
  (func $tenant (call $header (i32.const 0) (i32.const 0) (i32.const 8)))
  (func $absent (call $header (i32.const 0) (i32.const 16) (i32.const 10)))
  (func $agent (call $header (i32.const 0) (i32.const 32) (i32.const 10)))
  (func $status (call $header (i32.const 2) (i32.const 64) (i32.const 7)))
  (func $all (drop (call $pairs (i32.const 0) (i32.const 1024) (i32.const 1028))))
  (func $set (drop (call $replace (i32.const 0) (i32.const 48) (i32.const 11) (i32.const 96) (i32.const 55))))
  (func $code (drop (call $property (i32.const 80) (i32.const 13) (i32.const 1024) (i32.const 1028))))"#;

/// A filter that makes these calls.
fn module(callback: Callback, calls: &str) -> Result<Vec<u8>> {
    let body = |own| if own == callback { calls } else { "" };
    let (request, response, log) = (body(RequestHeaders), body(ResponseHeaders), body(Log));
    Ok(wat::parse_str(format!(
        r#"(module {FUNCTIONS}
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
    (drop (call $define (i32.const 0) (i32.const 160) (i32.const 5) (i32.const 1032))) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {request} (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) {response} (i32.const 0))
  (func (export "proxy_on_log") (param i32) {log})
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))"#
    ))?)
}

/// Counts each filter in the first scene, and says what its one thing adds.
pub async fn measure(processors: Processors, extent: Extent) -> Result<Value> {
    let files = tempfile::Builder::new().prefix("tracelift-steps-").tempdir()?;
    let variant = |name: &str, tracer| Variant { name: name.to_owned(), tracer, share: 0.0, inline_headers: false };
    let mut variants = vec![variant(NONE, Tracer::None)];
    for (number, (name, callback, calls)) in STEPS.iter().enumerate() {
        let path = files.path().join(format!("{number}.wasm"));
        fs::write(&path, module(*callback, calls)?)?;
        variants.push(variant(name, Tracer::Filter(path)));
    }
    let counted = callgrind::count(processors, &variants, &Scene::ALL[..1], extent).await?;
    let counts: Vec<f64> = counted.iter().map(|counted| counted.scenes[0].instructions()).collect();
    let rows = variants.iter().zip(&counts).zip(&counted).skip(1).map(|((variant, count), counted)| {
        let base = if variant.name == CALLBACKS { counts[0] } else { counts[1] };
        let apart = counted.scenes[0].apart();
        json!({ "step": variant.name, "instructions": count, "added": count - base, "halves_apart": apart })
    });
    Ok(json!({ "scene": Scene::ALL[0].name(), "requests": extent.requests * 2, "steps": rows.collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_a_module_and_the_first_is_the_one_compared_with() {
        assert_eq!(STEPS[0].0, CALLBACKS);
        for (name, callback, calls) in STEPS {
            let module = module(callback, calls).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(&module[..4], b"\0asm", "{name}");
            let others = STEPS.iter().filter(|(_, own, other)| (*own, *other) == (callback, calls));
            assert_eq!(others.count(), 1, "{name} is there twice");
        }
    }
}
