//! `force`: a token has its request recorded, at the edge as well; whatever is not good is as if it were not there.

use opentelemetry_proto::tonic::trace::v1::Span;
use tracelift::door::{Level, Side};
use tracelift::force::{Claims, Key, Policy, Scope};
use tracelift::upgrade::Budget;

use crate::kit::collector::attribute;
use crate::kit::exchange::Lines;
use crate::kit::process::{Process, SECOND, START, Stream, get, status};

const SECRET: &str = "a-secret-of-the-developers";
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
const NOW: u64 = START / SECOND;

fn configuration(more: &str) -> String {
    format!(
        r#"{{"resource": {{"service.namespace": "shop"}}, "sampling": {{"ratio": 0}},
            "force": {{"keys": [{{"id": "dev", "secret": "{SECRET}"}}], "traces_per_second": 1000}}{more}}}"#
    )
}

fn claims(path: &str, expiry: u64) -> Claims {
    let scope = Scope { host: String::new(), path: path.to_owned() };
    Claims { key: "dev".to_owned(), expiry, scope }
}

fn token() -> String {
    claims("/cart", NOW + 60).sign(SECRET.as_bytes(), "shop")
}

/// A request that was answered, and has ended.
fn request(process: &mut Process, (worker, root): (usize, u32), headers: &[(&str, &str)]) -> Stream {
    let stream = process.stream(worker, root);
    process.head(&stream, get(headers));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    process.done(stream.worker, stream.context);
    stream
}

fn is_sampled(stream: &Stream) -> bool {
    let sent = stream.exchange.values(Side::Request, "traceparent");
    sent.iter().any(|context| context.ends_with("-01") || context.ends_with("-03"))
}

fn only(spans: &[Span]) -> &Span {
    match spans {
        [span] => span,
        _ => panic!("{} spans", spans.len()),
    }
}

#[test]
fn a_token_has_its_request_recorded_for_itself_and_goes_no_further() {
    for caller in [None, Some(format!("{CALLER}-00")), Some(format!("{CALLER}-01"))] {
        let (mut process, root) = Process::with(&configuration(""));
        let token = token();
        let mut headers = vec![("x-tracelift-force", token.as_str())];
        headers.extend(caller.iter().flat_map(|caller| [("traceparent", caller.as_str()), ("tracestate", "ot=th:c")]));
        let stream = request(&mut process, (0, root), &headers);
        assert!(is_sampled(&stream), "{caller:?}");
        assert_eq!(stream.exchange.values(Side::Request, "x-tracelift-force"), [""; 0]);
        assert_eq!(stream.exchange.values(Side::Request, "tracestate"), ["ot=th:0"]);
        assert_eq!(stream.exchange.values(Side::Response, "traceresponse").len(), 1, "its bearer finds it");
        let spans = process.export();
        let span = only(spans);
        assert_eq!(attribute(span, "tracelift.sampling.reason").as_deref(), Some("forced"));
        assert_eq!(attribute(span, "tracelift.force.key").as_deref(), Some("dev"));
        assert_eq!(attribute(span, "tracelift.sampling.adjusted_count").as_deref(), Some("1"));
        assert_eq!(span.trace_state, "ot=th:0");
        let counts = ["force.accepted", "decisions.sampled.forced"].map(|name| process.metric(name));
        assert_eq!(counts, [1, 1]);
    }
}

