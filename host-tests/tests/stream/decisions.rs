//! Modes, the ratio and its nesting, the mesh's edge, callers that left the decision to us.

use serde_json::{Value, json};
use tracelift_host::Headers;

use crate::kit::{
    CALLER, DROPPED, SAMPLED, Story, TRACE, builder, get, keep_all, plain, text, trace_of, traceparent, vectors,
};

fn sampling(sampling: Value) -> Value {
    json!({ "sampling": sampling })
}

fn carrying(traceparent: &str, tracestate: Option<&str>) -> Headers {
    let tracestate = tracestate.map(|value| ("tracestate", value));
    get([("traceparent", traceparent)].into_iter().chain(tracestate))
}

#[test]
fn a_ratio_keeps_exactly_the_traces_at_and_above_its_threshold() {
    let mut story = Story::new(json!({}));
    let cases = vectors("th_rv.json", "encode");
    let known = cases.iter().map(|case| (case["probability"].as_f64().expect("a ratio"), text(case, "th_4")));
    for (ratio, th) in known.chain([(0.05, "f3333"), (0.1, "e666")]) {
        story.reconfigure("inbound", &sampling(json!({"mode": "independent", "ratio": ratio})));
        let threshold = u64::from_str_radix(&format!("{th:0<14}"), 16).expect("hex");
        let at = story.hop("inbound", carrying(&traceparent(&trace_of(threshold), 0), None));
        assert_eq!((at.traceparent().flags, at.text("tracestate")), (1, Some(&format!("ot=th:{th}")[..])), "{ratio}");
        let exported = story.span();
        assert_eq!(exported.span.trace_state, format!("ot=th:{th}"), "{ratio}");
        if let Some(below) = threshold.checked_sub(1) {
            let below = story.hop("inbound", carrying(&traceparent(&trace_of(below), 1), Some("ot=th:0")));
            assert_eq!((below.traceparent().flags, below.text("tracestate")), (0, None), "{ratio}");
        }
        assert_eq!(story.spans(), [], "{ratio}");
    }
}

#[test]
fn an_explicit_rv_decides_instead_of_the_trace_id() {
    let mut story = Story::new(sampling(json!({"mode": "independent", "ratio": 0.5})));
    for (low, rv, sampled) in [(0, "80000000000000", true), (u64::MAX >> 8, "7fffffffffffff", false)] {
        let rv = format!("ot=rv:{rv}");
        let sent = story.hop("inbound", carrying(&traceparent(&trace_of(low), 0), Some(&rv)));
        assert_eq!(sent.traceparent().is_sampled(), sampled, "{rv}");
        let expected = if sampled { format!("{rv};th:8") } else { rv };
        assert_eq!(sent.text("tracestate"), Some(&expected[..]), "the rv stays as it came");
    }
}

#[test]
fn what_a_hop_keeps_every_hop_with_a_higher_ratio_keeps() {
    let of = |ratio: f64| sampling(json!({"mode": "independent", "ratio": ratio})).to_string();
    let mut story = Story::start(builder().inbound(of(0.01)).outbound(of(0.2)).gateway(of(1.0)));
    let (mut kept, mut last) = ([0, 0, 0], 0_u64);
    for _ in 0..3_000 {
        last = last.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let mut context = carrying(&traceparent(&trace_of(last >> 8), 0), None);
        let mut inside = true;
        for (hop, listener) in ["gateway", "outbound", "inbound"].into_iter().enumerate() {
            let sent = story.hop(listener, context);
            let sampled = sent.traceparent().is_sampled();
            assert!(inside || !sampled, "a lower ratio kept what a higher one had dropped: {sent:?}");
            let th = [Some("ot=th:0"), Some("ot=th:cccd"), Some("ot=th:fd70a")][hop].filter(|_| sampled);
            assert_eq!(sent.text("tracestate"), th);
            kept[hop] += u32::from(sampled);
            inside = sampled;
            context = sent;
        }
    }
    assert_eq!(kept[0], 3_000);
    assert!((480..720).contains(&kept[1]) && (5..60).contains(&kept[2]), "{kept:?}");
    while !story.spans().is_empty() {} // The queue is emptied batch by batch.
}

