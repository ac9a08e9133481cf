//! `upgrade.coverage`: the first requests of each kind are kept whole, within a budget of their own.

use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::faults::Operation;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, get, lines, status};

const CALLER: &str = "b7ad6b7169203331";

fn configuration(coverage: &str) -> String {
    format!(
        r#"{{"sampling": {{"ratio": 0}}, "metrics": {{"routes": ["/users/{{id}}", "/cart"], "route_header": "x-route"}},
            "upgrade": {{"coverage": {{"enabled": true{coverage}}}}}}}"#
    )
}

/// A request and its answer, at a place where its trace begins.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    code: Option<u16>,
    more: &'a [(&'a str, &'a str)],
    answer: &'a [(&'a str, &'a str)],
}

const GET: Request<'_> = Request { method: "GET", path: "/cart", code: Some(200), more: &[], answer: &[] };

/// What it is kept for.
fn kept(process: &mut Process, (worker, root): (usize, u32), request: &Request<'_>) -> Option<String> {
    let stream = answered(process, (worker, root), request);
    ended(process, &stream)
}

fn answered(process: &mut Process, (worker, root): (usize, u32), request: &Request<'_>) -> Stream {
    let stream = process.stream(worker, root);
    let head = [(":method", request.method), (":path", request.path), (":authority", "shop"), (":scheme", "http")];
    process.head(&stream, lines(&[&head, request.more].concat()));
    if let Some(code) = request.code {
        process.answer(&stream, status(code, request.answer), true);
    }
    stream
}

fn ended(process: &mut Process, stream: &Stream) -> Option<String> {
    process.log(stream);
    process.done(stream.worker, stream.context);
    stream.exchange.decision()
}

fn is_covered(process: &mut Process, at: (usize, u32), request: &Request<'_>) -> bool {
    kept(process, at, request).as_deref() == Some("upgraded.coverage")
}

#[test]
fn the_first_of_each_method_route_and_status_is_kept_and_no_other() {
    let (mut process, root) = Process::with(&configuration(""));
    let kinds = [
        GET,
        Request { method: "POST", ..GET },
        Request { code: Some(204), ..GET },
        Request { code: Some(404), ..GET },
        Request { path: "/users/1", ..GET },
        Request { path: "/users/1", code: Some(301), ..GET },
        Request { path: "/elsewhere", ..GET },
        Request { method: "BREW", ..GET },
        Request { answer: &[("x-route", "/named")], ..GET },
    ];
    for round in [true, false] {
        for (at, kind) in kinds.iter().enumerate() {
            assert_eq!(is_covered(&mut process, (0, root), kind), round, "{at}");
        }
    }
    let alike = [
        Request { path: "/users/2?x=1", ..GET },
        Request { path: "/anywhere", ..GET },
        Request { method: "STEEP", ..GET },
        Request { path: "/other", answer: &[("x-route", "/named")], ..GET },
        Request { answer: &[("x-route", "not a route")], ..GET },
    ];
    for (at, request) in alike.iter().enumerate() {
        assert!(!is_covered(&mut process, (0, root), request), "{at}");
    }
    process.advance(300 * SECOND);
    assert!(is_covered(&mut process, (0, root), &GET), "another window");
    process.tick_all();
    assert_eq!(process.metric("coverage.kept"), 10);
    assert_eq!(process.metric("upgrades.coverage"), 10);
}

#[test]
fn a_call_is_of_the_kind_of_its_method_once_an_answer_shows_that_it_exists() {
    let (mut process, root) = Process::with(&configuration(""));
    let grpc = [("content-type", "application/grpc")];
    let mut call = |path: &str, code: Option<&str>| {
        let stream =
            answered(&mut process, (0, root), &Request { method: "POST", path, code: None, more: &grpc, answer: &[] });
        process.answer(&stream, status(200, &grpc), false);
        if let Some(code) = code {
            process.trailers(&stream, lines(&[("grpc-status", code)]));
        }
        ended(&mut process, &stream).as_deref() == Some("upgraded.coverage")
    };
    for (path, code, expected) in [
        ("/shop.Cart/Add", Some("0"), true),
        ("/shop.Cart/Add", Some("0"), false),
        ("/shop.Cart/Remove", Some("0"), true),
        ("/shop.Cart/Add", Some("5"), true),
        ("/shop.Cart/Add", Some("5"), false),
        ("/shop.Cart/A1", Some("12"), false),
        ("/shop.Cart/A2", Some("12"), false),
        ("/shop.Cart/Add", Some("0"), false),
    ] {
        assert_eq!(call(path, code), expected, "{path} {code:?}");
    }
}

