//! `tracelift forecast` with a target or a boost: the rate over time.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::kit::{Ran, folder, tracelift_with};

/// A log of so many seconds: of each, how many requests come and the share that fails. Every probe between is decided by its rule.
fn log(seconds: u32, traffic: impl Fn(u32) -> (u32, f64)) -> String {
    let (mut log, mut due) = (String::new(), 0.0);
    for second in 0..seconds {
        let (requests, failing) = traffic(second);
        for request in 0..requests {
            due += failing;
            let status = if 1.0 <= due { "503 UF" } else { "200 -" };
            due -= if 1.0 <= due { 1.0 } else { 0.0 };
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let milliseconds = request * 1000 / requests;
            let path = if request % 2 == 0 { "/cart" } else { "/pay" };
            log.push_str(&format!("[2026-11-21T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z] \"GET {path} HTTP/1.1\" {status} 0 5 3 3 \"-\" \"curl\" \"r\" \"shop\" \"10.0.0.1:80\"\n"));
        }
    }
    log
}

/// Twenty minutes with ten times the load in the middle.
fn load_step() -> String {
    log(1200, |second| (if (400..800).contains(&second) { 50 } else { 5 }, 0.002))
}

/// Ten minutes, in two of which more requests than usual fail.
fn outage() -> String {
    log(600, |second| (50, if (300..420).contains(&second) { 0.05 } else { 0.002 }))
}

fn configuration(name: &str, sampling: &Value) -> PathBuf {
    let file = std::env::temp_dir().join(format!("tracelift-rate-{name}-{}.json", std::process::id()));
    fs::write(&file, json!({ "sampling": sampling }).to_string()).expect("a file");
    file
}

fn ran(name: &str, sampling: &Value, options: &[&str], log: &str) -> Ran {
    let file = configuration(name, sampling);
    let fixed = ["forecast", "--prices", "none", "--from", "-", "--config", file.to_str().expect("UTF-8")];
    let ran = tracelift_with(&[&fixed, options].concat(), log, &[]);
    fs::remove_file(file).expect("the file is there");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran
}

fn adaptive(name: &str, sampling: &Value, log: &str) -> Value {
    let said: Value = serde_json::from_str(&ran(name, sampling, &["--json"], log).out).expect("JSON");
    said["adaptive"].clone()
}

/// Compares what is printed with a file, all but the lines whose bytes follow from how spans are encoded.
fn is_as_expected(name: &str, sampling: &Value, log: &str) {
    let found = ran(name, sampling, &[], log).out;
    let from = found.find("The rate over time").expect("a table of the rate");
    let found = found[from..].split("\nA month has").next().expect("text");
    let file = folder("corpus/rate").join(format!("{name}.expected"));
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "{}", file.display());
}

