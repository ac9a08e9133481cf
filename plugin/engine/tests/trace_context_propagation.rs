//! From one request's headers to the next's: who is believed, what is asked, what is written.

use std::collections::BTreeMap;

use tracelift::json::Named;
use tracelift::trace_context::{
    CallerDecision, Extracted, Headers, OutgoingContext, Propagator, SpanId, ThEdit, TraceId, extract, inject,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
const XRAY: &str = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=53995c3f42cd8ad8;Sampled=?;Lineage=1:e65a2c4d:2";
const OTHER_XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Self=1-5759e988-bd862e3fe1be46a994272794;Foo=bar";
const B3: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";

/// A request's headers, which remember what was asked of them.
#[derive(Clone, Default)]
struct Request {
    headers: BTreeMap<String, Vec<u8>>,
    asked: Vec<&'static str>,
}

impl Request {
    fn with(headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Self { headers, asked: Vec::new() }
    }

    fn extract(&mut self, propagators: &[Propagator]) -> Extracted {
        self.asked.clear();
        extract(propagators, self)
    }

    /// The headers that the upstream sees, and the names that were written.
    fn forwarded(&mut self, propagators: &[Propagator], th: ThEdit) -> (BTreeMap<String, String>, Vec<&'static str>) {
        let extracted = self.extract(propagators);
        let context = OutgoingContext {
            trace_id: extracted.parent.map_or(TraceId::from_u128(0xfeed).unwrap(), |parent| parent.trace_id),
            span_id: SpanId::from_u64(0x00f0_67aa_0ba9_02b7).unwrap(),
            sampled: true,
            random: extracted.parent.is_some_and(|parent| parent.random),
            debug: extracted.debug,
        };
        let edit = extracted.trace_state().edit(th, None);
        let mut headers = self.headers.clone();
        let mut written = Vec::new();
        inject(propagators, &context, edit, &extracted, &mut |name, value| {
            written.push(name);
            match value {
                None => drop(headers.remove(name)),
                Some(value) => drop(headers.insert(name.to_owned(), value.to_vec())),
            }
        });
        let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
        (headers.into_iter().map(text).collect(), written)
    }
}

impl Headers for Request {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        self.asked.push(name);
        self.headers.get(name).cloned()
    }
}

#[test]
fn an_orphaned_tracestate_goes_and_where_there_is_none_none_is_removed() {
    let mut request = Request::with(&[("tracestate", "foo=1")]);
    let (headers, written) = request.forwarded(&[Propagator::TraceContext], ThEdit::Erase);
    assert_eq!(request.asked, ["traceparent", "tracestate"]);
    assert_eq!(written, ["traceparent", "tracestate"]);
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["traceparent"]);
    let (headers, _) = request.forwarded(&[Propagator::TraceContext], ThEdit::Set(0));
    assert_eq!(headers["tracestate"], "ot=th:0", "the new trace has only its own");
    let (_, written) = Request::with(&[]).forwarded(&[Propagator::TraceContext], ThEdit::Erase);
    assert_eq!(written, ["traceparent"]);
}

#[test]
fn what_is_not_there_is_known_so_that_it_can_be_added() {
    for (headers, lacks) in [
        (&[][..], (true, true)),
        (&[("traceparent", TRACEPARENT)], (false, true)),
        (&[("tracestate", "foo=1")], (true, false)),
        (&[("traceparent", "bad"), ("tracestate", "foo=1")], (false, false)),
    ] {
        let extracted = Request::with(headers).extract(&[Propagator::TraceContext]);
        assert_eq!((extracted.lacks("traceparent"), extracted.lacks("tracestate")), lacks, "{headers:?}");
    }
}

