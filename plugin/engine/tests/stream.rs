//! One request's life, told natively: what a stream decides, what upgrades it, and as what it is exported.

use tracelift::central::{Choice, How, RuleId};
use tracelift::config::{self, Environment};
use tracelift::http::{GrpcStatus, ResponseFlags};
use tracelift::policy::{Policy, Rules};
use tracelift::request::Outcome;
use tracelift::sampling::{Decision, Reason, Threshold};
use tracelift::stream::{Arriving, Head, Stream, Upgrade};
use tracelift::trace_context::{Extracted, HeaderEdit, Headers, Ids, ThEdit, extract};
use tracelift::upgrade::{Trigger, Verdict};

/// Counts up, so that ids are told apart; zero comes first and must never become an id.
struct Counting(u64);

impl Ids for Counting {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0 - 1
    }

    fn are_random(&self) -> bool {
        true
    }
}

struct Request(&'static [(&'static str, &'static str)]);

impl Headers for Request {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes().to_vec())
    }
}

const DROPPED: Request = Request(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")]);
const SAMPLED: Request = Request(&[
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
    ("tracestate", "ot=th:8;rv:c0000000000000"),
]);

fn policy(configuration: &str) -> Policy {
    config::load(configuration.as_bytes(), &Environment::default()).expect("a configuration").policy
}

fn rules(policy: &Policy) -> Rules<'_> {
    Rules { sampling: &policy.sampling, upgrade: &policy.upgrade, kind: policy.span_kind, edge: policy.edge }
}

fn begin(policy: &Policy, mut request: Request) -> Stream {
    let extracted: Extracted = extract(&policy.propagators, &mut request);
    Stream::begin(rules(policy), Arriving::default(), &extracted, |_| None, |_| None, &mut Counting(0)).0
}

fn answer(
    stream: &mut Stream,
    policy: &Policy,
    status: u16,
    known: Option<Verdict>,
    admitted: bool,
) -> Option<Upgrade> {
    let head = Head { status: Some(status), ..Head::default() };
    stream.response(rules(policy), head, ResponseFlags::default, known, |_| admitted)
}

