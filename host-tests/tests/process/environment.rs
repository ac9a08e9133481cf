//! Environment variables of the VM fill what the JSON leaves out.

use std::time::Duration;

use serde_json::json;
use tracelift_host::otlp::ExportedSpan;
use tracelift_host::{Callout, Envoy, EnvoyBuilder, otlp};

use crate::kit::{get, keep_all, process, seconds, serve, started, until_export, warnings};

fn with(variables: &[(&str, &str)], configuration: &str) -> Envoy {
    let builder =
        variables.iter().fold(process(configuration), |builder: EnvoyBuilder, (name, value)| builder.env(name, value));
    started(builder)
}

/// The first export of three requests.
fn exported(variables: &[(&str, &str)], configuration: &str) -> (Callout, ExportedSpan) {
    let mut envoy = with(variables, configuration);
    serve(&mut envoy, 3, 200);
    until_export(&mut envoy, seconds(3));
    assert_eq!(warnings(&envoy), Vec::<&str>::new());
    let callout = envoy.only_callout().clone();
    let span = otlp::decode(&callout).expect("OTLP").spans().remove(0);
    (callout, span)
}

const ON: (&str, &str) = ("OTEL_TRACES_SAMPLER", "always_on");

#[test]
fn the_resource_comes_from_the_environment_where_the_json_is_silent() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=weak,deployment.environment.name=prod,a%20b=c%2Cd");
    let (_, span) = exported(&[ON, attributes], "{}");
    assert_eq!(span.resource_attribute("service.name"), "weak");
    assert_eq!(span.resource_attribute("deployment.environment.name"), "prod");
    assert_eq!(span.resource_attribute("a b"), "c,d");
    let (_, span) = exported(&[ON, attributes, ("OTEL_SERVICE_NAME", "strong")], "{}");
    assert_eq!(span.resource_attribute("service.name"), "strong");
    let (_, span) = exported(&[ON, attributes, ("OTEL_SERVICE_NAME", "strong")], r#"{"service_name": "json"}"#);
    assert_eq!(span.resource_attribute("service.name"), "json");
}

#[test]
fn exporter_variables_shape_the_request_and_those_for_traces_are_stronger() {
    let (callout, _) = exported(
        &[
            ON,
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=general"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Bearer%20t,x-b=2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "9000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ],
        "{}",
    );
    assert_eq!(callout.timeout, Some(seconds(3)));
    for (name, value) in [
        ("authorization", Some("Bearer t")),
        ("x-b", Some("2")),
        ("api-key", None),
        ("grpc-encoding", Some("gzip")),
        ("content-type", Some("application/grpc")),
    ] {
        assert_eq!(callout.headers.text(name), value, "{name}");
    }
}

#[test]
fn the_json_beats_every_variable() {
    let json = json!({"sampling": {"ratio": 1}, "propagators": ["tracecontext"], "export": {
        "headers": {"API-Key": "json"}, "timeout_ms": 1234, "compression": "none", "protocol": "http/protobuf"}});
    let (callout, _) = exported(
        &[
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=env,x-extra=env"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ],
        &json.to_string(),
    );
    assert_eq!(callout.timeout, Some(Duration::from_millis(1234)));
    for (name, value) in [
        ("api-key", Some("json")),
        ("x-extra", Some("env")),
        ("content-type", Some("application/x-protobuf")),
        ("content-encoding", None),
    ] {
        assert_eq!(callout.headers.text(name), value, "{name}");
    }
}

#[test]
fn batch_variables_bound_queue_batch_and_delay() {
    let variables = [
        ON,
        ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "6"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "2000"),
    ];
    let mut envoy = with(&variables, "{}");
    envoy.advance(seconds(1));
    serve(&mut envoy, 3, 200);
    envoy.advance(seconds(3));
    assert!(envoy.callouts().is_empty(), "the delay is five seconds");
    serve(&mut envoy, 1, 200);
    let callout = envoy.only_callout();
    assert_eq!((callout.timeout, otlp::decode(callout).expect("OTLP").spans().len()), (Some(seconds(2)), 4));
    serve(&mut envoy, 40, 200);
    envoy.assert_conservation();
    assert!(0 < crate::kit::discarded(&envoy, "queue_full"));
    assert!(envoy.gauge("tracelift.queue.spans") <= 6);
}

#[test]
fn samplers_and_propagators_go_by_their_standard_names() {
    let parent = |flags: &str| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
    for (sampler, argument, root, sampled_parent, dropped_parent) in [
        ("always_on", "", true, true, true),
        ("always_off", "", false, false, false),
        ("traceidratio", "1.0", true, true, true),
        ("traceidratio", "0", false, false, false),
        ("parentbased_always_on", "", true, true, false),
        ("parentbased_always_off", "", false, true, false),
        ("parentbased_traceidratio", "0", false, true, false),
        ("PARENTBASED_TRACEIDRATIO", "1", true, true, false),
    ] {
        let mut variables = vec![("OTEL_TRACES_SAMPLER", sampler), ("OTEL_PROPAGATORS", "tracecontext,b3,baggage")];
        if !argument.is_empty() {
            variables.push(("OTEL_TRACES_SAMPLER_ARG", argument));
        }
        let mut envoy = with(&variables, "{}");
        for (parent, sampled) in
            [(None, root), (Some(parent("01")), sampled_parent), (Some(parent("00")), dropped_parent)]
        {
            let parent = parent.as_deref().map(|parent| ("traceparent", parent));
            let headers: Vec<_> = get("/").into_iter().chain(parent).collect();
            let finished = envoy.request("inbound", headers).respond(&mut envoy, 200);
            let forwarded = finished.request_headers;
            assert_eq!(forwarded.traceparent().is_sampled(), sampled, "{sampler} {argument} under {parent:?}");
            let b3 = forwarded.text("b3").expect("b3 is written too");
            assert!(b3.ends_with(if sampled { "-1" } else { "-0" }), "{b3}");
        }
        assert_eq!(warnings(&envoy), Vec::<&str>::new());
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_a_warning_that_names_it_and_nothing_more() {
    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ("OTEL_PROPAGATORS", "ottrace"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "s3cr3t"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cr3t%0d%0a"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "3s"),
        ("OTEL_RESOURCE_ATTRIBUTES", "no equals sign"),
    ] {
        let mut envoy = with(&[(name, value)], &keep_all(json!({})));
        let lines = warnings(&envoy);
        assert_eq!(lines.len(), 2, "the main thread and the worker: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(name) && !line.contains("s3cr3t")), "{lines:?}");
        serve(&mut envoy, 1, 200);
        until_export(&mut envoy, seconds(3));
    }
}
