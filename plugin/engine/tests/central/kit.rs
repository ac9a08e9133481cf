//! A service, its rules, and a leader with a hand-driven clock.

use serde_json::{Value, json};
use tracelift::central::{Answer, Counts, Poller, Progress, Request, RuleId, RuleSet, Schedule, Service, Tally};

/// 1 January 2026, 00:00:02 UTC, in milliseconds: a second after the last change of the recorded rules.
pub const NOW: u64 = 1_767_225_602_000;

pub const RULES: &str = include_str!("../vectors/xray_sampling_rules.json");
pub const TARGETS: &str = include_str!("../vectors/xray_sampling_targets.json");

pub const SCHEDULE: Schedule = Schedule { rules_ms: 300_000, targets_ms: 10_000, jitter_percent: 0 };

pub fn cart() -> Service {
    Service { name: "cart".to_owned(), kind: None, arn: None }
}

/// A rule that matches everything, with these changes.
pub fn rule(name: &str, changes: Value) -> Value {
    let mut rule = json!({
        "RuleName": name, "RuleARN": format!("arn:{name}"), "Priority": 100, "FixedRate": 0.0, "ReservoirSize": 0,
        "ServiceName": "*", "ServiceType": "*", "ResourceARN": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*",
        "Version": 1, "Attributes": {},
    });
    for (key, value) in changes.as_object().expect("an object") {
        rule[key] = value.clone();
    }
    rule
}

/// An answer of `GetSamplingRules`.
pub fn rules(rules: impl IntoIterator<Item = Value>) -> String {
    let records: Vec<_> = rules.into_iter().map(|rule| json!({"SamplingRule": rule, "ModifiedAt": 1.0})).collect();
    json!({"SamplingRuleRecords": records}).to_string()
}

/// An answer of `GetSamplingTargets`.
pub fn targets(documents: Value) -> String {
    json!({"SamplingTargetDocuments": documents, "LastRuleModification": 1.0}).to_string()
}

/// A leader, its clock, and what all VMs know and have counted.
pub struct Leader {
    pub poller: Poller,
    pub now: u64,
    pub published: Vec<u8>,
    pub counted: Tally,
    pub lost: u64,
}

impl Leader {
    /// Before its first call.
    pub fn new() -> Self {
        let poller = Poller::new(SCHEDULE, cart(), "0123456789abcdef01234567".to_owned(), None, NOW, 0);
        Self { poller, now: NOW, published: Vec::new(), counted: Tally::default(), lost: 0 }
    }

    /// With these rules fetched.
    pub fn with_rules(answer: &str) -> Self {
        let mut leader = Self::new();
        assert_eq!(leader.call().path, "/GetSamplingRules");
        assert!(leader.answer(200, answer).succeeded);
        leader
    }

    pub fn poll(&mut self) -> Option<Request> {
        let counted = &mut self.counted;
        self.poller.poll(self.now, || std::mem::take(counted))
    }

    /// The call that is due.
    #[track_caller]
    pub fn call(&mut self) -> Request {
        self.poll().expect("a call is due")
    }

    /// The body of the call that is due.
    #[track_caller]
    pub fn body(&mut self) -> Value {
        serde_json::from_slice(&self.call().body).expect("JSON")
    }

    pub fn answer(&mut self, status: u16, body: &str) -> Progress {
        self.answered(Answer { status: Some(status), body: body.as_bytes(), ..Answer::default() })
    }

    pub fn answered(&mut self, answer: Answer<'_>) -> Progress {
        let progress = self.poller.answered(answer, self.now, 0);
        if let Some(published) = &progress.publish {
            self.published = published.clone();
        }
        self.counted.merge(&progress.returned);
        self.lost += progress.lost;
        progress
    }

    pub fn advance(&mut self, ms: u64) {
        self.now += ms;
    }

    /// What a VM makes of the publication.
    pub fn set(&self) -> RuleSet {
        RuleSet::read(&self.published, &cart()).expect("published")
    }

    /// The rules in order.
    pub fn names(&self) -> Vec<String> {
        self.set().rules().iter().map(|rule| rule.name.clone()).collect()
    }

    pub fn count(&mut self, rule: &str, counts: Counts) {
        assert!(self.counted.add(RuleId::of(rule), &counts));
    }
}
