//! `sampling.session`: the traces of a session are recorded together, by a randomness that only its key can make.

use std::collections::BTreeMap;

use tracelift::door::Side;

use crate::kit::process::{Process, get, status};

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
const SECRET: &str = "a-secret-of-the-gateways";

fn configuration(ratio: f64, secret: &str, more: &str) -> String {
    format!(r#"{{"sampling": {{"ratio": {ratio}, "session": {{"cookie": "sid", "key": "{secret}"}}}}{more}}}"#)
}

/// The flag and the tracestate that go on.
fn sent(process: &mut Process, root: u32, headers: &[(&str, &str)]) -> (bool, Option<String>) {
    let stream = process.stream(0, root);
    process.head(&stream, get(headers));
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    process.done(stream.worker, stream.context);
    let context = stream.exchange.values(Side::Request, "traceparent").pop().expect("a context");
    let is_sampled = context.ends_with("-01") || context.ends_with("-03");
    (is_sampled, stream.exchange.values(Side::Request, "tracestate").pop())
}

fn rv(state: &Option<String>) -> Option<&str> {
    state.as_deref()?.split_once("rv:").map(|(_, rest)| &rest[..14])
}

#[test]
fn all_requests_of_a_session_are_recorded_or_none_and_sessions_are_apart() {
    let (mut process, root) = Process::with(&configuration(0.3, SECRET, ""));
    let mut sessions = BTreeMap::new();
    for number in 0..600 {
        let cookie = format!("theme=dark; sid=user-{}", number % 100);
        let (sampled, state) = sent(&mut process, root, &[("cookie", &cookie)]);
        let rv = rv(&state).expect("an rv, sampled or not").to_owned();
        assert_eq!(state.as_deref().is_some_and(|state| state.contains("th:")), sampled, "{state:?}");
        let known = sessions.entry(cookie).or_insert((sampled, rv.clone()));
        assert_eq!(*known, (sampled, rv));
    }
    let sampled = sessions.values().filter(|(sampled, _)| *sampled).count();
    assert!((12..=50).contains(&sampled), "{sampled} of 100 sessions");
    process.tick_all();
    let audited = process.metric("audit.requests.ok");
    assert_eq!(audited, 0, "requests that share a randomness are no independent draws: the audit leaves them out");
}

#[test]
fn every_gateway_with_the_key_says_the_same_and_what_a_lower_ratio_keeps_a_higher_one_keeps() {
    let (mut low, low_root) = Process::with(&configuration(0.2, SECRET, ""));
    let (mut high, high_root) = Process::with(&configuration(0.6, SECRET, r#", "edge": true"#));
    let (mut other, other_root) = Process::with(&configuration(0.2, "another-secret-of-theirs", ""));
    let mut differ = 0;
    for number in 0..200 {
        let cookie = format!("sid=user-{number}");
        let headers = [("cookie", cookie.as_str())];
        let (few, state) = sent(&mut low, low_root, &headers);
        let (many, again) = sent(&mut high, high_root, &headers);
        assert_eq!(rv(&state), rv(&again));
        assert!(!few || many, "{cookie}");
        let (_, theirs) = sent(&mut other, other_root, &headers);
        differ += usize::from(rv(&state) != rv(&theirs));
    }
    assert_eq!(differ, 200, "without the key nobody knows which sessions are kept");
}

#[test]
fn a_request_without_a_session_and_a_trace_that_a_caller_began_are_as_ever() {
    let (mut process, root) = Process::with(&configuration(0.0, SECRET, ""));
    for headers in [&[][..], &[("cookie", "sid=")], &[("cookie", "other=1")]] {
        assert_eq!(sent(&mut process, root, headers), (false, None), "{headers:?}");
    }
    let (dropped, sampled) = (format!("{CALLER}-02"), format!("{CALLER}-03"));
    let inner = |context: &'static str| [("cookie", "sid=user-1"), ("tracestate", context)];
    for (flag, caller) in [(false, &dropped), (true, &sampled)] {
        let headers = [&inner("ot=rv:0123456789abcd,vendor=x")[..], &[("traceparent", caller)]].concat();
        let state = Some("ot=rv:0123456789abcd,vendor=x".to_owned());
        assert_eq!(sent(&mut process, root, &headers), (flag, state), "an rv is never overwritten");
        let headers = [("cookie", "sid=user-1"), ("traceparent", caller.as_str())];
        assert_eq!(sent(&mut process, root, &headers), (flag, None), "nor added to a trace that began elsewhere");
    }
}

#[test]
fn at_the_edge_a_session_counts_for_traces_of_outsiders_too() {
    let (mut process, root) = Process::with(&configuration(0.0, SECRET, r#", "edge": true"#));
    let caller = format!("{CALLER}-03");
    let headers = [("cookie", "sid=user-1"), ("traceparent", caller.as_str()), ("tracestate", "ot=rv:ffffffffffffff")];
    let (first, second) = (sent(&mut process, root, &headers), sent(&mut process, root, &headers[..1]));
    assert_eq!(rv(&first.1), rv(&second.1));
    assert_ne!(rv(&first.1), Some("ffffffffffffff"));
    let without = sent(&mut process, root, &headers[1..]);
    assert_ne!(rv(&without.1), rv(&first.1), "a randomness of its own");
}
