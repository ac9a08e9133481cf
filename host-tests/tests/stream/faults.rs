//! Every hostcall answering every error: the request goes on, nothing traps, nothing is lost uncounted.

use serde_json::{Value, json};
use tracelift_host::{EnvoyBuilder, Headers, LocalReply, Response, Status, testing};

use crate::kit::{DROPPED, SAMPLED, Story, builder, get, grpc, keep_all, plain};

const ERRORS: [Status; 9] = [
    Status::NotFound,
    Status::BadArgument,
    Status::SerializationFailure,
    Status::ParseFailure,
    Status::InvalidMemoryAccess,
    Status::Empty,
    Status::CasMismatch,
    Status::InternalFailure,
    Status::Unimplemented,
];

/// Names of everything that the module can call.
fn hostcalls() -> Vec<&'static str> {
    let imports = testing::module().imports();
    imports.iter().map(|import| &*import.split_once('.').expect("module.name").1.to_owned().leak()).collect()
}

fn configurations() -> [Value; 2] {
    let rules = json!([{"name": "r", "match": {"path": {"prefix": "/items"}}, "ratio": 0.5, "latency_ms": 1}]);
    [
        json!({"sampling": {"ratio": 0.5}, "upgrade": {"latency_ms": 1}}),
        json!({
            "propagators": ["xray", "b3", "tracecontext"],
            "span_kind": "both",
            "sampling": {"mode": "independent", "rules": rules},
            "export": {"protocol": "grpc", "compression": "gzip"},
            "attributes": {"request_headers": ["x-a"], "response_headers": ["x-b"]},
        }),
    ]
}

fn builders() -> [EnvoyBuilder; 2] {
    configurations().map(|config| builder().inbound(config.to_string()).workers(1))
}

/// Requests of every sort, each of which must reach its end as if the filter were not there.
fn traffic(story: &mut Story, what: &str) {
    let requests: [Headers; 3] =
        [plain("GET", "/items"), get([("traceparent", SAMPLED), ("tracestate", "a=b"), ("x-a", "1")]), grpc()];
    for headers in requests {
        let responses: [(Response, u16, &[u8]); 4] = [
            (Response::status(200).header("x-b", "1").body("a"), 200, b"a"),
            (500.into(), 500, b""),
            (Response::grpc(14), 200, &[0; 5]),
            (Response::grpc_trailers_only(14), 200, b""),
        ];
        for (response, status, body) in responses {
            let request = story.request("inbound", headers.clone());
            let sent = request.forwarded_headers(story);
            let strangers = headers.iter().filter(|(name, _)| !name.starts_with(b"trace"));
            for (name, value) in strangers {
                assert_eq!(sent.get(name), Some(value), "{what}");
            }
            assert!(sent.all("traceparent").len() < 2, "{what}: {sent:?}");
            let finished = request.respond(story, response);
            assert!(!finished.vm_failed, "{what}: {:?}", story.traps());
            assert_eq!((finished.status, &finished.body[..]), (Some(status), body), "{what}");
            assert_eq!(finished.local_response, None, "{what}");
        }
        story.request("inbound", headers.clone()).client_disconnect(story);
        story.request("inbound", headers).local_reply(story, LocalReply::timeout());
    }
    story.codec_error("inbound");
    story.advance(std::time::Duration::from_secs(3));
}

#[test]
fn any_hostcall_may_fail_in_any_way_while_requests_run() {
    for name in hostcalls() {
        for status in ERRORS {
            for builder in builders() {
                let what = format!("{name} answers {status:?}");
                let mut story = Story::start(builder);
                story.fail_hostcall(name, status);
                traffic(&mut story, &what);
                assert!(story.traps().is_empty(), "{what}: {:?}", story.traps());
                story.clear_faults();
                story.advance(std::time::Duration::from_secs(60)); // Retries and all.
                traffic(&mut story, &what);
                let balance = story.assert_conservation();
                assert!(0 < balance.offered, "{what}: {balance}");
            }
        }
    }
}

