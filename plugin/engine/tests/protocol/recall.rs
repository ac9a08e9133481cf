//! Recall: what is held, who may recall it, whom an upgrading instance asks, and what the answers mean.

use tracelift::door::{Attribute, Side};
use tracelift::trace_context::TraceId;
use tracelift::upgrade::recall::wire;

use crate::kit::collector::{COLLECTOR, attribute};
use crate::kit::faults::Operation;
use crate::kit::host::Reply;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, get, lines, status};

const RECALL: &str = "tracelift_recall";
const TOKEN: &str = "secret-of-the-mesh";
/// The address of whoever is asked.
const HERE: &str = "10.0.0.1:8080";
const SERVER: &str = r#"{"span_kind": "server", "upgrade": {"traces_per_second": 1, "recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000}}}"#;
const CLIENT: &str = r#"{"span_kind": "client", "upgrade": {"recall": {"enabled": true, "token": "secret-of-the-mesh", "hold_ms": 5000, "clusters": ["*"]}}}"#;

fn trace(number: u32) -> String {
    format!("{number:032x}")
}

/// A dropped request of that trace, from its head to its end.
fn request(process: &mut Process, at: (usize, u32), number: u32, code: u16) -> Stream {
    let stream = open(process, at, number);
    end(process, &stream, code);
    stream
}

fn open(process: &mut Process, (worker, root): (usize, u32), number: u32) -> Stream {
    let stream = process.stream(worker, root);
    stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
    process.head(&stream, get(&[("traceparent", &format!("00-{}-b7ad6b7169203331-02", trace(number)))]));
    stream
}

fn end(process: &mut Process, stream: &Stream, code: u16) {
    end_with(process, stream, code, &[]);
}

fn end_with(process: &mut Process, stream: &Stream, code: u16, more: &[(&str, &str)]) {
    process.answer(stream, status(code, more), true);
    process.log(stream);
    process.done(stream.worker, stream.context);
}

/// A request for these traces as an instance sends it to [`HERE`] now.
fn asked(process: &Process, token: &str, numbers: &[u32]) -> Vec<(&'static str, String)> {
    let id = |number: &u32| TraceId::from_u128(u128::from(*number)).expect("above zero");
    let traces: Vec<_> = numbers.iter().map(id).collect();
    wire::request(HERE, token, &traces, process.state.now.get()).into()
}

