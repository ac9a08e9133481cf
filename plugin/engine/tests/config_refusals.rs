//! A configuration is refused whole, with a message that names the place, what was found, what is allowed and what to do.

use tracelift::config::{ConfigError, Environment, MAX_BYTES, MAX_PROBLEMS, load};

fn refusal(configuration: &[u8]) -> ConfigError {
    match load(configuration, &Environment::default()) {
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(configuration)),
        Err(error) => error,
    }
}

#[test]
fn every_fault_is_named_in_exactly_these_words() {
    let mut lines = include_str!("vectors/config_refusals.txt").lines().skip(1);
    let mut cases = 0;
    while let (Some(configuration), Some(message)) = (lines.next(), lines.next()) {
        let told = refusal(configuration.as_bytes()).to_string();
        assert_eq!(told, format!("configuration refused: {message}"), "{configuration}");
        cases += 1;
    }
    assert!(100 < cases, "{cases} cases");
}

#[test]
fn a_syntax_fault_gives_line_and_column() {
    let error = refusal(b"{\n  \"edge\": true,\n  \"sampling\": {,}\n}");
    assert_eq!(error.problems()[0].path, "line 3, column 16");
}

#[test]
fn bytes_that_are_no_utf8_are_a_syntax_fault() {
    let error = refusal(b"{\"service_name\": \"\xff\"}");
    assert_eq!(error.problems()[0].path, "line 1, column 19");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let error = refusal("[".repeat(100_000).as_bytes());
    assert!(error.to_string().contains("more than 64 levels"), "{error}");
}

#[test]
fn sizes_have_a_limit_that_is_named() {
    let long = format!("{{\"service_name\": \"{}\"}}", "x".repeat(MAX_BYTES));
    let keys = (0..300).map(|key| format!("\"k{key}\": \"v\"")).collect::<Vec<_>>().join(",");
    let list = |element: &str, times: usize| vec![element; times].join(",");
    for (configuration, wanted) in [
        (long, "allowed is at most 262144 bytes"),
        (format!("{{\"resource\": {{{keys}}}}}"), "more than 256 keys in one object"),
        (
            format!("{{\"sampling\": {{\"rules\": [{}]}}}}", list("{}", 257)),
            "found 257 rules; allowed is at most 256 rules",
        ),
        (
            format!("{{\"upgrade\": {{\"grpc_status\": [{}]}}}}", list("1", 18)),
            "found 18 statuses; allowed is at most 17 statuses",
        ),
        (
            format!("{{\"attributes\": {{\"request_headers\": [{}]}}}}", list("\"a\"", 33)),
            "found 33 headers; allowed is at most 32 headers",
        ),
        (
            format!("{{\"sampling\": {{\"rules\": [{}]}}}}", list(r#"{"match": {"path": {"regex": "/a+"}}}"#, 33)),
            "found 33 regular expressions; allowed is at most 32 regular expressions",
        ),
        (
            format!("{{\"sampling\": {{\"rules\": [{{\"match\": {{\"method\": [{}]}}}}]}}}}", list("\"GET\"", 33)),
            "found 33 methods; allowed is at most 32 methods",
        ),
        (
            format!("{{\"metrics\": {{\"routes\": [{}]}}}}", list("\"/a\"", 201)),
            "found 201 templates; allowed is at most 200 templates",
        ),
    ] {
        let told = refusal(configuration.as_bytes()).to_string();
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn a_thousand_faults_make_a_message_of_sixteen() {
    let rules = vec![r#"{"ratio": 2}"#; 200].join(",");
    let error = refusal(format!("{{\"sampling\": {{\"rules\": [{rules}]}}}}").as_bytes());
    assert_eq!(error.problems().len(), MAX_PROBLEMS);
    assert_eq!(error.problems()[15].path, "sampling.rules[15].ratio");
}

#[test]
fn no_message_shows_a_secret() {
    for configuration in [
        r#"{"export": {"headers": {"authorization": "hunter2\n"}}}"#,
        r#"{"export": {"headers": {"authorization": ["hunter2"]}}}"#,
        r#"{"export": {"headers": {"authorization": {"hunter2": "hunter2"}}}}"#,
        r#"{"export": {"headers": {"authorization": 5318008}}}"#,
        r#"{"upgrade": {"recall": {"token": "hunter2 "}}}"#,
        r#"{"upgrade": {"recall": {"token": 5318008}}}"#,
        r#"{"upgrade": {"recall": "hunter2"}}"#,
        r#"{"upgrade": {"applications": {"token": ["hunter2"]}}}"#,
        r#"{"export": "hunter2"}"#,
        r#"{"export": {"headers": ["authorization=hunter2"]}}"#,
        r#"{"export": {"headers": {"authorization=hunter2": []}}}"#,
        r#"{"force": {"keys": "dev=hunter2"}}"#,
        r#"{"force": {"keys": {"dev": "hunter2"}}}"#,
        r#"{"force": {"keys": ["dev=hunter2", 5318008]}}"#,
        r#"{"force": {"keys": [{"id": "dev=hunter2"}, {"id": "dev=hunter2"}]}}"#,
        r#"{"force": {"header": "x: hunter2"}}"#,
        r#"{"sampling": {"session": {"cookie": "sid=hunter2", "key": "0123456789abcdef"}}}"#,
        r#"{"sampling": {"session": {"hunter2=": "hunter2"}}}"#,
        r#""{\"force\": \"hunter2\"}""#,
    ] {
        let told = refusal(configuration.as_bytes()).to_string();
        assert!(!told.contains("hunter2") && !told.contains("5318008"), "{told}");
    }
}
