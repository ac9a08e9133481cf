//! `tracelift explain`: the decision in words.

use crate::kit::{tracelift, tracelift_with};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_failed_root_is_dropped_by_the_head_and_upgraded_by_its_status() {
    let ran = tracelift(&[
        "explain",
        "--trace-id",
        ID,
        "--method",
        "GET",
        "--path",
        "/cart",
        "--host",
        "shop.example",
        "--status",
        "503",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let wanted = "\
settings    the defaults
context     no trace context came with the request: a new trace begins
rule        there are no rules
randomness  R = ce929d0e0e4736, from the last 14 digits of the trace-id: the trace is kept by every ratio of 19.3075 % or more
decision    dropped: `sampling.ratio` decides: it keeps 5.0000 % of all traces, and this one is not among them
outgoing    to the upstream: traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-910a2dec890266dd-02
answer      status 503 after 0 ms
upgrade     upgraded (http_status): the budget had room
signal      the caller is told to keep its span, too: x-tracelift-signal: 2;upgraded;4bf92f3577b34da6a3ce929d0e0e4736; traceresponse: 00-4bf92f3577b34da6a3ce929d0e0e4736-910a2dec890266dd-03; server-timing: trace;desc=00-4bf92f3577b34da6a3ce929d0e0e4736-910a2dec890266dd-03
span        exported: SERVER \"GET\", id 910a2dec890266dd, tracestate ot=th:0, 532 bytes
";
    assert_eq!(ran.out, wanted);
}

#[test]
fn the_rule_that_matches_and_its_ratio_are_named() {
    let config = r#"{"sampling": {"rules": [{"name": "probes", "match": {"path": {"exact": "/healthz"}}, "ratio": 0, "upgrade": false},
        {"name": "gold", "match": {"headers": {"x-tenant": {"exact": "gold"}}}, "ratio": 0.5}]}}"#;
    let explain = |more: &[&str]| {
        let mut arguments = vec!["explain", "--json", "--config", "-", "--trace-id", ID];
        arguments.extend(more);
        let ran = tracelift_with(&arguments, config, &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        serde_json::from_str::<serde_json::Value>(&ran.out).expect("JSON")
    };
    let gold = explain(&["-H", "X-Tenant: gold"]);
    assert_eq!((&gold["rule"], &gold["sampled"], &gold["reason"]), (&"gold".into(), &true.into(), &"rule".into()));
    assert_eq!(gold["threshold"], "80000000000000");
    assert_eq!(gold["outgoing"][1]["value"], "ot=th:8");
    let probe = explain(&["--path", "/healthz", "--status", "500"]);
    assert_eq!((&probe["kept"], &probe["rule"]), (&false.into(), &"probes".into()));
    assert_eq!(probe["steps"][6]["said"], "no: its rule switches upgrades off");
}