/// The same with one header changed, added or, without a value, taken off.
fn changed(
    mut head: Vec<(&'static str, String)>,
    name: &'static str,
    value: Option<&str>,
) -> Vec<(&'static str, String)> {
    head.retain(|(known, _)| *known != name);
    head.extend(value.map(|value| (name, value.to_owned())));
    head
}

/// A request comes. The status of the engine's own answer, and the stream.
fn sent(process: &mut Process, (worker, root): (usize, u32), head: &[(&'static str, String)]) -> (Option<u32>, Stream) {
    let stream = process.stream(worker, root);
    stream.exchange.set_text(Attribute::DestinationAddress, HERE.as_bytes());
    let head: Vec<_> = head.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answered = process.head(&stream, lines(&head));
    process.log(&stream);
    assert_eq!(answered, stream.exchange.own_answer().is_some());
    (stream.exchange.own_answer().map(|(status, _)| status), stream)
}

/// Another instance recalls these traces. Its answer's status; `None` where the request went on.
fn recall(process: &mut Process, at: (usize, u32), token: &str, numbers: &[u32]) -> Option<u32> {
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

#[test]
fn an_instance_is_asked_over_the_transport_of_the_call_or_not_at_all() {
    let both = CLIENT.replace(r#""hold_ms""#, r#""tls_cluster": "recall_tls", "hold_ms""#);
    let only = CLIENT.replace(r#""hold_ms""#, r#""cluster": "", "tls_cluster": "recall_tls", "hold_ms""#);
    for (configuration, tls, cluster) in [
        (CLIENT, "", Some(RECALL)),
        (CLIENT, "TLSv1.3", None),
        (&both, "", Some(RECALL)),
        (&both, "TLSv1.3", Some("recall_tls")),
        (&only, "", None),
        (&only, "TLSv1.2", Some("recall_tls")),
    ] {
        let (mut process, root) = Process::with(configuration);
        // One that failed, and one that was dropped, held, and recalled by the other.
        for (number, code) in [(1, 200), (1, 503)] {
            let stream = open(&mut process, (0, root), number);
            stream.exchange.set_text(Attribute::UpstreamTls, tls.as_bytes());
            end(&mut process, &stream, code);
        }
        process.advance(300 * MILLISECOND);
        let asked: Vec<_> = process.state.calls.borrow().iter().map(|call| call.cluster.clone()).collect();
        let asked: Vec<_> = asked.iter().filter(|cluster| *cluster != COLLECTOR).map(String::as_str).collect();
        assert_eq!(asked, Vec::from_iter(cluster), "{tls:?}");
        assert_eq!(process.metric("recall.withheld"), if cluster.is_some() { 0 } else { 2 });
    }
}

#[test]
fn the_instance_of_a_call_is_asked_and_its_answer_is_in_the_ledger() {
    let marked = |status| Reply::status(status).header("x-tracelift-recall", "2");
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
        assert_eq!(call.header("x-tracelift-recall"), Some(format!("2;{}", trace(1)).as_str()));
        assert_eq!((call.header("x-tracelift-token"), call.header(":method")), (None, Some("HEAD")));
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
    let head = asked(&process, TOKEN, &[1]);
    let (status, stream) = sent(&mut process, (0, root), &head);
    assert_eq!(status, None);
    assert!(stream.exchange.values(Side::Request, "traceparent")[0].starts_with("00-"), "a trace of its own");
    assert!(stream.exchange.values(Side::Request, "x-tracelift-mac").is_empty());
    process.tick_all();
    assert_eq!(process.metric("errors.hostcall"), 1);
}

#[test]
fn a_clock_that_was_set_back_stops_no_recall() {
    for back in [1, 3_600, 86_400] {
        let (mut process, root) = Process::with(SERVER);
        let client = process.listener(0, "outbound", CLIENT);
        process.advance(300 * MILLISECOND);
        process.state.now.set(process.state.now.get() - back * SECOND);
        process.tick_all();
        assert_eq!(process.metric("recall.clock_set_back"), 1, "once for a worker");
        request(&mut process, (0, root), 1, 200);
        request(&mut process, (0, client), 1, 503);
        process.advance(300 * MILLISECOND);
        assert!(process.call_to(RECALL).is_some(), "the call's instance is asked");
        assert_eq!(process.metric("recall.released"), 1, "{back} s: the log was looked at");
        request(&mut process, (0, root), 2, 200);
        process.advance(6 * SECOND);
        assert_eq!((process.metric("recall.expired"), process.metric("recall.spans")), (1, 0));
    }
}

#[test]
fn spans_held_before_the_clock_was_set_back_are_not_held_for_ever() {
    let (mut process, root) = Process::with(SERVER);
    process.advance(300 * MILLISECOND);
    request(&mut process, (0, root), 1, 200);
    process.state.now.set(process.state.now.get() - 86_400 * SECOND);
    process.tick_all();
    process.advance(6 * SECOND);
    assert_eq!((process.metric("recall.expired"), process.metric("recall.spans")), (1, 0));
}

#[test]
fn a_call_that_nobody_can_be_asked_for_is_counted() {
    let (mut process, root) = Process::with(CLIENT);
    let stream = open(&mut process, (0, root), 1);
    stream.exchange.set_text(Attribute::UpstreamAddress, b"/run/app.sock");
    end(&mut process, &stream, 503);
    process.tick_all();
    assert_eq!((process.metric("recall.calls.unasked"), process.export().len()), (1, 1));
    assert_eq!(attribute(&process.exported[0], "tracelift.calls.lost").as_deref(), Some("1"));
}

#[test]
fn only_an_instance_that_has_shown_the_filter_is_asked() {
    let unlisted = CLIENT.replace(r#", "clusters": ["*"]"#, "");
    let silent = unlisted.replace(r#""upgrade": {"#, r#""upgrade": {"signal": {"accept": false}, "#);
    let listed = CLIENT.replace("[\"*\"]", r#"["outbound|80|*"]"#);
    let here = |number| format!("2;here;{}", trace(number));
    for (what, configuration, cluster, mark, asked) in [
        ("nothing was shown", &unlisted, "", None, false),
        ("our mark", &unlisted, "", Some(("x-tracelift-signal", here(1))), true),
        ("our mark where signals are not believed", &silent, "", Some(("x-tracelift-signal", here(1))), true),
        ("a mark for another trace", &unlisted, "", Some(("x-tracelift-signal", here(7))), false),
        ("another version", &unlisted, "", Some(("x-tracelift-signal", here(1).replacen('2', "1", 1))), false),
        (
            "what any SDK writes",
            &unlisted,
            "",
            Some(("traceresponse", format!("00-{}-b7ad6b7169203331-00", trace(1)))),
            false,
        ),
        ("a cluster that is listed", &listed, "outbound|80||cart", None, true),
        ("a cluster that is not", &listed, "outbound|443||api.example", None, false),
    ] {
        let (mut process, root) = Process::with(configuration);
        let stream = open(&mut process, (0, root), 1);
        stream.exchange.set_text(Attribute::ClusterName, cluster.as_bytes());
        let more: Vec<_> = mark.iter().map(|(name, value)| (*name, value.as_str())).collect();
        end_with(&mut process, &stream, 503, &more);
        process.advance(300 * MILLISECOND);
        assert_eq!(process.call_to(RECALL).is_some(), asked, "{what}");
        assert_eq!(process.metric("recall.withheld"), i64::from(!asked), "{what}");
        if !asked {
            let spans = process.export();
            assert_eq!(attribute(&spans[0], "tracelift.calls.lost").as_deref(), Some("1"), "{what}: the span says so");
        }
    }
}

#[test]
fn an_instance_that_was_seen_in_the_last_hour_is_asked_when_it_says_nothing() {
    let unlisted = CLIENT.replace(r#", "clusters": ["*"]"#, "");
    for (minutes, asked) in [(59, true), (61, false)] {
        let (mut process, root) = Process::with(&unlisted);
        let seen = open(&mut process, (0, root), 1);
        end_with(&mut process, &seen, 200, &[("x-tracelift-signal", &format!("2;here;{}", trace(1)))]);
        process.advance(minutes * 60 * SECOND);
        request(&mut process, (0, root), 2, 503);
        process.advance(300 * MILLISECOND);
        assert_eq!(process.call_to(RECALL).is_some(), asked, "{minutes} minutes");
    }
}

#[test]
fn a_hop_that_holds_its_span_says_so_and_no_other_does() {
    let off = SERVER.replace(r#""enabled": true"#, r#""enabled": false"#);
    let edge = SERVER.replacen('{', r#"{"edge": true, "#, 1);
    let mute = SERVER.replace(r#""upgrade": {"#, r#""upgrade": {"signal": {"emit": false}, "#);
    let rule = SERVER.replacen('{', r#"{"sampling": {"rules": [{"match": {}, "upgrade": false}]}, "#, 1);
    let word = |stream: &Stream| {
        let values = stream.exchange.values(Side::Response, "x-tracelift-signal");
        values.first().and_then(|value| value.split(';').nth(1)).unwrap_or("nothing").to_owned()
    };
    for (configuration, code, said) in [
        (SERVER, 200, "here"),
        (SERVER, 404, "here"),
        (SERVER, 500, "upgraded"),
        (CLIENT, 200, "nothing"),
        (&off, 200, "nothing"),
        (&edge, 200, "nothing"),
        (&mute, 200, "nothing"),
        (&rule, 200, "nothing"),
    ] {
        let (mut process, root) = Process::with(configuration);
        let stream = request(&mut process, (0, root), 1, code);
        assert_eq!(word(&stream), said, "{configuration} {code}");
    }
}
