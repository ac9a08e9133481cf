//! The upgrade signal: written for the caller, believed of the upstream, joined across the listeners of a pod.

use tracelift::door::{Attribute, Side};

use crate::kit::process::{Process, SECOND, Stream, get, status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const UPGRADED: &str = "2;upgraded;0af7651916cd43dd8448eb211c80319c";
const SHED: &str = "2;shed;0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "2;upgraded;4bf92f3577b34da6a3ce929d0e0e4736";
/// As any SDK answers a sampled and an unsampled request.
const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00";
const DROPPED: (&str, &str) = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02");

/// A dropped request of our trace, up to its answer.
fn answered(process: &mut Process, (worker, root): (usize, u32), code: u16, more: &[(&str, &str)]) -> Stream {
    let stream = process.stream(worker, root);
    process.head(&stream, get(&[DROPPED]));
    process.answer(&stream, status(code, more), true);
    stream
}

fn ended(process: &mut Process, stream: &Stream) -> Option<String> {
    process.log(stream);
    stream.exchange.decision()
}

fn said(stream: &Stream) -> (Vec<String>, Vec<String>) {
    let said = |name| stream.exchange.values(Side::Response, name);
    (said("traceresponse"), said("server-timing"))
}

fn marks(stream: &Stream) -> Vec<String> {
    stream.exchange.values(Side::Response, "x-tracelift-signal")
}

#[test]
fn a_failure_is_announced_beside_what_the_application_wrote() {
    let (mut process, root) = Process::with("{}");
    let stream = answered(&mut process, (0, root), 500, &[("server-timing", "db;dur=5"), ("traceresponse", "mine")]);
    let (context, timing) = said(&stream);
    let parent = stream.exchange.values(Side::Request, "traceparent")[0][36..52].to_owned();
    assert_eq!(context, [format!("00-{TRACE}-{parent}-03")]);
    assert_eq!(timing, ["db;dur=5".to_owned(), format!("trace;desc=00-{TRACE}-{parent}-03")]);
    assert_eq!(marks(&stream), [UPGRADED]);
}

/// What it is, our mark, the answer's status, what the request is kept for, and what the caller hears.
type Row<'a> = (&'a str, &'a str, u16, Option<&'a str>, &'a [&'a str]);

#[test]
fn an_upstream_is_believed_for_this_trace_alone() {
    let rows: [Row<'_>; 10] = [
        ("an upgrade below", UPGRADED, 200, Some("upgraded.signal"), &[UPGRADED]),
        ("an upgrade below, and a failure", UPGRADED, 500, Some("upgraded.http_status"), &[UPGRADED]),
        ("shed below, and a failure", SHED, 500, None, &[SHED]),
        ("shed below, and all is fine", SHED, 200, None, &[SHED]),
        (
            "kept below",
            "2;kept;0af7651916cd43dd8448eb211c80319c",
            200,
            None,
            &["2;kept;0af7651916cd43dd8448eb211c80319c"],
        ),
        ("another trace", OTHER, 200, None, &[OTHER]),
        ("another trace, and a failure", OTHER, 500, Some("upgraded.http_status"), &[UPGRADED]),
        ("no mark", "nonsense", 200, None, &["nonsense"]),
        (
            "of the future",
            "3;upgraded;0af7651916cd43dd8448eb211c80319c",
            200,
            None,
            &["3;upgraded;0af7651916cd43dd8448eb211c80319c"],
        ),
        ("no mark, and a failure", "nonsense", 500, Some("upgraded.http_status"), &[UPGRADED]),
    ];
    for (what, mark, code, kept, heard) in rows {
        let (mut process, root) = Process::with("{}");
        let stream = answered(&mut process, (0, root), code, &[("x-tracelift-signal", mark)]);
        assert_eq!(marks(&stream), heard, "{what}");
        assert_eq!(ended(&mut process, &stream).as_deref(), kept, "{what}");
    }
}

#[test]
fn a_mark_in_several_lines_is_read_as_one() {
    let (mut process, root) = Process::with("{}");
    let lines = [("x-tracelift-signal", OTHER), ("x-tracelift-signal", UPGRADED)];
    let stream = answered(&mut process, (0, root), 200, &lines);
    assert_eq!(marks(&stream), [UPGRADED]);
    assert_eq!(ended(&mut process, &stream).as_deref(), Some("upgraded.signal"));
}

