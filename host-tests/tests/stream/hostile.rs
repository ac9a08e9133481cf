//! Any bytes in any header: no trap, no lost request, and nothing unfit sent on.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tracelift_host::{Headers, Property, RequestSpec, Response, VmId};

use crate::kit::{CALLER, SAMPLED, Story, TRACE, get, grpc, inbound, keep_all, plain};

/// Every header that the filter reads, and rules that look at more.
fn curious() -> Value {
    json!({
        "propagators": ["tracecontext", "xray", "b3", "b3multi"],
        "sampling": {"ratio": 1, "rules": [
            {"name": "a", "match": {"path": {"regex": "/(a|b)*c"}, "host": {"suffix": ".example"}}, "ratio": 1},
            {"name": "b", "match": {"method": ["POST"], "headers": {"x-big": {"contains": "zz"}}}, "ratio": 1},
            {"name": "c", "match": {"headers": {"x-big": {"regex": ".*a.*b.*c"}}}, "ratio": 1},
        ]},
        "attributes": {"query": true, "request_headers": ["x-big", "referer"], "response_headers": ["x-big", "location"]},
    })
}

const NAMES: [&str; 22] = [
    ":method",
    ":path",
    ":authority",
    ":scheme",
    "host",
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
    "content-type",
    "user-agent",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "referer",
    "x-big",
    "grpc-status",
    ":status",
];

/// Sends it in every way, and sees it through.
fn survive(story: &mut Story, headers: &Headers, response: &Response) {
    for listener in ["inbound", "outbound", "gateway"] {
        let request = story.request(listener, headers.clone());
        let sent = request.forwarded_headers(story);
        check_forwarded(headers, &sent);
        let finished = request.respond(story, response.clone());
        assert!(!finished.vm_failed && finished.local_response.is_none(), "{headers:?}");
    }
}

