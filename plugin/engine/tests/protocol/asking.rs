//! Recall from the side of the instance that asks: whom, over what, for how long, and what becomes of what waits.

use tracelift::door::{Attribute, Side};

use crate::kit::collector::{COLLECTOR, attribute};
use crate::kit::faults::Operation;
use crate::kit::host::Reply;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream};
use crate::recall::{CLIENT, RECALL, SERVER, TOKEN, asked, end, end_with, open, request, sent, trace};

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
