//! `tracelift forecast`: what a policy costs and keeps.

use serde_json::{Value, json};

use crate::kit::{tracelift, tracelift_with};

fn rows(arguments: &[&str], input: &str) -> Value {
    let ran = tracelift_with(&[&["forecast", "--json"], arguments].concat(), input, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

fn number(forecast: &Value, row: usize, key: &str) -> f64 {
    forecast["rows"][row][key].as_f64().unwrap_or_else(|| panic!("{key} in {forecast}"))
}

fn near(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance * wanted.abs(), "{found} is not near {wanted}");
}

#[test]
fn rates_become_the_bill_of_the_price_page() {
    // 10,000 requests a second at 5 % are 43.2 million traces a day, $216; keeping the 1 % that fail adds $41.
    let rates = ["--traces-per-second", "10000", "--failed-share", "0.01", "--envoys", "100"];
    let forecast = rows(&rates, "");
    let day = 24.0 / 730.0;
    near(number(&forecast, 0, "dollars_per_month") * day, 4320.0, 0.001);
    near(number(&forecast, 1, "dollars_per_month") * day, 216.0, 0.001);
    near(number(&forecast, 2, "dollars_per_month") * day, 216.0 + 41.04, 0.001);
    near(number(&forecast, 1, "chains_complete"), 0.05, 0.001);
    near(number(&forecast, 2, "chains_complete"), 1.0, 0.0);
}

#[test]
fn a_storm_of_failures_is_bounded_by_the_budget_and_says_so() {
    let forecast = rows(&["--traces-per-second", "10000", "--failed-share", "1"], "");
    near(number(&forecast, 2, "traces_per_second"), 500.0 + 95.0, 0.001);
    assert_eq!(
        forecast["notes"][0],
        "10000.0 failures a second are more than the budget of 100.0: 99.0 % of them are shed."
    );
}

/// Probes are never kept, payments always, and one rule takes what is left.
const RULES: &str = r#"{ "sampling": { "ratio": 0.25, "rules": [
    { "name": "probes", "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false },
    { "name": "payments", "match": { "path": { "prefix": "/pay" } }, "ratio": 1 } ] } }"#;

#[test]
fn rates_with_rules_say_how_many_traces_each_rule_decides() {
    let shares = ["--config", "-", "--rule-share", "probes=0.5", "--rule-share", "payments=0.1"];
    let forecast = rows(&shares, RULES);
    // 1,000 a second: 500 probes, 100 payments, 400 at a quarter. 10 fail, of which 5 are probes and 4 neither.
    near(number(&forecast, 1, "traces_per_second"), 200.0, 1e-9);
    near(number(&forecast, 2, "traces_per_second"), 200.0 + 4.0 * 0.75, 1e-9);
    near(number(&forecast, 1, "chains_complete"), 0.2, 1e-9);
    near(number(&forecast, 2, "chains_complete"), 0.5, 1e-9);
    assert!(forecast["basis"].as_str().is_some_and(|basis| basis.contains("ratio 20.0000 % over all rules")));
    assert!(forecast["notes"][0].as_str().is_some_and(|note| note.contains("as frequent under every rule")));
}