#[test]
fn what_any_sdk_writes_neither_sheds_nor_upgrades() {
    let timing = |context| format!("trace;desc={context}");
    for (context, code, kept) in [
        (UNSAMPLED, 500, Some("upgraded.http_status")),
        (UNSAMPLED, 200, None),
        (CONTEXT, 200, None),
        (CONTEXT, 500, Some("upgraded.http_status")),
    ] {
        for more in
            [vec![("traceresponse", context)], vec![("server-timing", &*timing(context)), ("traceresponse", context)]]
        {
            let (mut process, root) = Process::with("{}");
            let stream = answered(&mut process, (0, root), code, &more);
            assert_eq!(ended(&mut process, &stream).as_deref(), kept, "{code} {more:?}");
            process.tick_all();
            assert_eq!(process.metric("upgrades.shed"), 0);
        }
    }
}

#[test]
fn the_previous_version_is_understood_where_the_configuration_says_so() {
    let configuration = r#"{"upgrade": {"signal": {"accept_previous": true}}}"#;
    let timing = |context| format!("db;dur=5, trace;desc={context}");
    for (context, with_timing, code, kept) in [
        (CONTEXT, true, 200, Some("upgraded.signal")),
        (CONTEXT, false, 200, None),
        (UNSAMPLED, true, 500, None),
        (UNSAMPLED, false, 500, Some("upgraded.http_status")),
    ] {
        let (mut process, root) = Process::with(configuration);
        let timing = timing(context);
        let more = [("traceresponse", context), ("server-timing", &*timing)];
        let more = if with_timing { &more[..] } else { &more[..1] };
        let stream = answered(&mut process, (0, root), code, more);
        assert_eq!(ended(&mut process, &stream).as_deref(), kept, "{code} {more:?}");
    }
    // Our own mark counts before it.
    let (mut process, root) = Process::with(configuration);
    let timing = timing(CONTEXT);
    let more = [("traceresponse", CONTEXT), ("server-timing", &*timing), ("x-tracelift-signal", SHED)];
    let stream = answered(&mut process, (0, root), 500, &more);
    assert_eq!(ended(&mut process, &stream), None);
}

