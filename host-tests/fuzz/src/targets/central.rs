//! X-Ray's central sampling: whatever its service answers, and whatever other VMs left in shared data.

use tracelift::central::{
    Answer, Counts, Glob, Lead, Poller, Progress, RuleId, RuleSet, Schedule, Service, Standing, Tally,
};
use tracelift::sampling::{Randomness, RequestFacts, Steps};

use crate::Input;

/// 1 January 2026 in Unix milliseconds.
const START: u64 = 1_767_225_600_000;
const SCHEDULE: Schedule = Schedule { rules_ms: 300_000, targets_ms: 10_000, jitter_percent: 1 };
/// A quarter of an hour, milliseconds: longer than any wait between two calls.
const LONGEST_STEP: u64 = 900_000;

/// A leader's calls and their answers, on a clock that may run backwards. Requests that were counted are reported, returned
/// or lost, and never more than once; what a leader publishes every VM can read.
pub(super) fn central(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let service = Service { name: "cart".to_owned(), kind: None, arn: None };
    let mut now = START;
    let client = "0123456789abcdef01234567".to_owned();
    let mut poller = Poller::new(SCHEDULE, service.clone(), client, input.maybe_bytes(), now, input.any());
    let mut rules = RuleSet::default();
    let (mut counted, mut given_back) = (0_u64, 0_u64);
    for _ in 0..=input.below(12) {
        let step = u64::from(input.any::<u32>()) % LONGEST_STEP;
        now = if input.any::<u8>() == 0 { now.saturating_sub(step) } else { now.saturating_add(step) };
        let tally = tally(&mut input, &rules);
        let taken = tally.requests();
        let mut asked = false;
        let call = poller.poll(now, || {
            asked = true;
            tally
        });
        counted += if asked { taken } else { 0 };
        if call.is_some() {
            let answer = answer(&mut input).with_times(input.maybe_bytes(), input.maybe_bytes(), now);
            let progress = poller.answered(answer, now, input.any());
            given_back += take(progress, &service, &mut rules);
        }
        decide(&mut input, &rules, now);
    }
    given_back += take(poller.resign(), &service, &mut rules);
    assert!(given_back <= counted, "{given_back} given back of {counted}");
}

/// What every VM does with a leader's news; answers how many requests were not reported.
fn take(progress: Progress, service: &Service, rules: &mut RuleSet) -> u64 {
    if let Some(published) = progress.publish {
        *rules = RuleSet::read(&published, service)
            .unwrap_or_else(|| panic!("nobody can read {}", String::from_utf8_lossy(&published)));
    }
    progress.returned.requests() + progress.lost
}

fn tally(input: &mut Input<'_>, rules: &RuleSet) -> Tally {
    let mut tally = Tally::default();
    for rule in rules.rules() {
        let requests = u32::from(input.any::<u8>());
        let counts = Counts { requests, sampled: requests / 2, ..Counts::default() };
        tally.add(rule.id, &counts);
    }
    tally
}

fn answer<'a>(input: &mut Input<'a>) -> Answer<'a> {
    let status = input.one_of(&[Some(200), Some(200), Some(200), Some(429), Some(503), None]);
    Answer { status, body: input.bytes(), ..Answer::default() }
}

fn decide(input: &mut Input<'_>, rules: &RuleSet, now: u64) {
    let facts = RequestFacts { path: input.bytes(), method: b"GET", host: input.bytes(), headers: &[] };
    let admits = input.any::<bool>();
    let choice = rules.decide(&facts, Randomness::from_rv(input.any()), now, &mut Steps::default(), |_, quota| {
        assert!(0 < quota, "asked for one of none");
        admits
    });
    if let Some(choice) = choice {
        assert_eq!(choice.decision.sampled, choice.decision.threshold.is_some());
        assert!(rules.find(choice.rule).is_some(), "a rule that nobody knows");
    }
}

/// What lies in shared data is read, whoever wrote it, and what is written is read back.
pub(super) fn shared(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (lease, sum, pattern, text) = (input.bytes(), input.bytes(), input.bytes(), input.bytes());
    if let Some(lead) = Lead::from_bytes(lease) {
        assert_eq!(Lead::from_bytes(&lead.to_bytes()), Some(lead));
        let held = lead.held_by(7, START);
        assert_eq!(held.standing(7, START), Standing::Leading);
        assert_eq!(lead.client_id().len(), 24);
    }
    let tally = Tally::from_bytes(sum);
    assert_eq!(Tally::from_bytes(&tally.to_bytes()), tally);
    if let Some(id) = RuleId::parse(pattern) {
        assert_eq!(RuleId::parse(&id.to_member()), Some(id));
    }
    if let Ok(pattern) = std::str::from_utf8(pattern) {
        let matches = Glob::new(pattern).matches(Some(text), &mut Steps::default());
        assert!(matches || pattern != "*");
    }
}