#[test]
fn rates_that_do_not_fit_the_rules_are_refused_with_what_to_do() {
    let cases: [(&[&str], &str); 6] = [
        (
            &[],
            "sampling.rules: rates do not say which requests there are. Give the share of the traces that each of these rules decides, as in --rule-share probes=0.2 (probes, payments), or let what really happened decide: --from",
        ),
        (&["--rule-share", "probes=0.5"], "as in --rule-share payments=0.2"),
        (
            &["--rule-share", "prbes=0.5"],
            "share of the rule prbes: the configuration has no such rule; allowed is probes, payments",
        ),
        (
            &["--rule-share", "probes=50", "--rule-share", "payments=0"],
            "found 50; allowed is a number from 0 to 1, or percent as in 5%. Did you mean 50%?",
        ),
        (&["--rule-share", "probes=0.7", "--rule-share", "payments=0.6"], "shares of the rules: found 1.3 in total"),
        (&["--rule-share", "probes"], "write RULE=SHARE, as in probes=0.2"),
    ];
    for (arguments, said) in cases {
        let ran = tracelift_with(&[&["forecast", "--config", "-"], arguments].concat(), RULES, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_share_may_be_in_percent() {
    let percent = rows(&["--failed-share", "5%"], "");
    assert_eq!(percent["rows"], rows(&["--failed-share", "0.05"], "")["rows"]);
    let shares = ["--config", "-", "--rule-share", "probes=50%", "--rule-share", "payments=10 %"];
    near(number(&rows(&shares, RULES), 1, "traces_per_second"), 200.0, 1e-9);
    for (wrong, said) in [
        ("5", "found 5; allowed is a number from 0 to 1, or percent as in 5%. Did you mean 5%?"),
        ("500%", "found 500%; allowed is a number from 0 to 1, or percent as in 5%"),
        ("-1", "allowed is a number"),
        ("nan", "allowed is a number"),
        ("%", "allowed is a number"),
    ] {
        let ran = tracelift(&["forecast", &format!("--failed-share={wrong}")]);
        assert_eq!(ran.code, Some(2), "{wrong}");
        assert!(ran.err.contains(said), "{wrong}: {}", ran.err);
    }
}

#[test]
fn what_costs_nothing_has_no_sign() {
    let ran = tracelift(&["forecast", "--prices", "none"]);
    assert!(ran.out.contains("$0.00") && !ran.out.contains("-0"), "{}", ran.out);
    assert!(!rows(&["--prices", "none"], "").to_string().contains("-0.0"));
}

#[test]
fn a_log_that_was_compressed_is_read_all_the_same() {
    use std::io::Write;
    let path = std::env::temp_dir().join(format!("tracelift-forecast-{}.log.gz", std::process::id()));
    // Two members, as rotated logs that were put behind each other have.
    let half = access_log().len() / 2;
    let half = access_log()[..half].rfind('\n').expect("a line") + 1;
    let mut bytes = Vec::new();
    for part in [&access_log()[..half], &access_log()[half..]] {
        let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).expect("memory");
        encoder.finish().expect("memory");
    }
    std::fs::write(&path, bytes).expect("a file");
    let forecast = rows(&["--from", path.to_str().expect("UTF-8")], "");
    std::fs::write(&path, b"\x28\xb5\x2f\xfd....").expect("a file");
    let zstd = tracelift(&["forecast", "--from", path.to_str().expect("UTF-8")]);
    std::fs::remove_file(path).expect("the file is there");
    assert_eq!(forecast["read_lines"], 6000);
    near(number(&forecast, 0, "spans_per_second"), 10.0, 0.001);
    assert_eq!(zstd.code, Some(2));
    assert!(zstd.err.contains("is compressed by zstd; allowed is text or gzip"), "{}", zstd.err);
}

#[test]
fn a_file_that_is_mostly_something_else_is_no_success() {
    let log = access_log();
    let good = log.lines().next().expect("a line");
    let noise = "a line of some other program\n";
    for (text, code, refused) in
        [(format!("{good}\n{}", noise.repeat(101)), 1, 101), (format!("{}{}", log, noise.repeat(101)), 0, 101)]
    {
        let ran = tracelift_with(&["forecast", "--json", "--from", "-", "--window", "1h"], &text, &[]);
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        let said: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(said["refused_lines"], refused);
        assert_eq!(said["left_out"][0]["lines"], refused);
    }
}

#[test]
fn a_rule_for_every_request_takes_what_the_others_leave() {
    let rules = r#"{ "sampling": { "ratio": 0.9, "rules": [
        { "name": "probes", "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false },
        { "name": "all", "ratio": 0.25 }, { "name": "never reached", "match": { "method": ["GET"] }, "ratio": 1 } ] } }"#;
    let forecast = rows(&["--config", "-", "--rule-share", "probes=0.5"], rules);
    near(number(&forecast, 1, "traces_per_second"), 125.0, 1e-9);
}

/// Ten minutes of one request each 0.1 s at one Envoy; every fiftieth fails, and probes come between.
fn access_log() -> String {
    let mut log = String::new();
    for index in 0..6000_u32 {
        let (minute, second, tenth) = (index / 600, index / 10 % 60, index % 10);
        let status = if index % 50 == 0 { "503 UF" } else { "200 -" };
        let path = if index % 10 == 5 { "/healthz" } else { "/cart" };
        log.push_str(&format!("[2026-11-21T10:{minute:02}:{second:02}.{tenth}00Z] \"GET {path} HTTP/1.1\" {status} 0 5 3 3 \"-\" \"curl\" \"r\" \"shop\" \"10.0.0.1:80\"\n"));
    }
    log
}

