//! Every order of callbacks: each word of up to five of them, so that every one of them is missing, comes twice and comes at
//! the wrong time; and every order of all six.

use tracelift::door::Side;

use crate::kit::process::{Process, get, lines, status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Head,
    Answer,
    BodyEnd,
    Trailers,
    Log,
    Done,
}

const STEPS: [Step; 6] = [Step::Head, Step::Answer, Step::BodyEnd, Step::Trailers, Step::Log, Step::Done];

/// The caller's flags.
const DROPPED: &str = "02";
const SAMPLED: &str = "03";

/// Every word of so many steps.
fn words(length: u32) -> impl Iterator<Item = Vec<Step>> {
    (0..6_usize.pow(length)).map(move |number| (0..length).map(|at| STEPS[number / 6_usize.pow(at) % 6]).collect())
}

/// Words of up to five steps, and every order of all six.
fn all_words() -> impl Iterator<Item = Vec<Step>> {
    let orders = words(6).filter(|word| STEPS.iter().all(|step| word.contains(step)));
    (0..=5).flat_map(words).chain(orders)
}

/// What came of an answer to a request that did not come.
#[derive(Clone, Copy, Default)]
struct Early {
    failed: bool,
    told: bool,
    complete: bool,
}

/// What a stream is by the contract of the door: told step by step, without the engine.
#[derive(Default)]
struct Expected {
    begun: bool,
    /// The head of an answer came, and whether the request had.
    answered: bool,
    seen: bool,
    early: Option<Early>,
    complete: bool,
    trigger: Option<&'static str>,
    ended: bool,
    /// The access log's word at the end.
    decision: Option<String>,
}

impl Expected {
    fn of(word: &[Step], answer: u16, sampled: bool) -> Self {
        let mut expected = Self::default();
        for step in word {
            if expected.ended {
                break; // The host has no stream for it any more.
            }
            expected.step(*step, answer, sampled);
        }
        expected
    }

    fn step(&mut self, step: Step, answer: u16, sampled: bool) {
        self.answered |= step == Step::Answer;
        self.seen |= step == Step::Answer && self.begun;
        match step {
            Step::Head => self.begun = true,
            Step::Answer if self.begun && answer == 503 => {
                self.trigger = self.trigger.or(Some("upgraded.http_status"));
            }
            // A trailers-only answer would have told a gRPC status; these tell 14, UNAVAILABLE.
            Step::Trailers if self.begun => {
                self.complete = true;
                self.trigger = self.trigger.or(Some("upgraded.grpc_status"));
            }
            Step::BodyEnd if self.begun => self.complete = true,
            Step::Log => self.end(answer, sampled),
            // Of a request that never came: judged at the end, and as a whole.
            Step::Answer => self.early.get_or_insert_default().failed |= answer == 503,
            Step::Trailers => {
                let early = self.early.get_or_insert_default();
                (early.told, early.complete) = (true, true);
            }
            Step::BodyEnd => {
                if let Some(early) = &mut self.early {
                    early.complete = true;
                }
            }
            Step::Done => {}
        }
    }

    fn end(&mut self, answer: u16, sampled: bool) {
        self.ended = true;
        if let Some(early) = self.early.filter(|_| !self.begun) {
            self.complete = early.complete;
            self.trigger = match early {
                Early { failed: true, .. } => Some("upgraded.http_status"),
                Early { told: true, .. } => Some("upgraded.grpc_status"),
                Early { .. } => None,
            };
        }
        if self.begun && self.answered && !self.seen && !self.complete {
            // Its answer was sent past it: it is judged as it was logged, and no flag says that it broke off.
            self.complete = true;
            self.trigger = self.trigger.or((answer == 503).then_some("upgraded.http_status"));
        }
        if !self.complete {
            self.trigger = self.trigger.or(Some("upgraded.reset"));
        }
        self.decision = self.trigger.or((sampled && self.begun).then_some("sampled")).map(str::to_owned);
    }
}

/// Runs every word in one worker, each in a stream of its own.
fn play(configuration: &str, flags: &str, answer: u16, spans: i64) {
    let (mut process, root) = Process::with(configuration);
    let mut offered = 0;
    for word in all_words() {
        let stream = process.stream(0, root);
        // A trace of its own, so that no other word's failure is known of it.
        let caller = format!("00-{:032x}-b7ad6b7169203331-{flags}", stream.context);
        for step in &word {
            match step {
                Step::Head => assert!(!process.head(&stream, get(&[("traceparent", &caller)])), "{word:?}"),
                Step::Answer => process.answer(&stream, status(answer, &[]), false),
                Step::BodyEnd => process.body_end(&stream),
                Step::Trailers => process.trailers(&stream, lines(&[("grpc-status", "14")])),
                Step::Log => process.log(&stream),
                Step::Done => assert!(process.done(0, stream.context), "{word:?}"),
            }
        }
        let expected = Expected::of(&word, answer, flags == SAMPLED);
        assert_eq!(stream.exchange.decision(), expected.decision, "{word:?}");
        offered += if expected.decision.is_some() { spans } else { 0 };
        let forwarded = stream.exchange.values(Side::Request, "traceparent");
        assert!(forwarded.len() <= 1, "{word:?}: {forwarded:?}");
        process.log(&stream); // No stream stays behind.
        offered += match (expected.ended, Expected::of(&[&word[..], &[Step::Log]].concat(), answer, flags == SAMPLED)) {
            (false, Expected { decision: Some(_), .. }) => spans,
            _ => 0,
        };
    }
    process.export();
    assert_eq!(process.metric("spans.offered"), offered);
    assert_eq!(process.exported.len() as i64, offered);
    assert_eq!(process.metric("pending.spans"), 0);
}

const ROOMY: &str = r#""export": {"max_queue_size": 65536, "max_queue_bytes": 67108864, "max_export_batch_size": 512}"#;

fn unlimited(more: &str) -> String {
    // What a request that never came is decided by.
    let nothing = r#""sampling": {"ratio": 0}"#;
    format!(r#"{{{nothing}, "upgrade": {{"traces_per_second": 1000000}}, {more} {ROOMY}}}"#)
}

#[test]
fn a_dropped_request_that_fails_is_kept_once_in_whatever_order() {
    play(&unlimited(""), DROPPED, 503, 1);
}

#[test]
fn a_dropped_request_that_is_answered_well_is_kept_for_its_end_alone() {
    play(&unlimited(""), DROPPED, 200, 1);
}

#[test]
fn a_sampled_request_is_kept_once_in_whatever_order() {
    play(&unlimited(""), SAMPLED, 200, 1);
}

#[test]
fn a_sampled_request_that_fails_is_kept_once_in_whatever_order() {
    play(&unlimited(""), SAMPLED, 503, 1);
}

#[test]
fn a_gateway_keeps_both_its_spans_or_neither() {
    play(&unlimited(r#""span_kind": "both","#), DROPPED, 503, 2);
}

#[test]
fn a_shadow_changes_nothing_of_it() {
    play(&unlimited(r#""shadow": {"sampling": {"ratio": 1}},"#), DROPPED, 503, 1);
}