#[test]
fn a_continued_trace_without_tracestate_costs_two_questions_and_one_answer() {
    let mut request = Request::with(&[("traceparent", TRACEPARENT)]);
    let (headers, written) = request.forwarded(&[Propagator::TraceContext], ThEdit::Erase);
    assert_eq!(request.asked, ["traceparent", "tracestate"]);
    assert_eq!(written, ["traceparent"]);
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-00f067aa0ba902b7-03"));
    let parent = request.extract(&[Propagator::TraceContext]).parent.unwrap();
    assert_eq!((parent.decision, parent.random), (CallerDecision::Sampled, true));
}

#[test]
fn a_good_tracestate_stays_untouched_and_a_bad_one_goes_without_the_traceparent() {
    let mut request = Request::with(&[("traceparent", TRACEPARENT), ("tracestate", " foo=1 ,,bar=2")]);
    let (headers, written) = request.forwarded(&[Propagator::TraceContext], ThEdit::Keep);
    assert_eq!((headers["tracestate"].as_str(), written.len()), (" foo=1 ,,bar=2", 1));
    let mut request = Request::with(&[("traceparent", TRACEPARENT), ("tracestate", "foo=1,BAR=2")]);
    let extracted = request.extract(&[Propagator::TraceContext]);
    assert!(extracted.parent.is_some() && extracted.tracestate.is_some() && !extracted.tracestate_valid);
    let (headers, _) = request.forwarded(&[Propagator::TraceContext], ThEdit::Erase);
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["traceparent"]);
    assert!(headers["traceparent"].contains(TRACE));
    let (headers, _) = request.forwarded(&[Propagator::TraceContext], ThEdit::Set(0));
    assert_eq!(headers["tracestate"], "ot=th:0");
}

#[test]
fn a_bad_traceparent_restarts_and_is_told() {
    for bad in ["", "hello", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01,00", "\0\u{ff}"] {
        let mut request = Request::with(&[("traceparent", bad), ("tracestate", "foo=1")]);
        let extracted = request.extract(&[Propagator::TraceContext]);
        assert!(extracted.traceparent_invalid && extracted.parent.is_none() && extracted.from.is_none(), "{bad:?}");
        assert_eq!(request.asked, ["traceparent"], "tracestate is not even looked at");
    }
}

#[test]
fn traceparent_wins_when_it_is_valid_and_listed_first() {
    let both = [Propagator::TraceContext, Propagator::XRay];
    let mut request = Request::with(&[("traceparent", TRACEPARENT), ("x-amzn-trace-id", OTHER_XRAY)]);
    let (headers, _) = request.forwarded(&both, ThEdit::Keep);
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-00f067aa0ba902b7-03"));
    assert_eq!(
        headers["x-amzn-trace-id"],
        "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=00f067aa0ba902b7;Sampled=1;Foo=bar",
        "the same trace, with the other fields kept"
    );
    assert!(!request.extract(&both).xray_asks);
    request.headers.insert("traceparent".into(), b"broken".to_vec());
    let extracted = request.extract(&both);
    assert_eq!(extracted.from, Some(Propagator::XRay));
    assert_eq!(extracted.parent.unwrap().decision, CallerDecision::Deferred);
    assert!(extracted.traceparent_invalid);
}

#[test]
fn headers_of_propagators_that_are_not_listed_are_neither_read_nor_written() {
    let mut request = Request::with(&[("x-amzn-trace-id", OTHER_XRAY), ("b3", B3), ("x-b3-flags", "1")]);
    let (headers, written) = request.forwarded(&[Propagator::TraceContext], ThEdit::Keep);
    assert_eq!(headers["x-amzn-trace-id"], OTHER_XRAY);
    assert_eq!((headers["b3"].as_str(), headers["x-b3-flags"].as_str()), (B3, "1"));
    assert_eq!((request.asked, written), (vec!["traceparent", "tracestate"], vec!["traceparent"]));
    let mut request =
        Request::with(&[("traceparent", TRACEPARENT), ("tracestate", "foo=1"), ("x-amzn-trace-id", XRAY)]);
    let (headers, _) = request.forwarded(&[Propagator::XRay], ThEdit::Set(0));
    assert_eq!((headers["traceparent"].as_str(), headers["tracestate"].as_str()), (TRACEPARENT, "foo=1"));
}

