//! What a configuration means: defaults, the documented example, numbers, warnings, and a `Struct` in the place of JSON.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tracelift::config::{Environment, Loaded, VARIABLES, load};
use tracelift::http::GrpcStatus;
use tracelift::otlp::{Compression, Protocol};
use tracelift::sampling::{Algorithm, Mode, RequestFacts, Sampler, Steps, XRaySettings};
use tracelift::span::KindSetting;
use tracelift::trace_context::{Propagator, TraceIdFormat};
use tracelift::upgrade::Budget;

/// The example of the documentation: every key, most of them with their default.
const EXAMPLE: &str = r#"{
  "service_name": "cart",
  "resource": { "deployment.environment.name": "prod" },
  "span_kind": "auto",
  "propagators": ["tracecontext"], "trace_id_format": "w3c",
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
    "recall": { "enabled": false, "cluster": "tracelift_recall", "token": "", "peers": [], "hold_ms": 5000, "max_bytes": 1048576 }
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

fn loaded(configuration: &[u8]) -> Loaded {
    match load(configuration, &Environment::default()) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}"),
    }
}

fn consistent(ratio: f64) -> Sampler {
    Sampler::new(Algorithm::Consistent, ratio).expect("a ratio")
}

#[test]
fn nothing_is_a_working_configuration_of_defaults() {
    for configuration in [&b""[..], b"{}", b" \n", b"\n{}", br#"{"sampling": {}, "export": {}}"#] {
        let Loaded { policy, warnings } = loaded(configuration);
        assert!(warnings.is_empty());
        assert_eq!(policy.resource, tracelift::policy::ResourceSources::default());
        assert_eq!(policy.span_kind, KindSetting::Auto);
        assert_eq!(policy.trace_id_format, TraceIdFormat::W3c);
        assert_eq!(policy.propagators, [Propagator::TraceContext]);
        assert_eq!(policy.sampling.mode, Mode::ParentBased);
        assert_eq!(policy.sampling.fallback, consistent(0.05));
        assert!(policy.sampling.rules.is_empty());
        let failures: Vec<u16> = (0..=999).filter(|&code| policy.upgrade.http_status.contains(code)).collect();
        assert_eq!(failures, (500..=599).collect::<Vec<_>>());
        let failures =
            (0..=16).filter_map(GrpcStatus::from_code).filter(|&code| policy.upgrade.grpc_status.contains(code));
        assert_eq!(failures.map(GrpcStatus::code).collect::<Vec<_>>(), [2, 4, 12, 13, 14, 15]);
        assert_eq!(policy.upgrade.budget, Budget::per_second(100.0).expect("a rate"));
        assert!(policy.upgrade.response_flags && policy.upgrade.signal.emit && policy.upgrade.signal.accept);
        assert_eq!(policy.upgrade.latency_ms, None);
        assert!(!policy.upgrade.recall.enabled && !policy.edge);
        assert_eq!(policy.export.protocol, Protocol::HttpProtobuf);
        assert_eq!(policy.export.compression, Compression::None);
        assert_eq!((policy.export.cluster.as_str(), policy.export.path.as_str()), ("otel_collector", "/v1/traces"));
        assert_eq!((policy.export.timeout_ms, policy.export.scheduled_delay_ms), (10_000, 1000));
        assert_eq!((policy.export.max_queue_size, policy.export.max_export_batch_size), (2048, 512));
        assert!(policy.export.tracestate && !policy.attributes.query);
    }
}

#[test]
fn the_documented_example_means_what_it_says() {
    let Loaded { policy, warnings } = loaded(EXAMPLE.as_bytes());
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(policy.resource.service_name.as_deref(), Some("cart"));
    assert_eq!(policy.resource.attributes, [("deployment.environment.name".to_owned(), "prod".to_owned())]);
    let [probes, payments] = policy.sampling.rules.as_slice() else { panic!("two rules") };
    assert_eq!((probes.name.as_str(), probes.sampler, probes.upgrade), ("probes", Some(consistent(0.0)), false));
    assert_eq!((payments.sampler, payments.upgrade, payments.latency_ms), (Some(consistent(1.0)), true, Some(800)));
    let headers = [(&b"x-tenant"[..], &b"gold"[..])];
    let pay = RequestFacts { path: b"/pay?x=1", method: b"POST", host: b"api.Shop.example:443", headers: &headers };
    assert_eq!(policy.sampling.first_match(&pay, &mut Steps::default()), Some(1));
    let get = RequestFacts { method: b"GET", ..pay };
    assert_eq!(policy.sampling.first_match(&get, &mut Steps::default()), None);
}

