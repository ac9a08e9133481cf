//! Late parenting across the VMs of a pod: where the spans of calls hang whose application did not record its own.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::otlp::{ExportedSpan, SpanKind};
use tracelift_host::{Headers, Request};

use crate::pods::{Pod, TRACE, drop_all, unsampled};

/// What an SDK sends on for a span that it does not record.
const SDK: &str = "53995c3f42cd8ad8";

fn of_sdk(flags: &str) -> Headers {
    Headers::from([("traceparent", &*format!("00-{TRACE}-{SDK}-{flags}"))])
}

fn sent(request: &Request, pod: &Pod) -> String {
    request.forwarded_headers(&pod.0).traceparent().parent_id.clone()
}

fn client(spans: &[ExportedSpan]) -> &ExportedSpan {
    spans.iter().find(|span| span.kind() == SpanKind::Client).expect("a CLIENT span")
}

fn parents(pod: &Pod) -> [u64; 3] {
    ["found", "ambiguous", "unknown"].map(|name| pod.0.counter(&format!("tracelift.parents.{name}")))
}

fn keys(pod: &Pod) -> usize {
    pod.0.shared_data().keys().filter(|key| key.starts_with(b"tracelift.parents.")).count()
}

#[test]
fn a_call_hangs_below_the_request_that_another_vm_still_serves() {
    let auto = json!({"sampling": {"ratio": 0}, "span_kind": "auto"});
    for configuration in [drop_all(), auto] {
        let mut pod = Pod::new("web", configuration.clone());
        let request = pod.called(&unsampled());
        let above = sent(&request, &pod);
        pod.0.advance(Duration::from_millis(20));
        pod.calls(&of_sdk("02")).respond(&mut pod.0, 503);
        pod.0.advance(Duration::from_millis(2_500)); // Two ticks.
        let spans = pod.0.exports().accepted().trace(TRACE);
        assert_eq!(client(&spans).parent_span_id(), above, "{configuration}");
        assert_eq!(client(&spans).attribute("tracelift.parent.unrecorded"), SDK);
        assert_eq!(parents(&pod), [1, 0, 0]);
        request.respond(&mut pod.0, 200);
        assert_eq!(pod.spans().len(), 2, "{configuration}");
    }
}

#[test]
fn a_call_hangs_below_a_request_that_has_ended_also_where_recall_brings_both_back() {
    let recall = |kind: &str| json!({"enabled": true, "token": "a-secret-of-the-mesh", "cluster": kind});
    let recalled: Value = json!({"sampling": {"ratio": 0}, "upgrade": {"recall": recall("tracelift_recall")}});
    for configuration in [drop_all(), recalled] {
        let mut pod = Pod::new("web", configuration.clone());
        let request = pod.called(&unsampled());
        let above = sent(&request, &pod);
        let (well, failing) = (pod.calls(&of_sdk("02")), pod.calls(&of_sdk("02")));
        well.respond(&mut pod.0, 200);
        failing.respond(&mut pod.0, 503);
        request.respond(&mut pod.0, 200);
        let spans = pod.spans();
        let calls: Vec<_> = spans.iter().filter(|span| span.kind() == SpanKind::Client).collect();
        assert!(calls.iter().all(|call| call.parent_span_id() == above), "{spans:?}");
        let recalls = usize::from(configuration["upgrade"]["recall"].is_object());
        assert_eq!((calls.len(), spans.len()), (1 + recalls, 2 + recalls), "{configuration}");
        assert_eq!(parents(&pod), [1 + recalls as u64, 0, 0]);
    }
}

#[test]
fn copied_headers_and_recorded_parents_are_left_alone() {
    let mut pod = Pod::new("web", drop_all());
    let request = pod.called(&unsampled());
    let above = sent(&request, &pod);
    let copied = request.forwarded_headers(&pod.0);
    pod.calls(&copied).respond(&mut pod.0, 503);
    pod.calls(&of_sdk("03")).respond(&mut pod.0, 503);
    request.respond(&mut pod.0, 503);
    pod.0.advance(Duration::from_millis(1_500)); // They wait for their batch alone.
    let spans = pod.0.exports().accepted().trace(TRACE);
    let below: Vec<_> =
        spans.iter().filter(|span| span.kind() == SpanKind::Client).map(|it| it.parent_span_id()).collect();
    assert_eq!((below.len(), spans.len()), (2, 3));
    assert!(below.contains(&above) && below.iter().any(|parent| parent == SDK), "{below:?}");
    assert!(spans.iter().all(|span| !span.attribute("tracelift.parent.unrecorded").is_present()));
    assert_eq!(parents(&pod), [0, 0, 0]);
}

#[test]
fn requests_that_stay_dropped_or_were_sampled_leave_nothing_behind() {
    let mut pod = Pod::new("web", drop_all());
    for flags in ["02", "03"] {
        pod.called(&of_sdk(flags)).respond(&mut pod.0, 200);
        pod.calls(&of_sdk(flags)).respond(&mut pod.0, 200);
    }
    assert_eq!((pod.spans().len(), keys(&pod)), (2, 0));
    pod.called(&unsampled()).respond(&mut pod.0, 503);
    assert_eq!(keys(&pod), 1, "an upgraded one is shown to the calls of its application");
}

#[test]
fn twenty_thousand_upgraded_requests_fill_a_fixed_number_of_slots() {
    let mut pod = Pod::new("web", json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1000000}}));
    for number in 1..=20_000_u64 {
        let traceparent = format!("00-{:032x}-{SDK}-02", u128::from(number) * 0x9e37_79b9_7f4a_7c15);
        pod.called(&Headers::from([("traceparent", &*traceparent)])).respond(&mut pod.0, 503);
    }
    let shared = pod.0.shared_data();
    let slots: Vec<_> = shared.keys().filter(|key| key.starts_with(b"tracelift.parents.")).collect();
    assert_eq!(slots.len(), 1_024);
    assert!(
        slots.iter().all(|slot| shared
            .get(slot)
            .is_some_and(|(value, _)| value.len() <= tracelift::upgrade::parents::SLOT_BYTES))
    );
}
