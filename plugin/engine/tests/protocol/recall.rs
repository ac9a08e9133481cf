//! Recall: what is held, who may recall it, whom an upgrading instance asks, and what the answers mean.

use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::faults::Operation;
use crate::kit::host::Reply;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, get, status};

const RECALL: &str = "tracelift_recall";
const SERVER: &str = r#"{"span_kind": "server", "upgrade": {"traces_per_second": 1, "recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000}}}"#;
const CLIENT: &str = r#"{"span_kind": "client", "upgrade": {"recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000}}}"#;

fn trace(number: u32) -> String {
    format!("{number:032x}")
}

/// A dropped request of that trace, from its head to its end.
fn request(process: &mut Process, (worker, root): (usize, u32), number: u32, code: u16) -> Stream {
    let stream = process.stream(worker, root);
    stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
    process.head(&stream, get(&[("traceparent", &format!("00-{}-b7ad6b7169203331-02", trace(number)))]));
    process.answer(&stream, status(code, &[]), true);
    process.log(&stream);
    process.done(worker, stream.context);
    stream
}

/// Another instance recalls these traces. Its answer's status; `None` where the request went on.
fn recall(process: &mut Process, (worker, root): (usize, u32), token: &str, list: &str) -> Option<u32> {
    let stream = process.stream(worker, root);
    let head = [("traceparent", "ff-tracelift-recall-1"), ("x-tracelift-recall", list), ("x-tracelift-token", token)];
    let answered = process.head(&stream, get(&head));
    process.log(&stream);
    assert_eq!(answered, stream.exchange.own_answer().is_some());
    stream.exchange.own_answer().map(|(status, _)| status)
}

fn list(numbers: &[u32]) -> String {
    format!("1;{}", numbers.iter().map(|number| trace(*number)).collect::<Vec<_>>().join(","))
}

#[test]
fn a_held_span_is_given_up_to_whoever_may_recall_it() {
    let (mut process, root) = Process::with(SERVER);
    assert_eq!(request(&mut process, (0, root), 1, 200).exchange.decision(), None);
    process.tick_all();
    assert_eq!(process.metric("recall.spans"), 1);
    assert_eq!(recall(&mut process, (0, root), "secret-of-the-mesh", &list(&[1, 7])), Some(200));
    let spans = process.export();
    assert!(matches!(spans, [span] if attribute(span, "tracelift.upgrade.trigger").as_deref() == Some("recall")));
    for (name, count) in [("held", 1), ("given_up", 1), ("spans", 0), ("bytes", 0), ("requests.answered", 1)] {
        assert_eq!(process.metric(&format!("recall.{name}")), count, "{name}");
    }
}

#[test]
fn another_workers_span_is_given_up_too_and_what_ends_later_is_kept_at_once() {
    let mut process = Process::new(2);
    let roots: Vec<_> = (0..2).map(|worker| (worker, process.listener(worker, "inbound", SERVER))).collect();
    request(&mut process, roots[1], 1, 200);
    recall(&mut process, roots[0], "secret-of-the-mesh", &list(&[1]));
    process.advance(300 * MILLISECOND);
    request(&mut process, roots[1], 1, 200);
    assert_eq!(process.export().len(), 2);
    assert_eq!(process.metric("recall.held"), 1, "the later one did not wait");
}

#[test]
fn a_span_that_is_not_recalled_in_time_is_dropped() {
    let (mut process, root) = Process::with(SERVER);
    request(&mut process, (0, root), 1, 200);
    process.advance(6 * SECOND);
    recall(&mut process, (0, root), "secret-of-the-mesh", &list(&[1]));
    assert!(process.export().is_empty());
    assert_eq!((process.metric("recall.expired"), process.metric("recall.bytes")), (1, 0));
}

#[test]
fn who_may_not_recall_is_refused_and_a_crowd_is_sent_away() {
    let many = list(&(1..=40).collect::<Vec<_>>());
    for (what, token, list, expected, metric) in [
        ("a wrong token", "guess", list(&[1]), 403, "denied"),
        ("no token", "", list(&[1]), 403, "denied"),
        ("another version", "secret-of-the-mesh", "2;".to_owned() + &trace(1), 400, "refused"),
        ("no list", "secret-of-the-mesh", "1;".to_owned(), 400, "refused"),
        ("more than ten times the budget", "secret-of-the-mesh", many, 429, "busy"),
    ] {
        let (mut process, root) = Process::with(SERVER);
        request(&mut process, (0, root), 1, 200);
        assert_eq!(recall(&mut process, (0, root), token, &list), Some(expected), "{what}");
        process.tick_all();
        assert_eq!(process.metric(&format!("recall.requests.{metric}")), 1, "{what}");
        assert_eq!(process.export().len(), usize::from(metric == "busy"), "{what}: what was admitted is done");
    }
}

