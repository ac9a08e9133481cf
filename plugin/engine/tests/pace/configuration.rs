//! What a configuration says of the rate, and what of it is odd.

use tracelift::config::{Environment, Loaded, load};
use tracelift::sampling::pace::{BoostSettings, Settings, TargetSettings};

fn loaded(sampling: &str, more: &str) -> Loaded {
    let text = format!(r#"{{"span_kind": "server", "sampling": {{{sampling}}}{more}}}"#);
    load(text.as_bytes(), &Environment::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn settings(sampling: &str, more: &str) -> Option<Settings> {
    loaded(sampling, more).policy.sampling.pace
}

#[test]
fn nothing_steers_by_default() {
    assert_eq!(settings("", ""), None);
    assert_eq!(settings(r#""target": {}, "boost": {}"#, ""), None);
}

#[test]
fn a_target_is_what_one_envoy_keeps_a_second() {
    let target = |text: &str| settings(&format!(r#""target": {{{text}}}"#), "").and_then(|settings| settings.target);
    let wanted = TargetSettings { per_second: 20.0, carries: false, min_ratio: 0.0001, max_ratio: 1.0 };
    assert_eq!(target(r#""traces_per_second": 20"#), Some(wanted));
    let bounds = r#""traces_per_second": 100, "replicas": 5, "min_ratio": 0, "max_ratio": 0.5"#;
    assert_eq!(target(bounds), Some(TargetSettings { min_ratio: 0.0, max_ratio: 0.5, ..wanted }));
    let month = target(r#""spans_per_month": 526003200, "spans_per_trace": 2.5, "replicas": 4"#).expect("a target");
    assert!(month.carries && (month.per_second - 20.0).abs() < 1e-9, "{month:?}");
}

#[test]
fn a_boost_is_on_with_its_highest_ratio() {
    let wanted = BoostSettings { max_ratio: 0.5, hold_s: 60.0, cooldown_s: 300.0, min_requests: 200.0 };
    let fixed = settings(r#""boost": {"max_ratio": 0.5}"#, "").expect("settings");
    assert_eq!(fixed, Settings { ratio: 0.05, target: None, boost: Some(wanted), rates: 1 });
}

#[test]
fn there_is_a_rate_for_each_route_and_one_for_the_rest() {
    let routes = r#", "metrics": {"routes": ["/users/{id}", "/cart"]}"#;
    let by_route = r#""target": {"traces_per_second": 20, "by": "route"}"#;
    let of_routes = loaded(by_route, routes);
    assert_eq!(of_routes.warnings, [""; 0], "the routes have a use");
    assert_eq!(of_routes.policy.sampling.pace.map(|settings| settings.rates), Some(3));
    let shadow = loaded("", &format!(r#", "shadow": {{"sampling": {{{by_route}}}}}{routes}"#)).policy.shadow;
    let shadow = shadow.and_then(|shadow| shadow.sampling).and_then(|sampling| sampling.pace);
    assert_eq!(shadow.map(|settings| settings.rates), Some(3));
}

#[test]
fn what_has_no_effect_or_another_than_meant_is_a_warning() {
    const SECRET: &str = "0123456789abcdef";
    for (sampling, warning) in [
        (
            r#""target": {"replicas": 3}"#.to_owned(),
            "sampling.target: has neither `traces_per_second` nor `spans_per_month`, so that its other keys have no effect",
        ),
        (
            r#""target": {"traces_per_second": 20, "spans_per_trace": 8}"#.to_owned(),
            "sampling.target.spans_per_trace: has no effect on `traces_per_second`: it is what a trace costs of `spans_per_month`",
        ),
        (
            format!(
                r#""target": {{"traces_per_second": 20, "replicas": 5}}, "session": {{"cookie": "sid", "key": "{SECRET}"}}"#
            ),
            "sampling.target: comes to less than 5 traces a second in one Envoy, and a session is kept with all of its traces: what is \
             kept says little of the rest",
        ),
        (
            r#""target": {"traces_per_second": 20, "by": "route"}"#.to_owned(),
            "sampling.target.by: is \"route\" without `metrics.routes`, so that there is one rate: the name in `metrics.route_header` \
             comes with the answer, too late for a decision",
        ),
        (
            r#""target": {"traces_per_second": 20}, "xray": {"enabled": true}"#.to_owned(),
            "sampling.target: steers only what no rule of X-Ray decides, since `sampling.xray.enabled` is true",
        ),
        (
            r#""mode": "independent", "target": {"traces_per_second": 20}"#.to_owned(),
            "sampling.target: with `mode` = \"independent\" every hop steers by its own traffic: a trace is whole only as far as the \
             lowest of their ratios takes it",
        ),
        (
            r#""boost": {"hold_s": 30}"#.to_owned(),
            "sampling.boost: has no `max_ratio`, so that its other keys have no effect",
        ),
        (
            r#""ratio": 0.2, "boost": {"max_ratio": 0.2}"#.to_owned(),
            "sampling.boost.max_ratio: has no effect: `sampling.ratio` is as high",
        ),
        (
            r#""ratio": 0.2, "target": {"traces_per_second": 20, "max_ratio": 0.1}"#.to_owned(),
            "sampling.ratio: is above `sampling.target.max_ratio` = 10 %, which holds in its place",
        ),
        (
            r#""ratio": 0.001, "target": {"traces_per_second": 20, "min_ratio": 0.01}"#.to_owned(),
            "sampling.ratio: is below `sampling.target.min_ratio` = 1 %, which holds in its place",
        ),
        (
            r#""target": {"traces_per_second": 20, "min_ratio": 0.05, "max_ratio": 0.05}"#.to_owned(),
            "sampling.target: has no effect: `min_ratio` and `max_ratio` are the same, which makes a fixed ratio",
        ),
        (
            r#""target": {"spans_per_month": 1}"#.to_owned(),
            "sampling.target.spans_per_month: leaves one Envoy less than one trace an hour: `sampling.target.min_ratio` = 0.01 % keeps \
             more from 0.0038 new traces a second on",
        ),
        (
            r#""target": {"traces_per_second": 1, "replicas": 100000}"#.to_owned(),
            "sampling.target.replicas: leaves one Envoy less than one trace an hour: `sampling.target.min_ratio` = 0.01 % keeps more \
             from 0.1 new traces a second on",
        ),
        (
            r#""target": {"traces_per_second": 0.0001, "min_ratio": 0}"#.to_owned(),
            "sampling.target.traces_per_second: leaves one Envoy less than one trace an hour",
        ),
        (
            r#""target": {"traces_per_second": 20}, "rules": [{"match": {"method": ["PUT"]}, "ratio": 1}, {"ratio": 0.1}]"#.to_owned(),
            "sampling.target: has no effect: `sampling.rules[1]` matches every request and has a ratio of its own",
        ),
        (
            r#""target": {"traces_per_second": 20}, "rules": [{"match": {"method": ["PUT"]}}, {"ratio": 0.1}]"#.to_owned(),
            "sampling.target: steers only what rules without a ratio before it match, since `sampling.rules[1]` matches every request \
             and has a ratio of its own",
        ),
        (
            r#""boost": {"max_ratio": 0.5}, "rules": [{"ratio": 0.1}]"#.to_owned(),
            "sampling.boost: has no effect: `sampling.rules[0]` matches every request and has a ratio of its own",
        ),
        (
            r#""ratio": 0, "boost": {"max_ratio": 0.5}"#.to_owned(),
            "sampling.boost.max_ratio: has no effect: `sampling.ratio` is 0, and ten times 0 is 0",
        ),
    ] {
        assert_eq!(loaded(&sampling, "").warnings, [warning], "{sampling}");
        let text = format!(r#"{{"shadow": {{"sampling": {{{sampling}}}}}}}"#);
        let of_shadow = load(text.as_bytes(), &Environment::default()).expect("a shadow policy").warnings;
        let wanted = format!("shadow.{warning}").replace("`sampling.", "`shadow.sampling.");
        assert!(of_shadow.contains(&wanted), "{sampling}: {of_shadow:?}");
    }
    for quiet in [
        r#""target": {"traces_per_second": 5000, "replicas": 1}, "boost": {"max_ratio": 1}"#,
        r#""target": {"traces_per_second": 0, "min_ratio": 0.001}"#,
        r#""target": {"spans_per_month": 1000000}, "rules": [{"latency_ms": 200}]"#,
    ] {
        assert_eq!(loaded(quiet, "").warnings, [""; 0], "{quiet}");
    }
}