#[test]
fn the_caller_hears_of_it_and_the_span_stands_for_itself() {
    let (mut process, root) = Process::with(&configuration(r#", "where": "all""#));
    for (flags, trace) in [("02", "1"), ("03", "2")] {
        let caller = format!("00-{trace:0>32}-{CALLER}-{flags}");
        let more = [("traceparent", caller.as_str()), ("tracestate", "ot=th:8;rv:ffffffffffffff")];
        let code = if flags == "02" { 200 } else { 201 };
        let stream = answered(&mut process, (0, root), &Request { code: Some(code), more: &more, ..GET });
        assert_eq!(stream.exchange.values(Side::Response, "x-tracelift-signal"), [format!("2;upgraded;{trace:0>32}")]);
        assert_eq!(ended(&mut process, &stream).as_deref(), Some("upgraded.coverage"), "whatever the head decided");
    }
    let spans = process.export();
    assert_eq!(spans.len(), 2);
    for span in spans {
        assert!(span.trace_state.contains("th:0"), "{}", span.trace_state);
        assert_eq!(attribute(span, "tracelift.upgrade.trigger").as_deref(), Some("coverage"));
    }
    assert_eq!((process.metric("coverage.kept"), process.metric("upgrades.coverage")), (2, 1));
}

#[test]
fn elsewhere_than_at_the_root_only_what_is_no_success_is_looked_at() {
    let caller = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")];
    for (place, root_200, inner_200, inner_404) in
        [("auto", true, false, true), ("root", true, false, false), ("all", true, true, true)]
    {
        let configuration = configuration(&format!(r#", "where": "{place}""#));
        for (request, expected) in [
            (GET, root_200),
            (Request { more: &caller, ..GET }, inner_200),
            (Request { more: &caller, code: Some(404), ..GET }, inner_404),
            (Request { more: &caller, path: "/users/1", code: Some(404), ..GET }, inner_404),
        ] {
            let (mut process, root) = Process::with(&configuration);
            assert_eq!(is_covered(&mut process, (0, root), &request), expected, "{place}");
        }
    }
}

#[test]
fn each_doubling_of_the_time_to_the_answer_is_a_kind_where_that_is_wanted() {
    let (mut process, root) = Process::with(&configuration(r#", "latency": true"#));
    let mut after = |milliseconds: u64| {
        let stream = process.stream(0, root);
        process.head(&stream, get(&[]));
        process.state.now.set(process.state.now.get() + milliseconds * MILLISECOND);
        process.answer(&stream, status(200, &[]), true);
        ended(&mut process, &stream).is_some()
    };
    let found: Vec<bool> = [0, 3, 2, 4, 7, 100, 127, 128, 0].map(&mut after).into();
    assert_eq!(found, [true, true, false, true, false, true, false, true, false]);
}

#[test]
fn a_request_without_an_answer_has_a_kind_too() {
    let no_flags = configuration("").replace(r#""upgrade": {"#, r#""upgrade": {"response_flags": false, "#);
    let (mut process, root) = Process::with(&no_flags);
    let unanswered = Request { code: None, ..GET };
    assert!(is_covered(&mut process, (0, root), &unanswered));
    assert!(!is_covered(&mut process, (0, root), &unanswered));
    // Envoy followed a redirect itself: the request goes on as another stream.
    let stream = answered(&mut process, (0, root), &Request { path: "/users/1", ..unanswered });
    stream.exchange.set_text(Attribute::CodeDetails, b"internal_redirect");
    assert_eq!(ended(&mut process, &stream), None);
}

#[test]
fn a_failure_is_the_example_of_its_kind_and_what_its_budget_sheds_may_be_covered() {
    let (mut process, root) = Process::with(&configuration(""));
    let failure = Request { code: Some(503), ..GET };
    for _ in 0..3 {
        assert_eq!(kept(&mut process, (0, root), &failure).as_deref(), Some("upgraded.http_status"));
    }
    process.tick_all();
    assert_eq!(process.metric("coverage.kept"), 0);
    // One of another kind spends the budget of failures.
    let little = configuration("").replace(r#""upgrade": {"#, r#""upgrade": {"traces_per_second": 0.001, "#);
    let (mut process, root) = Process::with(&little);
    let other = Request { code: Some(500), ..GET };
    assert_eq!(kept(&mut process, (0, root), &other).as_deref(), Some("upgraded.http_status"));
    assert_eq!(kept(&mut process, (0, root), &failure).as_deref(), Some("upgraded.coverage"));
    assert_eq!(kept(&mut process, (0, root), &failure), None);
    process.tick_all();
    assert_eq!((process.metric("upgrades.shed"), process.metric("upgrades.coverage")), (1, 1));
}

#[test]
fn a_budget_of_nothing_switches_it_off() {
    for configuration in [
        configuration(r#", "traces_per_minute": 0"#),
        configuration("").replace(r#""upgrade": {"#, r#""upgrade": {"traces_per_second": 0, "#),
    ] {
        let (mut process, root) = Process::with(&configuration);
        assert_eq!(kept(&mut process, (0, root), &GET), None, "{configuration}");
        process.tick_all();
        assert_eq!((process.metric("coverage.kept"), process.metric("coverage.refused")), (0, 0));
    }
}

#[test]
fn the_two_sides_of_a_call_have_examples_of_their_own_under_one_name() {
    let kind = |kind: &str| configuration("").replacen('{', &format!(r#"{{"span_kind": "{kind}", "#), 1);
    let mut process = Process::new(1);
    let [inbound, outbound, auto] = ["server", "client", "auto"].map(|name| process.listener(0, "filter", &kind(name)));
    for root in [inbound, outbound] {
        let firsts = [GET, GET].map(|request| is_covered(&mut process, (0, root), &request));
        assert_eq!(firsts, [true, false]);
    }
    // An `auto` listener asks on which side it is: both have had theirs.
    for (direction, path, first) in
        [(1, "/cart", false), (2, "/cart", false), (2, "/users/1", true), (1, "/users/1", true)]
    {
        let stream = process.stream(0, auto);
        stream.exchange.set_number(Attribute::ListenerDirection, direction);
        process.head(&stream, lines(&[(":method", "GET"), (":path", path), (":scheme", "http")]));
        process.answer(&stream, status(200, &[]), true);
        assert_eq!(ended(&mut process, &stream).as_deref() == Some("upgraded.coverage"), first, "{direction} {path}");
    }
}

#[test]
fn a_rule_exempts_its_requests() {
    let rules = r#"{"sampling": {"ratio": 0, "rules": [{"match": {"path": {"exact": "/cart"}}, "upgrade": false}]}, "upgrade": {"coverage": {"enabled": true}}}"#;
    let (mut process, root) = Process::with(rules);
    assert!(!is_covered(&mut process, (0, root), &GET));
    assert!(is_covered(&mut process, (0, root), &Request { path: "/", ..GET }));
}

#[test]
fn the_workers_of_a_process_share_their_examples_and_filters_of_other_names_do_not() {
    let mut process = Process::new(2);
    let configuration = configuration(r#", "per_window": 3"#);
    let mut roots = Vec::new();
    for worker in 0..2 {
        for plugin in ["inbound", "outbound"] {
            roots.push((worker, process.listener(worker, plugin, &configuration)));
        }
    }
    let counts: Vec<usize> = [[roots[0], roots[2]], [roots[1], roots[3]]]
        .iter()
        .map(|workers| (0..20).filter(|number| is_covered(&mut process, workers[number % 2], &GET)).count())
        .collect();
    assert_eq!(counts, [3, 3]);
    process.state.faults.set(Operation::Shared, 1);
    let other = Request { path: "/users/1", ..GET };
    let alone = (0..20).filter(|number| is_covered(&mut process, roots[number % 2 * 2], &other)).count();
    assert_eq!(alone, 2, "without shared values each worker keeps the first of its own");
}

#[test]
fn a_scanner_that_walks_statuses_spends_the_budget_and_no_more() {
    let (mut process, root) = Process::with(&configuration(r#", "traces_per_minute": 20"#));
    let mut kept = 0;
    for second in 0..120 {
        for number in 0..50 {
            let code = 100 + (second * 50 + number) % 900;
            let request =
                Request { method: ["PUT", "HEAD", "GET"][number as usize % 3], code: Some(code as u16), ..GET };
            kept += i64::from(is_covered(&mut process, (0, root), &request));
        }
        process.advance(SECOND);
    }
    assert!((58..=61).contains(&kept), "a burst of a minute's worth, and two minutes: {kept}");
    assert_eq!(process.metric("coverage.kept"), kept);
    assert!(1000 < process.metric("coverage.refused"));
    // A route that nobody has called for all the time finds its place as soon as there is room.
    process.advance(10 * SECOND);
    assert!(is_covered(&mut process, (0, root), &Request { path: "/users/1", code: Some(201), ..GET }));
}

#[test]
fn at_the_edge_every_trace_begins_and_the_route_is_taken_off() {
    let edge = configuration("").replacen('{', r#"{"edge": true, "#, 1);
    let (mut process, root) = Process::with(&edge);
    let caller = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")];
    let request = Request { more: &caller, answer: &[("x-route", "/named")], ..GET };
    let stream = answered(&mut process, (0, root), &request);
    assert_eq!(stream.exchange.values(Side::Response, "x-route").len(), 0);
    assert_eq!(stream.exchange.values(Side::Response, "x-tracelift-signal").len(), 0);
    assert_eq!(ended(&mut process, &stream).as_deref(), Some("upgraded.coverage"));
}

#[test]
fn a_shadow_covers_in_a_table_of_its_own() {
    let configuration = r#"{"sampling": {"ratio": 0}, "shadow": {"upgrade": {"coverage": {"enabled": true}}}}"#;
    let (mut process, root) = Process::with(configuration);
    for code in [200, 200, 404] {
        assert_eq!(kept(&mut process, (0, root), &Request { code: Some(code), ..GET }), None);
    }
    process.tick_all();
    assert_eq!((process.metric("shadow.upgrades"), process.metric("shadow.disagreements.kept")), (2, 2));
    assert_eq!(process.metric("coverage.kept"), 0);
}

/// So many requests, one in fifty of which fails.
fn traffic(process: &mut Process, root: u32, count: u32, more: impl Fn(u32) -> Option<String>) {
    for number in 0..count {
        let code = if number % 50 == 0 { 500 + number / 50 % 5 } else { 200 + number % 7 };
        let stream = process.stream(0, root);
        let caller = more(number);
        let more: Vec<(&str, &str)> = caller.iter().map(|caller| ("traceparent", caller.as_str())).collect();
        process.head(&stream, get(&more));
        process.answer(&stream, status(code as u16, &[]), true);
        process.log(&stream);
        process.done(0, stream.context);
        if number % 400 == 399 {
            process.advance(SECOND);
            process.collect();
        }
    }
    process.export();
}

fn z_centi(process: &Process) -> Option<u64> {
    process.workers[0].host.recorded("audit.z_centi").last().copied()
}

#[test]
fn what_is_kept_stands_for_what_there_was_and_the_audit_says_so() {
    for coverage in ["", r#""coverage": {"enabled": true, "per_window": 5, "window_s": 10}"#] {
        let (mut process, root) =
            Process::with(&format!(r#"{{"sampling": {{"ratio": 0.05}}, "upgrade": {{{coverage}}}}}"#));
        traffic(&mut process, root, 8000, |_| None);
        let counts = ["requests.ok", "requests.failed", "estimated.failed"];
        assert_eq!(
            counts.map(|name| process.metric(&format!("audit.{name}"))),
            [7840, 160, 160],
            "each failure is kept"
        );
        let z = z_centi(&process).expect("shown");
        assert!(z < 400, "{z}");
        let difference = process.metric("audit.estimated.ok") - process.metric("audit.requests.ok");
        assert!(difference.pow(2) < 16 * process.metric("audit.variance.ok"), "{difference}");
    }
}

#[test]
fn what_a_caller_decided_is_not_audited() {
    let (mut process, root) = Process::with(r#"{"sampling": {"ratio": 0.05}}"#);
    traffic(&mut process, root, 100, |number| Some(format!("00-{:032x}-{CALLER}-03", number + 1)));
    assert_eq!((process.metric("audit.requests.ok"), z_centi(&process)), (0, None));
}

#[test]
fn a_randomness_that_is_none_raises_the_alarm() {
    let (mut process, root) = Process::with(r#"{"sampling": {"mode": "independent", "ratio": 0.5}}"#);
    let constant = |number| Some(format!("00-{:016x}{:016x}-{CALLER}-02", number + 1, u64::MAX));
    traffic(&mut process, root, 2000, constant);
    let z = z_centi(&process).expect("shown");
    assert!(1000 < z, "all of them are sampled: {z}");
}
