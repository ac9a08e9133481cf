//! Recall: what is held, who may recall it, whom an upgrading instance asks, and what the answers mean.

use tracelift::door::{Attribute, Side};
use tracelift::trace_context::TraceId;
use tracelift::upgrade::recall::wire;

use crate::kit::collector::attribute;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, get, lines, status};

pub(super) const RECALL: &str = "tracelift_recall";
pub(super) const TOKEN: &str = "secret-of-the-mesh";
/// The address of whoever is asked.
pub(super) const HERE: &str = "10.0.0.1:8080";
pub(super) const SERVER: &str = r#"{"span_kind": "server", "upgrade": {"traces_per_second": 1, "recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000}}}"#;
pub(super) const CLIENT: &str = r#"{"span_kind": "client", "upgrade": {"recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000, "clusters": ["*"]}}}"#;

pub(super) fn trace(number: u32) -> String {
    format!("{number:032x}")
}

/// A dropped request of that trace, from its head to its end.
pub(super) fn request(process: &mut Process, at: (usize, u32), number: u32, code: u16) -> Stream {
    let stream = open(process, at, number);
    end(process, &stream, code);
    stream
}

pub(super) fn open(process: &mut Process, (worker, root): (usize, u32), number: u32) -> Stream {
    let stream = process.stream(worker, root);
    stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
    process.head(&stream, get(&[("traceparent", &format!("00-{}-b7ad6b7169203331-02", trace(number)))]));
    stream
}

pub(super) fn end(process: &mut Process, stream: &Stream, code: u16) {
    end_with(process, stream, code, &[]);
}

pub(super) fn end_with(process: &mut Process, stream: &Stream, code: u16, more: &[(&str, &str)]) {
    process.answer(stream, status(code, more), true);
    process.log(stream);
    process.done(stream.worker, stream.context);
}

/// A request for these traces as an instance sends it to [`HERE`] now.
pub(super) fn asked(process: &Process, token: &str, numbers: &[u32]) -> Vec<(&'static str, String)> {
    let id = |number: &u32| TraceId::from_u128(u128::from(*number)).expect("above zero");
    let traces: Vec<_> = numbers.iter().map(id).collect();
    wire::request(HERE, token, &traces, process.state.now.get()).into()
}

