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

/// Names, and what is done in text WebAssembly; what a call leaves on the stack is its status. The strings lie where
/// [`module`] puts them.
const STEPS: [(&str, Callback, &str); 12] = [
    (CALLBACKS, Log, ""),
    ("+ the time", RequestHeaders, "(call $now (i32.const 1024))"),
    ("+ one more of a counter", RequestHeaders, "(call $increment (i32.load (i32.const 1032)) (i64.const 1))"),
    (
        "+ a header that is not there",
        RequestHeaders,
        "(call $get (i32.const 0) (i32.const 16) (i32.const 10) (i32.const 1024) (i32.const 1028))",
    ),
    (
        "+ a header",
        RequestHeaders,
        "(call $get (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1024) (i32.const 1028))",
    ),
    (
        "+ a header, and again",
        RequestHeaders,
        "(call $get (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1024) (i32.const 1028)) (drop) (call $get (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1024) (i32.const 1028))",
    ),
    (
        "+ a header that Envoy keeps a slot for",
        RequestHeaders,
        "(call $get (i32.const 0) (i32.const 32) (i32.const 10) (i32.const 1024) (i32.const 1028))",
    ),
    ("+ all headers at once", RequestHeaders, "(call $pairs (i32.const 0) (i32.const 1024) (i32.const 1028))"),
    (
        "+ a header set",
        RequestHeaders,
        "(call $replace (i32.const 0) (i32.const 48) (i32.const 11) (i32.const 96) (i32.const 55))",
    ),
    (
        "+ a header, and one set",
        RequestHeaders,
        "(call $get (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1024) (i32.const 1028)) (drop) (call $replace (i32.const 0) (i32.const 48) (i32.const 11) (i32.const 96) (i32.const 55))",
    ),
    (
        "+ :status of the answer",
        ResponseHeaders,
        "(call $get (i32.const 2) (i32.const 64) (i32.const 7) (i32.const 1024) (i32.const 1028))",
    ),
    (
        "+ a property, response.code",
        Log,
        "(call $property (i32.const 80) (i32.const 13) (i32.const 1024) (i32.const 1028))",
    ),
];

/// A filter that does this. All values that the host returns may lie in one place.
fn module(callback: Callback, done: &str) -> Result<Vec<u8>> {
    let body = |own| if own == callback && !done.is_empty() { format!("(drop {done})") } else { String::new() };
    let (request, response, log) = (body(RequestHeaders), body(ResponseHeaders), body(Log));
    Ok(wat::parse_str(format!(
        r#"(module
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
    let variant = |name: &str, tracer| Variant { name: name.to_owned(), tracer, share: 0.0 };
    let mut variants = vec![variant(NONE, Tracer::None)];
    for (number, (name, callback, done)) in STEPS.iter().enumerate() {
        let path = files.path().join(format!("{number}.wasm"));
        fs::write(&path, module(*callback, done)?)?;
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
        for (name, callback, done) in STEPS {
            let module = module(callback, done).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(&module[..4], b"\0asm", "{name}");
            let others = STEPS.iter().filter(|(_, own, other)| (*own, *other) == (callback, done));
            assert_eq!(others.count(), 1, "{name} is there twice");
        }
    }
}
