//! JSON beats environment beats default. A value of the environment that cannot be read is a warning and nothing else.

use tracelift::config::{Environment, Loaded, OnInvalidConfig, load};
use tracelift::metrics::{Aggregation, Temporality};
use tracelift::otlp::{Compression, Protocol};
use tracelift::sampling::{Algorithm, Mode, Sampler};
use tracelift::span::{NodeMetadata, Value};
use tracelift::trace_context::Propagator;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn loaded(configuration: &str, variables: &[(&str, &str)]) -> Loaded {
    match load(configuration.as_bytes(), &environment(variables)) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}"),
    }
}

/// The only warning of a configuration that says nothing.
fn warning(variables: &[(&str, &str)]) -> String {
    let warnings = loaded("{}", variables).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.concat()
}

#[test]
fn keys_of_tokens_and_of_sessions_come_from_the_environment_where_the_configuration_has_none() {
    let force = [("TRACELIFT_FORCE_KEYS", "dev=the-secret-of-the-developers, ops=a=secret=with=signs")];
    let keys =
        |configuration: &str| loaded(configuration, &force).policy.force.map(|force| force.keys).unwrap_or_default();
    let found = keys("{}");
    let found: Vec<_> = found.iter().map(|key| (key.id.as_str(), key.secret.as_str())).collect();
    assert_eq!(found, [("dev", "the-secret-of-the-developers"), ("ops", "a=secret=with=signs")]);
    let written = keys(r#"{"force": {"keys": [{"id": "own", "secret": "0123456789abcdef"}]}}"#);
    assert_eq!(written.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["own"]);
    let warned = warning(&[("TRACELIFT_FORCE_KEYS", "the-secret-without-a-name")]);
    assert_eq!(
        warned,
        "environment variable TRACELIFT_FORCE_KEYS: found a text of another form; allowed is at most 8 id=secret pairs, joined by \
         commas, with distinct ids and secrets of 16 to 256 visible ASCII characters. The \
         variable is ignored."
    );

    let session = [("TRACELIFT_SESSION_KEY", "the-secret-of-the-gateways")];
    assert!(loaded(r#"{"sampling": {"session": {"cookie": "sid"}}}"#, &session).policy.session.is_some());
    assert_eq!(loaded("{}", &session).policy.session, None, "a key alone is no session");
}

#[test]
fn samplers_become_mode_and_ratio() {
    for (name, argument, mode, ratio) in [
        ("always_on", "", Mode::Independent, 1.0),
        ("always_off", "", Mode::Independent, 0.0),
        ("traceidratio", "0.25", Mode::Independent, 0.25),
        ("parentbased_always_on", "", Mode::ParentBased, 1.0),
        ("parentbased_always_off", "", Mode::ParentBased, 0.0),
        ("parentbased_traceidratio", "0.25", Mode::ParentBased, 0.25),
        ("ParentBased_TraceIdRatio", " 1e-3 ", Mode::ParentBased, 0.001),
        ("traceidratio", "", Mode::Independent, 1.0),
        ("always_on", "0.25", Mode::Independent, 1.0),
        ("", "", Mode::ParentBased, 0.05),
    ] {
        let Loaded { policy, warnings } =
            loaded("{}", &[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        assert_eq!(warnings, Vec::<String>::new(), "{name}");
        assert_eq!(policy.sampling.mode, mode, "{name}");
        assert_eq!(Sampler::new(Algorithm::Consistent, ratio), Ok(policy.sampling.fallback), "{name}");
    }
}

#[test]
fn samplers_of_others_are_named_and_ignored() {
    for name in ["jaeger_remote", "parentbased_jaeger_remote", "xray", "always-on"] {
        let Loaded { policy, warnings } =
            loaded("{}", &[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "x")]);
        let wanted = format!(
            "environment variable OTEL_TRACES_SAMPLER: found \"{name}\"; allowed is `always_on`, `always_off`, \
             `traceidratio`, `parentbased_always_on`, `parentbased_always_off` or `parentbased_traceidratio`. The \
             variable is ignored."
        );
        assert_eq!(warnings, [wanted]);
        assert_eq!(Sampler::new(Algorithm::Consistent, 0.05), Ok(policy.sampling.fallback));
    }
}

#[test]
fn a_bad_argument_counts_as_unset_which_means_one() {
    for argument in ["2", "-1", "half", "nan", "inf", "1e-20", "0,5"] {
        let variables = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        let warned = warning(&variables);
        assert!(warned.contains(&format!("OTEL_TRACES_SAMPLER_ARG: found \"{argument}\"")), "{warned}");
        assert!(warned.ends_with("means 1 by the specification: 100 % is recorded now."), "{warned}");
        let fallback = loaded("{}", &variables).policy.sampling.fallback;
        assert_eq!(Sampler::new(Algorithm::Consistent, 1.0), Ok(fallback));
    }
    assert!(warning(&[("OTEL_TRACES_SAMPLER_ARG", "0.5")]).contains("which is not set"));
    let beside_json = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "5")];
    let warnings = loaded(r#"{"sampling": {"ratio": 0.1}}"#, &beside_json).warnings;
    assert!(warnings.len() == 1 && warnings[0].ends_with("The variable is ignored."), "{warnings:?}");
}

#[test]
fn json_is_stronger_key_by_key() {
    let variables = [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=env,tenant=env"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_PROPAGATORS", "b3"),
    ];
    let json = r#"{"sampling": {"ratio": 0.1, "algorithm": "modulo"}, "propagators": ["xray"],
                   "export": {"headers": {"Tenant": "json"}, "timeout_ms": 9}}"#;
    let policy = loaded(json, &variables).policy;
    assert_eq!(policy.sampling.mode, Mode::Independent);
    assert_eq!(Sampler::new(Algorithm::Modulo, 0.1), Ok(policy.sampling.fallback));
    assert_eq!(policy.propagators, [Propagator::XRay]);
    assert_eq!((policy.export.timeout_ms, policy.export.protocol), (9, Protocol::Grpc));
    let headers = [("tenant", "json"), ("api-key", "env")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(policy.export.headers, headers);
}

#[test]
fn variables_for_traces_are_stronger_than_those_for_every_signal() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=traces"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=all,b=all"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "20000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let export = loaded("{}", &variables).policy.export;
    assert_eq!(export.headers, [("a".to_owned(), "traces".to_owned())]);
    assert_eq!(export.timeout_ms, 20_000);
    assert_eq!((export.compression, export.protocol), (Compression::None, Protocol::HttpProtobuf));
}

#[test]
fn a_bad_variable_for_traces_leaves_the_general_one_in_force() {
    let variables = [("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP")];
    assert!(
        warning(&variables)
            .contains("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: found \"zstd\"; allowed is `none` or `gzip`")
    );
    assert_eq!(loaded("{}", &variables).policy.export.compression, Compression::Gzip);
}

#[test]
fn the_batch_processor_fills_queue_batch_and_delay() {
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "2500"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "3000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "300"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
    ];
    let export = loaded("{}", &variables).policy.export;
    assert_eq!((export.scheduled_delay_ms, export.timeout_ms), (2500, 3000));
    assert_eq!((export.max_queue_size, export.max_export_batch_size), (300, 200));
    let both = [("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"), ("OTEL_BSP_EXPORT_TIMEOUT", "30000")];
    assert_eq!(loaded("{}", &both).policy.export.timeout_ms, 1000);
}