#[test]
fn x_ray_listed_first_still_gets_the_tracestate_of_the_same_trace_only() {
    let listed = [Propagator::XRay, Propagator::TraceContext];
    let mut request =
        Request::with(&[("traceparent", TRACEPARENT), ("tracestate", "ot=th:8"), ("x-amzn-trace-id", XRAY)]);
    let extracted = request.extract(&listed);
    assert_eq!(extracted.from, Some(Propagator::XRay));
    assert!(extracted.xray_asks && extracted.parent.unwrap().random);
    assert_eq!(extracted.trace_state().ot().th, Some(1 << 55));
    request.headers.insert("x-amzn-trace-id".into(), OTHER_XRAY.into());
    let extracted = request.extract(&listed);
    assert!(extracted.tracestate.is_none() && !extracted.parent.unwrap().random);
    let (headers, _) = request.forwarded(&listed, ThEdit::Erase);
    assert!(!headers.contains_key("tracestate"), "it belonged to the other trace");
}

#[test]
fn a_broken_x_ray_header_is_replaced_whole() {
    let mut request = Request::with(&[("x-amzn-trace-id", "Root=1-x;Lineage=a\r\nevil: 1")]);
    let (headers, _) = request.forwarded(&[Propagator::XRay], ThEdit::Keep);
    assert_eq!(
        headers["x-amzn-trace-id"],
        "Root=1-00000000-00000000000000000000feed;Parent=00f067aa0ba902b7;Sampled=1"
    );
}

