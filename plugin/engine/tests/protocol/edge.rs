//! The outer listener of the mesh: who is sampled there is nobody's choice.

use std::collections::HashSet;

use tracelift::door::Side;

use crate::kit::process::{Process, get, status};

const CALLER: &str = "b7ad6b7169203331";
/// Requests of each story, and how many of them 5 % may be.
const MANY: u64 = 1_000;
const FIVE_PERCENT: std::ops::RangeInclusive<usize> = 20..=90;

/// What the edge sends on.
struct Sent {
    trace: String,
    tracestate: Option<String>,
    sampled: bool,
}

impl Sent {
    fn rv(&self) -> Option<u64> {
        let (_, digits) = self.tracestate.as_deref()?.split_once("rv:")?;
        u64::from_str_radix(digits.get(..14)?, 16).ok()
    }
}

fn request(process: &mut Process, root: u32, headers: &[(&str, &str)]) -> Sent {
    let stream = process.stream(0, root);
    process.head(&stream, get(headers));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    let values = |name| stream.exchange.values(Side::Request, name);
    let context = values("traceparent").pop().or_else(|| values("b3").pop().map(|b3| format!("00-{b3}")));
    let xray = || values("x-amzn-trace-id").pop().unwrap_or_default();
    let context = context.unwrap_or_else(|| format!("00-{}{}", &xray()[7..15], &xray()[16..40]));
    let sampled =
        xray().contains("Sampled=1") || context.ends_with("-01") || context.ends_with("-03") || context.ends_with("-1");
    Sent { trace: context[3..35].to_owned(), tracestate: values("tracestate").pop(), sampled }
}

#[test]
fn an_outsider_chooses_neither_what_is_sampled_nor_what_is_hidden() {
    for (end, state) in [
        ("ffffffffffffff", "ot=rv:ffffffffffffff;th:0;x:1,vendor=a"),
        ("ffffffffffffff", "vendor=a"),
        ("00000000000000", "ot=rv:00000000000000,vendor=a"),
    ] {
        let (mut process, root) = Process::with(r#"{"edge": true, "sampling": {"ratio": 0.05}}"#);
        let (mut inner, behind) = Process::with(r#"{"sampling": {"ratio": 0.05, "mode": "independent"}}"#);
        let (mut sampled, mut seen) = (0, HashSet::new());
        for number in 1..=MANY {
            let trace = format!("{number:018x}{end}");
            let sent = request(
                &mut process,
                root,
                &[("traceparent", &format!("00-{trace}-{CALLER}-01")), ("tracestate", state)],
            );
            assert_eq!(sent.trace, trace, "the trace goes on");
            let state = sent.tracestate.clone().expect("rv");
            let rv = sent.rv().expect("rv");
            let th = if sent.sampled { ";th:f3333" } else { "" };
            assert_eq!(state, format!("ot=rv:{rv:014x}{th},vendor=a"));
            seen.insert(rv);
            sampled += usize::from(sent.sampled);
            // Every hop behind it comes to the same decision by itself.
            let context = format!("00-{trace}-{CALLER}-00");
            let again = request(&mut inner, behind, &[("traceparent", &context), ("tracestate", &state)]);
            assert_eq!((again.sampled, again.rv()), (sent.sampled, Some(rv)), "{state}");
        }
        assert!(FIVE_PERCENT.contains(&sampled), "{end}: {sampled}");
        assert!(MANY - 2 <= seen.len() as u64, "{} distinct", seen.len());
    }
}

#[test]
fn a_trace_starts_anew_where_no_randomness_can_stand_beside_its_id() {
    let xray = format!("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={CALLER};Sampled=1");
    let b3 = format!("0af7651916cd43dd8448eb211c80319c-{CALLER}-1");
    let w3c = format!("00-0af7651916cd43dd8448eb211c80319c-{CALLER}-01");
    for (settings, name, value) in [
        (r#""sampling": {"ratio": 0.05, "algorithm": "modulo"}"#, "traceparent", &w3c),
        (r#""sampling": {"ratio": 0.05, "algorithm": "traceidratio"}"#, "traceparent", &w3c),
        (r#""sampling": {"ratio": 0.05, "algorithm": "hash_seed"}"#, "traceparent", &w3c),
        (r#""sampling": {"ratio": 0.05}, "propagators": ["xray"]"#, "x-amzn-trace-id", &xray),
        (r#""sampling": {"ratio": 0.05}, "propagators": ["b3"]"#, "b3", &b3),
    ] {
        let (mut process, root) = Process::with(&format!(r#"{{"edge": true, {settings}}}"#));
        let mut traces = HashSet::new();
        let mut sampled = 0;
        for _ in 0..MANY {
            let mut headers = vec![(name, value.as_str())];
            if name == "traceparent" {
                headers.push(("tracestate", "ot=rv:ffffffffffffff,vendor=a"));
            }
            let sent = request(&mut process, root, &headers);
            sampled += usize::from(sent.sampled);
            assert_eq!(sent.rv(), None, "{settings}: the new trace-id is random itself");
            assert!(!sent.tracestate.is_some_and(|state| state.contains("vendor")), "{settings}");
            traces.insert(sent.trace);
        }
        assert_eq!((traces.len() as u64, traces.contains(&w3c[3..35])), (MANY, false), "{settings}");
        assert!(FIVE_PERCENT.contains(&sampled), "{settings}: {sampled}");
        process.tick_all();
        assert_eq!(process.metric("context.replaced"), MANY as i64, "{settings}");
        let spans = process.export();
        assert!(!spans.is_empty(), "{settings}");
    }
}

#[test]
fn a_trace_that_begins_at_the_edge_needs_no_randomness_beside_its_id() {
    for propagators in [r#"["tracecontext"]"#, r#"["b3", "tracecontext"]"#] {
        let configuration = format!(r#"{{"edge": true, "propagators": {propagators}, "sampling": {{"ratio": 0}}}}"#);
        let (mut process, root) = Process::with(&configuration);
        let sent = request(&mut process, root, &[]);
        assert_eq!((sent.sampled, sent.tracestate), (false, None));
        process.tick_all();
        assert_eq!(process.metric("context.replaced"), 0);
    }
}

#[test]
fn inside_the_mesh_a_callers_randomness_stays_and_counts() {
    let (mut process, root) = Process::with(r#"{"sampling": {"ratio": 0.05, "mode": "independent"}}"#);
    for (rv, sampled) in [("ffffffffffffff", true), ("00000000000000", false)] {
        let state = format!("ot=rv:{rv}");
        let context = format!("00-0af7651916cd43dd8448eb211c80319c-{CALLER}-00");
        let sent = request(&mut process, root, &[("traceparent", &context), ("tracestate", &state)]);
        assert_eq!((sent.sampled, sent.rv()), (sampled, u64::from_str_radix(rv, 16).ok()));
    }
}

#[test]
fn the_shadow_policy_decides_by_the_randomness_of_the_edge() {
    let ratio = r#"{"sampling": {"ratio": 0.5}, "edge": true, "shadow": {"sampling": {"ratio": 0.5}}}"#;
    let (mut process, root) = Process::with(ratio);
    for number in 1..=100 {
        let context = format!("00-{number:018x}ffffffffffffff-{CALLER}-01");
        request(&mut process, root, &[("traceparent", &context)]);
    }
    process.tick_all();
    let live = process.metric("decisions.sampled.ratio");
    assert!((25..=75).contains(&live), "{live}");
    assert_eq!(process.metric("shadow.decisions.sampled"), live);
    assert_eq!(process.metric("shadow.disagreements.kept") + process.metric("shadow.disagreements.dropped"), 0);
}
