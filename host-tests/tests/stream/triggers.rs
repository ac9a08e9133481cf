//! What upgrades a dropped trace, and what does not.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{Envoy, Finished, Headers, LocalReply, Request, Response, flags};

use crate::kit::{DROPPED, Story, get, grpc, keep_failures, plain};

/// A way for a request to end, and the trigger that it is, with the span's response flags and `error.type`.
type Ending = (&'static str, fn(Request, &mut Envoy) -> Finished, Option<(&'static str, &'static str, &'static str)>);

const ENDINGS: [Ending; 25] = [
    ("answered", |r, e| r.respond(e, Response::status(200).body("a").body("b")), None),
    ("answered without a body", |r, e| r.respond(e, 204), None),
    ("answered with trailers", |r, e| r.respond(e, Response::status(200).body("a").trailer("x", "y")), None),
    ("redirected", |r, e| r.respond(e, 302), None),
    ("not found", |r, e| r.respond(e, Response::status(404).body("no such page")), None),
    ("failed", |r, e| r.respond(e, 500), Some(("http_status", "", "500"))),
    ("failed with a body", |r, e| r.respond(e, Response::status(599).body("?")), Some(("http_status", "", "599"))),
    (
        "connection refused",
        |r, e| r.local_reply(e, LocalReply::connect_failure()),
        Some(("response_flags", "UF,URX", "503")),
    ),
    ("timed out", |r, e| r.local_reply(e, LocalReply::timeout()), Some(("response_flags", "UT", "504"))),
    ("upstream reset", |r, e| r.local_reply(e, LocalReply::upstream_reset()), Some(("response_flags", "UC", "503"))),
    ("overflow", |r, e| r.local_reply(e, LocalReply::overflow()), Some(("response_flags", "UO", "503"))),
    ("no host", |r, e| r.local_reply(e, LocalReply::no_healthy_upstream()), Some(("response_flags", "UH", "503"))),
    ("no route", |r, e| r.local_reply(e, LocalReply::no_route()), Some(("response_flags", "NR", ""))),
    ("no cluster", |r, e| r.local_reply(e, LocalReply::no_cluster()), Some(("response_flags", "NC", "503"))),
    ("client left", |r, e| r.client_disconnect(e), Some(("response_flags", "DC", "client_disconnect"))),
    (
        "client left in the body",
        |r, e| {
            r.response_headers(e, [(":status", "200")], false);
            r.response_body(e, "a", false);
            r.client_disconnect(e)
        },
        Some(("response_flags", "DC", "client_disconnect")),
    ),
    (
        "upstream broke off",
        |r, e| r.break_off(e, Response::status(200).body("a")),
        Some(("response_flags", "UPE", "protocol_error")),
    ),
    (
        "cut without a word",
        |r, e| {
            r.response_headers(e, [(":status", "200")], false);
            r.end(e)
        },
        Some(("reset", "", "reset")),
    ),
    ("never answered", |r, e| r.end(e), Some(("reset", "", "reset"))),
    ("failed, then broke off", |r, e| r.break_off(e, 500), Some(("http_status", "UPE", "500"))),
    ("the route answers", |r, e| r.local_reply(e, LocalReply::direct_response(404)), None),
    (
        "the route fails on purpose",
        |r, e| r.local_reply(e, LocalReply::direct_response(503)),
        Some(("http_status", "", "503")),
    ),
    ("a fault injected", |r, e| r.local_reply(e, LocalReply::new(418, flags::FI, "fault_filter_abort")), None),
    ("rate limited", |r, e| r.local_reply(e, LocalReply::new(429, flags::RL, "request_rate_limited")), None),
    ("not allowed", |r, e| r.local_reply(e, LocalReply::new(403, flags::UAEX, "ext_authz_denied")), None),
];

