//! What earlier versions read, wrote and counted is still understood: `vectors/formats_*.json` are never changed. The promise
//! is `docs/compatibility.md`.

use serde_json::Value;
use tracelift::config::{Environment, load};
use tracelift::telemetry::{Kind, TABLE};
use tracelift::trace_context::TraceId;
use tracelift::upgrade::signal::Signal;
use tracelift::upgrade::{Mark, Verdict, signal, slots};

fn formats() -> Value {
    serde_json::from_str(include_str!("vectors/formats_a42f440.json")).expect("JSON")
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn an_earlier_configuration_means_what_it_meant() {
    let configuration = formats()["configuration"].to_string();
    let loaded = load(configuration.as_bytes(), &Environment::default());
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let defaults = load(b"{}", &Environment::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.policy.export.max_queue_size, defaults.policy.export.max_queue_size);
}

#[test]
fn every_earlier_metric_is_still_shown_under_its_name_and_kind() {
    for metric in formats()["metrics"].as_array().expect("a list") {
        let (name, kind) = (metric["name"].as_str().expect("a name"), metric["kind"].as_str().expect("a kind"));
        let kind = match kind {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            other => panic!("{other}"),
        };
        assert!(TABLE.iter().any(|row| row.name == name && row.kind == kind), "{name}");
    }
}

#[test]
fn an_earlier_signal_is_read_and_todays_is_written_so_that_an_earlier_one_reads_it() {
    let formats = formats();
    let told = &formats["signal"];
    let trace_id = TraceId::parse(told["trace_id"].as_str().expect("an id").as_bytes()).expect("an id");
    let read = |text: &str| {
        let timing = format!("trace;desc={text}");
        signal::read_previous(text.as_bytes(), [timing.as_bytes()].into_iter(), trace_id)
    };
    let expectations = [("upgraded", Some(Mark::Upgraded)), ("shed", Some(Mark::Shed)), ("unknown", None)];
    for (list, expected) in expectations {
        for text in texts(&told[list]) {
            assert_eq!(read(text), expected, "{text}");
        }
    }
    for text in texts(&told["of_a_later_version"]) {
        // W3C: a later version of the format keeps the meaning of the first four fields.
        assert_eq!(read(text), Some(Mark::Upgraded), "{text}");
    }
    let span_id = tracelift::trace_context::SpanId::parse(b"00f067aa0ba902b7").expect("an id");
    for (mark, list) in [(Mark::Upgraded, "upgraded"), (Mark::Shed, "shed")] {
        for (random, text) in [false, true].into_iter().zip(texts(&told[list])) {
            assert_eq!(Signal::new(trace_id, span_id, random, mark).traceresponse, text.as_bytes());
        }
    }
}

#[test]
fn the_table_of_verdicts_that_an_earlier_module_left_in_the_process_is_read() {
    let formats = formats();
    let told = &formats["verdicts"];
    let now = told["now"].as_u64().and_then(|now| u32::try_from(now).ok()).expect("seconds");
    let slot = bytes(told["slot"].as_str().expect("bytes"));
    for expected in told["expected"].as_array().expect("a list") {
        let trace_id = TraceId::parse(expected[0].as_str().expect("an id").as_bytes()).expect("an id");
        let verdict = match expected[1].as_str() {
            Some("upgraded") => Some(Verdict::Upgraded),
            Some("shed") => Some(Verdict::Shed),
            _ => None,
        };
        assert_eq!(slots::find(&slot, trace_id, || now), verdict, "{expected}");
    }
    let trace_id = TraceId::parse(b"4bf92f3577b34da6a3ce929d0e0e4736").expect("an id");
    for other in texts(&told["of_another_layout"]) {
        assert_eq!(slots::find(&bytes(other), trace_id, || now), None, "{other}: says nothing, and harms nothing");
        assert!(
            slots::remember(&bytes(other), trace_id, Verdict::Upgraded, now).slot.is_some(),
            "{other}: is written anew"
        );
    }
}
