//! What is known of a stream that is kept comes with one hostcall, and is what reading one by one would have said.

use serde_json::{Value, json};
use tracelift_host::{Cost, EnvoyBuilder, LocalReply, Property, RequestSpec, Response, Status, VmId};

use crate::kit::{SAMPLED, Story, alone, builder, get, inbound, keep_all, plain};

const FOREIGN: &str = "proxy_call_foreign_function";
const LISTENERS: [&str; 3] = ["inbound", "outbound", "gateway"];
const KINDS: [&str; 4] = ["auto", "server", "client", "both"];
const WORKER: VmId = VmId::Worker(0);

fn of_kind(kind: &str) -> Value {
    let mut configuration = alone(keep_all());
    configuration["span_kind"] = json!(kind);
    configuration
}

fn listeners(configuration: &Value) -> EnvoyBuilder {
    let text = configuration.to_string();
    builder().inbound(&text).outbound(&text).gateway(&text)
}

/// A host that has no such function.
fn one_by_one(configuration: &Value) -> Story {
    let without = |call: &mut tracelift_host::Hostcall<'_>| (call.name == FOREIGN).then_some(Status::NotFound);
    Story::start(listeners(configuration).fault(without))
}

fn reads(cost: &Cost) -> (u64, u64) {
    (cost.calls_of(FOREIGN), cost.calls_of("proxy_get_property"))
}

/// The ways in which streams end, by number.
const ENDINGS: usize = 7;

/// What its last callback cost.
fn end(story: &mut Story, spec: RequestSpec, ending: usize) -> Cost {
    let request = story.open(spec);
    let finished = match ending {
        0 => request.respond(story, 200),
        1 => request.respond(story, 503),
        2 => request.respond(story, 404),
        3 => request.local_reply(story, LocalReply::connect_failure()),
        4 => request.break_off(story, Response::status(200).body("[")),
        5 => request.respond(story, Response::grpc(14)),
        _ => request.client_disconnect(story),
    };
    let log = finished.callbacks.into_iter().find(|(callback, _)| *callback == "proxy_on_log");
    log.expect("every stream is logged").1
}

#[test]
fn a_stream_that_is_kept_is_read_with_one_hostcall_whatever_becomes_of_it() {
    for kind in KINDS {
        let mut story = Story::start(listeners(&of_kind(kind)));
        for listener in LISTENERS {
            for ending in [0, 4] {
                let cost = end(&mut story, RequestSpec::new(listener, plain("GET", "/")), ending);
                let flags = u64::from(ending == 4); // Asked for before it was known whether the stream would be kept.
                assert_eq!(reads(&cost), (1, flags), "{kind} on {listener}, ending {ending}: {cost:?}");
            }
        }
    }
}

#[test]
fn a_stream_that_is_dropped_is_not_read_unless_it_is_held_for_recall() {
    for (recall, calls) in [(false, 0), (true, 1)] {
        let recall = json!({"enabled": recall, "token": "0123456789abcdef"});
        let configuration = json!({"sampling": {"ratio": 0}, "upgrade": {"recall": recall}});
        let mut story = Story::start(listeners(&configuration));
        let cost = end(&mut story, inbound(plain("GET", "/")), 0);
        assert_eq!(reads(&cost), (calls, 0), "{cost:?}");
    }
}

#[test]
fn spans_say_what_they_say_where_attributes_are_read_one_by_one() {
    const ABSENT: [&str; 10] = [
        "nothing",
        "request.time",
        "request.protocol",
        "source.address",
        "upstream.address",
        "xds.route_name",
        "xds.cluster_name",
        "xds.listener_direction",
        "response.code_details",
        "upstream.transport_failure_reason",
    ];
    for kind in KINDS {
        let configuration = of_kind(kind);
        let (mut together, mut single) = (Story::start(listeners(&configuration)), one_by_one(&configuration));
        for listener in LISTENERS {
            for ending in 0..ENDINGS {
                for absent in ABSENT {
                    let headers = get([("traceparent", SAMPLED), ("tracestate", "a=b")]);
                    let spec = RequestSpec::new(listener, headers)
                        .property("upstream.transport_failure_reason", "TLS_error: expired")
                        .property(absent, Property::ABSENT);
                    end(&mut together, spec.clone(), ending);
                    let cost = end(&mut single, spec, ending);
                    assert_eq!(cost.calls_of(FOREIGN), 0, "a host that has not the function is asked once");
                }
                let (spans, others) = (together.spans(), single.spans());
                assert_eq!(spans.len(), ABSENT.len() * if kind == "both" { 2 } else { 1 });
                assert_eq!(spans, others, "{kind} on {listener}, ending {ending}");
            }
        }
    }
}