#[test]
fn at_the_edge_a_token_is_all_that_is_believed_and_its_bearer_hears_the_trace() {
    let (mut process, root) = Process::with(&configuration(r#", "edge": true"#));
    let caller = format!("{CALLER}-01");
    let plain = request(&mut process, (0, root), &[("traceparent", &caller)]);
    assert!(!is_sampled(&plain));
    assert_eq!(plain.exchange.values(Side::Response, "traceresponse"), [""; 0]);
    let token = token();
    let forced = request(&mut process, (0, root), &[("traceparent", &caller), ("x-tracelift-force", &token)]);
    assert!(is_sampled(&forced));
    let sent = forced.exchange.values(Side::Request, "traceparent");
    let heard = forced.exchange.values(Side::Response, "traceresponse");
    assert_eq!(heard.iter().map(|one| &one[..52]).collect::<Vec<_>>(), [&sent[0][..52]], "trace and span");
    assert!(heard[0].ends_with("-01") || heard[0].ends_with("-03"), "{heard:?}");
    for name in ["x-tracelift-signal", "server-timing"] {
        assert_eq!(forced.exchange.values(Side::Response, name), [""; 0], "no signal leaves the mesh");
    }
    let state = forced.exchange.values(Side::Request, "tracestate");
    assert!(state[0].starts_with("ot=rv:") && state[0].ends_with(";th:0"), "{state:?}");
}

/// What goes on of a request, but for the ids that are new each time.
fn sent(stream: &Stream) -> (Lines, Lines) {
    let without_ids = |lines: Lines| {
        let lines = lines.into_iter();
        lines
            .map(|(name, value)| if name == b"traceparent" { (name, value[53..].into()) } else { (name, value) })
            .collect()
    };
    (without_ids(stream.exchange.side(Side::Request)), without_ids(stream.exchange.side(Side::Response)))
}

#[test]
fn what_is_not_good_is_taken_off_and_changes_nothing_else() {
    let sign = |claims: Claims| claims.sign(SECRET.as_bytes(), "shop");
    let good = token();
    let rows = [
        ("force.invalid", claims("/cart", NOW + 60).sign(b"another-secret-of-theirs", "shop")),
        ("force.invalid", claims("/cart", NOW + 60).sign(SECRET.as_bytes(), "bank")),
        ("force.invalid", sign(claims("/checkout", NOW + 60))),
        ("force.invalid", sign(Claims { key: "alice".to_owned(), ..claims("/cart", NOW + 60) })),
        (
            "force.invalid",
            sign(Claims { scope: Scope { host: "bank".to_owned(), path: String::new() }, ..claims("", NOW + 60) }),
        ),
        ("force.invalid", sign(claims("/cart", NOW + 86_401))),
        ("force.invalid", good[..good.len() - 1].to_owned()),
        ("force.invalid", format!("{good}A")),
        ("force.invalid", good.replacen("1.", "2.", 1)),
        ("force.invalid", String::new()),
        ("force.invalid", "x".repeat(4096)),
        ("force.expired", sign(claims("/cart", NOW))),
        ("force.expired", sign(claims("/cart", 1))),
    ];
    for edge in ["", r#", "edge": true"#] {
        let (mut plain, plain_root) = Process::with(&configuration(edge));
        let (mut process, root) = Process::with(&configuration(edge));
        for (at, (metric, token)) in rows.iter().enumerate() {
            let without = request(&mut plain, (0, plain_root), &[]);
            let with = request(&mut process, (0, root), &[("x-tracelift-force", token)]);
            assert_eq!(sent(&with), sent(&without), "row {at}");
            process.tick_all();
            let counted = rows[..=at].iter().filter(|(known, _)| known == metric).count();
            assert_eq!(process.metric(metric), counted as i64, "row {at}");
        }
        assert_eq!(process.metric("force.accepted"), 0);
        assert!(process.export().is_empty());
        assert!(!process.logged(Level::Info, "force key"));
    }
}

#[test]
fn two_tokens_in_one_request_are_none() {
    let (mut process, root) = Process::with(&configuration(""));
    let token = token();
    let twice = [("x-tracelift-force", token.as_str()), ("x-tracelift-force", &token)];
    let stream = request(&mut process, (0, root), &twice);
    assert!(!is_sampled(&stream));
    assert_eq!(stream.exchange.values(Side::Request, "x-tracelift-force"), [""; 0]);
    process.tick_all();
    assert_eq!(process.metric("force.invalid"), 1);
}

#[test]
fn a_token_that_is_repeated_is_bounded_by_the_budget_of_the_process() {
    let configuration = configuration("").replace(r#""traces_per_second": 1000"#, r#""traces_per_second": 3"#);
    let mut process = Process::new(2);
    let roots = [0, 1].map(|worker| process.listener(worker, "inbound", &configuration));
    let token = token();
    for number in 0..100 {
        request(&mut process, (number % 2, roots[number % 2]), &[("x-tracelift-force", &token)]);
    }
    process.tick_all();
    assert_eq!((process.metric("force.accepted"), process.metric("force.over_budget")), (3, 97));
    process.advance(SECOND);
    assert!(is_sampled(&request(&mut process, (1, roots[1]), &[("x-tracelift-force", &token)])));
}

#[test]
fn the_first_use_of_a_key_in_an_hour_is_one_line_and_shows_neither_token_nor_secret() {
    let mut process = Process::new(2);
    let roots = [0, 1].map(|worker| process.listener(worker, "inbound", &configuration("")));
    let lines = |process: &Process| {
        let logs = process.state.logs.borrow();
        logs.iter()
            .filter(|(_, _, text)| text.contains("force key"))
            .map(|(_, _, text)| text.clone())
            .collect::<Vec<_>>()
    };
    let token = claims("", NOW + 86_000).sign(SECRET.as_bytes(), "shop");
    for number in 0..6 {
        request(&mut process, (number % 2, roots[number % 2]), &[("x-tracelift-force", &token)]);
    }
    let said = "tracelift: a token of the force key \"dev\" is used, for the first time in an hour: for every request, good until Unix second ";
    assert_eq!(lines(&process), [format!("{said}{}", NOW + 86_000)]);
    process.advance(3_599 * SECOND);
    request(&mut process, (1, roots[1]), &[("x-tracelift-force", &token)]);
    assert_eq!(lines(&process).len(), 1);
    process.advance(2 * SECOND);
    request(&mut process, (1, roots[1]), &[("x-tracelift-force", &token)]);
    request(&mut process, (0, roots[0]), &[("x-tracelift-force", &token)]);
    assert_eq!(lines(&process).len(), 2);
    let logs = process.state.logs.borrow();
    assert!(!logs.iter().any(|(_, _, text)| text.contains(SECRET) || text.contains(&token)));
}

#[test]
fn what_is_forced_is_a_class_of_its_own_that_stays_out_of_the_estimates_of_others() {
    let configuration = configuration("").replace(r#""ratio": 0"#, r#""ratio": 0.5"#);
    let (mut process, root) = Process::with(&configuration);
    let token = token();
    for _ in 0..100 {
        assert!(is_sampled(&request(&mut process, (0, root), &[("x-tracelift-force", &token)])));
    }
    process.tick_all();
    assert_eq!(process.metric("audit.requests.ok"), 0, "not decided by chance");
    let spans = process.export();
    assert_eq!(spans.len(), 100);
    assert!(spans.iter().all(|span| attribute(span, "tracelift.sampling.adjusted_count").as_deref() == Some("1")));
}

#[test]
fn under_a_shadow_policy_what_is_forced_is_forced_as_well() {
    let (mut process, root) = Process::with(&configuration(r#", "shadow": {"sampling": {"ratio": 0}}"#));
    let token = token();
    request(&mut process, (0, root), &[("x-tracelift-force", &token)]);
    process.tick_all();
    assert_eq!((process.metric("shadow.decisions.sampled"), process.metric("shadow.disagreements.dropped")), (1, 0));
}

#[test]
fn without_keys_the_header_is_any_other() {
    let (mut process, root) = Process::with(r#"{"sampling": {"ratio": 0}}"#);
    let token = token();
    let stream = request(&mut process, (0, root), &[("x-tracelift-force", &token)]);
    assert!(!is_sampled(&stream));
    assert_eq!(stream.exchange.values(Side::Request, "x-tracelift-force"), [token]);
}

/// SplitMix64: which bytes somebody tries.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[test]
fn a_hundred_thousand_forged_tokens_are_worth_nothing() {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let policy = Policy {
        keys: vec![Key { id: "dev".to_owned(), secret: SECRET.to_owned() }],
        header: String::new().into(),
        max_ttl_s: 3_600,
        budget: Budget::per_second(1.0).expect("a rate"),
        audience: "shop".to_owned(),
    };
    let good = token().into_bytes();
    let judge = |token: &[u8]| policy.judge(token, START, b"shop", b"/cart");
    assert!(judge(&good).is_ok());
    let mut state = 1;
    for number in 0..100_000_u32 {
        let mut forged = good.clone();
        let place = next(&mut state) as usize % forged.len();
        let letter = LETTERS[next(&mut state) as usize % 64];
        match number % 4 {
            0 => forged[place] = letter,
            1 => forged.truncate(place),
            2 => forged.insert(place, letter),
            _ => {
                let mac = forged.len() - 22;
                forged[mac..].fill_with(|| LETTERS[next(&mut state) as usize % 64]);
            }
        }
        assert!(forged == good || judge(&forged).is_err(), "{}", String::from_utf8_lossy(&forged));
    }
}
