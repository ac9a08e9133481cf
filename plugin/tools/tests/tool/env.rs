//! `tracelift env`: what is set, and what comes of it.

use crate::kit::tracelift_with;

#[test]
fn each_variable_says_what_it_does_here() {
    let environment = [
        ("OTEL_SERVICE_NAME", "cart"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ];
    let ran = tracelift_with(&["env", "--json", "--config", "-"], r#"{"service_name": "web"}"#, &environment);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).expect("JSON");
    let effect =
        |name: &str| rows.iter().find(|row| row["name"] == name).expect(name)["effect"].as_str().expect("text");
    assert_eq!(effect("OTEL_SERVICE_NAME"), "none: the configuration says service_name");
    assert_eq!(effect("OTEL_EXPORTER_OTLP_PROTOCOL"), "none: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is set");
    assert_eq!(effect("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), "fills export.protocol");
    assert!(effect("OTEL_BSP_SCHEDULE_DELAY").starts_with("found \"soon\"; allowed is"));
    assert_eq!(effect("TRACELIFT_ON_INVALID_CONFIG"), "not set");
    assert!(!ran.out.contains("secret"));
}

#[test]
fn nothing_set_is_nothing_to_find() {
    let ran = tracelift_with(&["env"], "", &[]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.out.starts_with("OTEL_SERVICE_NAME\n    service.name of the exported spans.\n    not set\n"),
        "{}",
        ran.out
    );
}

#[test]
fn the_schema_is_the_published_one() {
    let ran = tracelift_with(&["schema"], "", &[]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../envoy/config.schema.json");
    assert_eq!(ran.out, std::fs::read_to_string(path).expect("the published schema"));
    assert!(tracelift_with(&["schema", "--markdown"], "", &[]).out.contains("| `sampling.ratio` |"));
}