#[test]
fn server_timing_alone_is_believed_where_the_configuration_says_so() {
    let believing = r#"{"upgrade": {"signal": {"accept_server_timing": true}}}"#;
    let of = |context: &str| format!("db;dur=5, trace;desc=\"{context}\"");
    for (configuration, context, code, kept) in [
        (believing, CONTEXT, 200, Some("upgraded.signal")),
        (believing, UNSAMPLED, 200, None),
        (believing, UNSAMPLED, 500, Some("upgraded.http_status")),
        (believing, "00-11f7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", 200, None),
        ("{}", CONTEXT, 200, None),
        (r#"{"upgrade": {"signal": {"accept_server_timing": true, "accept": false}}}"#, CONTEXT, 200, None),
    ] {
        let timing = of(context);
        for more in [&[("server-timing", &*timing)][..], &[("server-timing", "db"), ("server-timing", &timing)]] {
            let (mut process, root) = Process::with(configuration);
            let stream = answered(&mut process, (0, root), code, more);
            assert_eq!(ended(&mut process, &stream).as_deref(), kept, "{configuration} {code} {more:?}");
        }
    }
    // Our own mark counts before it.
    let (mut process, root) = Process::with(believing);
    let timing = of(CONTEXT);
    let stream = answered(&mut process, (0, root), 500, &[("server-timing", &*timing), ("x-tracelift-signal", SHED)]);
    assert_eq!(ended(&mut process, &stream), None);
}

#[test]
fn a_signal_that_is_passed_on_names_this_hop_and_is_shown_once() {
    let (mut process, root) = Process::with("{}");
    let timing = format!("trace;desc={CONTEXT}");
    let stream = answered(
        &mut process,
        (0, root),
        200,
        &[("x-tracelift-signal", UPGRADED), ("traceresponse", CONTEXT), ("server-timing", &timing)],
    );
    let (context, timings) = said(&stream);
    assert_eq!(context.len(), 1);
    assert_ne!(context[0], CONTEXT, "the caller called us");
    assert_eq!((timings, marks(&stream)), (vec![timing], vec![UPGRADED.to_owned()]));
    // An application says it by the mark alone, or beside a context of its own that is not sampled.
    for more in [vec![], vec![("server-timing", "trace;desc=00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00")]]
    {
        let headers = [&more[..], &[("x-tracelift-signal", UPGRADED)]].concat();
        let stream = answered(&mut process, (0, root), 200, &headers);
        assert_eq!(said(&stream).1.len(), more.len() + 1, "{more:?}");
    }
}

#[test]
fn what_is_switched_off_is_neither_said_nor_heard() {
    let (mut process, root) = Process::with(r#"{"upgrade": {"signal": {"emit": false, "accept": false}}}"#);
    let stream = answered(&mut process, (0, root), 200, &[("x-tracelift-signal", UPGRADED)]);
    assert_eq!(ended(&mut process, &stream), None);
    let stream = answered(&mut process, (0, root), 500, &[]);
    assert_eq!((said(&stream), marks(&stream)), ((Vec::new(), Vec::new()), Vec::new()));
    assert_eq!(ended(&mut process, &stream).as_deref(), Some("upgraded.http_status"));
    assert!(process.state.shared.keys().iter().all(|key| key.starts_with(b"tracelift.budget.")));
}

#[test]
fn the_listeners_of_a_pod_join_by_trace_whichever_worker_has_them() {
    for workers in [(0, 0), (0, 1), (1, 0)] {
        let mut process = Process::new(2);
        let inbound = process.listener(workers.0, "inbound", "{}");
        let outbound = process.listener(workers.1, "outbound", "{}");
        let own = process.stream(workers.0, inbound);
        process.head(&own, get(&[DROPPED]));
        let call = process.stream(workers.1, outbound);
        call.exchange.set_number(Attribute::ListenerDirection, 2);
        process.head(&call, get(&[DROPPED]));
        process.answer(&call, status(503, &[]), true);
        assert_eq!(ended(&mut process, &call).as_deref(), Some("upgraded.http_status"));
        // The application swallows the failure.
        process.answer(&own, status(200, &[]), true);
        let (context, timing) = said(&own);
        assert_eq!((context.len(), timing.len()), (1, 1), "{workers:?}: the caller hears of it");
        assert_eq!(ended(&mut process, &own).as_deref(), Some("upgraded.signal"), "{workers:?}");
        // A minute later the trace is forgotten.
        process.advance(61 * SECOND);
        let late = answered(&mut process, (workers.0, inbound), 200, &[]);
        assert_eq!(ended(&mut process, &late), None, "{workers:?}");
    }
}

#[test]
fn later_calls_of_an_upgraded_trace_leave_sampled_where_the_listener_is_a_client() {
    let mut process = Process::new(2);
    let first = process.listener(0, "outbound", r#"{"span_kind": "client"}"#);
    let second = process.listener(1, "outbound", r#"{"span_kind": "client"}"#);
    let failed = answered(&mut process, (0, first), 503, &[]);
    process.log(&failed);
    let stream = process.stream(1, second);
    process.head(&stream, get(&[DROPPED]));
    assert!(stream.exchange.values(Side::Request, "traceparent")[0].ends_with("-03"));
    assert_eq!(ended(&mut process, &stream).as_deref(), Some("upgraded.reset"));
    process.tick_all();
    assert_eq!(process.metric("decisions.sampled.upgraded"), 1);
}

#[test]
fn at_the_edge_no_signal_leaves_and_an_applications_own_entries_stay() {
    let timing = format!("db;dur=5, trace;desc={CONTEXT}");
    let alone = format!("trace;desc={CONTEXT}");
    let all = [("x-tracelift-signal", UPGRADED), ("traceresponse", CONTEXT), ("server-timing", &*timing)];
    let (mut process, root) = Process::with(r#"{"edge": true}"#);
    for code in [200, 500] {
        // Each of them leaves by itself, whatever stands beside it.
        for more in [&all[..], &all[1..], &all[2..], &[all[0], all[2]]] {
            let stream = answered(&mut process, (0, root), code, more);
            assert_eq!(said(&stream), (Vec::new(), vec!["db;dur=5".to_owned()]), "{more:?}");
            assert!(marks(&stream).is_empty());
            process.log(&stream);
        }
        for more in [[("server-timing", &*alone)], [all[0]], [all[1]]] {
            let stream = answered(&mut process, (0, root), code, &more);
            assert_eq!((said(&stream), marks(&stream)), ((Vec::new(), Vec::new()), Vec::new()), "{more:?}");
        }
    }
    let stream = process.stream(0, root);
    process.head(&stream, get(&[DROPPED, ("x-tracelift-signal", UPGRADED)]));
    assert!(stream.exchange.values(Side::Request, "x-tracelift-signal").is_empty(), "none comes in by an echo");
    let own = [("server-timing", "db;dur=5,cache"), ("server-timing", "traces")];
    let stream = answered(&mut process, (0, root), 500, &own);
    assert_eq!(said(&stream).1, ["db;dur=5,cache", "traces"], "nothing of ours, nothing is touched");
}

#[test]
fn a_caller_that_had_sampled_hears_that_this_hop_keeps_its_part() {
    let (mut process, root) = Process::with("{}");
    let stream = process.stream(0, root);
    process.head(&stream, get(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")]));
    process.answer(&stream, status(200, &[]), true);
    let (context, timing) = said(&stream);
    assert!(matches!(&context[..], [one] if one.ends_with("-03")), "{context:?}");
    assert!(timing.is_empty(), "nothing was upgraded");
    assert_eq!(marks(&stream), ["2;kept;0af7651916cd43dd8448eb211c80319c"]);
}
