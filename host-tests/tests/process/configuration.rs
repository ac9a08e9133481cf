//! What the module makes of its configuration: taken whole, refused whole, or passed through.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Value, json};
use std::time::Duration;
use tracelift_host::{Envoy, LogLevel, Refused, VmId};

use crate::kit::{BATCH_DUE, COLLECTOR, closed_books, get, process, seconds, serve, serve_on, started, warnings};

/// Every key of the contract; most values are the default.
pub const CONTRACT: &str = r#"{
  "service_name": "cart",
  "resource": { "deployment.environment.name": "prod" },
  "span_kind": "auto",
  "propagators": ["tracecontext"],
  "sampling": {
    "mode": "parent_based",
    "algorithm": "consistent", "hash_seed": 0,
    "ratio": 0.05,
    "rules": [
      { "name": "probes",   "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false },
      { "name": "payments", "match": { "path": { "prefix": "/pay" }, "method": ["POST"], "host": { "suffix": ".shop.example" },
                                       "headers": { "x-tenant": { "exact": "gold" } } }, "ratio": 1, "latency_ms": 800 }
    ]
  },
  "upgrade": {
    "http_status": ["5xx"],
    "grpc_status": ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"],
    "response_flags": true,
    "latency_ms": null,
    "traces_per_second": 100,
    "signal": { "emit": true, "accept": true },
    "recall": { "enabled": false, "cluster": "tracelift_recall", "token": "", "hold_ms": 5000, "max_bytes": 1048576 }
  },
  "edge": false,
  "export": {
    "protocol": "http/protobuf", "cluster": "otel_collector", "path": "/v1/traces", "authority": "otel-collector",
    "headers": {}, "timeout_ms": 10000, "compression": "none",
    "max_queue_size": 2048, "max_queue_bytes": 4194304, "max_export_batch_size": 512, "scheduled_delay_ms": 1000,
    "tracestate": true
  },
  "attributes": { "request_headers": [], "response_headers": [], "query": false }
}"#;

/// As Envoy hands over a typed `google.protobuf.Struct`.
pub fn as_struct(json: &Value) -> Vec<u8> {
    fn value(json: &Value) -> prost_types::Value {
        let kind = match json {
            Value::Null => Kind::NullValue(0),
            Value::Bool(flag) => Kind::BoolValue(*flag),
            Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a finite number")),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(list) => Kind::ListValue(ListValue { values: list.iter().map(value).collect() }),
            Value::Object(_) => Kind::StructValue(object(json)),
        };
        prost_types::Value { kind: Some(kind) }
    }
    fn object(json: &Value) -> Struct {
        let entries = json.as_object().expect("an object").iter();
        Struct { fields: entries.map(|(key, entry)| (key.clone(), value(entry))).collect() }
    }
    object(json).encode_to_vec()
}

fn refused(configuration: impl AsRef<[u8]>) -> Refused {
    match process(&configuration).start() {
        Err(refused) => refused,
        Ok(_) => panic!("accepted: {}", configuration.as_ref().escape_ascii()),
    }
}

/// The one error of a refusal, which came in the canary and was no trap.
fn reason(refused: &Refused) -> &str {
    assert_eq!((refused.callback, refused.trap.is_none()), ("proxy_on_configure", true), "{refused}");
    let errors: Vec<_> = refused.logs.iter().filter(|line| LogLevel::Error <= line.level).collect();
    assert!(errors.len() == 1 && errors[0].vm == VmId::Canary, "{refused}");
    &errors[0].message
}

#[test]
fn nothing_and_everything_of_the_contract_start_on_every_vm() {
    let contract: Value = serde_json::from_str(CONTRACT).expect("JSON");
    let typed = as_struct(&contract);
    for configuration in [&b""[..], b"{}", b" \n", CONTRACT.as_bytes(), &typed] {
        let builder = process(configuration).outbound(configuration).workers(3);
        let mut envoy = started(builder.collector(COLLECTOR, Duration::from_millis(5)));
        let said = envoy.messages_from(LogLevel::Info);
        assert!(said.iter().all(|line| line.contains("proxy-wasm ABI 0.2.1")), "who it is, and no complaint: {said:?}");
        assert!(4 <= said.len(), "each VM says so: {said:?}");
        assert_eq!(envoy.counter("tracelift.config.accepted"), 2 + 2 * 4, "two canaries, then four VMs");
        for worker in 0..3 {
            serve_on(&mut envoy, worker, 503);
        }
        envoy.advance(BATCH_DUE);
        assert_eq!(closed_books(&mut envoy).exported, 3);
    }
}