#[test]
fn a_root_gets_ids_that_are_not_zero_and_says_that_they_are_random() {
    let policy = policy(r#"{"sampling": {"ratio": 1}}"#);
    let extracted = extract(&policy.propagators, &mut Request(&[]));
    let (_, outgoing) =
        Stream::begin(rules(&policy), Arriving::default(), &extracted, |_| None, |_| None, &mut Counting(0));
    assert!(outgoing.context.sampled && outgoing.context.random);
    assert_ne!(outgoing.context.span_id.get(), 0);
}

#[test]
fn a_dropped_stream_that_fails_is_kept_whole_and_one_that_does_not_is_not_kept() {
    let policy = policy("{}");
    let mut fine = begin(&policy, DROPPED);
    assert_eq!(answer(&mut fine, &policy, 200, None, true), None);
    assert!(fine.keep().is_none());

    let mut failed = begin(&policy, DROPPED);
    let trigger = Trigger::HttpStatus(503);
    assert_eq!(answer(&mut failed, &policy, 503, None, true), Some(Upgrade::Upgraded(trigger)));
    let keep = failed.keep().expect("kept");
    assert_eq!((keep.th, keep.trigger, keep.flags.sampled()), (ThEdit::Set(0), Some(trigger), true));
    assert_eq!(answer(&mut failed, &policy, 500, None, true), None, "the first trigger counts");
}

#[test]
fn what_the_budget_sheds_stays_as_the_head_decided() {
    let policy = policy("{}");
    let mut dropped = begin(&policy, DROPPED);
    assert_eq!(answer(&mut dropped, &policy, 503, None, false), Some(Upgrade::Shed));
    assert!(dropped.keep().is_none());
    assert_eq!(dropped.verdict(), Some(Verdict::Shed));

    let mut sampled = begin(&policy, SAMPLED);
    assert_eq!(answer(&mut sampled, &policy, 503, None, false), Some(Upgrade::AlreadySampled));
    let keep = sampled.keep().expect("kept by the head");
    assert_eq!((keep.th, keep.trigger, keep.adjusted_count), (ThEdit::Keep, None, Some(2.0)));
}

#[test]
fn a_verdict_that_came_with_the_answer_goes_before_our_own_budget() {
    let policy = policy("{}");
    for (status, known, expected) in [
        (503, Verdict::Upgraded, Some(Upgrade::Upgraded(Trigger::HttpStatus(503)))),
        (503, Verdict::Shed, Some(Upgrade::Shed)),
        (200, Verdict::Upgraded, Some(Upgrade::Upgraded(Trigger::Signal))),
        (200, Verdict::Shed, None),
    ] {
        let mut stream = begin(&policy, DROPPED);
        let head = Head { status: Some(status), ..Head::default() };
        let found = stream.response(rules(&policy), head, ResponseFlags::default, Some(known), |_| {
            panic!("{status} {known:?}: nothing is charged")
        });
        assert_eq!(found, expected, "{status} {known:?}");
    }
}

#[test]
fn a_signalled_span_has_no_probability_that_anybody_knows() {
    let policy = policy("{}");
    let mut stream = begin(&policy, DROPPED);
    answer(&mut stream, &policy, 200, Some(Verdict::Upgraded), false);
    let keep = stream.keep().expect("kept");
    assert_eq!((keep.th, keep.adjusted_count), (ThEdit::Erase, None));
}

#[test]
fn a_later_call_of_an_upgraded_trace_leaves_sampled() {
    let policy = policy("{}");
    for (known, sampled) in [(None, false), (Some(Verdict::Shed), false), (Some(Verdict::Upgraded), true)] {
        let extracted = extract(&policy.propagators, &mut { DROPPED });
        let (stream, outgoing) =
            Stream::begin(rules(&policy), Arriving::default(), &extracted, |_| None, |_| known, &mut Counting(1));
        assert_eq!((outgoing.context.sampled, stream.keep().is_some()), (sampled, sampled), "{known:?}");
    }
}

#[test]
fn a_status_in_the_trailers_upgrades_and_ends_the_answer() {
    let policy = policy("{}");
    let mut stream = begin(&policy, DROPPED);
    answer(&mut stream, &policy, 200, None, true);
    assert!(!stream.is_complete());
    let unknown = Some(GrpcStatus::UNKNOWN);
    let trailers = Head { status: stream.status(), grpc_status: unknown, end_of_stream: true, ..Head::default() };
    let upgrade = stream.response(rules(&policy), trailers, ResponseFlags::default, None, |_| true);
    assert_eq!(upgrade, Some(Upgrade::Upgraded(Trigger::GrpcStatus(GrpcStatus::UNKNOWN))));
    assert!(stream.is_complete());
}

#[test]
fn the_end_tells_of_what_no_answer_could() {
    let policy = policy(r#"{"upgrade": {"latency_ms": 100}}"#);
    let extracted = extract(&policy.propagators, &mut { DROPPED });
    let started = Some(1_000_000_000);
    for (answered, flags, milliseconds, expected) in [
        (true, 0, 99, None),
        (true, 0, 100, Some(Trigger::Latency)),
        (false, 0, 1, Some(Trigger::Reset)),
        (false, 0x4000, 1, Some(Trigger::ResponseFlags(ResponseFlags::DOWNSTREAM_DISCONNECT))),
    ] {
        let (mut stream, _) = Stream::begin(
            rules(&policy),
            Arriving { now: started, ..Arriving::default() },
            &extracted,
            |_| None,
            |_| None,
            &mut Counting(1),
        );
        if answered {
            answer(&mut stream, &policy, 200, None, true);
            stream.body_ended();
        }
        assert_eq!(stream.wants_flags(), !answered);
        let now = Some(1_000_000_000 + milliseconds * 1_000_000);
        let ending = stream.ending(ResponseFlags::from_bits(flags), false, now);
        let upgrade = stream.end(rules(&policy), &ending, |_| true);
        assert_eq!(upgrade, expected.map(Upgrade::Upgraded), "{answered} {flags} {milliseconds}");
    }
}

#[test]
fn an_outer_listener_decides_for_itself_whatever_the_client_says() {
    let edge = policy(r#"{"edge": true, "sampling": {"ratio": 0}}"#);
    assert!(begin(&edge, SAMPLED).keep().is_none());
    let inner = policy(r#"{"sampling": {"ratio": 0}}"#);
    assert!(begin(&inner, SAMPLED).keep().is_some());
}

#[test]
fn a_request_under_other_rules_keeps_its_ids_and_is_decided_anew() {
    let live = policy(r#"{"sampling": {"ratio": 0}, "upgrade": {"http_status": ["5xx"]}}"#);
    let other = policy(r#"{"sampling": {"ratio": 1}, "upgrade": {"http_status": [404]}}"#);
    let extracted = Extracted::default();
    let (mut stream, _) =
        Stream::begin(rules(&live), Arriving::default(), &extracted, |_| None, |_| None, &mut Counting(1));
    let mut shadow = stream.under(rules(&other), (None, None), &extracted);
    assert_eq!((shadow.trace_id(), shadow.decision().sampled), (stream.trace_id(), true));
    assert!(answer(&mut stream, &live, 404, None, true).is_none());
    assert_eq!(answer(&mut shadow, &other, 404, None, true), Some(Upgrade::AlreadySampled));
    let wanted = Outcome { sampled: true, verdict: None, kept: true, live: false };
    assert_eq!(Outcome::of(&stream, &shadow), wanted);
}

#[test]
fn under_other_rules_a_callers_decision_counts_as_their_mode_says() {
    for (mode, sampled) in [("parent_based", false), ("independent", true)] {
        let live = policy("{}");
        let other = policy(&format!(r#"{{"sampling": {{"mode": "{mode}", "ratio": 1}}}}"#));
        let extracted = extract(&live.propagators, &mut { DROPPED });
        let (stream, _) =
            Stream::begin(rules(&live), Arriving::default(), &extracted, |_| None, |_| None, &mut Counting(1));
        assert_eq!(stream.under(rules(&other), (None, None), &extracted).decision().sampled, sampled, "{mode}");
        let (known, _) = Stream::begin(
            rules(&live),
            Arriving::default(),
            &extracted,
            |_| None,
            |_| Some(Verdict::Upgraded),
            &mut Counting(1),
        );
        assert!(known.under(rules(&live), (None, None), &extracted).decision().sampled);
    }
}

#[test]
fn a_rule_of_x_ray_decides_what_no_caller_has_decided_under_the_same_ids() {
    let checkout = |sampled: bool, boosts: bool| Choice {
        rule: RuleId::of("checkout"),
        decision: Decision {
            sampled,
            reason: Reason::XRay,
            threshold: sampled.then_some(Threshold::ALWAYS),
            th: if sampled { ThEdit::Set(0) } else { ThEdit::Erase },
            inconsistent: false,
        },
        how: if sampled { How::Reservoir } else { How::Dropped },
        boosts,
    };
    for (ratio, sampled, boosts, tracestate) in [
        (0, true, false, HeaderEdit::Replace(b"ot=th:0".to_vec())),
        (0, true, true, HeaderEdit::Replace(b"ot=th:0,xrsr=c7761e58969f7edd".to_vec())),
        (1, false, true, HeaderEdit::Replace(b"xrsr=c7761e58969f7edd".to_vec())),
        (1, false, false, HeaderEdit::Keep),
    ] {
        let policy = policy(&format!(r#"{{"sampling": {{"ratio": {ratio}}}}}"#));
        let root = Extracted::default();
        let (_, own) = Stream::begin(rules(&policy), Arriving::default(), &root, |_| None, |_| None, &mut Counting(1));
        let choose = |_| Some(checkout(sampled, boosts).chosen());
        let (stream, out) =
            Stream::begin(rules(&policy), Arriving::default(), &root, choose, |_| None, &mut Counting(1));
        assert_eq!((out.context.sampled, stream.keep().is_some(), out.tracestate), (sampled, sampled, tracestate));
        assert_eq!((out.context.trace_id, out.context.span_id), (own.context.trace_id, own.context.span_id));
        assert_eq!(out.context.random, own.context.random);
    }
    for (mode, open) in [("parent_based", false), ("independent", true)] {
        let policy = policy(&format!(r#"{{"sampling": {{"mode": "{mode}", "ratio": 1}}}}"#));
        let extracted = extract(&policy.propagators, &mut { DROPPED });
        let mut asked = false;
        let choose = |_| {
            asked = true;
            Some(checkout(false, false).chosen())
        };
        // A later call of a trace that a failure has upgraded here.
        let known = |_| Some(Verdict::Upgraded);
        let (stream, _) =
            Stream::begin(rules(&policy), Arriving::default(), &extracted, choose, known, &mut Counting(1));
        assert_eq!(asked, open, "{mode}");
        assert_eq!((stream.decision().sampled, stream.decision().reason), (true, Reason::Upgraded));
    }
}