#[test]
fn a_rate_of_traffic_says_by_what_ratio_a_target_decides() {
    let config = r#"{"sampling": {"target": {"traces_per_second": 20, "min_ratio": 0.001, "max_ratio": 0.5}}}"#;
    let explain = |config: &str, rate: &str| {
        let ran = tracelift_with(&["explain", "--config", "-", "--trace-id", ID, "--rate", rate], config, &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    for (rate, said, decided) in [
        (
            "2000",
            "at 2000 new traces a second the ratio in force is 1.0000 %: 20.00 a second are kept, and 20.00 are aimed at",
            "dropped",
        ),
        (
            "25",
            "the ratio in force is 50.0000 %, since `sampling.target.max_ratio` is the highest: 12.50 a second are kept",
            "sampled",
        ),
        (
            "1e6",
            "the ratio in force is 0.1000 %, since `sampling.target.min_ratio` wins over the target: 1000.00 a second",
            "dropped",
        ),
    ] {
        let out = explain(config, rate);
        assert!(out.contains(said), "{out}");
        assert!(out.contains(&format!("decision    {decided}: the rate in force")), "{out}");
    }
    assert!(explain("{}", "5").contains("rate        no `sampling.target` and no `sampling.boost`"));
    let boost = explain(r#"{"sampling": {"boost": {"max_ratio": 0.5}}}"#, "5");
    assert!(
        boost.contains("the ratio in force is 5.0000 %: `sampling.ratio`, which a boost raises for a while"),
        "{boost}"
    );
    let wrong = tracelift(&["explain", "--rate", "-1"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.out);
}

#[test]
fn a_callers_flag_a_signal_and_a_spent_budget_count_as_in_the_filter() {
    let dropped = format!("00-{ID}-00f067aa0ba902b7-00");
    let explain = |more: &[&str]| {
        let mut arguments = vec!["explain", "--json", "--traceparent", &dropped];
        arguments.extend(more);
        serde_json::from_str::<serde_json::Value>(&tracelift(&arguments).out).expect("JSON")
    };
    let told = explain(&["--told", "upgraded"]);
    assert_eq!((&told["trigger"], &told["verdict"]), (&"signal".into(), &"upgraded".into()));
    assert_eq!(told["spans"][0]["parent_id"], "00f067aa0ba902b7");
    let spent = explain(&["--status", "500", "--budget-spent"]);
    assert_eq!((&spent["kept"], &spent["verdict"]), (&false.into(), &"shed".into()));
    let refused = explain(&["--status", "0", "--flags", "UF,URX"]);
    assert_eq!(refused["trigger"], "response_flags");
    let slow = explain(&["--duration-ms", "9000"]);
    assert_eq!((&slow["kept"], &slow["trigger"]), (&false.into(), &serde_json::Value::Null));
}

#[test]
fn the_configuration_that_was_taken_is_named_and_another_can_be_chosen() {
    let sidecar = "../../../../../envoy/sidecar.yaml";
    let settings = |more: &[&str]| {
        let ran = tracelift(&[&["explain", "--config", sidecar], more].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out.lines().next().expect("a line").to_owned()
    };
    let first = settings(&[]);
    assert!(first.starts_with(&format!("settings    {sidecar}:")), "{first}");
    let others = ": tracelift, listener inbound; the first of 2, --listener takes another: inbound, outbound";
    assert!(first.ends_with(others), "{first}");
    assert!(settings(&["--listener", "outbound"]).ends_with(": tracelift, listener outbound"));
    let ran = tracelift(&["explain", "--json", "--config", sidecar, "--listener", "outbound", "--status", "503"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(said["spans"][0]["kind"], "CLIENT", "{}", ran.out);
}

#[test]
fn what_cannot_be_read_says_what_is_allowed() {
    for (arguments, said) in [
        (&["--trace-id", "12"][..], "--trace-id: found 12; allowed are 32 lowercase hexadecimal digits"),
        (&["--status", "99"], "--status: found 99; allowed is 100 to 599"),
        (&["--flags", "UX"], "--flags: found UX; allowed are Envoy's short names"),
        (&["--grpc-status", "BAD"], "--grpc-status: found BAD; allowed is a name such as UNAVAILABLE"),
        (&["--config", "."], ". is a folder; name its files, as in ./*.yaml"),
        (&["--config", "../../../../../envoy/sidecar.yaml", "--plugin", "x"], "--plugin: found x; allowed in"),
        (
            &["--config", "../../../../../envoy/sidecar.yaml", "--listener", "x"],
            "--listener: found x; allowed in ../../../../../envoy/sidecar.yaml is inbound, outbound",
        ),
        (&["--listener", "x"], "required arguments"),
    ] {
        let ran = tracelift(&[&["explain"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.err.contains(said), "{}", ran.err);
    }
}

#[test]
fn a_refused_configuration_is_a_finding_and_each_of_its_faults_is_told() {
    for command in ["explain", "forecast"] {
        let ran = tracelift(&[command, "--config", "oddities.yaml"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        assert!(ran.err.starts_with("oddities.yaml:23:54: error: sampling.ratio: found 2;"), "{}", ran.err);
        assert!(ran.err.contains("tracelift: oddities.yaml is refused: correct it first"), "{}", ran.err);
    }
}

#[test]
fn a_caller_that_sampled_the_trace_hears_that_this_hop_keeps_its_part() {
    let sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ran = tracelift(&["explain", "--traceparent", sampled]);
    let signal = ran.out.lines().find(|line| line.starts_with("signal ")).unwrap_or_default();
    assert!(signal.contains("hears that this hop keeps its part: x-tracelift-signal: 2;kept;4bf92f3577b34da6a3ce929d0e0e4736; traceresponse: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert!(!ran.out.contains("tracestate taken off"), "none came: {}", ran.out);
}

#[test]
fn each_command_tells_in_its_help_what_it_reads() {
    for (command, told) in [
        ("check", "Every finding has its place"),
        ("explain", "Without --traceparent and --trace-id a trace begins"),
        ("forecast", "access logs of Envoy"),
        ("env", "`vm_config.environment_variables`"),
    ] {
        let ran = tracelift(&[command, "--help"]);
        let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(told), "{command}: {text}");
    }
}

/// The value of each header that the answer gets; `None` for one that it loses.
fn response(explained: &serde_json::Value) -> Vec<(&str, Option<&str>)> {
    let headers = explained["response"].as_array().expect("a list").iter();
    headers.map(|header| (header["name"].as_str().expect("a name"), header["value"].as_str())).collect()
}

fn explained(config: &str, arguments: &[&str]) -> serde_json::Value {
    let ran = tracelift_with(&[&["explain", "--json", "--config", "-"], arguments].concat(), config, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

fn said<'a>(explained: &'a serde_json::Value, topic: &str) -> Vec<&'a str> {
    let steps = explained["steps"].as_array().expect("a list").iter().filter(|step| step["topic"] == topic);
    steps.map(|step| step["said"].as_str().expect("text")).collect()
}

#[test]
fn a_caller_that_asked_hears_what_was_known_when_the_answer_came() {
    let config = r#"{"sampling": {"ratio": 0}, "propagators": ["xray"], "upgrade": {"latency_ms": 800}}"#;
    let asks = "x-amzn-trace-id: Root=1-65a1b2c3-0af7651916cd43dd8448eb21;Sampled=?";
    let slow = explained(config, &["-H", asks, "--duration-ms", "900"]);
    let answer = "Root=1-65a1b2c3-0af7651916cd43dd8448eb21;Sampled=0";
    assert_eq!(response(&slow), [("x-amzn-trace-id", Some(answer))], "its end came later than its head");
    assert_eq!((&slow["kept"], &slow["trigger"]), (&true.into(), &"latency".into()));
    assert_eq!(
        said(&slow, "signal"),
        [
            "the trigger came after the answer's head: the caller is not told",
            &format!("the caller asked by `Sampled=?` and hears x-amzn-trace-id: {answer}"),
        ]
    );
    let failed = explained(config, &["-H", asks, "--status", "503"]);
    assert!(response(&failed).contains(&("x-amzn-trace-id", Some(&answer.replace("=0", "=1")))), "{failed}");
}

#[test]
fn at_the_edge_only_an_upstreams_signal_is_taken_off() {
    let config = r#"{"sampling": {"ratio": 0}, "edge": true}"#;
    let own = explained(config, &["--status", "503", "-H", "traceresponse: x", "-H", "server-timing: db;dur=1"]);
    assert_eq!((response(&own), &own["kept"]), (vec![], &true.into()));
    let written: Vec<_> = own["outgoing"].as_array().expect("a list").iter().map(|header| &header["name"]).collect();
    assert!(!written.iter().any(|name| **name == "traceresponse" || **name == "server-timing"), "{own}");
    assert_eq!(said(&own, "signal"), ["`edge` is true: no signal leaves the mesh"]);
    let told = explained(config, &["--told", "upgraded"]);
    assert_eq!(response(&told), [("server-timing", None), ("x-tracelift-signal", None), ("traceresponse", None)]);
    assert_eq!(
        said(&told, "signal"),
        [
            "`edge` is true: no signal leaves the mesh: server-timing taken off; x-tracelift-signal taken off; traceresponse taken off"
        ]
    );
}

#[test]
fn a_budget_of_nothing_sheds_and_believes_no_signal() {
    let config = r#"{"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 0}}"#;
    let failed = explained(config, &["--status", "503"]);
    assert_eq!((&failed["kept"], &failed["verdict"]), (&false.into(), &"shed".into()));
    let told = explained(config, &["--told", "upgraded"]);
    assert_eq!((&told["kept"], &told["verdict"]), (&false.into(), &serde_json::Value::Null));
    let refused = "no: the upstream's word is beyond ten times the budget, so it is not believed";
    assert_eq!(said(&told, "upgrade"), [refused]);
}

#[test]
fn a_trace_that_the_head_had_sampled_says_whether_the_budget_was_spent() {
    let config = r#"{"sampling": {"ratio": 1}}"#;
    let upgrade = |arguments: &[&str]| said(&explained(config, arguments), "upgrade").join("; ");
    let whole = "triggered (http_status): the head had sampled it; the span counts for itself (th:0)";
    assert_eq!(upgrade(&["--status", "503"]), whole);
    let spent = "triggered, and the budget was spent: it stays what the head had sampled";
    assert_eq!(upgrade(&["--status", "503", "--budget-spent"]), spent);
    let shed = "triggered, and whoever saw the failure first had shed it: it stays what the head had sampled";
    assert_eq!(upgrade(&["--status", "503", "--told", "shed"]), shed);
}

#[test]
fn what_is_kept_though_it_did_not_fail_is_said_with_its_reason() {
    let config = r#"{"sampling": {"ratio": 0}, "upgrade": {"coverage": {"enabled": true}, "response_headers": {"x-keep": {"present": true}}}}"#;
    let explain = |more: &[&str]| {
        let arguments = [&["explain", "--json", "--config", "-", "--trace-id", ID, "--path", "/cart"], more].concat();
        let ran = tracelift_with(&arguments, config, &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        serde_json::from_str::<serde_json::Value>(&ran.out).expect("JSON")
    };
    let first = explain(&["--status", "404"]);
    assert_eq!((&first["kept"], &first["trigger"]), (&true.into(), &"coverage".into()));
    assert!(
        first["steps"][6]["said"]
            .as_str()
            .is_some_and(|said| said.starts_with("upgraded (coverage): the first of its kind"))
    );
    let marked = explain(&["--answer-header", "X-Keep: 1"]);
    assert_eq!((&marked["kept"], &marked["trigger"]), (&true.into(), &"response_header".into()));
    let spent = explain(&["--status", "404", "--budget-spent"]);
    assert_eq!((&spent["kept"], &spent["verdict"]), (&false.into(), &serde_json::Value::Null));
}

#[test]
fn how_coverage_decides_and_in_which_series_a_request_is_counted_is_said() {
    let config = r#"{"span_kind": "server", "sampling": {"ratio": 0, "rules": [{"name": "health", "match": {"path": {"exact": "/healthz"}}, "metrics": false, "upgrade": false}]},
        "metrics": {"enabled": true, "routes": ["/users/{id}"], "route_header": "x-route", "namespace": "proxy"}, "upgrade": {"coverage": {"enabled": true}}}"#;
    let explain = |path: &str, more: &[&str]| {
        let arguments = [&["explain", "--json", "--config", "-", "--trace-id", ID, "--path", path], more].concat();
        let ran = tracelift_with(&arguments, config, &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        serde_json::from_str::<serde_json::Value>(&ran.out).expect("JSON")
    };
    let known = explain("/users/7", &["--status", "404"]);
    assert_eq!(
        said(&known, "coverage"),
        ["kept: in an Envoy that has just started it is one of the first 1 of its kind in 300 s; \
          `upgrade.coverage.traces_per_minute` had room. Its kind: its method, route /users/{id}: metrics.routes[0], and its status"]
    );
    assert_eq!(
        said(&known, "metrics"),
        ["counted in proxy.http.server.request.duration{http.request.method=GET, url.scheme=http, \
          http.response.status_code=404, http.route=/users/{id}}; route /users/{id}: metrics.routes[0]"]
    );
    assert_eq!(said(&known, "answer"), ["status 404 after 0 ms"], "no other listener has said anything");
    let named = explain("/elsewhere", &["--answer-header", "x-route: /named"]);
    assert!(said(&named, "metrics")[0].ends_with("http.route=/named}; route /named: the answer says so in `x-route`"));
    for (value, reason) in [
        ("named", "it does not begin with `/`"),
        ("/na med", "it has more than 256 bytes, or others than visible ASCII"),
    ] {
        let unusable = explain("/users/7", &["--answer-header", &format!("x-route: {value}")]);
        let expected = format!(
            "route /users/{{id}}: metrics.routes[0] (the value of `x-route` in the answer is not a route: {reason})"
        );
        assert!(said(&unusable, "metrics")[0].ends_with(&expected), "{unusable}");
    }
    let unknown = explain("/elsewhere", &["--status", "503"]);
    assert!(said(&unknown, "metrics")[0].ends_with("no route: no template of `metrics.routes` matches the path"));
    assert!(said(&unknown, "coverage")[0].starts_with("nothing to keep: another trigger keeps it"));
    let spent = explain("/users/7", &["--status", "404", "--budget-spent"]);
    assert!(said(&spent, "coverage")[0].starts_with("refused: `upgrade.coverage.traces_per_minute` is spent"));
    let health = explain("/healthz", &[]);
    assert_eq!(said(&health, "metrics"), ["not counted: rule \"health\" says `metrics`: false"]);
    assert_eq!(said(&health, "coverage"), ["not looked at: its rule switches upgrades off"]);
    let inner = explain("/users/7", &["-H", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"]);
    assert_eq!(
        said(&inner, "coverage"),
        ["not looked at: a success at a hop where no trace begins (`upgrade.coverage.where`)"]
    );
}