/// The same with one header changed, added or, without a value, taken off.
pub(super) fn changed(
    mut head: Vec<(&'static str, String)>,
    name: &'static str,
    value: Option<&str>,
) -> Vec<(&'static str, String)> {
    head.retain(|(known, _)| *known != name);
    head.extend(value.map(|value| (name, value.to_owned())));
    head
}

/// A request comes. The status of the engine's own answer, and the stream.
pub(super) fn sent(
    process: &mut Process,
    (worker, root): (usize, u32),
    head: &[(&'static str, String)],
) -> (Option<u32>, Stream) {
    let stream = process.stream(worker, root);
    stream.exchange.set_text(Attribute::DestinationAddress, HERE.as_bytes());
    let head: Vec<_> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answered = process.head(&stream, lines(&head));
    process.log(&stream);
    assert_eq!(answered, stream.exchange.own_answer().is_some());
    (stream.exchange.own_answer().map(|(status, _)| status), stream)
}

/// Another instance recalls these traces. Its answer's status; `None` where the request went on.
pub(super) fn recall(process: &mut Process, at: (usize, u32), token: &str, numbers: &[u32]) -> Option<u32> {
    let head = asked(process, token, numbers);
    sent(process, at, &head).0
}

#[test]
fn a_held_span_is_given_up_to_whoever_may_recall_it() {
    let (mut process, root) = Process::with(SERVER);
    assert_eq!(request(&mut process, (0, root), 1, 200).exchange.decision(), None);
    process.tick_all();
    assert_eq!(process.metric("recall.spans"), 1);
    assert_eq!(recall(&mut process, (0, root), TOKEN, &[1, 7]), Some(200));
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
    recall(&mut process, roots[0], TOKEN, &[1]);
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
    recall(&mut process, (0, root), TOKEN, &[1]);
    assert!(process.export().is_empty());
    assert_eq!((process.metric("recall.expired"), process.metric("recall.bytes")), (1, 0));
}

#[test]
fn who_may_not_recall_is_refused_and_a_crowd_is_sent_away() {
    let many: Vec<_> = (1..=40).collect();
    let id = trace(1);
    let v1 = format!("1;{id}");
    type Change<'a> = (&'static str, Option<&'a str>);
    for (what, token, numbers, change, expected, metric) in [
        ("a wrong secret", "guess", &[1][..], None, 403, "denied"),
        ("no MAC", TOKEN, &[1], Some(("x-tracelift-mac", None)), 403, "denied"),
        ("the secret itself", TOKEN, &[1], Some(("x-tracelift-mac", Some(TOKEN))), 403, "denied"),
        ("other traces", TOKEN, &[2], Some(("x-tracelift-recall", Some(v1.as_str()))), 403, "denied"),
        ("another instance", TOKEN, &[1], Some(("x-envoy-original-dst-host", Some("10.0.0.9:8080"))), 403, "denied"),
        ("no list", TOKEN, &[], None, 400, "refused"),
        ("a later version", TOKEN, &[1], Some(("traceparent", Some("ff-tracelift-recall-9"))), 400, "refused"),
        ("no version", TOKEN, &[1], Some(("traceparent", Some("ff-tracelift-recall-"))), 400, "refused"),
        ("the version before", TOKEN, &[1], Some(("traceparent", Some("ff-tracelift-recall-1"))), 400, "refused"),
        ("more than ten times the budget", TOKEN, &many, None, 429, "busy"),
    ] as [(_, _, &[u32], Option<Change<'_>>, _, _); 10]
    {
        let (mut process, root) = Process::with(SERVER);
        request(&mut process, (0, root), 1, 200);
        let mut head = asked(&process, token, numbers);
        if let Some((name, value)) = change {
            head = changed(head, name, value);
        }
        let (status, stream) = sent(&mut process, (0, root), &head);
        assert_eq!(status, Some(expected), "{what}");
        let (_, headers) = stream.exchange.own_answer().expect("an answer");
        assert_eq!(headers, [(b"x-tracelift-recall".to_vec(), b"2".to_vec())], "{what}");
        process.tick_all();
        assert_eq!(process.metric(&format!("recall.requests.{metric}")), 1, "{what}");
        assert_eq!(process.export().len(), usize::from(metric == "busy"), "{what}: what was admitted is done");
    }
}

#[test]
fn a_recall_is_good_for_a_minute_and_for_the_instance_that_it_was_sent_to() {
    for (seconds, own, expected) in [
        (0, HERE, 200),
        (60, HERE, 200),
        (61, HERE, 403),
        (0, "10.0.0.9:8080", 403),
        (0, "10.0.0.1:8081", 403),
        (0, "/run/inbound.sock", 200),
        (0, "", 200),
    ] {
        let (mut process, root) = Process::with(SERVER);
        let overheard = asked(&process, TOKEN, &[1]);
        process.advance(seconds * SECOND);
        let stream = process.stream(0, root);
        stream.exchange.set_text(Attribute::DestinationAddress, own.as_bytes());
        let head: Vec<_> = overheard.iter().map(|(name, value)| (*name, value.as_str())).collect();
        process.head(&stream, lines(&head));
        assert_eq!(stream.exchange.own_answer().map(|(status, _)| status), Some(expected), "{own} after {seconds} s");
    }
}

#[test]
fn an_instance_behind_a_nat_knows_its_other_addresses() {
    let known = SERVER.replace(r#""hold_ms""#, r#""addresses": ["10.96.0.12:80"], "hold_ms""#);
    for (configuration, expected) in [(known.as_str(), 200), (SERVER, 403)] {
        let (mut process, root) = Process::with(configuration);
        let id = [TraceId::from_u128(1).expect("above zero")];
        let head = wire::request("10.96.0.12:80", TOKEN, &id, process.state.now.get());
        assert_eq!(sent(&mut process, (0, root), &head).0, Some(expected));
    }
}

#[test]
fn both_secrets_are_good_while_one_is_changed() {
    let both = SERVER.replace(r#""hold_ms""#, r#""previous_token": "the-secret-before-it", "hold_ms""#);
    for (token, expected) in [(TOKEN, 200), ("the-secret-before-it", 200), ("", 403)] {
        let (mut process, root) = Process::with(&both);
        assert_eq!(recall(&mut process, (0, root), token, &[1]), Some(expected), "{token}");
    }
    let (mut process, root) =
        Process::with(&CLIENT.replace(r#""hold_ms""#, r#""previous_token": "before", "hold_ms""#));
    request(&mut process, (0, root), 1, 503);
    process.advance(300 * MILLISECOND);
    let call = process.call_to(RECALL).expect("a recall");
    let value = |name| call.header(name).expect("it").as_bytes().to_vec();
    let said = wire::statement(b"10.0.0.2:8080", call.header("x-tracelift-recall").expect("ids").as_bytes());
    let signed = |key: &[u8]| said.is_signed([key, b""], &value("x-tracelift-mac"), process.state.now.get());
    assert!(signed(TOKEN.as_bytes()) && !signed(b"before"), "requests are signed with the first one");
}

#[test]
fn the_version_before_is_answered_only_where_that_is_configured() {
    let accepting = SERVER.replace(r#""hold_ms""#, r#""accept_previous": true, "hold_ms""#);
    for (configuration, token, expected) in
        [(accepting.as_str(), TOKEN, 200), (accepting.as_str(), "guess", 403), (SERVER, TOKEN, 400)]
    {
        let (mut process, root) = Process::with(configuration);
        request(&mut process, (0, root), 1, 200);
        let list = format!("1;{}", trace(1));
        let head =
            [("traceparent", "ff-tracelift-recall-1"), ("x-tracelift-recall", &list), ("x-tracelift-token", token)];
        let stream = process.stream(0, root);
        assert!(process.head(&stream, get(&head)));
        assert_eq!(stream.exchange.own_answer().map(|(status, _)| status), Some(expected), "{token}");
        process.log(&stream);
        assert_eq!(process.export().len(), usize::from(expected == 200));
    }
}

#[test]
fn a_request_that_looks_like_a_recall_goes_on_without_our_headers_where_none_is_answered() {
    let edge = SERVER.replacen('{', r#"{"edge": true, "#, 1);
    for configuration in ["{}", CLIENT, &edge] {
        let (mut process, root) = Process::with(configuration);
        let head = changed(asked(&process, TOKEN, &[1]), "x-tracelift-token", Some(TOKEN));
        let (status, stream) = sent(&mut process, (0, root), &head);
        assert_eq!(status, None, "{configuration}");
        let names = stream.exchange.side(Side::Request);
        assert!(names.iter().all(|(name, _)| !name.starts_with(b"x-tracelift-")), "{configuration}");
        assert!(stream.exchange.values(Side::Request, "traceparent")[0].starts_with("00-"), "a trace of its own");
    }
}

#[test]
fn what_shows_an_outside_origin_is_no_recall() {
    for (name, value) in [("x-forwarded-for", "203.0.113.9"), ("x-envoy-external-address", "203.0.113.9")] {
        let (mut process, root) = Process::with(SERVER);
        request(&mut process, (0, root), 1, 200);
        let head = changed(asked(&process, TOKEN, &[1]), name, Some(value));
        let (status, stream) = sent(&mut process, (0, root), &head);
        assert_eq!(status, None, "{name}");
        assert!(stream.exchange.values(Side::Request, "x-tracelift-mac").is_empty());
        process.export();
        assert_eq!((process.metric("recall.requests.outside"), process.metric("upgrades.recall")), (1, 0));
    }
}

#[test]
fn the_mark_does_not_pass_an_edge_whose_propagators_do_not_read_it() {
    for propagators in ["b3", "xray", "tracecontext"] {
        let edge = format!(r#"{{"edge": true, "propagators": ["{propagators}"]}}"#);
        for version in ["1", "2", "9", "2,00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            let (mut process, root) = Process::with(&edge);
            let mark = format!(" ff-tracelift-recall-{version}").trim_start().to_owned();
            let head = changed(asked(&process, TOKEN, &[1]), "traceparent", Some(&mark));
            let (_, stream) = sent(&mut process, (0, root), &head);
            let left = stream.exchange.values(Side::Request, "traceparent");
            assert!(left.iter().all(|value| value.starts_with("00-")), "{propagators}: {left:?}");
            assert!(stream.exchange.values(Side::Request, "x-tracelift-mac").is_empty(), "{propagators}");
        }
        let (mut process, root) = Process::with(&edge);
        let (_, stream) = sent(&mut process, (0, root), &[("traceparent", "ff-tracelift-recal".to_owned())]);
        let kept = stream.exchange.values(Side::Request, "traceparent").iter().any(|value| value.starts_with("ff-"));
        assert_eq!(kept, propagators != "tracecontext", "another text is not ours");
    }
}

#[test]
fn a_peer_is_known_by_its_certificate_and_by_the_secret() {
    let peers = SERVER.replace(r#""hold_ms""#, r#""peers": ["spiffe://shop/"], "hold_ms""#);
    for (identity, token, expected) in [
        ("spiffe://shop/ns/a", TOKEN, 200),
        ("spiffe://shop/ns/a", "guess", 403),
        ("spiffe://other/", TOKEN, 403),
        ("", TOKEN, 403),
    ] {
        let (mut process, root) = Process::with(&peers);
        let stream = process.stream(0, root);
        stream.exchange.set_text(Attribute::PeerIdentity, identity.as_bytes());
        let head = asked(&process, token, &[1]);
        let head: Vec<_> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert!(process.head(&stream, lines(&head)));
        let (status, headers) = stream.exchange.own_answer().expect("an answer");
        assert_eq!((status, headers.len()), (expected, 1), "{identity}");
    }
}
