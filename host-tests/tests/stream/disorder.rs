//! Callbacks in any order, repeated, for contexts and tokens that nobody made: no trap, no hold-up, and the books close.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use tracelift_host::{Answer, Request, Response, VmId};

use crate::kit::{COLLECTOR, SAMPLED, Story, builder, get, plain};

const WORKER: VmId = VmId::Worker(0);

/// Every callback with the number of its arguments, the context first.
const CALLBACKS: [(&str, usize); 12] = [
    ("proxy_on_context_create", 2),
    ("proxy_on_vm_start", 2),
    ("proxy_on_configure", 2),
    ("proxy_on_tick", 1),
    ("proxy_on_request_headers", 3),
    ("proxy_on_response_headers", 3),
    ("proxy_on_response_body", 3),
    ("proxy_on_response_trailers", 2),
    ("proxy_on_http_call_response", 5),
    ("proxy_on_log", 1),
    ("proxy_on_done", 1),
    ("proxy_on_delete", 1),
];

/// Callbacks of a stream, whose answer decides whether a request goes on.
const DECIDING: [&str; 4] =
    ["proxy_on_request_headers", "proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"];

#[derive(Clone, Debug)]
enum Step {
    /// Any callback for any context, known or not.
    Raw {
        callback: Index,
        context: Index,
        arguments: [u32; 4],
    },
    /// A request in Envoy's order, up to its headers.
    Open {
        sampled: bool,
    },
    /// Ends one of the open requests.
    End {
        request: Index,
        status: u16,
        leave: bool,
    },
    Advance(u64),
    /// Answers one of the exports in flight.
    Answer {
        callout: Index,
        status: u16,
    },
    Update,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let argument = prop_oneof![4 => 0_u32..12, 1 => prop::sample::select(vec![200, 65_536, u32::MAX / 2, u32::MAX])];
    let raw = (any::<Index>(), any::<Index>(), [argument.clone(), argument.clone(), argument.clone(), argument])
        .prop_map(|(callback, context, arguments)| Step::Raw { callback, context, arguments });
    let status = prop::sample::select(vec![200_u16, 404, 500, 503]);
    prop_oneof![
        12 => raw,
        4 => any::<bool>().prop_map(|sampled| Step::Open { sampled }),
        4 => (any::<Index>(), status.clone(), any::<bool>())
            .prop_map(|(request, status, leave)| Step::End { request, status, leave }),
        2 => (0_u64..3_000).prop_map(Step::Advance),
        2 => (any::<Index>(), status).prop_map(|(callout, status)| Step::Answer { callout, status }),
        1 => Just(Step::Update),
        1 => Just(Step::Drain),
    ]
}

fn config() -> Value {
    json!({
        "sampling": {"ratio": 0.5},
        "upgrade": {"latency_ms": 1_000},
        "export": {"scheduled_delay_ms": 200, "max_export_batch_size": 3},
    })
}

/// Contexts that a callback is tried with: unknown ones, the roots, and every stream there was.
struct Contexts(Vec<u32>);

impl Contexts {
    fn new() -> Self {
        Self(vec![0, 1, 2, 1, 2, 3, 4, 5, 1_000_000, u32::MAX])
    }
}