#[test]
fn each_way_to_fail_upgrades_a_dropped_trace_by_its_own_trigger() {
    for header in [None, Some(DROPPED)] {
        let mut story = Story::new(keep_failures());
        for (name, end, expected) in ENDINGS {
            let before = story.counts_under("upgrades.");
            let request = story.request("inbound", get(header.map(|value| ("traceparent", value))));
            let sent = request.forwarded_headers(&story).traceparent();
            assert!(!sent.is_sampled());
            let finished = end(request, &mut story);
            assert!(!finished.vm_failed);
            let decision = expected.map(|(trigger, ..)| format!("upgraded.{trigger}"));
            assert_eq!(finished.filter_state("tracelift.decision"), decision.as_deref().map(str::as_bytes), "{name}");
            let spans = story.spans();
            assert_eq!(spans.len(), usize::from(expected.is_some()), "{name}: {spans:#?}");
            let (Some((trigger, flags, error)), [span]) = (expected, &spans[..]) else {
                assert_eq!(story.counts_under("upgrades."), before, "{name}");
                continue;
            };
            assert_eq!((span.trace_id(), span.span_id()), (sent.trace_id, sent.parent_id), "{name}");
            assert_eq!(span.attribute("tracelift.upgrade.trigger"), trigger, "{name}");
            assert_eq!(span.attribute("sampling.priority"), 1, "{name}");
            assert_eq!((&span.span.trace_state[..], span.span.flags & 1), ("ot=th:0", 1), "{name}");
            let or_absent = |key: &str, value: &str| match value {
                "" => assert!(!span.attribute(key).is_present(), "{name}: {key}"),
                value => assert_eq!(span.attribute(key), value, "{name}: {key}"),
            };
            or_absent("tracelift.response_flags", flags);
            or_absent("error.type", error);
            let mut counts = before.clone();
            match counts.iter_mut().find(|(known, _)| known.ends_with(trigger)) {
                Some((_, count)) => *count += 1,
                None => counts.push((format!("upgrades.{trigger}"), 1)),
            }
            counts.sort();
            assert_eq!(story.counts_under("upgrades."), counts, "{name}");
        }
    }
}

#[test]
fn a_request_that_its_codec_refuses_is_told_though_it_had_no_headers() {
    let mut story = Story::new(keep_failures());
    let finished = story.codec_error("inbound");
    assert_eq!(finished.status, Some(400));
    let span = story.span();
    assert_eq!(span.attribute("tracelift.upgrade.trigger"), "response_flags");
    assert_eq!(span.attribute("tracelift.response_flags"), "DPE");
    assert_eq!(span.attribute("http.response.status_code"), 400);
    assert_eq!(span.name(), "HTTP");
}

fn with_upgrade(upgrade: Value) -> Value {
    let mut upgrade = upgrade;
    upgrade["traces_per_second"] = json!(1_000_000);
    json!({"sampling": {"ratio": 0}, "upgrade": upgrade})
}

#[test]
fn status_classes_and_single_codes_trigger_as_listed() {
    for (listed, triggers) in [
        (json!(["5xx"]), &[500, 503, 599][..]),
        (json!(["4xx"]), &[400, 404, 429, 499]),
        (json!(["5xx", 429]), &[429, 500, 503, 599]),
        (json!([404, 503]), &[404, 503]),
        (json!(["2xx", "3xx"]), &[200, 204, 302]),
        (json!([]), &[]),
    ] {
        let mut story = Story::new(with_upgrade(json!({ "http_status": listed })));
        for status in [200, 204, 302, 400, 404, 429, 499, 500, 503, 599] {
            story.request("inbound", plain("GET", "/")).respond(&mut story, status);
            assert_eq!(story.spans().len(), usize::from(triggers.contains(&status)), "{status} with {listed}");
        }
    }
}

#[test]
fn a_grpc_status_triggers_from_headers_and_from_trailers() {
    let by_default = [2, 4, 12, 13, 14, 15];
    for (upgrade, triggers) in [
        (json!({}), &by_default[..]),
        (json!({"grpc_status": ["NOT_FOUND", "CANCELLED"]}), &[1, 5]),
        (json!({"grpc_status": []}), &[]),
    ] {
        let mut story = Story::new(with_upgrade(upgrade.clone()));
        for status in 0..=16 {
            for response in [Response::grpc(status), Response::grpc_trailers_only(status)] {
                story.request("outbound", grpc()).respond(&mut story, response);
                let spans = story.spans();
                let triggered = triggers.contains(&status);
                assert_eq!(spans.len(), usize::from(triggered), "{status} with {upgrade}");
                for span in spans {
                    assert_eq!(span.attribute("tracelift.upgrade.trigger"), "grpc_status");
                    assert_eq!(span.attribute("http.response.status_code"), 200);
                    assert_eq!(span.name(), if status == 12 { "grpc" } else { "shop.Cart/Get" });
                }
            }
        }
        assert_eq!(story.count("upgrades.grpc_status"), 2 * triggers.len() as u64);
    }
}

#[test]
fn a_grpc_status_that_is_no_number_counts_as_unknown() {
    for status in ["", "x", "17", "-1", "014", "\u{e9}", "4294967298"] {
        let mut story = Story::new(keep_failures());
        let response = Response::status(200).body([0; 5]).trailer("grpc-status", status);
        story.request("inbound", grpc()).respond(&mut story, response);
        assert_eq!(story.span().attribute("rpc.status_code"), "UNKNOWN", "{status:?}");
    }
}