#[test]
fn a_ratio_is_read_to_the_last_bit() {
    for (text, ratio) in [
        ("0", 0.0),
        ("-0.0", 0.0),
        ("1", 1.0),
        ("1.0", 1.0),
        ("0.9999999999999999", 1.0 - f64::EPSILON / 2.0),
        ("1.3877787807814457e-17", 1.3877787807814457e-17),
        ("5e-2", 0.05),
    ] {
        let configuration = format!(r#"{{"sampling": {{"ratio": {text}}}}}"#);
        assert_eq!(loaded(configuration.as_bytes()).policy.sampling.fallback, consistent(ratio), "{text}");
    }
    assert_ne!(consistent(1.0 - f64::EPSILON / 2.0), consistent(1.0));
}

#[test]
fn whole_numbers_may_look_like_a_template_engine_wrote_them() {
    let text =
        br#"{"export": {"max_queue_bytes": 1.048576e+06, "timeout_ms": 5.0}, "upgrade": {"http_status": [503.0]}}"#;
    let policy = loaded(text).policy;
    assert_eq!((policy.export.max_queue_bytes, policy.export.timeout_ms), (1_048_576, 5));
    assert!(policy.upgrade.http_status.contains(503) && !policy.upgrade.http_status.contains(500));
}

#[test]
fn statuses_are_classes_codes_and_names() {
    let text = br#"{"upgrade": {"http_status": ["4XX", "503", 100, 599], "grpc_status": ["OK", 16]}}"#;
    let policy = loaded(text).policy.upgrade;
    let codes: Vec<u16> = (0..=700).filter(|&code| policy.http_status.contains(code)).collect();
    let wanted: Vec<u16> = [100].into_iter().chain(400..=499).chain([503, 599]).collect();
    assert_eq!(codes, wanted);
    let codes =
        (0..=16).filter(|&code| GrpcStatus::from_code(code).is_some_and(|code| policy.grpc_status.contains(code)));
    assert_eq!(codes.collect::<Vec<_>>(), [0, 16]);
}

#[test]
fn a_batch_size_left_out_follows_a_smaller_queue() {
    let export = loaded(br#"{"export": {"max_queue_size": 100}}"#).policy.export;
    assert_eq!((export.max_queue_size, export.max_export_batch_size), (100, 100));
    let said = br#"{"export": {"max_queue_size": 100, "max_export_batch_size": 512}}"#;
    assert!(load(said, &Environment::default()).is_err());
}

#[test]
fn names_are_lowered_and_repeated_ones_kept_once() {
    let text =
        br#"{"attributes": {"request_headers": ["X-A", "x-a", "x-b"]}, "export": {"headers": {"Api-Key": "k v"}}}"#;
    let policy = loaded(text).policy;
    assert_eq!(policy.attributes.request_headers, ["x-a", "x-b"]);
    assert_eq!(policy.export.headers, [("api-key".to_owned(), "k v".to_owned())]);
}

#[test]
fn rules_without_a_name_are_called_by_their_place() {
    let text = br#"{"sampling": {"rules": [{"match": {"method": ["GET"]}}, {"name": "rest"}]}}"#;
    let rules = loaded(text).policy.sampling.rules;
    assert_eq!(rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["rule[0]", "rest"]);
    assert!(rules.iter().all(|rule| rule.sampler.is_none() && rule.upgrade && rule.latency_ms.is_none()));
}

#[test]
fn what_is_odd_but_works_is_a_warning() {
    for (configuration, wanted) in [
        (r#"{"sampling": {"hash_seed": 7}}"#, r#"sampling.hash_seed: has no effect without `algorithm` = "hash_seed""#),
        (
            r#"{"sampling": {"rules": [{}, {"name": "late"}]}}"#,
            "sampling.rules[0]: matches every request, so that no rule behind it is ever reached",
        ),
        (
            r#"{"sampling": {"rules": [{"match": {"path": {"prefix": "pay"}}}]}}"#,
            "sampling.rules[0].match.path: does not begin with `/`, as the paths of requests do",
        ),
        (
            r#"{"sampling": {"rules": [{"match": {"method": ["get"]}}]}}"#,
            "sampling.rules[0].match.method[0]: has small letters: methods are compared with their case, GET is not get",
        ),
        (
            r#"{"attributes": {"response_headers": ["Set-Cookie"]}}"#,
            "attributes.response_headers: `set-cookie` carries credentials: spans say that it was there, not what it said",
        ),
        (
            r#"{"export": {"protocol": "grpc", "path": "/x"}}"#,
            "export.path: has no effect with `protocol` = \"grpc\", which has a path of its own",
        ),
        (
            r#"{"upgrade": {"recall": {"enabled": true, "token": "short"}}}"#,
            "upgrade.recall.token: is shorter than 16 characters and can be guessed",
        ),
        (
            r#"{"sampling": {"algorithm": "modulo", "xray": {"enabled": true}}}"#,
            "sampling.xray: X-Ray's rules sample by the `consistent` algorithm, whatever `algorithm` says",
        ),
        (
            r#"{"sampling": {"mode": "independent", "xray": {"enabled": true}}}"#,
            "sampling.xray: with `mode` = \"independent\" every hop is charged to X-Ray's rules, not only the first of a trace",
        ),
    ] {
        assert_eq!(loaded(configuration.as_bytes()).warnings, [wanted], "{configuration}");
    }
    for quiet in [
        r#"{"span_kind": "server", "metrics": {"enabled": true, "routes": ["/a"], "temporality": "delta", "namespace": "proxy"}}"#,
        r#"{"span_kind": "client", "metrics": {"routes": ["/a"], "route_header": "x-route"}, "upgrade": {"coverage": {"enabled": true}}}"#,
        r#"{"edge": true, "metrics": {"route_header": "x-route"}}"#,
        r#"{"sampling": {"algorithm": "hash_seed", "hash_seed": 7, "rules": [{"match": {"method": ["GET"]}}, {}]}}"#,
        r#"{"sampling": {"algorithm": "modulo", "xray": {"cluster": "xray"}}}"#,
        r#"{"export": {"protocol": "grpc"}, "upgrade": {"recall": {"enabled": true, "token": "0123456789abcdef"}}}"#,
        r#"{"upgrade": {"recall": {"enabled": true, "token": "0123456789abcdef", "peers": ["spiffe://cluster.local/ns/shop/"]}}}"#,
    ] {
        assert!(loaded(quiet.as_bytes()).warnings.is_empty(), "{quiet}");
    }
}

#[test]
fn settings_of_metrics_and_coverage_that_have_no_effect_or_another_than_meant_are_warnings() {
    const OFF: &str =
        "has no effect: none of `metrics.enabled`, `upgrade.coverage.enabled` and `upgrade.slow.enabled` is true";
    const ASKS: &str = "with `span_kind` = \"auto\" the listener's direction is asked for at each request; `server` or `client` costs less";
    let routes: Vec<_> = (0..8).map(|number| format!("\"/{number}\"")).collect();
    let crowded = format!(r#""max_series": 10, "routes": [{}]"#, routes.join(", "));
    let metrics = |more: &str| format!(r#"{{"span_kind": "server", "metrics": {{"enabled": true, {more}}}}}"#);
    let upgrade = |more: &str| format!(r#"{{"span_kind": "server", "upgrade": {{{more}}}}}"#);
    for (configuration, path, oddity) in [
        (r#"{"metrics": {"enabled": true}}"#.to_owned(), "metrics.enabled", ASKS),
        (r#"{"upgrade": {"coverage": {"enabled": true}}}"#.to_owned(), "upgrade.coverage.enabled", ASKS),
        (
            r#"{"shadow": {"upgrade": {"coverage": {"enabled": true}}}}"#.to_owned(),
            "shadow.upgrade.coverage.enabled",
            ASKS,
        ),
        (r#"{"metrics": {"routes": ["/a"]}}"#.to_owned(), "metrics.routes", OFF),
        (r#"{"metrics": {"route_header": "x-route"}}"#.to_owned(), "metrics.route_header", OFF),
        (
            r#"{"sampling": {"rules": [{"match": {"path": {"exact": "/healthz"}}, "metrics": false}]}}"#.to_owned(),
            "sampling.rules[0].metrics",
            "has no effect: `metrics.enabled` is false",
        ),
        (
            metrics(&crowded),
            "metrics.max_series",
            "three quarters of them may have a route, one for each method and status, and `metrics.routes` has more than that",
        ),
        (
            metrics(r#""temporality": "delta", "interval_ms": 1000}, "export": {"scheduled_delay_ms": 2000"#),
            "metrics.interval_ms",
            "is not above `export.scheduled_delay_ms`: deltas leave out exemplars of spans that wait longer",
        ),
        (
            metrics(r#""routes": ["/carts/{id}", "/users/:id/orders"]"#),
            "metrics.routes[1]",
            "\":id\" is literal text here; a parameter is written `{id}`",
        ),
        (
            metrics(r#""routes": ["/files/*"]"#),
            "metrics.routes[0]",
            "\"*\" is literal text here; a parameter is written `{id}`",
        ),
        (metrics(r#""namespace": "proxy.""#), "metrics.namespace", "ends in a dot, and gets another one behind it"),
        (metrics(r#""path": "/v1/traces""#), "metrics.path", "is where a collector takes spans"),
        (
            upgrade(r#""response_headers": {"X-Keep": {"present": false}}"#),
            "upgrade.response_headers.x-keep",
            "keeps every answer without this header, which is nearly all of them, up to the budget",
        ),
        (
            upgrade(r#""coverage": {"per_window": 2}"#),
            "upgrade.coverage.enabled",
            "is false, so that its other keys have no effect",
        ),
        (
            upgrade(r#""coverage": {"enabled": true, "traces_per_minute": 0}"#),
            "upgrade.coverage.enabled",
            "has no effect: `upgrade.coverage.traces_per_minute` is 0",
        ),
        (
            upgrade(r#""coverage": {"enabled": true}, "traces_per_second": 0"#),
            "upgrade.coverage.enabled",
            "has no effect: `upgrade.traces_per_second` is 0, which switches upgrades off",
        ),
        (
            r#"{"span_kind": "server", "metrics": {"routes": ["/cart"]},
                "shadow": {"upgrade": {"slow": {"enabled": true}, "traces_per_second": 0}}}"#
                .to_owned(),
            "shadow.upgrade.slow.enabled",
            "has no effect: `shadow.upgrade.traces_per_second` is 0, which switches upgrades off",
        ),
    ] {
        assert_eq!(loaded(configuration.as_bytes()).warnings, [format!("{path}: {oddity}")], "{configuration}");
    }
}

#[test]
fn what_of_tokens_sessions_and_slowness_has_no_effect_is_a_warning() {
    const ALL: &str = "without `metrics.routes` or `metrics.route_header` all requests of a method are one route, but for gRPC: what is usual \
                       for the slowest of them is usual for all";
    let key = r#"{"id": "dev", "secret": "0123456789abcdef"}"#;
    for (configuration, path, oddity) in [
        (
            r#"{"force": {"max_ttl_s": 60}}"#.to_owned(),
            "force.keys",
            "is empty, so that the other keys of `force` have no effect",
        ),
        (
            format!(r#"{{"force": {{"keys": [{key}], "traces_per_second": 0}}}}"#),
            "force.traces_per_second",
            "is 0: no token has an effect",
        ),
        (r#"{"force": {"keys": [{}]}}"#.to_owned(), "force.keys[0].secret", "is empty: no token of this key is good"),
        (
            format!(r#"{{"force": {{"keys": [{key}, {}]}}}}"#, key.replace("dev", "ops")),
            "force.keys[1].secret",
            "is that of another key: a holder of one can make tokens of both",
        ),
        (
            r#"{"sampling": {"session": {}}}"#.to_owned(),
            "sampling.session",
            "has neither `cookie` nor `header`, so that it has no effect",
        ),
        (
            r#"{"propagators": ["b3"], "sampling": {"session": {"cookie": "sid", "key": "0123456789abcdef"}}}"#
                .to_owned(),
            "sampling.session",
            "is known to this hop alone: without `tracecontext` in `propagators` no `rv` is written",
        ),
        (
            r#"{"shadow": {"sampling": {"session": {"cookie": "sid", "key": "0123456789abcdef"}}}}"#.to_owned(),
            "shadow.sampling.session",
            "has no effect: a shadow policy decides by the randomness of the live one",
        ),
        (r#"{"span_kind": "server", "upgrade": {"slow": {"enabled": true}}}"#.to_owned(), "upgrade.slow.per", ALL),
        (
            r#"{"upgrade": {"slow": {"enabled": true, "per": "side"}}}"#.to_owned(),
            "upgrade.slow.enabled",
            "with `span_kind` = \"auto\" the listener's direction is asked for at each request; `server` or `client` costs less",
        ),
        (
            r#"{"span_kind": "server", "upgrade": {"slow": {"factor": 2}}}"#.to_owned(),
            "upgrade.slow.enabled",
            "is false, so that its other keys have no effect",
        ),
    ] {
        assert_eq!(loaded(configuration.as_bytes()).warnings, [format!("{path}: {oddity}")], "{configuration}");
    }
}

#[test]
fn no_secret_of_tokens_or_sessions_is_in_a_message_or_shown_by_a_policy() {
    let secret = "this-is-a-secret-of-ours";
    let good = format!(
        r#"{{"sampling": {{"session": {{"cookie": "sid", "key": "{secret}"}}}}, "force": {{"keys": [{{"id": "dev", "secret": "{secret}"}}]}}}}"#
    );
    let policy = loaded(good.as_bytes()).policy;
    assert!(policy.force.is_some() && policy.session.is_some());
    assert!(!format!("{policy:?}").contains(secret));
    let spaced = good.replace(secret, "this-is-a-secret of-ours");
    let error = load(spaced.as_bytes(), &Environment::default()).expect_err("a space");
    assert_eq!(error.problems().len(), 2, "{error}");
    assert!(!error.to_string().contains("this-is-a-secret"), "{error}");
}

#[test]
fn central_sampling_is_off_until_it_is_switched_on_and_has_x_rays_schedule_then() {
    assert_eq!(loaded(br#"{"sampling": {"xray": {"cluster": "xray"}}}"#).policy.xray, None);
    let settings = XRaySettings {
        cluster: "xray_proxy".to_owned(),
        authority: "xray-proxy".to_owned(),
        rules_interval_ms: 300_000,
        targets_interval_ms: 10_000,
        jitter_percent: 1,
        timeout_ms: 2000,
    };
    assert_eq!(loaded(br#"{"sampling": {"xray": {"enabled": true}}}"#).policy.xray, Some(settings));
}

fn protobuf(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(value) => Kind::NumberValue(value.as_f64().expect("a double")),
        Json::String(value) => Kind::StringValue(value.clone()),
        Json::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(protobuf).collect() }),
        Json::Object(values) => Kind::StructValue(entries(values)),
    };
    Value { kind: Some(kind) }
}

fn entries(json: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: json.iter().map(|(key, value)| (key.clone(), protobuf(value))).collect::<BTreeMap<_, _>>() }
}

/// The wire form that Envoy hands over.
fn wire(json: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    entries(json.as_object().expect("an object")).encode_to_vec()
}

#[test]
fn a_struct_means_the_same_as_its_json() {
    let from_json = loaded(EXAMPLE.as_bytes());
    let from_struct = loaded(&wire(EXAMPLE));
    assert_eq!(format!("{:?}", from_struct.policy), format!("{:?}", from_json.policy));
    assert!(from_struct.warnings.is_empty());
    assert!(load(&wire("{}"), &Environment::default()).is_ok());
}

#[test]
fn a_struct_is_refused_in_the_same_words() {
    for configuration in [r#"{"sampling": {"rules": [{}, {"ratio": 1.5}]}}"#, r#"{"export": {"timeout_ms": 0}}"#] {
        let from_json = load(configuration.as_bytes(), &Environment::default()).expect_err("out of range");
        let from_struct = load(&wire(configuration), &Environment::default()).expect_err("out of range");
        assert_eq!(from_struct, from_json);
    }
}

/// JSON of any shape that uses the words of a configuration often enough to get past the first check.
fn likely_json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(vec![
        "sampling",
        "rules",
        "match",
        "path",
        "exact",
        "regex",
        "headers",
        "ratio",
        "export",
        "upgrade",
        "http_status",
        "recall",
        "token",
        "enabled",
        "resource",
        "propagators",
        "timeout_ms",
        "name",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        "[a-z(\\[*5x/]{0,6}".prop_map(serde_json::Value::from),
        prop::sample::select(vec!["5xx", "b3", "UNKNOWN", "/pay"]).prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let object = prop::collection::btree_map(key.clone(), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(serde_json::Value::from),
            object.prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(&bytes, &Environment::default());
    }

    #[test]
    fn no_bytes_that_look_like_a_struct_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = load(&[b"\n", &bytes[..], b"\x12"].concat(), &Environment::default());
    }

    #[test]
    fn no_json_brings_the_reader_down_and_every_refusal_has_a_reason(json in likely_json()) {
        if let Err(error) = load(json.to_string().as_bytes(), &Environment::default()) {
            prop_assert!(!error.problems().is_empty());
        }
    }

    #[test]
    fn no_environment_refuses_a_configuration(value in "\\PC{0,40}", list in "[a-z0-9=,% ]{0,40}") {
        // The filter has no use for an endpoint, and says so when it is given one.
        let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        for name in VARIABLES.iter().map(|variable| variable.name).chain(endpoints) {
            for value in [&value, &list] {
                let environment: Environment = [(name.to_owned(), value.clone())].into_iter().collect();
                prop_assert!(load(b"", &environment).is_ok());
            }
        }
    }
}

#[test]
fn the_tokens_of_recall_come_from_the_environment_where_the_configuration_has_none() {
    let variables =
        [("TRACELIFT_RECALL_TOKEN", "from-the-environment"), ("TRACELIFT_RECALL_PREVIOUS_TOKEN", "the-one-before-it")];
    let environment: Environment =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    for (configuration, tokens) in [
        (r#"{"upgrade": {"recall": {"enabled": true}}}"#, ["from-the-environment", "the-one-before-it"]),
        (
            r#"{"upgrade": {"recall": {"enabled": true, "token": "from-the-configuration"}}}"#,
            ["from-the-configuration", "the-one-before-it"],
        ),
    ] {
        let loaded = load(configuration.as_bytes(), &environment).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.policy.upgrade.recall.tokens, tokens);
        assert!(loaded.warnings.is_empty());
    }
    let bad = [("TRACELIFT_RECALL_TOKEN".to_owned(), "a secret with spaces".to_owned())].into_iter().collect();
    let loaded = load(b"{}", &bad).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        matches!(&loaded.warnings[..], [one] if one.contains("TRACELIFT_RECALL_TOKEN") && !one.contains("secret with"))
    );
}

#[test]
fn the_token_of_applications_comes_from_the_environment_and_else_from_recall() {
    let variables = [("TRACELIFT_APPLICATION_TOKEN", "of-the-pod"), ("TRACELIFT_RECALL_TOKEN", "of-the-mesh")];
    let environment = |count: usize| -> Environment {
        variables.into_iter().skip(count).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let configured = r#"{"upgrade": {"applications": {"enabled": true, "token": "of-the-configuration"}}}"#;
    let bare = r#"{"upgrade": {"applications": {"enabled": true}}}"#;
    let recalls = r#"{"upgrade": {"recall": {"previous_token": "before-it"}, "applications": {"enabled": true}}}"#;
    for (configuration, left_out, tokens) in [
        (configured, 0, ["of-the-configuration", ""]),
        (bare, 0, ["of-the-pod", ""]),
        (bare, 1, ["of-the-mesh", ""]),
        (recalls, 0, ["of-the-pod", ""]),
        (recalls, 1, ["of-the-mesh", "before-it"]),
    ] {
        let loaded = load(configuration.as_bytes(), &environment(left_out)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.policy.upgrade.applications.tokens, tokens, "{configuration}");
    }
    assert!(load(bare.as_bytes(), &environment(2)).is_err());
}
