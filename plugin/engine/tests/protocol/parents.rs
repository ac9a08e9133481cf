//! Late parenting: a call whose application recorded no span of its own hangs below the inbound stream that the application was
//! serving, and one whose parent is exported, or may be, is left as it is.

use opentelemetry_proto::tonic::trace::v1::Span;
use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::faults::Operation;
use crate::kit::process::{MILLISECOND, Process, SECOND, START, Stream, get, status};
use crate::recall::{CLIENT, SERVER, TOKEN, end, recall, trace};

const INBOUND: &str = r#"{"span_kind": "server", "sampling": {"ratio": 0}}"#;
pub const OUTBOUND: &str = r#"{"span_kind": "client", "sampling": {"ratio": 0}}"#;
/// The span-id of whoever calls the pod.
const CALLER: &str = "b7ad6b7169203331";
/// The span-id that an SDK makes for a span that it does not record.
pub const SDK: &str = "00f067aa0ba902b7";

/// A process with so many workers, each with both listeners of a pod.
pub struct Pod {
    pub process: Process,
    roots: Vec<(u32, u32)>,
}

impl Pod {
    pub fn new(workers: usize) -> Self {
        Self::with(workers, INBOUND, OUTBOUND)
    }

    pub fn with(workers: usize, inbound: &str, outbound: &str) -> Self {
        let mut process = Process::new(workers);
        let mut listeners =
            |worker| (process.listener(worker, "in", inbound), process.listener(worker, "out", outbound));
        let roots = (0..workers).map(&mut listeners).collect();
        Self { process, roots }
    }

    /// A request of a dropped trace comes in.
    pub fn arrives(&mut self, worker: usize, number: u32) -> Stream {
        let root = self.roots[worker].0;
        open(&mut self.process, (worker, root), &format!("00-{}-{CALLER}-02", trace(number)))
    }

    /// The application makes a call with this parent-id and this flag.
    pub fn calls(&mut self, worker: usize, number: u32, parent: &str, flags: &str) -> Stream {
        let root = self.roots[worker].1;
        open(&mut self.process, (worker, root), &format!("00-{}-{parent}-{flags}", trace(number)))
    }

    pub fn pass(&mut self, nanos: u64) {
        let now = self.process.state.now.get();
        self.process.state.now.set(now + nanos);
    }

    pub fn counts(&self) -> [i64; 3] {
        ["found", "ambiguous", "unknown"].map(|name| self.process.metric(&format!("parents.{name}")))
    }

    /// The span of that stream, once everything that waits has had its time.
    pub fn span(&mut self, stream: &Stream) -> Span {
        let id = sent(stream);
        (0..3).for_each(|_| {
            self.process.export();
        });
        let spans = &self.process.exported;
        spans
            .iter()
            .find(|span| hex(&span.span_id) == id)
            .cloned()
            .unwrap_or_else(|| panic!("{id} is not in {spans:?}"))
    }
}

fn open(process: &mut Process, (worker, root): (usize, u32), traceparent: &str) -> Stream {
    let stream = process.stream(worker, root);
    stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
    process.head(&stream, get(&[("traceparent", traceparent)]));
    stream
}