fn run(story: &mut Story, step: Step, contexts: &mut Contexts, open: &mut Vec<Request>) {
    match step {
        Step::Raw { callback, context, arguments } => {
            let (export, count) = CALLBACKS[callback.index(CALLBACKS.len())];
            let context = contexts.0[context.index(contexts.0.len())];
            let arguments = [&[context][..], &arguments[..count - 1]].concat();
            let answer = story.callback(WORKER, export, &arguments);
            assert!(!DECIDING.contains(&export) || answer == Some(0), "{export} answers {answer:?}");
        }
        Step::Open { sampled } => {
            let headers = if sampled { get([("traceparent", SAMPLED)]) } else { plain("GET", "/") };
            let request = story.request("inbound", headers);
            contexts.0.push(request.context());
            open.push(request);
        }
        Step::End { request, status, leave } => {
            if open.is_empty() {
                return;
            }
            let request = open.swap_remove(request.index(open.len()));
            let finished = if leave {
                request.client_disconnect(story)
            } else {
                request.respond(story, Response::status(status).body("a"))
            };
            assert!(!finished.vm_failed, "{:?}", story.traps());
        }
        Step::Advance(milliseconds) => story.advance(Duration::from_millis(milliseconds)),
        Step::Answer { callout, status } => {
            let waiting: Vec<_> = story.waiting_callouts().iter().map(|callout| callout.id).collect();
            if !waiting.is_empty() {
                story.answer(waiting[callout.index(waiting.len())], Answer::status(status));
            }
        }
        Step::Update => story.update_config("inbound", config().to_string()).expect("a good configuration"),
        Step::Drain => {
            open.clear(); // Their streams may be cut now.
            story.drain();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_callbacks_traps_holds_a_request_up_or_loses_a_span(steps in vec(step(), 1..120)) {
        let text = config().to_string();
        let mut story = Story::start(builder().answer_with(|_| tracelift_host::Reply::ByHand).inbound(&text));
        let (mut contexts, mut open) = (Contexts::new(), Vec::new());
        for step in steps {
            run(&mut story, step, &mut contexts, &mut open);
            prop_assert!(story.traps().is_empty(), "{:?}", story.traps());
        }
        // Roots that the host never made publish their counts, too.
        for context in contexts.0 {
            story.callback(WORKER, "proxy_on_tick", &[context]);
        }
        story.assert_conservation();
        // A new configuration works as if nothing had been.
        story.reconfigure("inbound", &json!({"sampling": {"ratio": 1}}));
        prop_assert!(story.hop("inbound", plain("GET", "/")).traceparent().is_sampled());
    }
}

#[test]
fn a_callback_that_comes_twice_counts_once() {
    let mut story = Story::new(json!({"sampling": {"ratio": 0}}));
    let request = story.request("inbound", plain("GET", "/"));
    let context = request.context();
    let first = request.forwarded_headers(&story);
    for _ in 0..3 {
        assert_eq!(story.callback(WORKER, "proxy_on_request_headers", &[context, 4, 1]), Some(0));
    }
    assert_eq!(request.forwarded_headers(&story), first, "one request has one span id");
    request.response_headers(&mut story, [(":status", "503")], true);
    for _ in 0..3 {
        story.callback(WORKER, "proxy_on_response_headers", &[context, 1, 1]);
    }
    request.end(&mut story);
    assert_eq!(story.count("decisions.dropped.ratio"), 1);
    assert_eq!(story.count("upgrades.http_status"), 1);
    story.span();
}

#[test]
fn a_host_that_calls_done_before_the_log_gets_the_same_span() {
    let text = json!({"sampling": {"ratio": 0}}).to_string();
    let mut story = Story::start(builder().inbound(&text).log_after_done());
    story.request("inbound", plain("GET", "/")).respond(&mut story, 503);
    assert_eq!(story.span().attribute("http.response.status_code"), 503);
}

#[test]
fn answers_that_nobody_awaits_are_nobodys() {
    let mut story = Story::new(json!({"sampling": {"ratio": 1}}));
    for token in [0, 1, 2, 77, u32::MAX] {
        for root in [0, 1, 2, 3, 99] {
            for size in [0, 1, u32::MAX] {
                story.callback(WORKER, "proxy_on_http_call_response", &[root, token, 1, size, 0]);
            }
        }
    }
    story.hop("inbound", plain("GET", "/"));
    story.span();
    assert_eq!(story.assert_conservation().exported, 1);
    assert!(story.callouts().iter().all(|callout| callout.cluster == COLLECTOR));
}

#[test]
fn memory_that_cannot_be_had_is_refused_and_not_a_trap() {
    let mut story = Story::new(json!({}));
    for size in [u32::MAX, u32::MAX / 2, 1 << 31] {
        assert_eq!(story.callback(WORKER, "proxy_on_memory_allocate", &[size]), Some(0), "{size}");
    }
    story.hop("inbound", plain("GET", "/"));
}