#[test]
fn metrics_are_exported_as_the_environment_says() {
    let read = |json: &str, variables: &[(&str, &str)]| {
        let Loaded { policy, warnings } = loaded(json, variables);
        assert!(warnings.iter().all(|warning| !warning.contains("OTEL_")), "{warnings:?}");
        let metrics = policy.metrics.expect("switched on");
        (metrics.temporality, metrics.histogram, metrics.interval_ms)
    };
    let on = r#"{"span_kind": "server", "metrics": {"enabled": true}}"#;
    for (temporality, meant) in [("Delta", Temporality::Delta), ("lowmemory", Temporality::Delta)] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ];
        assert_eq!(read(on, &variables), (meant, Aggregation::Explicit, 5000));
        let own = r#"{"span_kind": "server",
            "metrics": {"enabled": true, "temporality": "cumulative", "histogram": "exponential", "interval_ms": 7000}}"#;
        assert_eq!(read(own, &variables), (Temporality::Cumulative, Aggregation::Exponential, 7000));
        assert!(loaded("{}", &variables).policy.metrics.is_none(), "they switch nothing on");
    }
}

#[test]
fn queue_and_batch_of_the_environment_never_refuse_a_configuration() {
    let queue = [("OTEL_BSP_MAX_QUEUE_SIZE", "100")];
    let export = loaded("{}", &queue).policy.export;
    assert_eq!((export.max_queue_size, export.max_export_batch_size), (100, 100));
    let Loaded { policy, warnings } = loaded(r#"{"export": {"max_export_batch_size": 200}}"#, &queue);
    assert_eq!((policy.export.max_queue_size, policy.export.max_export_batch_size), (2048, 200));
    assert!(warnings.concat().contains("OTEL_BSP_MAX_QUEUE_SIZE: found 100; allowed is at least 200"), "{warnings:?}");
    let batch = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000")];
    assert!(warning(&batch).contains("found 5000; allowed is at most 2048, the size of the queue"));
    assert_eq!(loaded("{}", &batch).policy.export.max_export_batch_size, 512);
}

#[test]
fn numbers_out_of_range_are_named_and_ignored() {
    for (name, value, allowed) in [
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "a whole number from 1 to 600000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s", "a whole number from 1 to 600000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "-1", "a whole number from 1 to 600000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "65537", "a whole number from 1 to 65536"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", "a whole number from 1 to 65536"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "99999999999999999999", "a whole number from 1 to 600000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "999", "a whole number from 1000 to 600000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sum", "`cumulative`, `delta` or `lowmemory`"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "`http/protobuf` or `grpc`"),
        ("TRACELIFT_ON_INVALID_CONFIG", "pass-through", "`refuse` or `pass_through`"),
    ] {
        let wanted =
            format!("environment variable {name}: found \"{value}\"; allowed is {allowed}. The variable is ignored.");
        assert_eq!(warning(&[(name, value)]), wanted);
    }
}