/// One well-formed context, and everything that is none of ours as it came.
fn check_forwarded(given: &Headers, sent: &Headers) {
    sent.traceparent();
    let ours = |name: &[u8]| {
        [&b"traceparent"[..], b"tracestate", b"x-amzn-trace-id", b"b3"].contains(&name) || name.starts_with(b"x-b3-")
    };
    let rest = |headers: &Headers| {
        let rest = headers.iter().filter(|(name, _)| !ours(name));
        rest.map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(rest(given), rest(sent));
    for (name, value) in sent.iter().filter(|(name, _)| ours(name)) {
        let fit = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        assert!(fit, "{} went on as {}", name.escape_ascii(), value.escape_ascii());
    }
}

#[test]
fn odd_values_of_every_header_pass_through() {
    let big = vec![b'a'; 64 * 1024];
    let commas = b",".repeat(64 * 1024);
    let members = (0..20_000).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    let values: [&[u8]; 16] = [
        b"",
        b" ",
        b"\0",
        b"\r\n",
        b"a\r\nx-injected: 1",
        b"a\0b",
        b"\xff\xfe\xfd",
        b"\xc3\x28",
        "\u{202e}\u{1f600}".as_bytes(),
        b"=;,-",
        b"%00%ff%",
        b"-1",
        b"99999999999999999999",
        &big,
        &commas,
        members.as_bytes(),
    ];
    let mut story = Story::new(curious());
    for name in NAMES {
        for value in values {
            let mut headers = get([("traceparent", SAMPLED)]);
            headers.replace(name, value);
            let mut response = Response::status(200).header(name, value);
            if name == ":status" {
                response = Response::default().header(name, value);
            }
            survive(&mut story, &headers, &response.trailer("grpc-status", value));
        }
        while !story.spans().is_empty() {} // Makes room in the queue.
    }
}

#[test]
fn repeated_headers_pass_through() {
    let mut story = Story::new(curious());
    for name in NAMES {
        for count in [2, 3, 50] {
            let headers = get((0..count).map(|n| (name, format!("value{n}"))));
            survive(&mut story, &headers, &Response::status(200).header(name, "a").header(name, "b"));
        }
    }
    while !story.spans().is_empty() {}
}

#[test]
fn missing_headers_pass_through() {
    let mut story = Story::new(curious());
    let full =
        get([("traceparent", SAMPLED), ("tracestate", "a=b"), ("b3", "0"), ("content-type", "application/grpc")]);
    for (name, _) in full.iter() {
        let mut headers = full.clone();
        headers.remove(name);
        survive(&mut story, &headers, &Response::status(200));
    }
    survive(&mut story, &Headers::new(), &Response::default());
    assert!(!story.spans().is_empty());
}

#[test]
fn a_thousand_headers_and_a_header_of_64_kilobytes_cost_bounded_work_and_memory() {
    let mut story = Story::new(curious());
    let many = get((0..1_000).map(|n| (format!("x-header-{n}"), "some ordinary value".to_owned())));
    let big = get([("x-big", "zy".repeat(32 * 1024)), ("tracestate", "k=v,".repeat(16 * 1024))]);
    let path = plain("GET", &format!("/{}", "ab".repeat(32 * 1024)));
    for headers in [&many, &big, &path] {
        for _ in 0..20 {
            let finished = story.request("inbound", headers.clone()).respond(&mut story, 500);
            assert!(finished.cost.fuel < 20_000_000, "{:?}", finished.cost);
        }
    }
    let mut sizes = Vec::new();
    for headers in [&many, &big, &path].repeat(60) {
        story.request("inbound", headers.clone()).respond(&mut story, 500);
        story.spans();
        sizes.push(story.memory_size(VmId::Worker(0)));
    }
    let (middle, end) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    assert_eq!(middle, end, "nothing of them is left behind");
    assert!(end < 4 << 20, "{end}");
}

/// Rules that are each allowed: the most patterns there may be, and each as dear as a client can make it.
fn dear_rules() -> Value {
    let regex =
        |number: usize| json!({ "match": { "path": { "regex": format!("/.*(?:a|b|c){{{}}}.*[x-z]", 20 + number) } } });
    let contains =
        |number: usize| json!({ "match": { "path": { "contains": format!("{}{number}", "a".repeat(200)) } } });
    (0..32).map(regex).chain((0..200).map(contains)).collect()
}

#[test]
fn rules_cost_no_more_than_their_steps_whatever_a_client_sends() {
    let with = |rules: Value| Story::new(json!({"sampling": {"ratio": 0, "rules": rules}}));
    let (mut dear, mut none) = (with(dear_rules()), with(json!([{"match": {"path": {"exact": "/"}}}])));
    for length in [100, 1_000, 2_040, 60_000] {
        let path = plain("GET", &format!("/{}", "abc".repeat(length / 3)));
        let [dear, none] = [&mut dear, &mut none].map(|story| {
            let costs = (0..5).map(|_| {
                let started = Instant::now();
                let fuel = story.request("inbound", path.clone()).respond(story, 200).cost.fuel;
                (fuel, started.elapsed())
            });
            costs.min().expect("five")
        });
        let (fuel, time) = (dear.0.saturating_sub(none.0), dear.1.saturating_sub(none.1));
        println!("a path of {length} bytes: dear rules take {fuel} instructions and {time:?} more");
        assert!(fuel < MOST, "{length}: {dear:?} and {none:?}");
    }
    assert!(0 < dear.count("rules.over_budget") && none.count("rules.over_budget") == 0);
    let over = dear.count("rules.over_budget");
    dear.request("inbound", plain("GET", "/x")).respond(&mut dear, 200);
    assert_eq!(dear.count("rules.over_budget"), over, "an ordinary request has enough");
}

/// Instructions that 100,000 steps take, at most.
const MOST: u64 = 10_000_000;

#[test]
fn line_breaks_and_nuls_in_a_context_are_never_sent_on() {
    for unfit in ["\r\n", "\n", "\r", "\0", "\u{7f}", "\u{1b}"] {
        let mut story = Story::new(keep_all());
        let state = format!("foo=1{unfit}x: y,bar=2");
        let sent = story.hop("inbound", get([("traceparent", SAMPLED), ("tracestate", &state)]));
        assert_eq!((sent.traceparent().trace_id, sent.get("tracestate")), (TRACE.to_owned(), None), "{unfit:?}");
        assert_eq!(story.count("context.tracestate_discarded"), 1);
        let parent = format!("00-{TRACE}-{CALLER}-01{unfit}");
        let sent = story.hop("inbound", get([("traceparent", &parent[..])]));
        assert_ne!(sent.traceparent().trace_id, TRACE, "{unfit:?}");
        assert_eq!(story.count("context.restarted"), 1);
    }
    let mut story = Story::new(curious());
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a\r\nx: y";
    let sent = story.hop("inbound", get([("x-amzn-trace-id", root), ("b3", "a\r\nb")]));
    check_forwarded(
        &Headers::from([(":method", "GET"), (":path", "/items"), (":authority", "cart.example"), (":scheme", "http")]),
        &sent,
    );
}

#[test]
fn properties_of_odd_sizes_are_left_out_or_read_for_what_they_are() {
    let paths = [
        "response.flags",
        "response.code",
        "response.code_details",
        "request.time",
        "request.protocol",
        "xds.listener_direction",
        "xds.route_name",
        "xds.cluster_name",
        "source.address",
        "destination.address",
        "upstream.address",
        "upstream.transport_failure_reason",
    ];
    let mut story = Story::new(keep_all());
    for path in paths {
        for size in [0, 1, 3, 7, 8, 9, 16, 70_000] {
            for byte in [0, b'7', 0xff] {
                let spec = RequestSpec::new("inbound", grpc()).property(path, vec![byte; size]);
                let finished = story.open(spec).respond(&mut story, Response::grpc(14));
                assert_eq!((finished.status, finished.vm_failed), (Some(200), false), "{path}: {size} times {byte}");
            }
        }
        let spec =
            inbound(plain("GET", "/")).property(path, Property::failing(tracelift_host::Status::SerializationFailure));
        story.open(spec).respond(&mut story, 503);
        assert_eq!(story.spans().len(), 25, "{path}");
    }
}

fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let plausible = prop::sample::select(vec![
        SAMPLED.to_owned(),
        format!("00-{TRACE}-{CALLER}"),
        "ot=th:8;rv:ffffffffffffff,foo=1".to_owned(),
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?".to_owned(),
        format!("{TRACE}-{CALLER}-1"),
        "application/grpc".to_owned(),
        "200".to_owned(),
        "14".to_owned(),
    ]);
    let mutated =
        (plausible, any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(|(text, at, byte, cut)| {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            bytes
        });
    let name = prop::sample::select(NAMES.to_vec()).prop_map(|name| name.as_bytes().to_vec());
    (prop_oneof![4 => name, 1 => vec(any::<u8>(), 0..8)], prop_oneof![2 => mutated, 1 => vec(any::<u8>(), 0..80)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_headers_pass_through(requests in vec((vec(header(), 0..12), vec(header(), 0..6)), 1..40)) {
        let mut story = Story::new(curious());
        for (request, response) in requests {
            let response = response.into_iter().fold(Response::default(), |response, (name, value)| response.header(name, value));
            survive(&mut story, &Headers::from(request), &response);
        }
    }
}
