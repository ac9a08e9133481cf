//! Modules in WebAssembly text, with the tedious part written once.

use tracelift_host::{Envoy, EnvoyBuilder, Headers, LogLevel, Module};

/// Imports, an allocator that never frees, and `$note`, which logs a number of up to two digits.
/// Addresses 8 to 31 are free for results.
const PRELUDE: &str = r#"
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_value" (func $get_value (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_pairs" (func $get_pairs (param i32 i32 i32) (result i32)))
(import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
(import "env" "proxy_set_effective_context" (func $become (param i32) (result i32)))
(import "env" "proxy_done" (func $done (result i32)))
(import "env" "proxy_send_local_response" (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(memory (export "memory") 2)
(global $free (mut i32) (i32.const 65536))
(func (export "proxy_abi_version_0_2_1"))
(func $allocate (export "proxy_on_memory_allocate") (param $size i32) (result i32)
  (global.get $free)
  (global.set $free (i32.add (global.get $free) (local.get $size))))
(func $note (param $number i32)
  (i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.div_u (local.get $number) (i32.const 10))))
  (i32.store8 (i32.const 1) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
  (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2))))
(func $show (drop (call $log (i32.const 2) (i32.load (i32.const 8)) (i32.load (i32.const 12)))))
"#;

/// A module of the prelude and `functions`, in which `str("...")` stands for address and length of a text,
/// `path("a.b")` for those of a property's path and `pairs("name: value; ...")` for those of a header map.
pub fn module(functions: &str) -> Module {
    let mut data = String::new();
    let mut next = 4096;
    let mut place = |bytes: &[u8]| {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        data += &format!("(data (i32.const {next}) \"{escaped}\")\n");
        let address = next;
        next += bytes.len();
        format!("(i32.const {address}) (i32.const {})", bytes.len())
    };
    let functions = replace_calls(functions, "pairs", |text| place(&pairs(text)));
    let functions = replace_calls(&functions, "path", |text| place(text.replace('.', "\0").as_bytes()));
    let functions = replace_calls(&functions, "str", |text| place(text.as_bytes()));
    let wasm = parse(&format!("(module {PRELUDE}{functions}{data})"));
    Module::from_wasm(&wasm).unwrap_or_else(|error| panic!("{error}"))
}

/// The binary form of a module's text.
pub fn parse(text: &str) -> Vec<u8> {
    ::wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Each `name("text")` becomes what `with` makes of the text.
fn replace_calls(source: &str, name: &str, mut with: impl FnMut(&str) -> String) -> String {
    let start = format!("{name}(\"");
    let mut parts = source.split(&start);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (text, rest) = part.split_once("\")").expect("a closing quote");
        replaced += &with(text);
        replaced += rest;
    }
    replaced
}

/// The ABI's form of `name: value; name: value`.
fn pairs(text: &str) -> Vec<u8> {
    let entries: Vec<_> = text.split("; ").map(|entry| entry.split_once(": ").expect("name: value")).collect();
    let mut wire = (entries.len() as u32).to_le_bytes().to_vec();
    for (name, value) in &entries {
        wire.extend((name.len() as u32).to_le_bytes());
        wire.extend((value.len() as u32).to_le_bytes());
    }
    for part in entries.iter().flat_map(|(name, value)| [name, value]) {
        wire.extend(part.as_bytes());
        wire.push(0);
    }
    wire
}

/// An Envoy with one inbound listener that runs the module.
pub fn envoy(functions: &str) -> EnvoyBuilder {
    Envoy::builder(&module(functions)).inbound("")
}

/// The usual request.
pub fn get() -> Headers {
    Headers::from([(":method", "GET"), (":path", "/cart?id=7"), (":authority", "shop"), ("x-a", "1"), ("X-A", "2")])
}

/// The messages logged by workers and the main thread, and none of the canary's.
pub fn messages(envoy: &Envoy) -> Vec<&str> {
    envoy.messages_from(LogLevel::Trace)
}