fn mean(adaptive: &Value, key: &str, range: std::ops::Range<f64>) -> f64 {
    let points = adaptive["points"].as_array().expect("points").iter();
    let points = points.filter(|point| point["at_s"].as_f64().is_some_and(|at| range.contains(&at)));
    let values: Vec<f64> = points.map(|point| point[key].as_f64().expect("a number")).collect();
    assert!(!values.is_empty(), "no point in {range:?}");
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_load_step_is_printed_as_people_read_it() {
    is_as_expected("load-step", &json!({ "target": { "traces_per_second": 1 } }), &load_step());
}

#[test]
fn an_outage_with_a_boost_is_printed_as_people_read_it() {
    let sampling = json!({ "target": { "traces_per_second": 5, "max_ratio": 0.5 }, "boost": { "max_ratio": 0.5 } });
    is_as_expected("outage", &sampling, &outage());
}

#[test]
fn the_rate_follows_the_load_and_what_is_kept_stays_at_the_target() {
    let target = json!({ "ratio": 0.1, "target": { "traces_per_second": 1, "min_ratio": 0 } });
    let adaptive = adaptive("follows", &target, &load_step());
    assert_eq!(
        (&adaptive["target_per_second"], &adaptive["envoys"], &adaptive["step_s"]),
        (&json!(1.0), &json!(1), &json!(10.0))
    );
    let offered = [100.0..400.0, 430.0..800.0].map(|range| mean(&adaptive, "offered", range));
    assert!((offered[0] - 5.0).abs() < 0.1 && (offered[1] - 50.0).abs() < 0.1, "{offered:?}");
    for range in [100.0..400.0, 430.0..800.0, 900.0..1200.0] {
        let paid = mean(&adaptive, "kept", range.clone()) + mean(&adaptive, "paid_first", range.clone());
        assert!((paid - 1.0).abs() < 0.1, "{paid} a second in {range:?}");
    }
    let ratio = [100.0..400.0, 430.0..800.0].map(|range| mean(&adaptive, "ratio", range));
    assert!((8.0..14.0).contains(&(ratio[0] / ratio[1])), "{ratio:?}");
    assert!(adaptive["changes"]["load"].as_u64() >= Some(1) && adaptive["changes"]["calm"].as_u64() >= Some(1));
    assert_eq!(adaptive["changes"]["boost"], 0);
}

#[test]
fn a_boost_begins_when_more_fail_and_a_log_without_that_has_none() {
    let sampling = json!({ "ratio": 0.01, "boost": { "max_ratio": 0.5 } });
    let boosted = adaptive("boosted", &sampling, &outage());
    let events: Vec<_> =
        boosted["events"].as_array().expect("events").iter().map(|event| event["what"].as_str()).collect();
    assert_eq!(events, [Some("a boost begins: more requests than usual fail"), Some("the boost has ended")]);
    let began = boosted["events"][0]["at_s"].as_f64().expect("a time");
    assert!((300.0..340.0).contains(&began), "{began}");
    assert!((mean(&boosted, "ratio", 345.0..420.0) - 0.1).abs() < 0.01);
    assert_eq!(boosted["target_per_second"], Value::Null);
    let calm = adaptive("calm", &sampling, &log(600, |_| (50, 0.002)));
    assert_eq!((&calm["events"], &calm["changes"]["boost"]), (&json!([]), &json!(0)));
}

#[test]
fn a_rule_with_a_ratio_keeps_it_and_is_paid_first() {
    let rules = json!([{ "name": "pay", "match": { "path": { "prefix": "/pay" } }, "ratio": 0.05 }]);
    let sampling = json!({ "target": { "traces_per_second": 1 }, "rules": rules });
    let adaptive = adaptive("rule", &sampling, &log(600, |_| (20, 0.0)));
    assert!((mean(&adaptive, "offered", 0.0..600.0) - 10.0).abs() < 0.1);
    assert!((mean(&adaptive, "paid_first", 60.0..600.0) - 0.5).abs() < 0.1);
    assert!((mean(&adaptive, "kept", 60.0..600.0) - 0.5).abs() < 0.1);
}

#[test]
fn each_route_has_a_rate_of_its_own() {
    let file = std::env::temp_dir().join(format!("tracelift-rate-routes-{}.json", std::process::id()));
    let target = json!({ "traces_per_second": 2, "by": "route", "min_ratio": 0 });
    let text = json!({ "sampling": { "target": target, "rules": [{ "match": { "path": { "exact": "/cart" } } }] }, "metrics": { "routes": ["/pay"] } });
    fs::write(&file, text.to_string()).expect("a file");
    let rare = log(600, |_| (20, 0.0))
        .lines()
        .enumerate()
        .filter(|(index, line)| line.contains("/cart") || index % 20 == 1)
        .fold(String::new(), |log, (_, line)| log + line + "\n");
    let arguments = ["forecast", "--json", "--from", "-", "--config", file.to_str().expect("UTF-8")];
    let ran = tracelift_with(&arguments, &rare, &[]);
    fs::remove_file(file).expect("the file is there");
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    // 10 a second of one route, 1 of the other: half the target is more than the rare one has, so that it is kept whole.
    let kept = mean(&said["adaptive"], "kept", 120.0..600.0);
    assert!((kept - 2.0).abs() < 0.1, "{kept}");
    let ratio = mean(&said["adaptive"], "ratio", 120.0..600.0);
    assert!((ratio - 2.0 / 11.0).abs() < 0.02, "{ratio}");
}

#[test]
fn a_log_without_times_has_the_settled_ratio_and_says_so() {
    let log = "{\"method\":\"GET\",\"path\":\"/\",\"status\":200}\n".repeat(2000);
    let file = configuration("timeless", &json!({ "target": { "traces_per_second": 1 } }));
    let arguments =
        ["forecast", "--json", "--from", "-", "--window", "200s", "--config", file.to_str().expect("UTF-8")];
    let ran = tracelift_with(&arguments, &log, &[]);
    fs::remove_file(file).expect("the file is there");
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(said.get("adaptive"), None);
    let kept = said["rows"][1]["traces_per_second"].as_f64().expect("a number");
    assert!((kept - 1.0).abs() < 0.05, "{kept}");
    assert!(said["notes"].to_string().contains("sampling.target is taken to have settled"), "{}", said["notes"]);
}

#[test]
fn one_moment_says_nothing_of_a_rate_until_a_window_is_given() {
    let one = log(1, |_| (1, 0.0));
    let file = configuration("moment", &json!({ "target": { "traces_per_second": 1 } }));
    let run = |log: &str, options: &[&str]| {
        let fixed = ["forecast", "--json", "--from", "-", "--config", file.to_str().expect("UTF-8")];
        tracelift_with(&[&fixed, options].concat(), log, &[])
    };
    for log in [one.clone(), one.repeat(100)] {
        let refused = run(&log, &[]);
        assert_ne!(refused.code, Some(0), "{}", refused.out);
        assert!(refused.err.contains("all traces in it begin at one moment") && refused.err.contains("--window"));
        let ran = run(&log, &["--window", "10s"]);
        let said: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(said.get("adaptive"), None);
        let note = "All traces begin at one moment: sampling.target is taken to have settled";
        assert!(said["notes"].to_string().contains(note), "{}", said["notes"]);
    }
    fs::remove_file(file).expect("the file is there");
}

#[test]
fn a_long_pause_is_named_and_its_quiet_time_is_in_the_curve() {
    let burst = |second: u32| !(600..9_000).contains(&second);
    let log = log(9_600, |second| (if burst(second) { 10 } else { 0 }, 0.0));
    let sampling = json!({ "target": { "traces_per_second": 1, "min_ratio": 0 } });
    let out = ran("pause", &sampling, &[], &log).out;
    let note = "There is no request for 2 h, from 10 min after the first one on, of 3 h in all: a month is taken to have as much quiet time.";
    assert!(out.contains(note), "{out}");
    let adaptive = adaptive("pause", &sampling, &log);
    assert_eq!(mean(&adaptive, "offered", 1_200.0..8_400.0), 0.0);
    assert!((mean(&adaptive, "ratio", 1_200.0..8_400.0) - 1.0).abs() < 0.05, "without traffic the ratio rises");
    assert!((mean(&adaptive, "kept", 9_200.0..9_600.0) - 1.0).abs() < 0.2);
    let whole = ran("whole", &sampling, &[], &self::log(1_200, |_| (10, 0.0))).out;
    assert!(!whole.contains("There is no request"), "{whole}");
}

#[test]
fn rates_alone_tell_where_the_ratio_settles() {
    let file = configuration("settled", &json!({ "target": { "traces_per_second": 20 } }));
    let arguments = ["forecast", "--json", "--config", file.to_str().expect("UTF-8"), "--failed-share", "0.005"];
    let ran = tracelift_with(&arguments, "", &[]);
    fs::remove_file(file).expect("the file is there");
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    // 1,000 a second, of which 5 fail: what upgrades leave of 20 goes to the rate, and both together are the target.
    let kept = said["rows"][2]["traces_per_second"].as_f64().expect("a number");
    assert!((kept - 20.0).abs() < 1e-6, "{kept}");
    assert!(
        said["notes"][0].as_str().is_some_and(|note| note.contains("the ratio settles at 1.5")),
        "{}",
        said["notes"]
    );
}