#[test]
fn an_access_log_is_decided_again_by_the_rules_of_the_policy() {
    let config = std::env::temp_dir().join(format!("tracelift-forecast-{}.json", std::process::id()));
    let text = json!({ "sampling": { "ratio": 0.1, "rules": [{ "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false }] } });
    std::fs::write(&config, text.to_string()).expect("a file");
    let forecast = rows(&["--from", "-", "--config", config.to_str().expect("UTF-8")], &access_log());
    std::fs::remove_file(config).expect("the file is there");
    near(number(&forecast, 0, "spans_per_second"), 10.0, 0.001);
    near(number(&forecast, 1, "spans_per_second"), 0.9, 0.02); // A tenth of what is no probe.
    near(number(&forecast, 2, "spans_per_second"), 0.9 + 0.2 * 0.9, 0.03);
    near(number(&forecast, 2, "chains_complete"), 1.0, 0.0);
    near(number(&forecast, 1, "chains_complete"), 0.1, 0.3);
    assert_eq!(
        forecast["notes"],
        json!(["600 s of traffic are extrapolated to a month: a longer log gives a better forecast."])
    );
}

#[test]
fn an_otlp_dump_keeps_of_a_failed_trace_what_is_above_the_failure() {
    // gateway -> web -> (catalogue fine, cart fails); web's SDK span beside them. R is 0: no ratio below 1 keeps it.
    let span = |id: &str, parent: &str, kind: u8, status: &str, from: u64, to: u64| {
        json!({ "traceId": "5b8efff798038103d269b63300000000", "spanId": id, "parentSpanId": parent, "name": "GET", "kind": kind,
                "startTimeUnixNano": from.to_string(), "endTimeUnixNano": to.to_string(),
                "attributes": [{ "key": "http.response.status_code", "value": { "intValue": status } },
                               { "key": "url.path", "value": { "stringValue": "/cart" } }] })
    };
    let at = 1_795_255_200_000_000_000_u64;
    let spans = json!([
        span("00f067aa0ba90201", "", 2, "200", at, at + 9_000_000_000),
        span("00f067aa0ba90202", "00f067aa0ba90201", 2, "200", at + 1, at + 8),
        span("00f067aa0ba90203", "00f067aa0ba90202", 2, "200", at + 2, at + 3),
        span("00f067aa0ba90204", "00f067aa0ba90202", 2, "503", at + 4, at + 7),
        span("00f067aa0ba90205", "00f067aa0ba90202", 1, "200", at + 4, at + 7),
    ]);
    let line = json!({ "resourceSpans": [{ "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "web" } }] },
                       "scopeSpans": [{ "spans": spans }] }] });
    let forecast = rows(&["--from", "-", "--window", "9s"], &format!("{line}\n"));
    for (row, spans, complete, kept) in [(0, 5.0, 1.0, 1.0), (1, 0.0, 0.0, 0.0), (2, 3.0, 1.0, 0.6)] {
        near(number(&forecast, row, "spans_per_second"), spans / 9.0, 1e-6);
        near(number(&forecast, row, "chains_complete"), complete, 0.0);
        near(number(&forecast, row, "failed_spans_kept"), kept, 1e-9);
    }
}

#[test]
fn people_read_a_table_with_the_date_of_the_prices() {
    let ran = tracelift(&["forecast"]);
    assert_eq!(ran.code, Some(0));
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines[2].trim_start().starts_with("spans/s  bytes/s  traces/month"), "{}", ran.out);
    assert!(lines[3].starts_with("keep everything   8.00 k"), "{}", ran.out);
    assert!(
        lines[7]
            .starts_with("A month has 730 hours. Prices: AWS X-Ray (aws.amazon.com/xray/pricing as read in 2026-11"),
        "{}",
        ran.out
    );
}

#[test]
fn what_is_no_log_and_what_has_no_time_is_told() {
    let ran = tracelift_with(&["forecast", "--from", "-"], "hello\n", &[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("line 1: no [time] at its beginning"), "{}", ran.err);
    let ran = tracelift_with(&["forecast", "--from", "-"], "{\"method\":\"GET\",\"path\":\"/\",\"status\":200}\n", &[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("Say how long they took to come with --window"), "{}", ran.err);
    let hour = rows(&["--from", "-", "--window", "1h"], "{\"method\":\"GET\",\"path\":\"/\",\"status\":200}\n");
    near(number(&hour, 0, "spans_per_month"), 730.0, 1e-9);
}

#[test]
fn what_really_happened_says_which_kinds_coverage_would_keep() {
    let config = std::env::temp_dir().join(format!("tracelift-forecast-kinds-{}.json", std::process::id()));
    let text = json!({
        "sampling": { "ratio": 0 }, "upgrade": { "coverage": { "enabled": true } }, "metrics": { "routes": ["/cart"] },
    });
    std::fs::write(&config, text.to_string()).expect("a file");
    let arguments = ["--from", "-", "--config", config.to_str().expect("UTF-8")];
    let forecast = rows(&arguments, &access_log());
    let shown = tracelift_with(&[&["forecast"][..], &arguments].concat(), &access_log(), &[]);
    std::fs::remove_file(config).expect("the file is there");
    let kind = |route: &str, status: &str, requests: u64, kept: u64| json!({ "method": "GET", "route": route, "status": status, "requests": requests, "kept": kept });
    // A failure is the example of its kind; each of the others has one in each of two windows.
    let rarest = [kind("/cart", "503", 120, 0), kind("", "200", 600, 2), kind("/cart", "200", 5280, 2)];
    assert_eq!(forecast["kinds"], json!({ "kinds": 3, "series": 3, "kept": 4, "refused": 0, "rarest": rarest }));
    near(number(&forecast, 2, "spans_per_second"), 124.0 / 599.9, 0.001);
    assert!(
        forecast["notes"][0]
            .as_str()
            .is_some_and(|note| note.starts_with("Coverage keeps 4 requests, the first of 3 kinds;"))
    );
    assert!(
        shown.out.lines().any(|line| line.split_whitespace().eq(["GET", "/cart", "503", "120", "0"])),
        "{}",
        shown.out
    );
}
