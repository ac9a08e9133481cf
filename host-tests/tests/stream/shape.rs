//! The module from outside: what it asks of a host, what it weighs, what a request that nobody keeps costs.

use serde_json::{Value, json};
use tracelift_host::{Headers, VmId, testing};

use crate::kit::{DROPPED, SAMPLED, Story, builder, keep_failures, plain};

/// Each import is a thing that a host must have, and each callback an entry into the VM: a new one is a decision.
const IMPORTS: [&str; 24] = [
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_define_metric",
    "env.proxy_done",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_property",
    "env.proxy_get_shared_data",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_record_metric",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_send_local_response",
    "env.proxy_set_effective_context",
    "env.proxy_set_property",
    "env.proxy_set_shared_data",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.random_get",
];

/// What panics need in a standard library that was not compiled with the module: to write a message, and to end. `cargo xtask
/// build` takes such a library only where the source of one cannot be had.
const PREBUILT: [&str; 2] = ["wasi_snapshot_preview1.fd_write", "wasi_snapshot_preview1.proc_exit"];
/// Bytes that it adds, at most.
const PREBUILT_BYTES: usize = 40_000;

const EXPORTS: [&str; 16] = [
    "_initialize",
    "memcmp", // Instead of the C library's. Rust exports what keeps its name.
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

#[test]
fn the_module_imports_and_exports_exactly_this() {
    let module = testing::module();
    let mut imports = module.imports();
    imports.retain(|import| !PREBUILT.contains(&&**import));
    assert_eq!(imports, IMPORTS);
    assert_eq!(module.exports(), EXPORTS);
}

/// It can answer one: a recall request, see `tests/recall/trust.rs`.
#[test]
fn nothing_in_it_can_hold_a_request_or_close_one() {
    for import in testing::module().imports() {
        let verb = ["continue_stream", "close_stream"].into_iter().find(|verb| import.contains(verb));
        assert_eq!(verb, None);
    }
}

#[test]
fn the_module_is_at_most_620_000_bytes() {
    let module = testing::module();
    let is_prebuilt = module.imports().iter().any(|import| PREBUILT.contains(&&**import));
    let limit = if is_prebuilt { 620_000 + PREBUILT_BYTES } else { 620_000 };
    assert!(module.size() <= limit, "{} bytes", module.size());
}

#[test]
fn a_worker_stays_below_4_mebibytes_and_does_not_grow() {
    let mut story = Story::start(builder().inbound(keep_failures().to_string()));
    let mut sizes = Vec::new();
    for number in 0..10_000 {
        let headers = match number % 4 {
            0 => realistic(&[]),
            1 => realistic(&[("traceparent", SAMPLED)]),
            2 => realistic(&[("traceparent", DROPPED), ("tracestate", "foo=1,ot=th:8,bar=2")]),
            _ => plain("GET", "/"),
        };
        let request = story.request("inbound", headers);
        request.respond(&mut story, if number % 50 == 0 { 503 } else { 200 });
        if number % 500 == 499 {
            while !story.spans().is_empty() {}
            sizes.push(story.memory_size(VmId::Worker(0)));
        }
    }
    let last = sizes[sizes.len() - 1];
    assert!(last < 4 << 20, "{sizes:?}");
    assert!(sizes[2..].iter().all(|size| *size == last), "memory grows: {sizes:?}");
}

/// Twelve headers as a browser and a gateway send them, and more.
fn realistic(more: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::from([
        (":method", "GET"),
        (":path", "/api/v1/orders/4711?expand=items"),
        (":authority", "orders.shop.svc.cluster.local:8080"),
        (":scheme", "http"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("accept-language", "de,en-US;q=0.7,en;q=0.3"),
        ("authorization", "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0NzExIn0.c2lnbmF0dXJl"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "5f0e3f3e-8f0c-9f7a-b3b4-2f1a3c4d5e6f"),
    ]);
    for (name, value) in more {
        headers.add(name, value);
    }
    headers
}

#[test]
fn a_dropped_request_costs_six_hostcalls_of_which_three_return_a_value() {
    let rules: Vec<Value> = (0..5)
        .map(|n| json!({"match": {"path": {"prefix": format!("/never/{n}")}, "headers": {"x-a": {"exact": "b"}}}, "ratio": 1}))
        .collect();
    let plain = json!({"sampling": {"ratio": 0}});
    let ruled = json!({"sampling": {"ratio": 0, "rules": rules}});
    let context = [("traceparent", DROPPED)];
    let both = [("traceparent", DROPPED), ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")];
    for (name, config, more) in [
        ("no context", &plain, &[][..]),
        ("traceparent", &plain, &context),
        ("traceparent and tracestate", &plain, &both),
        ("5 rules", &ruled, &[]),
        ("5 rules, traceparent and tracestate", &ruled, &both),
    ] {
        let mut story = Story::new(config.clone());
        for _ in 0..20 {
            story.request("inbound", realistic(more)).respond(&mut story, 200); // Random numbers are fetched in advance.
        }
        let cost = story.request("inbound", realistic(more)).respond(&mut story, 200).cost;
        assert!(cost.hostcall_count() <= 6, "{name}: {cost:?}");
        assert!(cost.returning <= 3, "{name}: {cost:?}");
        assert!(cost.fuel < 15_000, "{name}: {cost:?}");
    }
}