/// The span-id that a stream sent upstream.
pub fn sent(stream: &Stream) -> String {
    stream.exchange.values(Side::Request, "traceparent")[0][36..52].to_owned()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unrecorded(span: &Span) -> Option<String> {
    attribute(span, "tracelift.parent.unrecorded")
}

#[test]
fn a_call_of_an_sdk_that_recorded_nothing_hangs_below_the_request_it_was_made_for() {
    let mut pod = Pod::new(2);
    let request = pod.arrives(0, 1);
    pod.pass(5 * MILLISECOND);
    let call = pod.calls(1, 1, SDK, "02");
    pod.pass(5 * MILLISECOND);
    end(&mut pod.process, &call, 503);
    pod.pass(5 * MILLISECOND);
    end(&mut pod.process, &request, 200); // The application has swallowed it.
    let span = pod.span(&call);
    assert_eq!(hex(&span.parent_span_id), sent(&request));
    assert_eq!(unrecorded(&span).as_deref(), Some(SDK));
    let root = pod.span(&request);
    assert_eq!((hex(&root.parent_span_id).as_str(), unrecorded(&root)), (CALLER, None));
    assert_eq!(pod.counts(), [1, 0, 0]);
}

#[test]
fn where_headers_are_copied_nothing_waits_and_nothing_changes() {
    let mut pod = Pod::new(2);
    let request = pod.arrives(0, 1);
    let own = sent(&request);
    let call = pod.calls(1, 1, &own, "02");
    end(&mut pod.process, &call, 503);
    end(&mut pod.process, &request, 503);
    pod.process.tick_all();
    assert_eq!(pod.process.metric("spans.offered"), 2, "neither has waited");
    let span = pod.span(&call);
    assert_eq!((hex(&span.parent_span_id), unrecorded(&span)), (own, None));
    assert_eq!(pod.counts(), [0, 0, 0]);
}

#[test]
fn work_after_the_answer_of_an_application_that_copies_headers_keeps_its_parent() {
    let mut pod = Pod::new(1);
    let (first, second) = (pod.arrives(0, 1), pod.arrives(0, 1));
    end(&mut pod.process, &first, 503);
    pod.pass(SECOND);
    let call = pod.calls(0, 1, &sent(&first), "02");
    end(&mut pod.process, &call, 503);
    end(&mut pod.process, &second, 200);
    let span = pod.span(&call);
    assert_eq!((hex(&span.parent_span_id), unrecorded(&span)), (sent(&first), None));
    assert_eq!(pod.counts(), [0, 0, 0]);
}

#[test]
fn a_call_that_may_belong_to_either_of_two_requests_is_left_as_it_is_and_counted() {
    let mut pod = Pod::new(2);
    let (first, second) = (pod.arrives(0, 1), pod.arrives(1, 1));
    pod.pass(MILLISECOND);
    let call = pod.calls(1, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    pod.pass(MILLISECOND);
    end(&mut pod.process, &first, 200);
    end(&mut pod.process, &second, 200);
    let span = pod.span(&call);
    assert_eq!((hex(&span.parent_span_id).as_str(), unrecorded(&span)), (SDK, None));
    assert_eq!(pod.counts(), [0, 1, 0]);
}

#[test]
fn of_two_requests_the_one_that_was_running_is_chosen() {
    let mut pod = Pod::new(2);
    let first = pod.arrives(0, 1);
    end(&mut pod.process, &first, 503);
    pod.pass(SECOND);
    let second = pod.arrives(0, 1);
    let call = pod.calls(1, 1, SDK, "02");
    end(&mut pod.process, &call, 200);
    end(&mut pod.process, &second, 200);
    let span = pod.span(&call);
    assert_eq!(attribute(&span, "tracelift.sampling.reason").as_deref(), Some("upgraded"), "a later call of the trace");
    assert_eq!(hex(&span.parent_span_id), sent(&second));
    assert_eq!(pod.counts(), [1, 0, 0]);
}

#[test]
fn a_call_for_which_no_request_is_known_waits_for_five_seconds_and_goes_out_as_it_is() {
    let mut pod = Pod::new(1);
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    for _ in 0..4 {
        pod.process.advance(SECOND);
    }
    assert_eq!((pod.process.metric("spans.offered"), pod.counts()), (0, [0, 0, 0]), "it waits");
    pod.process.advance(SECOND);
    pod.process.tick_all();
    assert_eq!(pod.process.metric("spans.offered"), 1, "by the next tick it would have waited for too long");
    let span = pod.span(&call);
    assert_eq!((hex(&span.parent_span_id).as_str(), unrecorded(&span)), (SDK, None));
    assert_eq!(pod.counts(), [0, 0, 1]);
}

#[test]
fn a_request_that_still_runs_in_another_worker_is_found_within_two_ticks() {
    let auto = r#"{"sampling": {"ratio": 0}}"#;
    for (inbound, outbound) in [(INBOUND, OUTBOUND), (auto, auto)] {
        let mut pod = Pod::with(2, inbound, outbound);
        let request = pod.arrives(0, 1);
        let other = pod.arrives(0, 2);
        let call = pod.calls(1, 1, SDK, "02");
        for stream in [&request, &other] {
            stream.exchange.set_number(Attribute::ListenerDirection, 1);
        }
        call.exchange.set_number(Attribute::ListenerDirection, 2);
        pod.pass(MILLISECOND);
        end(&mut pod.process, &call, 503);
        pod.process.advance(SECOND);
        pod.process.advance(SECOND);
        pod.process.tick_all();
        assert_eq!((pod.process.metric("spans.offered"), pod.counts()), (1, [1, 0, 0]), "{inbound}");
        let span = pod.span(&call);
        assert_eq!((hex(&span.parent_span_id), unrecorded(&span).as_deref()), (sent(&request), Some(SDK)), "{inbound}");
        end(&mut pod.process, &request, 200);
        assert_eq!(hex(&pod.span(&request).parent_span_id), CALLER, "and it is exported");
    }
}

#[test]
fn one_candidate_is_not_believed_before_every_worker_has_shown_its_own() {
    let mut pod = Pod::new(2);
    let (first, second) = (pod.arrives(0, 1), pod.arrives(1, 1));
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    end(&mut pod.process, &first, 200);
    pod.pass(SECOND); // The worker of the call ticks first, and knows of one request.
    let (inbound, outbound) = pod.roots[0];
    pod.process.tick(0, inbound);
    pod.process.tick(0, outbound);
    assert_eq!(pod.counts(), [0, 0, 0]);
    pod.process.tick(1, pod.roots[1].0);
    pod.pass(SECOND);
    pod.process.tick_all();
    assert_eq!(pod.counts(), [0, 1, 0]);
    end(&mut pod.process, &second, 200);
    assert_eq!(hex(&pod.span(&call).parent_span_id), SDK);
}

#[test]
fn a_request_that_will_stay_dropped_is_nobodys_parent() {
    let mut pod = Pod::new(1);
    let request = pod.arrives(0, 1);
    pod.process.answer(&request, status(200, &[]), false); // Its head is gone before anything fails, and recall is off.
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    let span = pod.span(&call);
    assert_eq!((hex(&span.parent_span_id).as_str(), pod.counts()), (SDK, [0, 0, 1]));
    pod.process.body_end(&request);
    pod.process.log(&request);
    assert_eq!(pod.process.export().len(), 1);
}

#[test]
fn what_a_recall_brings_back_is_parented_alike() {
    let mut pod = Pod::with(2, SERVER, CLIENT);
    let request = pod.arrives(0, 1);
    pod.pass(MILLISECOND);
    let call = pod.calls(1, 1, SDK, "02");
    pod.pass(MILLISECOND);
    end(&mut pod.process, &call, 200);
    pod.pass(MILLISECOND);
    end(&mut pod.process, &request, 200);
    let root = pod.roots[0].0;
    assert_eq!(recall(&mut pod.process, (0, root), TOKEN, &[1]), Some(200));
    let span = pod.span(&call);
    assert_eq!(attribute(&span, "tracelift.upgrade.trigger").as_deref(), Some("recall"));
    assert_eq!((hex(&span.parent_span_id), unrecorded(&span).as_deref()), (sent(&request), Some(SDK)));
    assert_eq!(hex(&pod.span(&request).parent_span_id), CALLER);
    assert_eq!(pod.counts(), [1, 0, 0]);
}

#[test]
fn a_parent_whose_flag_says_that_it_is_recorded_is_never_touched() {
    let mut pod = Pod::new(1);
    let request = pod.arrives(0, 1);
    let call = pod.calls(0, 1, SDK, "03");
    end(&mut pod.process, &call, 503);
    end(&mut pod.process, &request, 503);
    pod.process.tick_all();
    assert_eq!(pod.process.metric("spans.offered"), 2);
    let span = pod.span(&call);
    assert_eq!((hex(&span.parent_span_id).as_str(), unrecorded(&span)), (SDK, None));
    assert_eq!(pod.counts(), [0, 0, 0]);
}

#[test]
fn a_process_without_an_application_has_nothing_to_wait_for() {
    for configuration in [OUTBOUND, r#"{"span_kind": "both", "sampling": {"ratio": 0}}"#] {
        let (mut process, root) = Process::with(configuration);
        let call = open(&mut process, (0, root), &format!("00-{}-{SDK}-02", trace(1)));
        end(&mut process, &call, 503);
        process.tick_all();
        assert!(0 < process.metric("spans.offered"), "{configuration}");
        assert!(
            process.state.shared.keys().iter().all(|key| !key.starts_with(b"tracelift.parents")),
            "{configuration}"
        );
    }
}

#[test]
fn where_listeners_do_not_hear_of_each_other_nothing_waits() {
    let silent = r#"{"span_kind": "server", "upgrade": {"signal": {"accept": false}}}"#;
    let mut pod = Pod::with(1, silent, OUTBOUND);
    let request = pod.arrives(0, 1);
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    end(&mut pod.process, &request, 503);
    pod.process.tick_all();
    assert_eq!((pod.process.metric("spans.offered"), pod.counts()), (2, [0, 0, 0]));
}

#[test]
fn nothing_is_written_or_held_for_requests_that_stay_dropped_or_were_sampled() {
    let mut pod = Pod::new(1);
    for flags in ["02", "03"] {
        let call = pod.calls(0, 1, SDK, flags);
        end(&mut pod.process, &call, 200);
        let root = pod.roots[0].0;
        let request = open(&mut pod.process, (0, root), &format!("00-{}-{CALLER}-{flags}", trace(1)));
        end(&mut pod.process, &request, 200);
    }
    pod.process.tick_all();
    assert_eq!(pod.process.metric("spans.offered"), 2);
    assert!(pod.process.state.shared.keys().iter().all(|key| !key.starts_with(b"tracelift.parents")));
}

#[test]
fn what_finds_no_room_to_wait_goes_out_at_once_and_is_counted() {
    let mut pod = Pod::with(
        1,
        INBOUND,
        r#"{"span_kind": "client", "sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 100000}, "export": {"max_queue_size": 10000, "max_queue_bytes": 16777216}}"#,
    );
    let calls: u32 = 1_500;
    for number in 1..=calls {
        let call = pod.calls(0, number, SDK, "02");
        end(&mut pod.process, &call, 503);
    }
    pod.process.tick_all();
    let at_once = pod.process.metric("spans.offered");
    assert!(0 < at_once && at_once < i64::from(calls), "{at_once}");
    assert_eq!(pod.counts(), [0, 0, at_once]);
    for _ in 0..3 {
        pod.process.export();
    }
    assert_eq!(pod.process.exported.len(), 1_500, "none is lost");
    assert_eq!(pod.counts(), [0, 0, 1_500]);
}

#[test]
fn a_clock_that_is_set_back_makes_no_call_wait_for_longer() {
    let mut pod = Pod::new(1);
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    pod.process.tick_all();
    pod.process.state.now.set(START - 86_400 * SECOND);
    pod.process.tick_all();
    for _ in 0..5 {
        pod.process.advance(SECOND);
    }
    pod.process.tick_all();
    assert_eq!((pod.process.metric("spans.offered"), pod.counts()), (1, [0, 0, 1]));
    // And the log is read again at once, by the new time.
    let request = pod.arrives(0, 2);
    let call = pod.calls(0, 2, SDK, "02");
    end(&mut pod.process, &call, 503);
    pod.process.advance(SECOND);
    pod.process.advance(SECOND);
    pod.process.tick_all();
    assert_eq!(pod.counts(), [1, 0, 1]);
    end(&mut pod.process, &request, 200);
}

#[test]
fn at_the_end_of_the_vm_what_waits_goes_out_with_the_parent_that_it_has() {
    let mut pod = Pod::new(1);
    let request = pod.arrives(0, 1);
    let call = pod.calls(0, 1, SDK, "02");
    end(&mut pod.process, &call, 503);
    end(&mut pod.process, &request, 503);
    let (inbound, outbound) = pod.roots[0];
    pod.process.done(0, inbound);
    assert_eq!(pod.counts(), [0, 0, 0], "another root is left, and the wait goes on there");
    pod.process.done(0, outbound);
    pod.process.collect();
    assert_eq!((pod.process.exported.len(), pod.counts()), (2, [0, 0, 1]));
    let span = pod.process.exported.iter().find(|span| hex(&span.span_id) == sent(&call)).expect("exported");
    assert_eq!((hex(&span.parent_span_id).as_str(), unrecorded(span)), (SDK, None));
}

#[test]
fn a_host_whose_workers_share_nothing_loses_no_span() {
    for operation in [Operation::Shared, Operation::Swap, Operation::Number, Operation::Attributes] {
        let mut pod = Pod::new(2);
        pod.process.state.faults.set(operation, 1);
        let request = pod.arrives(0, 1);
        let call = pod.calls(1, 1, SDK, "02");
        end(&mut pod.process, &call, 503);
        pod.process.advance(SECOND);
        end(&mut pod.process, &request, 503);
        for _ in 0..7 {
            pod.process.advance(SECOND);
        }
        pod.process.repair();
        assert_eq!(pod.process.export().len(), 2, "{operation:?}");
        assert_eq!(pod.counts().iter().sum::<i64>(), 1, "{operation:?}");
    }
}
