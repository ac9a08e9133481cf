//! B3 and X-Amzn-Trace-Id through the filter, alone and together.

use serde_json::{Value, json};
use tracelift_host::Headers;

use crate::kit::{CALLER, SAMPLED, Story, TRACE, get, text, vectors};

const XRAY: &str = "x-amzn-trace-id";
const B3_TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const B3_SPAN: &str = "e457b5a2e4d86bd1";

/// The trace to be continued, if there is one, and what its caller decided, if anything.
type Caller<'a> = Option<(&'a str, Option<bool>)>;
type Pairs = [(&'static str, &'static str)];

fn config(propagators: &[&str], ratio: u32) -> Value {
    json!({"propagators": propagators, "sampling": {"ratio": ratio}})
}

/// Trace-id, span id and state of the one `b3` header.
fn b3(headers: &Headers) -> (String, String, String) {
    assert_eq!(headers.all("b3").len(), 1, "{headers:?}");
    let fields: Vec<_> = headers.text("b3").expect("text").split('-').map(str::to_owned).collect();
    let [trace, span, state] = fields.try_into().unwrap_or_else(|fields| panic!("{fields:?}"));
    assert_eq!((trace.len(), span.len()), (32, 16));
    (trace, span, state)
}

/// The same of the `X-B3-*` headers.
fn b3_multi(headers: &Headers) -> (String, String, String) {
    let one = |name: &str| {
        assert_eq!(headers.all(name).len(), 1, "{name} of {headers:?}");
        headers.text(name).expect("text").to_owned()
    };
    // Debug says it alone.
    let state = if headers.get("x-b3-flags").is_some() { "d".to_owned() } else { one("x-b3-sampled") };
    (one("x-b3-traceid"), one("x-b3-spanid"), state)
}

/// The same of the one `X-Amzn-Trace-Id`, and the fields behind them.
fn xray(headers: &Headers) -> (String, String, String, Vec<String>) {
    assert_eq!(headers.all(XRAY).len(), 1, "{headers:?}");
    let mut fields = headers.text(XRAY).expect("text").split(';').map(str::to_owned);
    let mut take = |prefix: &str| {
        let field = fields.next().unwrap_or_default();
        field.strip_prefix(prefix).unwrap_or_else(|| panic!("{prefix} in {headers:?}")).to_owned()
    };
    let (root, parent, sampled) = (take("Root=1-"), take("Parent="), take("Sampled="));
    let (epoch, unique) = root.split_once('-').expect("two groups");
    assert_eq!((epoch.len(), unique.len(), parent.len()), (8, 24, 16));
    (format!("{epoch}{unique}"), parent, sampled, fields.collect())
}