#[test]
fn any_hostcall_may_fail_from_the_start() {
    for name in hostcalls() {
        for status in ERRORS {
            for builder in builders() {
                let what = format!("{name} answers {status:?}");
                let started = builder.fault(move |call| (call.name == name).then_some(status)).start();
                match started {
                    Ok(envoy) => {
                        let mut story = Story::from(envoy);
                        traffic(&mut story, &what);
                        assert!(story.traps().is_empty(), "{what}: {:?}", story.traps());
                    }
                    Err(refused) => {
                        assert!(refused.trap.is_none(), "{what}: {refused}");
                        assert_eq!(
                            name, "proxy_get_buffer_bytes",
                            "only a configuration that cannot be read stops it: {refused}"
                        );
                        assert_eq!(refused.callback, "proxy_on_configure");
                    }
                }
            }
        }
    }
}

#[test]
fn hostcalls_that_fail_now_and_then_lose_nothing_uncounted() {
    for step in [2, 3, 5, 7] {
        for builder in builders() {
            let mut story = Story::start(builder);
            let mut calls = 0;
            story.fault(move |_| {
                calls += 1;
                (calls % step == 0).then_some(ERRORS[calls % ERRORS.len()])
            });
            for _ in 0..5 {
                traffic(&mut story, &format!("each {step}th fails"));
            }
            story.clear_faults();
            story.advance(std::time::Duration::from_secs(60));
            story.assert_conservation();
        }
    }
}

#[test]
fn a_counter_says_what_went_wrong() {
    for (name, counter) in [
        ("proxy_replace_header_map_value", "errors.headers_not_set"),
        ("proxy_remove_header_map_value", "errors.headers_not_set"),
        ("proxy_get_header_map_pairs", "errors.hostcall"),
        ("proxy_http_call", "exports.retried"),
    ] {
        let mut story = Story::new(keep_all());
        story.fail_hostcall(name, Status::InternalFailure);
        story.request("inbound", get([("tracestate", "a=b")])).respond(&mut story, 500);
        story
            .request("inbound", get([("traceparent", SAMPLED), ("tracestate", "ot=th:8;th:4")]))
            .respond(&mut story, 200);
        story.advance(std::time::Duration::from_secs(3));
        assert!(0 < story.count(counter), "{name}: {counter}");
    }
    let rules = json!([{"name": "r", "match": {"path": {"exact": "/"}}}]);
    let mut story = Story::new(json!({"sampling": {"ratio": 1, "rules": rules}}));
    story.fail_hostcall("proxy_get_header_map_pairs", Status::InternalFailure);
    let sent = story.hop("inbound", get([("traceparent", SAMPLED)]));
    assert!(sent.traceparent().is_sampled());
    assert_eq!(story.count("errors.hostcall"), 2, "the request's headers and the answer's");
}

#[test]
fn headers_that_cannot_be_written_leave_the_callers_context_whole() {
    let mut story = Story::new(keep_all());
    story.fail_hostcall("proxy_replace_header_map_value", Status::BadArgument);
    for (context, state) in [(SAMPLED, "a=b"), (DROPPED, "ot=th:8"), (DROPPED, "ot=th:8,a=b"), ("none", "a=b")] {
        let headers = get([("traceparent", context), ("tracestate", state)]);
        assert_eq!(story.hop("inbound", headers.clone()), headers, "traceparent and tracestate belong together");
    }
    assert_eq!(story.count("errors.headers_not_set"), 4);
}

#[test]
fn without_random_numbers_ids_are_still_no_zeros_and_no_twins() {
    let mut story = Story::start(
        builder()
            .inbound(keep_all().to_string())
            .fault(|call| (call.name == "random_get").then_some(Status::InternalFailure)),
    );
    let mut seen = std::collections::HashSet::new();
    for _ in 0..500 {
        let sent = story.hop("inbound", plain("GET", "/")).traceparent();
        assert_eq!(sent.flags & 2, 0, "the random flag would be a lie");
        assert!(seen.insert(sent.trace_id) && seen.insert(sent.parent_id));
    }
}