#[test]
fn by_default_the_parent_decides_and_five_percent_of_new_traces_are_kept() {
    let mut story = Story::new(json!({}));
    assert!(story.hop("inbound", carrying(SAMPLED, None)).traceparent().is_sampled());
    assert!(!story.hop("inbound", carrying(DROPPED, None)).traceparent().is_sampled());
    let mut kept = 0;
    for _ in 0..4_000 {
        let sent = story.hop("inbound", plain("GET", "/"));
        if sent.traceparent().is_sampled() {
            kept += 1;
            assert_eq!(sent.text("tracestate"), Some("ot=th:f3333"));
        }
    }
    assert!((115..285).contains(&kept), "5 % of 4000, found {kept}"); // Over six standard deviations away.
    let expected = [
        ("decisions.dropped.parent", 1),
        ("decisions.dropped.ratio", 4_000 - kept),
        ("decisions.sampled.parent", 1),
        ("decisions.sampled.ratio", kept),
    ];
    assert_eq!(story.counts_under("decisions."), expected.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn a_sampled_parent_whose_th_contradicts_it_loses_the_th_and_not_the_flag() {
    let mut story = Story::new(sampling(json!({"ratio": 0.01})));
    for case in vectors("th_rv.json", "consistency") {
        let before = story.count("decisions.inconsistent");
        let flags = u8::from(case["sampled_flag"] == true);
        let rv = case["rv"].as_str().map(|rv| format!("rv:{rv}"));
        let th = case["th"].as_str().map(|th| format!("th:{th}"));
        let ot: Vec<_> = rv.iter().cloned().chain(th).collect();
        let incoming = format!("ot={}", ot.join(";"));
        let sent = story.hop("inbound", carrying(&traceparent(text(&case, "trace_id"), flags), Some(&incoming)));
        assert_eq!(sent.traceparent().flags, flags, "{case}");
        let th = case["th_to_propagate"].as_str().map(|th| format!("th:{th}"));
        let left: Vec<_> = rv.into_iter().chain(th).collect();
        let expected = (!left.is_empty()).then(|| format!("ot={}", left.join(";")));
        assert_eq!(sent.text("tracestate"), expected.as_deref(), "{case}");
        let inconsistent = u64::from(case["consistent"] == false && flags == 1);
        assert_eq!(story.count("decisions.inconsistent"), before + inconsistent, "{case}");
    }
}

/// `tracestate` begins with a randomness of the edge's own and this, in place of the caller's, and the rest is as it was.
fn own_randomness(sent: &Headers, th: &str) -> bool {
    let state = sent.text("tracestate").unwrap_or_default();
    let digits = state.strip_prefix("ot=rv:").and_then(|state| state.strip_suffix(",foo=1")?.strip_suffix(th));
    digits.is_some_and(|digits| digits.len() == 14 && u64::from_str_radix(digits, 16).is_ok())
}

#[test]
fn at_the_edge_the_callers_flag_and_th_are_not_believed() {
    let edge = |ratio: u32| json!({"edge": true, "sampling": {"ratio": ratio}});
    let mut keeps_none = Story::new(edge(0));
    let sent = keeps_none.hop("gateway", carrying(SAMPLED, Some("ot=th:0,foo=1")));
    assert_eq!((&sent.traceparent().trace_id[..], sent.traceparent().flags), (TRACE, 0));
    assert!(own_randomness(&sent, ""), "{sent:?}");
    assert_eq!(keeps_none.spans(), []);
    assert_eq!(keeps_none.count("decisions.dropped.ratio"), 1);

    let mut keeps_all = Story::new(edge(1));
    let sent = keeps_all.hop("gateway", carrying(DROPPED, Some("foo=1")));
    assert_eq!((&sent.traceparent().trace_id[..], sent.traceparent().flags), (TRACE, 1));
    assert!(own_randomness(&sent, ";th:0"), "{sent:?}");
    let span = keeps_all.span();
    assert_eq!(span.parent_span_id(), CALLER);
    assert_eq!(span.attribute("tracelift.sampling.reason"), "ratio");
}

#[test]
fn a_caller_that_deferred_leaves_the_decision_to_the_ratio() {
    let b3 = |randomness: u64| get([("b3", format!("{}-{CALLER}", trace_of(randomness)))]);
    let xray = |randomness: u64, sampled: &str| {
        let trace = trace_of(randomness);
        let header = format!("Root=1-{}-{};Parent={CALLER}{sampled}", &trace[..8], &trace[8..]);
        get([("x-amzn-trace-id", header)])
    };
    let config = json!({"propagators": ["b3", "xray"], "sampling": {"ratio": 0.5}});
    let mut story = Story::new(config);
    let half = 1 << 55;
    for (headers, sampled) in [
        (b3(half), true),
        (b3(half - 1), false),
        (xray(half, ""), true),
        (xray(half - 1, ""), false),
        (xray(half, ";Sampled=?"), true),
        (xray(half - 1, ";Sampled=?"), false),
    ] {
        let sent = story.hop("inbound", headers.clone());
        let state = sent.text("b3").expect("b3").rsplit('-').next().map(str::to_owned);
        assert_eq!(state.as_deref(), Some(if sampled { "1" } else { "0" }), "{headers:?}");
        let spans = story.spans();
        assert_eq!(spans.len(), usize::from(sampled), "{headers:?}");
        for span in spans {
            assert_eq!(span.attribute("tracelift.sampling.reason"), "ratio");
            assert_eq!(span.parent_span_id(), CALLER, "deferring is no reason to forget who called");
        }
    }
    assert_eq!(story.counts_under("decisions.").len(), 2, "all by the ratio");
}

#[test]
fn the_reason_of_a_decision_is_on_its_span() {
    let mut story = Story::new(keep_all());
    story.hop("inbound", carrying(SAMPLED, None));
    let span = story.span();
    assert_eq!(span.attribute("tracelift.sampling.reason"), "parent");
    assert!(!span.attribute("tracelift.sampling.rule").is_present());
    assert!(!span.attribute("tracelift.sampling.adjusted_count").is_present(), "the caller's probability is unknown");
    story.hop("inbound", carrying(SAMPLED, Some("ot=th:0")));
    assert_eq!(story.span().attribute("tracelift.sampling.adjusted_count"), tracelift_host::otlp::Value::Double(1.0));
}