#[test]
fn envoys_own_answer_to_a_grpc_client_is_an_upgrade_though_its_status_is_200() {
    for (reply, flags) in [
        (LocalReply::connect_failure(), "UF,URX"),
        (LocalReply::timeout(), "UT"),
        (LocalReply::overflow(), "UO"),
        (LocalReply::no_route(), "NR"),
    ] {
        let mut story = Story::new(keep_failures());
        let finished = story.request("outbound", grpc()).local_reply(&mut story, reply);
        assert_eq!(finished.status, Some(200));
        let span = story.span();
        assert_eq!(span.attribute("tracelift.upgrade.trigger"), "response_flags", "{flags}");
        assert_eq!(span.attribute("tracelift.response_flags"), flags);
    }
}

#[test]
fn a_stream_of_grpc_messages_that_is_cut_before_its_trailers_is_a_reset() {
    let mut story = Story::new(keep_failures());
    let request = story.request("outbound", grpc());
    request.response_headers(&mut story, [(":status", "200"), ("content-type", "application/grpc")], false);
    request.response_body(&mut story, [0; 5], false);
    request.end(&mut story);
    assert_eq!(story.span().attribute("tracelift.upgrade.trigger"), "reset");
}

#[test]
fn response_flags_can_be_switched_off_alone() {
    let mut story = Story::new(with_upgrade(json!({"response_flags": false})));
    for (name, end, expected) in ENDINGS {
        let request = story.request("inbound", plain("GET", "/"));
        end(request, &mut story);
        let spans = story.spans();
        let by_status = expected.is_some_and(|(.., error)| error.starts_with('5'));
        assert_eq!(spans.len(), usize::from(by_status), "{name}");
        for span in spans {
            assert_eq!(span.attribute("tracelift.upgrade.trigger"), "http_status", "{name}");
        }
    }
}

#[test]
fn tunnels_and_switched_protocols_are_no_resets() {
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    let cases: [(Headers, &str, usize); 4] = [
        (plain("CONNECT", ""), "200", 0),
        (get(upgrade), "101", 0),
        (plain("CONNECT", ""), "503", 1),
        (plain("GET", "/"), "200", 1), // Just for comparison: this one is cut.
    ];
    for (headers, status, kept) in cases {
        let mut story = Story::new(keep_failures());
        let request = story.request("inbound", headers.clone());
        request.response_headers(&mut story, [(":status", status)], false);
        request.response_body(&mut story, "any bytes", false);
        request.end(&mut story);
        assert_eq!(story.spans().len(), kept, "{status} to {headers:?}");
    }
    // Somebody has to hang up first.
    let mut story = Story::new(keep_failures());
    let tunnel = story.request("inbound", plain("CONNECT", ""));
    tunnel.response_headers(&mut story, [(":status", "200")], false);
    tunnel.client_disconnect(&mut story);
    assert_eq!(story.spans().len(), 0);
}

#[test]
fn latency_triggers_at_its_limit_and_after_everything_that_says_more() {
    let mut story = Story::new(with_upgrade(json!({"latency_ms": 500})));
    for (milliseconds, status, trigger) in
        [(499, 200, None), (500, 200, Some("latency")), (500, 404, Some("latency")), (500, 503, Some("http_status"))]
    {
        let request = story.request("inbound", plain("GET", "/"));
        story.advance(Duration::from_millis(milliseconds));
        request.respond(&mut story, status);
        let found: Vec<_> = story.spans().iter().map(|span| span.attribute("tracelift.upgrade.trigger")).collect();
        assert_eq!(found.len(), usize::from(trigger.is_some()), "{milliseconds} ms, {status}");
        assert!(found.iter().all(|found| *found == trigger.unwrap_or_default()), "{found:?}");
    }
    let request = story.request("inbound", plain("GET", "/"));
    request.response_headers(&mut story, [(":status", "200")], false);
    story.advance(Duration::from_millis(500));
    request.response_body(&mut story, "the end", true);
    request.end(&mut story);
    assert_eq!(story.span().attribute("tracelift.upgrade.trigger"), "latency", "the whole answer counts");
}

#[test]
fn an_informational_answer_before_the_real_one_triggers_nothing() {
    let mut story = Story::new(keep_failures());
    let request = story.request("inbound", plain("POST", "/"));
    request.response_headers(&mut story, [(":status", "100")], false);
    request.response_headers(&mut story, [(":status", "200")], true);
    request.end(&mut story);
    assert_eq!(story.spans(), []);
}