#[test]
fn a_struct_says_the_same_as_json() {
    let json = json!({
        "service_name": "typed",
        "sampling": {"ratio": 0, "rules": [{"match": {"path": {"prefix": "/pay"}}, "ratio": 1}]},
        "export": {"headers": {"api-key": "k"}, "max_export_batch_size": 1, "timeout_ms": 4321},
    });
    for configuration in [json.to_string().into_bytes(), as_struct(&json)] {
        let mut envoy = started(process(configuration));
        envoy.request("inbound", get("/items")).respond(&mut envoy, 200);
        envoy.request("inbound", get("/pay/1")).respond(&mut envoy, 200);
        let callout = envoy.only_callout();
        assert_eq!(callout.headers.text("api-key"), Some("k"));
        assert_eq!(callout.timeout, Some(Duration::from_millis(4321)));
        assert_eq!(envoy.exports().only_span().resource_attribute("service.name"), "typed");
    }
}

/// Every path of the contract with a value of another type there.
fn wrong_types(json: &Value, path: &str, found: &mut Vec<(String, Value)>, rebuild: &dyn Fn(Value) -> Value) {
    let wrong = if json.is_object() { json!("wrong") } else { json!({"wrong": true}) };
    found.push((path.to_owned(), rebuild(wrong)));
    match json {
        Value::Object(entries) => {
            for (key, entry) in entries {
                let path = match path {
                    "" => key.clone(),
                    _ if key.contains('.') => format!("{path}[\"{key}\"]"),
                    _ => format!("{path}.{key}"),
                };
                wrong_types(entry, &path, found, &|replaced| {
                    let mut entries = entries.clone();
                    entries.insert(key.clone(), replaced);
                    rebuild(Value::Object(entries))
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                wrong_types(item, &format!("{path}[{index}]"), found, &|replaced| {
                    let mut items = items.clone();
                    items[index] = replaced;
                    rebuild(Value::Array(items))
                });
            }
        }
        _ => {}
    }
}

#[test]
fn a_wrong_type_anywhere_in_the_contract_is_refused_by_the_name_of_its_field() {
    let contract: Value = serde_json::from_str(CONTRACT).expect("JSON");
    let mut wrong = Vec::new();
    wrong_types(&contract, "", &mut wrong, &|whole| whole);
    assert!(60 < wrong.len(), "{}", wrong.len());
    for (path, configuration) in wrong.into_iter().filter(|(path, _)| !path.is_empty()) {
        for bytes in [configuration.to_string().into_bytes(), as_struct(&configuration)] {
            let refused = refused(bytes);
            assert!(reason(&refused).contains(&format!("{path}: found ")), "{path}: {}", reason(&refused));
        }
    }
}

#[test]
fn unknown_keys_and_values_out_of_range_are_refused_with_what_is_allowed() {
    for (configuration, path, allowed) in [
        (json!({"sampler": {}}), "sampler", "sampling"),
        (json!({"sampling": {"ration": 1}}), "sampling.ration", "ratio"),
        (json!({"sampling": {"rules": [{"matches": {}}]}}), "sampling.rules[0].matches", "match"),
        (json!({"export": {"clusters": "x"}}), "export.clusters", "cluster"),
        (json!({"upgrade": {"signal": {"emits": true}}}), "upgrade.signal.emits", "emit"),
        (json!({"sampling": {"ratio": 1.5}}), "sampling.ratio", "1"),
        (json!({"sampling": {"mode": "always"}}), "sampling.mode", "independent"),
        (json!({"propagators": []}), "propagators", "tracecontext"),
        (json!({"propagators": ["jaeger"]}), "propagators[0]", "xray"),
        (json!({"upgrade": {"http_status": ["6xx"]}}), "upgrade.http_status[0]", "5xx"),
        (json!({"upgrade": {"grpc_status": ["FINE"]}}), "upgrade.grpc_status[0]", "UNAVAILABLE"),
        (json!({"upgrade": {"traces_per_second": -1}}), "upgrade.traces_per_second", "0"),
        (json!({"upgrade": {"recall": {"enabled": true}}}), "upgrade.recall.token", ""),
        (json!({"export": {"protocol": "http/json"}}), "export.protocol", "grpc"),
        (json!({"export": {"compression": "zstd"}}), "export.compression", "gzip"),
        (json!({"export": {"cluster": ""}}), "export.cluster", "1"),
        (json!({"export": {"timeout_ms": 0}}), "export.timeout_ms", "1"),
        (json!({"export": {"headers": {"te": "x"}}}), "export.headers", ""),
        (json!({"export": {"headers": {"x-a": "a\r\nb: c"}}}), "export.headers", ""),
        (json!({"export": {"max_queue_size": 5, "max_export_batch_size": 6}}), "export.max_export_batch_size", "5"),
    ] {
        let refused = refused(configuration.to_string());
        let reason = reason(&refused);
        assert!(reason.contains(path) && reason.contains(allowed), "{path}: {reason}");
        assert!(reason.contains("; allowed is "), "{reason}");
    }
}

#[test]
fn bytes_that_are_no_configuration_are_refused_without_a_trap() {
    let long = format!(r#"{{"service_name": "{}"}}"#, "x".repeat(2 << 20));
    let deep = "[".repeat(100_000);
    let typed = as_struct(&json!({"service_name": "cart"}));
    for bytes in [
        &b"{"[..],
        b"null",
        b"[]",
        b"42",
        b"{} {}",
        b"{\"edge\": true, \"edge\": true}",
        b"\xff\xfe\x00",
        b"\0\0\0\0",
        b"\x0a\x12\xff\xff",
        &typed[..typed.len() - 1],
        long.as_bytes(),
        deep.as_bytes(),
    ] {
        let refused = refused(bytes);
        assert!(reason(&refused).starts_with("tracelift: configuration refused: "), "{}", reason(&refused));
        assert!(reason(&refused).len() < 4096);
    }
}

#[test]
fn a_host_that_does_not_hand_the_configuration_over_gets_a_refusal() {
    let builder = process("{}")
        .fault(|call| (call.name == "proxy_get_buffer_bytes").then_some(tracelift_host::Status::InternalFailure));
    let refused = builder.start().err();
    assert!(refused.is_some_and(|refused| reason(&refused).contains("would not hand it over")));
}

#[test]
fn a_secret_is_never_in_the_log() {
    let secret = "s3cr3t\u{7f}";
    for configuration in [
        json!({"export": {"headers": {"authorization": secret}}}),
        json!({"export": {"headers": {"authorization": {"wrong": secret}}}}),
        json!({"upgrade": {"recall": {"token": {"wrong": secret}}}}),
        json!({"upgrade": {"recall": {"token": secret}}}),
        json!({"upgrade": {"recall": {"enabled": true, "token": "0123456789abcdef", "previous_token": secret}}}),
    ] {
        let refused = refused(configuration.to_string());
        assert!(!format!("{refused}").contains("s3cr3t"), "{refused}");
    }
}

const BAD: &str = r#"{"sampling": {"ratio": 7}}"#;

fn passing_through(workers: usize) -> Envoy {
    started(process(BAD).workers(workers).env("TRACELIFT_ON_INVALID_CONFIG", "pass_through"))
}

#[test]
fn pass_through_serves_every_request_untouched_and_shouts_once_a_vm() {
    let mut envoy = passing_through(3);
    let lines = warnings(&envoy).len();
    for vm in envoy.vms() {
        let of = envoy.logs().iter().filter(|line| line.vm == vm && line.level == LogLevel::Error);
        let of: Vec<_> = of.map(|line| &line.message[..]).collect();
        assert!(of.len() == 2 && of[0].contains("sampling.ratio") && of[1].contains("PASSING EVERYTHING"), "{of:?}");
    }
    for worker in 0..3 {
        let finished = serve_on(&mut envoy, worker, 503);
        assert_eq!(finished.request_headers, get("/items").into());
        assert_eq!(finished.cost.hostcall_count(), 0, "{:?}", finished.cost);
    }
    envoy.advance(seconds(5));
    assert_eq!(warnings(&envoy).len(), lines, "not a line for a request");
    let balance = closed_books(&mut envoy);
    assert_eq!((balance.offered, envoy.callouts().len()), (0, 0));
    let [refused, through] = ["refused", "pass_through"].map(|name| envoy.counter(&format!("tracelift.config.{name}")));
    assert_eq!((refused, through), (5, 5), "the canary, the main thread and three workers");
}

#[test]
fn pass_through_ends_with_a_good_configuration_and_comes_back_with_a_bad_one() {
    let mut envoy = passing_through(1);
    envoy.answer_with(|callout| tracelift_host::Reply::accept(callout, Duration::from_millis(5)));
    serve(&mut envoy, 1, 503);
    envoy.update_config("inbound", "{}").unwrap_or_else(|nack| panic!("{nack}"));
    envoy.drain();
    serve(&mut envoy, 2, 503);
    envoy.update_config("inbound", BAD).unwrap_or_else(|nack| panic!("{nack}"));
    serve(&mut envoy, 4, 503);
    envoy.drain();
    envoy.advance(BATCH_DUE);
    let exported = envoy.exports().spans().len();
    assert_eq!(exported, 2, "what was queued under the good one still went out");
    closed_books(&mut envoy);
}

#[test]
fn any_other_value_of_the_variable_refuses_and_is_warned_of() {
    for value in ["refuse", "passthrough", "PASS_THROUGH", ""] {
        let builder = process(BAD).env("TRACELIFT_ON_INVALID_CONFIG", value);
        let refused = builder.start().err();
        assert!(refused.is_some_and(|refused| reason(&refused).contains("sampling.ratio")), "{value}");
    }
    let envoy = started(process("{}").env("TRACELIFT_ON_INVALID_CONFIG", "passthrough"));
    assert!(warnings(&envoy).iter().all(|line| line.contains("TRACELIFT_ON_INVALID_CONFIG")));
    assert_eq!(warnings(&envoy).len(), 2, "the main thread and the worker");
}