#[test]
fn a_request_that_looks_like_a_recall_goes_on_where_none_is_answered() {
    let edge = SERVER.replacen('{', r#"{"edge": true, "#, 1);
    for configuration in ["{}", CLIENT, &edge] {
        let (mut process, root) = Process::with(configuration);
        assert_eq!(recall(&mut process, (0, root), "secret-of-the-mesh", &list(&[1])), None, "{configuration}");
    }
}

#[test]
fn a_peer_is_known_by_its_certificate() {
    let peers = SERVER.replace(r#""token": "secret-of-the-mesh""#, r#""token": "", "peers": ["spiffe://shop/"]"#);
    for (identity, expected) in [("spiffe://shop/ns/a", 200), ("spiffe://other/", 403), ("", 403)] {
        let (mut process, root) = Process::with(&peers);
        let stream = process.stream(0, root);
        stream.exchange.set_text(Attribute::PeerIdentity, identity.as_bytes());
        let head = [("traceparent", "ff-tracelift-recall-1"), ("x-tracelift-recall", &list(&[1]))];
        assert!(process.head(&stream, get(&head)));
        let (status, headers) = stream.exchange.own_answer().expect("an answer");
        assert_eq!((status, headers.len()), (expected, 1), "{identity}");
    }
}

#[test]
fn the_instance_of_a_call_is_asked_and_its_answer_is_in_the_ledger() {
    let marked = |status| Reply::status(status).header("x-tracelift-recall", "1");
    // The answer, the counter, and what the span says: answered, outside, lost.
    for (what, reply, metric, ledger) in [
        ("it gives up what it holds", marked(200), "answered", ["1", "0", "0"]),
        ("no filter", Reply::status(404), "outside", ["0", "1", "0"]),
        ("it does not trust us", marked(403), "lost", ["0", "0", "1"]),
    ] {
        let (mut process, root) = Process::with(CLIENT);
        request(&mut process, (0, root), 1, 503);
        process.advance(300 * MILLISECOND);
        let call = process.call_to(RECALL).expect("a recall");
        assert_eq!(call.header("x-envoy-original-dst-host"), Some("10.0.0.2:8080"));
        assert_eq!(call.header("x-tracelift-recall"), Some(list(&[1]).as_str()));
        assert_eq!(process.metric("spans.offered"), 0, "{what}: its span waits for the answer");
        process.reply(&call, reply);
        let spans = process.export().to_vec();
        assert_eq!(spans.len(), 1, "{what}");
        assert_eq!(process.metric(&format!("recall.calls.{metric}")), 1, "{what}");
        let said = ["answered", "outside", "lost"]
            .map(|name| attribute(&spans[0], &format!("tracelift.calls.{name}")).unwrap_or_else(|| "0".to_owned()));
        assert_eq!(said, ledger, "{what}");
    }
}

#[test]
fn an_instance_that_is_silent_is_asked_again_and_given_up_in_time() {
    for refused in [false, true] {
        let (mut process, root) = Process::with(CLIENT);
        if refused {
            process.state.faults.set(Operation::Call, 1);
        }
        request(&mut process, (0, root), 1, 503);
        for _ in 0..20 {
            process.advance(300 * MILLISECOND);
            while let Some(call) = process.call_to(RECALL) {
                process.reply(&call, Reply::default());
            }
        }
        assert_eq!(process.metric("recall.calls.lost"), 1);
        assert!(2 < process.metric("recall.requests.sent"), "it was asked again");
        let complaints =
            process.state.logs.borrow().iter().filter(|(_, _, line)| line.contains("recall failed")).count();
        assert_eq!(complaints, usize::from(refused), "silence is no fault of the configuration");
        process.repair();
        assert_eq!(process.export().len(), 1);
    }
}

#[test]
fn what_is_held_never_outgrows_its_bound() {
    let small = SERVER.replace(r#""hold_ms": 5000"#, r#""hold_ms": 5000, "max_bytes": 4000"#);
    let (mut process, root) = Process::with(&small);
    for number in 1..=60 {
        request(&mut process, (0, root), number, 200);
        process.tick_all();
        assert!(process.metric("recall.bytes") <= 4_000);
        let sums = ["evicted", "expired", "given_up", "spans"].map(|name| process.metric(&format!("recall.{name}")));
        assert_eq!(process.metric("recall.held"), sums.iter().sum::<i64>());
    }
    assert!(40 < process.metric("recall.evicted"));
    assert!(process.exported.is_empty());
}

#[test]
fn the_end_of_the_last_root_exports_calls_that_wait_and_forgets_what_is_held() {
    let (mut process, root) = Process::with(CLIENT);
    request(&mut process, (0, root), 1, 503);
    request(&mut process, (0, root), 2, 200);
    process.advance(300 * MILLISECOND);
    assert!(!process.done(0, root), "its last export awaits an answer");
    process.collect();
    assert_eq!(process.exported.len(), 1);
    assert_eq!((process.metric("recall.calls.lost"), process.metric("recall.bytes")), (1, 0));
    assert_eq!(process.workers[0].host.roots_done(), 1);
}

#[test]
fn a_recall_that_the_host_will_not_answer_goes_on_as_a_request() {
    let (mut process, root) = Process::with(SERVER);
    process.state.faults.set(Operation::Answer, 1);
    let stream = process.stream(0, root);
    let head =
        [("traceparent", "ff-tracelift-recall-1"), ("x-tracelift-recall", &list(&[1])), ("x-tracelift-token", "x")];
    assert!(!process.head(&stream, get(&head)));
    assert!(stream.exchange.values(Side::Request, "traceparent")[0].starts_with("00-"), "a trace of its own");
    process.tick_all();
    assert_eq!(process.metric("errors.hostcall"), 1);
}
