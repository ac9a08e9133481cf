//! `tracelift env`: what is set, and what comes of it.

use crate::kit::tracelift_with;

#[test]
fn each_variable_says_what_it_does_here() {
    let environment = [
        ("OTEL_SERVICE_NAME", "cart"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cr3t"),
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
    assert!(!ran.out.contains("s3cr3t"));
}

#[test]
fn what_people_set_first_says_what_to_do_instead_and_unknown_names_are_refused() {
    let ran = tracelift_with(&["env"], "", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]);
    assert_eq!(ran.code, Some(1));
    let said = "OTEL_EXPORTER_OTLP_ENDPOINT\n    Spans go to an Envoy cluster: name it in `export.cluster`, and give it this \
                address.\n    is \"http://collector:4318\": none: the filter does not read it\n";
    assert!(ran.out.contains(said), "{}", ran.out);
    let ran = tracelift_with(&["env"], "", &[("OTEL_SERVICE_NAEM", "s3cr3t"), ("PATH", "/bin")]);
    assert_eq!(ran.code, Some(1));
    let said = "is \"(not shown)\": none: the filter does not read it. Did you mean OTEL_SERVICE_NAME?";
    assert!(ran.out.contains(said) && !ran.out.contains("s3cr3t") && !ran.out.contains("PATH"), "{}", ran.out);
    for (name, said) in [
        ("TRACELIFT_ON_INVALID_CONFG", "Did you mean TRACELIFT_ON_INVALID_CONFIG?"),
        ("OTEL_TRACES_EXPORTER", "The filter exports OTLP only"),
        ("OTEL_NOTHING_LIKE_IT_AT_ALL", "`tracelift env` lists those it reads"),
        ("PATH", "the filter reads only names that begin with OTEL_ or TRACELIFT_"),
    ] {
        let ran = tracelift_with(&["env", "--env", &format!("{name}=1")], "", &[]);
        assert_eq!(ran.code, Some(2), "{name}");
        assert!(ran.err.contains(&format!("--env: found {name}; the filter ")), "{}", ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
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