#[test]
fn b3_is_read_in_both_forms_and_written_in_the_listed_ones() {
    let multi = [
        ("x-b3-traceid", "80f198ee56343ba8"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
        ("x-b3-flags", "1"),
    ];
    let long = "000000000000000080f198ee56343ba8";
    let (headers, _) = Request::with(&multi).forwarded(&[Propagator::B3], ThEdit::Keep);
    assert_eq!(headers, BTreeMap::from([("b3".into(), format!("{long}-00f067aa0ba902b7-d"))]));
    let (headers, _) = Request::with(&multi).forwarded(&[Propagator::B3Multi], ThEdit::Keep);
    let expected = [("x-b3-traceid", long), ("x-b3-spanid", "00f067aa0ba902b7"), ("x-b3-flags", "1")];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let mut request = Request::with(&multi);
    request.headers.insert("b3".into(), B3.into());
    let (headers, _) = request.forwarded(&[Propagator::B3Multi], ThEdit::Keep);
    assert_eq!(request.asked, ["b3"], "one header comes first");
    assert_eq!(headers["x-b3-traceid"], &B3[..32]);
    assert!(!headers.contains_key("b3"), "a reader would prefer the stale one");
    let (headers, _) = request.forwarded(&[Propagator::B3, Propagator::B3Multi], ThEdit::Keep);
    assert_eq!(headers["b3"], format!("{}-00f067aa0ba902b7-1", &B3[..32]));
    assert_eq!(headers["x-b3-traceid"], &B3[..32]);
}

#[test]
fn nothing_but_printable_text_leaves_whatever_came_in() {
    let hostile = ["", "\0", "\r\nx: y", "\u{e9}\u{fffd}", "=,=;=-", &"a".repeat(70_000), "0", "-", "ot=th:8,\n"];
    for a in hostile {
        for b in [TRACEPARENT, XRAY, B3, a] {
            let names = ["traceparent", "tracestate", "x-amzn-trace-id", "b3", "x-b3-traceid", "x-b3-spanid"];
            for good in names {
                let headers: Vec<_> = names.iter().map(|&name| (name, if name == good { b } else { a })).collect();
                let (headers, _) = Request::with(&headers).forwarded(Propagator::ALL, ThEdit::Set(5));
                assert!(headers.values().flat_map(|value| value.bytes()).all(|byte| matches!(byte, b' '..=b'~')));
                assert_eq!(headers["traceparent"].len(), 55);
            }
        }
    }
}

#[test]
fn names_are_those_of_otel_propagators() {
    for (propagator, name) in Propagator::ALL.iter().copied().zip(["tracecontext", "xray", "b3", "b3multi"]) {
        assert_eq!((propagator.name(), Propagator::from_name(name)), (name, Some(propagator)));
    }
    assert_eq!(Propagator::from_name("TraceContext"), None);
}

#[test]
fn a_format_that_defers_does_not_silence_one_that_has_decided_for_the_same_trace() {
    // A load balancer's bare root beside the caller's own context.
    let bare = "Root=1-0af76519-16cd43dd8448eb211c80319c";
    let b3 = format!("{TRACE}-b7ad6b7169203331-1");
    for (listed, beside) in [
        ([Propagator::XRay, Propagator::TraceContext], ("traceparent", TRACEPARENT)),
        ([Propagator::XRay, Propagator::B3], ("b3", b3.as_str())),
    ] {
        let mut request = Request::with(&[("x-amzn-trace-id", bare), beside]);
        let extracted = request.extract(&listed);
        assert_eq!(
            (extracted.from, extracted.decision),
            (Some(Propagator::XRay), CallerDecision::Sampled),
            "{beside:?}"
        );
        let parent = extracted.parent.unwrap();
        assert_eq!(parent.parent_id, SpanId::parse(b"b7ad6b7169203331").ok());
        // Another trace's decision says nothing of this one.
        request.headers.insert("x-amzn-trace-id".into(), OTHER_XRAY.into());
        assert_eq!(request.extract(&listed).decision, CallerDecision::Deferred);
    }
}

#[test]
fn a_decision_of_b3_without_ids_holds_for_the_trace_that_begins_here() {
    for (headers, decision, debug) in [
        (&[("b3", "0")][..], CallerDecision::NotSampled, false),
        (&[("b3", "1")][..], CallerDecision::Sampled, false),
        (&[("b3", "d")][..], CallerDecision::Sampled, true),
        (&[("x-b3-sampled", "1")][..], CallerDecision::Sampled, false),
        (&[("x-b3-sampled", "0")][..], CallerDecision::NotSampled, false),
        (&[("x-b3-flags", "1")][..], CallerDecision::Sampled, true),
    ] {
        let extracted = Request::with(headers).extract(&[Propagator::B3]);
        assert_eq!((extracted.parent, extracted.invalid), (None, false), "{headers:?}");
        assert_eq!((extracted.decision, extracted.debug), (decision, debug), "{headers:?}");
    }
}

#[test]
fn the_debug_flag_of_b3_goes_on_in_both_forms() {
    let debug = format!("{TRACE}-b7ad6b7169203331-d");
    let mut request = Request::with(&[("b3", debug.as_str())]);
    let (headers, _) = request.forwarded(&[Propagator::B3, Propagator::B3Multi], ThEdit::Keep);
    assert_eq!(headers["b3"], format!("{TRACE}-00f067aa0ba902b7-d"));
    assert_eq!(headers["x-b3-flags"], "1");
    assert!(!headers.contains_key("x-b3-sampled"), "debug implies it");
}

#[test]
fn a_broken_header_of_any_listed_format_is_noticed() {
    for (propagator, name, value) in [
        (Propagator::TraceContext, "traceparent", "hello"),
        (Propagator::XRay, "x-amzn-trace-id", "Root=2-hello"),
        (Propagator::B3, "b3", "hello"),
        (Propagator::B3Multi, "x-b3-traceid", TRACE),
    ] {
        let mut request = Request::with(&[(name, value)]);
        assert!(request.extract(&[propagator]).invalid, "{name}");
        assert!(!Request::default().extract(&[propagator]).invalid, "{name}");
    }
}