#[test]
fn a_server_that_the_client_did_not_name_has_the_address_that_was_connected_to() {
    let mut story = Story::start(listeners(&of_kind("server")));
    let cost = end(&mut story, inbound([(":method", "GET"), (":path", "/")]), 0);
    assert_eq!(reads(&cost), (1, 1));
    assert_eq!(story.span().attribute("server.address"), "10.0.0.1");
}

#[test]
fn a_stream_without_one_of_the_attributes_is_read_one_by_one_and_the_next_is_not() {
    let mut story = Story::start(listeners(&of_kind("server")));
    let cost = end(&mut story, inbound(plain("GET", "/")).property("request.protocol", Property::ABSENT), 0);
    assert_eq!(reads(&cost), (1, 6), "flags, time, protocol, source, route and cluster: {cost:?}");
    let cost = end(&mut story, inbound(plain("GET", "/")), 0);
    assert_eq!(reads(&cost), (1, 0), "{cost:?}");
}

#[test]
fn an_answer_that_is_no_such_list_is_not_believed() {
    let wire = |sizes: &[(u32, u32)], count: u32, data: &[u8]| {
        let sizes = sizes.iter().flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()]);
        [count.to_le_bytes().to_vec(), sizes.flatten().collect(), data.to_vec()].concat()
    };
    // As many as there are: flags, time, protocol, source, route, cluster.
    let sound = wire(&[(8, 0), (8, 0), (0, 0), (0, 0), (0, 0), (0, 0)], 6, &[0; 28]);
    let answers = [
        Vec::new(),
        vec![6],
        sound[..sound.len() - 12].to_vec(),
        wire(&[(8, 0), (8, 0)], 2, &[0; 20]),
        wire(&[(8, 0), (8, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)], 7, &[0; 30]),
        wire(&[(8, 1), (8, 0), (0, 0), (0, 0), (0, 0), (0, 0)], 6, &[0; 29]),
        wire(&[(3, 0), (8, 0), (0, 0), (0, 0), (0, 0), (0, 0)], 6, &[0; 23]),
        wire(&[(8, 0), (8, 0), (u32::MAX, u32::MAX), (0, 0), (0, 0), (0, 0)], 6, &[0; 28]),
        wire(&[(8, 0), (8, 0)], u32::MAX, &[0; 20]),
        vec![0xff; 4_096],
    ];
    let configuration = of_kind("server");
    let mut single = one_by_one(&configuration);
    let mut story = Story::start(listeners(&configuration));
    for answer in answers {
        for ending in 0..ENDINGS {
            let given = answer.clone();
            story.foreign_function("expr_evaluate", move |_| Ok(given.clone()));
            end(&mut story, inbound(get([("traceparent", SAMPLED)])), ending);
            end(&mut single, inbound(get([("traceparent", SAMPLED)])), ending);
            assert_eq!(story.spans(), single.spans(), "{answer:?}");
        }
    }
    story.foreign_function("expr_evaluate", move |_| Ok(sound.clone()));
    end(&mut story, inbound(plain("GET", "/")), 0);
    let span = story.span();
    assert!(!span.attribute("client.address").is_present(), "what is believed is not read again: {span:?}");
}

#[test]
fn a_token_that_is_none_is_not_used() {
    for answer in [Vec::new(), vec![1, 2, 3]] {
        let mut story = Story::start(listeners(&of_kind("server")));
        story.foreign_function("expr_create", move |_| Ok(answer.clone()));
        let configuration = of_kind("client").to_string();
        story.update_config("inbound", configuration).unwrap_or_else(|refused| panic!("{refused}"));
        let cost = end(&mut story, inbound(plain("GET", "/")), 0);
        assert_eq!(cost.calls_of(FOREIGN), 0, "{cost:?}");
        assert_eq!(story.spans().len(), 1);
    }
}

#[test]
fn expressions_follow_the_configuration_and_none_is_left_behind() {
    let mut story = Story::start(builder().inbound(of_kind("server").to_string()));
    assert_eq!(story.expressions(WORKER), 2);
    let mut single = one_by_one(&of_kind("both"));
    let request = || RequestSpec::new("inbound", get([("traceparent", SAMPLED)]));
    for _ in 0..3 {
        for kind in KINDS {
            story.reconfigure("inbound", &of_kind(kind)); // A new root context.
            assert_eq!(story.expressions(WORKER), 2);
            story.configure_again("inbound", of_kind(kind).to_string()); // The same one.
            story.configure_again("inbound", of_kind("both").to_string());
            assert_eq!(story.expressions(WORKER), 2);
            assert_eq!(reads(&end(&mut story, request(), 0)), (1, 0));
            end(&mut single, request(), 0);
            let attributes = |story: &mut Story| {
                let mut spans: Vec<_> =
                    story.spans().into_iter().map(|it| (it.span.kind, it.span.attributes)).collect();
                spans.sort_by_key(|(kind, _)| *kind);
                spans
            };
            assert_eq!(attributes(&mut story), attributes(&mut single));
        }
    }
}
