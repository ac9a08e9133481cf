//! Late parenting where one pod serves many requests of one trace.

use crate::kit::process::{MILLISECOND, SECOND};
use crate::parents::{OUTBOUND, Pod, SDK, hex, sent, unrecorded};
use crate::recall::end;

#[test]
fn a_request_that_begins_after_the_upgrade_is_a_candidate_like_those_before_it() {
    let mut pod = Pod::new(1);
    let first = pod.arrives(0, 1);
    let failed = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &failed, 503);
    (0..3).for_each(|_| pod.process.advance(SECOND));
    assert_eq!(pod.counts(), [1, 0, 0]);
    let second = pod.arrives(0, 1);
    let call = pod.calls(0, 1, "00f067aa0ba902b8", "02");
    pod.pass(MILLISECOND);
    end(&mut pod.process, &call, 200);
    (0..3).for_each(|_| pod.process.advance(SECOND));
    assert_eq!(pod.counts(), [1, 1, 0], "it may belong to either");
    assert_eq!(hex(&pod.span(&call).parent_span_id), "00f067aa0ba902b8");
    end(&mut pod.process, &first, 200);
    pod.pass(MILLISECOND);
    let last = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &last, 200);
    (0..3).for_each(|_| pod.process.advance(SECOND));
    assert_eq!(pod.counts(), [2, 1, 0], "the second alone is running");
    assert_eq!(hex(&pod.span(&last).parent_span_id), sent(&second));
    end(&mut pod.process, &second, 200);
}

#[test]
fn dozens_of_short_requests_of_one_trace_each_keep_their_call() {
    let mut pod = Pod::new(1);
    let mut calls = Vec::new();
    let outer = pod.arrives(0, 1);
    end(&mut pod.process, &outer, 503);
    for _ in 0..24 {
        pod.pass(10 * MILLISECOND);
        let request = pod.arrives(0, 1);
        pod.pass(MILLISECOND);
        let call = pod.calls(0, 1, SDK, "02");
        pod.pass(MILLISECOND);
        end(&mut pod.process, &call, 503);
        end(&mut pod.process, &request, 503);
        calls.push((sent(&request), call));
    }
    (0..3).for_each(|_| pod.process.advance(SECOND));
    assert_eq!(pod.counts(), [24, 0, 0]);
    for (request, call) in calls {
        assert_eq!(hex(&pod.span(&call).parent_span_id), request);
    }
}

#[test]
fn of_more_requests_than_are_remembered_none_is_guessed_by_time() {
    let mut pod = Pod::new(1);
    let running = pod.arrives(0, 1);
    let failed = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &failed, 503);
    (0..3).for_each(|_| pod.process.advance(SECOND));
    for _ in 0..40 {
        let request = pod.arrives(0, 1);
        pod.pass(MILLISECOND);
        end(&mut pod.process, &request, 503);
    }
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 200);
    (0..3).for_each(|_| pod.process.advance(SECOND));
    assert_eq!(pod.counts(), [1, 1, 0]);
    assert_eq!(unrecorded(&pod.span(&call)), None);
    end(&mut pod.process, &running, 200);
}

#[test]
fn a_request_whose_client_hangs_up_is_kept_for_the_calls_that_hang_below_it() {
    let inbound = r#"{"span_kind": "server", "sampling": {"ratio": 0}, "upgrade": {"response_flags": false}}"#;
    let mut pod = Pod::with(1, inbound, OUTBOUND);
    let request = pod.arrives(0, 1);
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    (0..3).for_each(|_| pod.process.advance(SECOND));
    assert_eq!(hex(&pod.span(&call).parent_span_id), sent(&request));
    let other = pod.arrives(0, 2);
    pod.process.log(&request);
    pod.process.log(&other);
    pod.span(&request);
    assert_eq!(pod.process.metric("spans.offered"), 2, "the request of another trace stays dropped");
}