#[test]
fn propagators_are_those_we_have_in_their_order() {
    for (value, wanted, warnings) in [
        ("tracecontext,baggage", vec![Propagator::TraceContext], 0),
        ("b3, tracecontext ,b3", vec![Propagator::B3, Propagator::TraceContext], 0),
        ("xray,b3multi", vec![Propagator::XRay, Propagator::B3Multi], 0),
        ("none", vec![Propagator::TraceContext], 0),
        ("baggage", vec![Propagator::TraceContext], 0),
        ("jaeger,b3", vec![Propagator::B3], 1),
        ("ottrace", vec![Propagator::TraceContext], 1),
    ] {
        let loaded = loaded("{}", &[("OTEL_PROPAGATORS", value)]);
        assert_eq!(loaded.policy.propagators, wanted, "{value}");
        assert_eq!(loaded.warnings.len(), warnings, "{value}");
    }
    assert_eq!(
        warning(&[("OTEL_PROPAGATORS", "jaeger,b3")]),
        "environment variable OTEL_PROPAGATORS: found \"jaeger\"; allowed is `tracecontext`, `xray`, `b3` or `b3multi`. \
         That name is ignored."
    );
}

#[test]
fn headers_are_percent_decoded_and_a_bad_list_is_ignored_whole() {
    let good = [("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20dXNlcg==, x-a = b ")];
    let headers = loaded("{}", &good).policy.export.headers;
    let wanted =
        [("authorization", "Basic dXNlcg=="), ("x-a", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers, wanted);
    for (value, found) in [
        ("authorization=hunter2,x", "found a pair without `=`"),
        ("authorization=hunter2%0d%0ax: y", "found for authorization a value with a line break or NUL"),
        ("authorization=hunter2%", "found a `%` without two hexadecimal digits"),
        ("content-type=hunter2", "found \"content-type\"; allowed is the name of a header that the exporter does not"),
        ("x y=hunter2", "found \"x y\""),
    ] {
        let variables = [("OTEL_EXPORTER_OTLP_HEADERS", value)];
        let told = warning(&variables);
        assert!(told.contains(found) && !told.contains("hunter2"), "{told}");
        assert_eq!(loaded("{}", &variables).policy.export.headers, []);
    }
}

#[test]
fn the_resource_has_the_strongest_source_of_each_key() {
    let variables = [
        ("OTEL_SERVICE_NAME", "env"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=weak,deployment.environment.name=env,team=a%2Cb"),
    ];
    let text = |text: &str| Value::Text(text.to_owned().into());
    let find = |configuration: &str, key: &str| {
        let resource = loaded(configuration, &variables).policy.resource.merge(&NodeMetadata::default());
        resource.attributes().iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let json = r#"{"service_name": "json", "resource": {"deployment.environment.name": "json"}}"#;
    assert_eq!(find(json, "service.name"), Some(text("json")));
    assert_eq!(find(json, "deployment.environment.name"), Some(text("json")));
    assert_eq!(find(json, "team"), Some(text("a,b")));
    assert_eq!(find("{}", "service.name"), Some(text("env")));
    assert_eq!(find(r#"{"service_name": ""}"#, "service.name"), Some(text("env")));
    assert_eq!(find(r#"{"service_name": null}"#, "deployment.environment.name"), Some(text("env")));
}

#[test]
fn bad_resource_attributes_are_ignored_whole() {
    let variables = [("OTEL_RESOURCE_ATTRIBUTES", "team=a,broken")];
    assert!(warning(&variables).contains("OTEL_RESOURCE_ATTRIBUTES: found a pair without `=`"));
    assert_eq!(loaded("{}", &variables).policy.resource.environment_attributes, []);
}

#[test]
fn an_endpoint_is_told_where_endpoints_are_configured() {
    let told = warning(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]);
    assert!(told.contains("`export.cluster`"), "{told}");
}

#[test]
fn empty_and_foreign_variables_say_nothing() {
    let variables = [("OTEL_TRACES_SAMPLER", "  "), ("OTEL_BSP_SCHEDULE_DELAY", ""), ("PATH", "/bin")];
    assert!(loaded("{}", &variables).warnings.is_empty());
    assert_eq!(environment(&variables), environment(&[]));
}

#[test]
fn a_fault_of_the_json_refuses_whatever_the_environment_says() {
    for configuration in [r#"{"sampling": 5}"#, r#"{"export": {"timeout_ms": "x"}}"#, "{"] {
        let variables = [("OTEL_TRACES_SAMPLER", "always_on"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "5")];
        assert!(load(configuration.as_bytes(), &environment(&variables)).is_err(), "{configuration}");
    }
}

#[test]
fn what_happens_to_a_refused_configuration_is_for_the_environment_to_say() {
    for (value, wanted, warned) in [
        ("", OnInvalidConfig::Refuse, false),
        ("refuse", OnInvalidConfig::Refuse, false),
        ("pass_through", OnInvalidConfig::PassThrough, false),
        ("ignore", OnInvalidConfig::Refuse, true),
    ] {
        let (on_invalid, warning) = environment(&[("TRACELIFT_ON_INVALID_CONFIG", value)]).on_invalid_config();
        assert_eq!((on_invalid, warning.is_some()), (wanted, warned), "{value}");
    }
}