#[test]
fn a_b3_header_is_continued_or_begun_anew() {
    let padded = format!("0000000000000000{}", &B3_TRACE[16..]);
    let cases: [(String, Caller<'_>); 14] = [
        (format!("{B3_TRACE}-{B3_SPAN}-1"), Some((B3_TRACE, Some(true)))),
        (format!("{B3_TRACE}-{B3_SPAN}-d"), Some((B3_TRACE, Some(true)))),
        (format!("{B3_TRACE}-{B3_SPAN}-0"), Some((B3_TRACE, Some(false)))),
        (format!("{B3_TRACE}-{B3_SPAN}"), Some((B3_TRACE, None))),
        (format!("{B3_TRACE}-{B3_SPAN}-1-05e3ac9a4f6e3b90"), Some((B3_TRACE, Some(true)))),
        (format!("{}-{B3_SPAN}-1", &B3_TRACE[16..]), Some((&padded, Some(true)))),
        ("0".to_owned(), None),
        ("1".to_owned(), None),
        (format!("{B3_TRACE}-{B3_SPAN}-x"), None),
        (format!("{B3_TRACE}-{B3_SPAN}-1-zz"), None),
        (format!("{B3_TRACE}-0000000000000000-1"), None),
        (format!("{}-{B3_SPAN}-1", "0".repeat(32)), None),
        (format!("{}-{B3_SPAN}-1", B3_TRACE.to_uppercase()), None),
        (String::new(), None),
    ];
    for ratio in [0, 1] {
        let mut story = Story::new(config(&["b3"], ratio));
        for (header, expected) in &cases {
            let sent = story.hop("inbound", get([("b3", &header[..]), ("x-b3-traceid", "stale"), ("x-b3-flags", "1")]));
            let (trace, span, state) = b3(&sent);
            let (known, decided) = expected.map_or((None, None), |(trace, decided)| (Some(trace), decided));
            assert!(known.map_or(!header.contains(&trace), |known| known == trace), "{header}: {trace}");
            assert_ne!(span, B3_SPAN, "{header}");
            // A state without ids is a decision about the trace that begins here.
            let alone = match &header[..] {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            };
            let sampled = decided.or(alone).unwrap_or(ratio == 1);
            let debug = header.ends_with("-d");
            assert_eq!(
                state,
                if debug {
                    "d"
                } else if sampled {
                    "1"
                } else {
                    "0"
                },
                "{header}"
            );
            assert!(sent.get("x-b3-traceid").is_none() && sent.get("x-b3-flags").is_none(), "a stale twin: {sent:?}");
            assert!(sent.get("traceparent").is_none(), "not listed, not written");
            let spans = story.spans();
            assert_eq!(spans.len(), usize::from(sampled), "{header}");
            for exported in spans {
                assert_eq!((exported.trace_id(), exported.span_id()), (trace.clone(), span.clone()));
                assert_eq!(exported.parent_span_id(), if known.is_some() { B3_SPAN } else { "" }, "{header}");
            }
        }
    }
}

#[test]
fn b3_in_several_headers_is_continued_or_begun_anew() {
    let ids = [("x-b3-traceid", B3_TRACE), ("x-b3-spanid", B3_SPAN)];
    let cases: [(&Pairs, bool, Option<bool>); 10] = [
        (&[("x-b3-sampled", "1")], true, Some(true)),
        (&[("x-b3-sampled", "true")], true, Some(true)),
        (&[("x-b3-sampled", "0")], true, Some(false)),
        (&[("x-b3-sampled", "false")], true, Some(false)),
        (&[("x-b3-flags", "1")], true, Some(true)),
        (&[("x-b3-flags", "1"), ("x-b3-sampled", "0")], true, Some(true)),
        (&[], true, None),
        (&[("x-b3-parentspanid", "05e3ac9a4f6e3b90"), ("x-b3-sampled", "1")], true, Some(true)),
        (&[("x-b3-sampled", "yes")], false, None),
        (&[("x-b3-traceid", B3_TRACE)], false, None), // Twice.
    ];
    for ratio in [0, 1] {
        let mut story = Story::new(config(&["b3multi"], ratio));
        for (more, continued, decided) in cases {
            let headers = get(ids.into_iter().chain(more.iter().copied()).chain([("b3", "stale")]));
            let sent = story.hop("inbound", headers);
            let (trace, span, state) = b3_multi(&sent);
            assert_eq!(trace == B3_TRACE, continued, "{more:?}");
            assert_ne!(span, B3_SPAN);
            let debug = more.contains(&("x-b3-flags", "1"));
            let expected = if debug {
                "d"
            } else if decided.unwrap_or(ratio == 1) {
                "1"
            } else {
                "0"
            };
            assert_eq!(state, expected, "{more:?}");
            for stale in ["b3", "x-b3-parentspanid"] {
                assert!(sent.get(stale).is_none(), "{stale} of {more:?}");
            }
            assert_eq!((sent.get("x-b3-flags").is_some(), sent.get("x-b3-sampled").is_some()), (debug, !debug));
        }
    }
}

#[test]
fn either_form_of_b3_is_read_and_the_listed_ones_are_written() {
    for listed in [&["b3"][..], &["b3multi"], &["b3", "b3multi"]] {
        let mut story = Story::new(config(listed, 0));
        for headers in [
            get([("b3", format!("{B3_TRACE}-{B3_SPAN}-1"))]),
            get([("x-b3-traceid", B3_TRACE), ("x-b3-spanid", B3_SPAN), ("x-b3-sampled", "1")]),
        ] {
            let sent = story.hop("inbound", headers);
            if listed.contains(&"b3") {
                assert_eq!((b3(&sent).0, b3(&sent).2), (B3_TRACE.to_owned(), "1".to_owned()));
            }
            if listed.contains(&"b3multi") {
                assert_eq!((b3_multi(&sent).0, b3_multi(&sent).2), (B3_TRACE.to_owned(), "1".to_owned()));
            }
            if listed.len() == 2 {
                assert_eq!(b3(&sent), b3_multi(&sent));
            }
        }
    }
}

#[test]
fn an_x_ray_header_is_continued_with_its_other_fields() {
    for ratio in [0, 1] {
        let mut story = Story::new(config(&["xray"], ratio));
        for case in vectors("xray_header.json", "parse") {
            let sent = story.hop("inbound", get([("X-Amzn-Trace-Id", text(&case, "header"))]));
            let (trace, parent, sampled, others) = xray(&sent);
            let decided = case["sampled"].as_bool().unwrap_or(ratio == 1);
            if case["valid"] == true {
                assert_eq!(trace, text(&case, "trace_id"), "{case}");
                assert_eq!(sampled, if decided { "1" } else { "0" }, "{case}");
                let extra = case["extra"].as_array().expect("a list").iter();
                let extra = extra.map(|pair| format!("{}={}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
                assert_eq!(others, extra.collect::<Vec<_>>(), "{case}");
                assert_ne!(Some(&parent[..]), case["parent_id"].as_str(), "{case}");
            } else {
                assert!(!text(&case, "header").replace('-', "").contains(&trace), "{case}");
                assert!(others.is_empty(), "{case}");
            }
            for span in story.spans() {
                assert_eq!((span.trace_id(), span.span_id()), (trace.clone(), parent.clone()));
                let caller = case["parent_id"].as_str().filter(|_| case["valid"] == true);
                assert_eq!(span.parent_span_id(), caller.unwrap_or_default(), "{case}");
            }
        }
    }
}

#[test]
fn lineage_and_unknown_fields_are_kept_and_self_is_not() {
    let mut story = Story::new(config(&["xray"], 1));
    let header = "Self=1-67891233-12456789abcdef012345678a;Root=1-5759e988-bd862e3fe1be46a994272793;\
                  Parent=53995c3f42cd8ad8;Sampled=?;Lineage=1:e65a2c4d:2|9f0b:1;Future=x=y";
    let (trace, _, sampled, others) = xray(&story.hop("inbound", get([(XRAY, header)])));
    assert_eq!((&trace[..], &sampled[..]), ("5759e988bd862e3fe1be46a994272793", "1"));
    assert_eq!(others, ["Lineage=1:e65a2c4d:2|9f0b:1", "Future=x=y"]);
}

/// All four, each with a trace of its own; those in `broken` are none.
fn four_contexts(broken: &[&str]) -> Headers {
    let or = |name: &str, good: String| if broken.contains(&name) { "broken".to_owned() } else { good };
    get([
        ("traceparent", or("tracecontext", SAMPLED.to_owned())),
        ("tracestate", "foo=1".to_owned()),
        (XRAY, or("xray", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;A=b".to_owned())),
        ("b3", or("b3", format!("{B3_TRACE}-{B3_SPAN}-1"))),
    ])
}

#[test]
fn the_first_listed_with_a_valid_context_wins_and_all_are_written() {
    let (of_xray, of_b3) = ("5759e988bd862e3fe1be46a994272793", B3_TRACE);
    let cases: [(&[&str], &[&str], &str, &str); 9] = [
        (&["tracecontext", "xray", "b3"], &[], TRACE, CALLER),
        (&["xray", "tracecontext", "b3"], &[], of_xray, "53995c3f42cd8ad8"),
        (&["b3", "xray", "tracecontext"], &[], of_b3, B3_SPAN),
        (&["tracecontext", "xray", "b3"], &["tracecontext"], of_xray, "53995c3f42cd8ad8"),
        (&["tracecontext", "xray", "b3"], &["tracecontext", "xray"], of_b3, B3_SPAN),
        (&["b3", "tracecontext", "xray"], &["b3"], TRACE, CALLER),
        (&["b3multi", "xray"], &["b3"], of_xray, "53995c3f42cd8ad8"),
        (&["xray", "b3multi", "tracecontext"], &["xray"], of_b3, B3_SPAN),
        (&["xray", "b3", "tracecontext"], &["xray", "b3", "tracecontext"], "", ""),
    ];
    for (listed, broken, trace, parent) in cases {
        let mut story = Story::new(config(listed, 1));
        let sent = story.hop("inbound", four_contexts(broken));
        let span = story.span();
        let ours = (span.trace_id(), span.span_id(), "1".to_owned());
        if !trace.is_empty() {
            assert_eq!((&span.trace_id()[..], &span.parent_span_id()[..]), (trace, parent), "{listed:?} {broken:?}");
        }
        for name in listed {
            let written = match *name {
                "tracecontext" => {
                    let sent = sent.traceparent();
                    let state = if sent.is_sampled() { "1" } else { "0" };
                    (sent.trace_id, sent.parent_id, state.to_owned())
                }
                "xray" => {
                    let (trace, parent, sampled, others) = xray(&sent);
                    let kept: &[&str] = if broken.contains(&"xray") { &[] } else { &["A=b"] };
                    assert_eq!(others, kept, "{listed:?} {broken:?}");
                    (trace, parent, sampled)
                }
                "b3" => b3(&sent),
                _ => b3_multi(&sent),
            };
            assert_eq!(written, ours, "{name} of {listed:?} without {broken:?}");
        }
        let keeps_tracestate = trace == TRACE && listed.contains(&"tracecontext");
        let foreign = sent.text("tracestate").unwrap_or_default().contains("foo=1");
        assert_eq!(foreign, keeps_tracestate || !listed.contains(&"tracecontext"), "{listed:?} {broken:?}: {sent:?}");
    }
}

#[test]
fn headers_of_a_propagator_that_is_not_listed_are_left_alone() {
    let given = four_contexts(&[]);
    let sent = Story::new(config(&["b3"], 1)).hop("inbound", given.clone());
    for name in ["traceparent", "tracestate", XRAY] {
        assert_eq!(sent.all(name), given.all(name));
    }
    let sent = Story::new(config(&["tracecontext"], 1)).hop("inbound", given.clone());
    for name in ["b3", XRAY] {
        assert_eq!(sent.all(name), given.all(name));
    }
}

#[test]
fn beside_another_propagator_traceparent_of_the_same_trace_keeps_its_tracestate_and_random_flag() {
    let mut story = Story::new(config(&["xray", "tracecontext"], 0));
    let xray_of = |trace: &str| format!("Root=1-{}-{};Parent=53995c3f42cd8ad8;Sampled=1", &trace[..8], &trace[8..]);
    let random = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
    for (trace, tracestate, flags) in [(TRACE, Some("foo=1"), 3), (B3_TRACE, None, 1)] {
        let headers = get([(XRAY, &xray_of(trace)[..]), ("traceparent", random), ("tracestate", "foo=1")]);
        let sent = story.hop("inbound", headers);
        let context = sent.traceparent();
        assert_eq!((&context.trace_id[..], context.flags, sent.text("tracestate")), (trace, flags, tracestate));
        assert_eq!(story.span().parent_span_id(), "53995c3f42cd8ad8", "the believed one's span is the parent");
    }
}
