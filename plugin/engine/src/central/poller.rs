//! The leader's work: fetch rules, report statistics, take targets, and publish what came of it. One call at a time.

use super::api::{self, MAX_DOCUMENTS, RULES_PATH, TARGETS_PATH};
use super::intake::Intake;
use super::rule_set::{FETCHED_AT, RULES, TARGETS, list};
use super::target::Target;
use super::{RuleId, RuleSet, Schedule, Service, Tally};
use crate::http::{http_date, retry_after_ms};
use crate::json::{self, Tree};

/// Keys of the published form that only a leader reads.
const SERVICE_FETCHED_AT: &str = "ServiceFetchedAt";
const SEEN_MODIFICATION: &str = "SeenModification";
/// Apart by less than this, milliseconds, two clocks agree: `Date` counts seconds, and answers take their time.
const CLOCKS_AGREE_MS: u64 = 3000;

/// A call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `:path` of the POST.
    pub path: &'static str,
    /// JSON.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// HTTP status; `None` when the call failed without one.
    pub status: Option<u16>,
    /// Envoy would not even send the call: its reason, a `proxy_result_t`.
    pub not_sent: Option<u32>,
    /// `date`, Unix milliseconds.
    pub service_time: Option<u64>,
    /// `retry-after`, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The same with the times in these headers, `date` and `retry-after`, read at `now`, Unix milliseconds.
    pub fn with_times(self, date: Option<&[u8]>, retry_after: Option<&[u8]>, now: u64) -> Self {
        let service_time =
            date.and_then(|date| http_date(date, now / 1000)).map(|seconds| seconds.saturating_mul(1000));
        let retry_after_ms = retry_after.and_then(|value| retry_after_ms(value, now.saturating_mul(1_000_000)));
        Self { service_time, retry_after_ms, ..self }
    }
}

/// What an answer came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The answer could be used.
    pub succeeded: bool,
    /// The published form, if it has changed.
    pub publish: Option<Vec<u8>>,
    /// Statistics that X-Ray has not taken: to be counted again.
    pub returned: Tally,
    /// Requests whose statistics are lost: nobody knows whether X-Ray took them, or it does not want them.
    pub lost: u64,
    /// Rules that are not looked at: unreadable, of another version, twice, or too many.
    pub refused_rules: usize,
    /// An episode of failures begins or ends.
    pub news: Option<News>,
}

/// For the log, once an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A call failed; in words.
    Failing(String),
    /// Calls succeed again.
    Recovered,
}

/// What the awaited answer will be to.
#[derive(Clone, Debug)]
enum Awaited {
    Rules,
    Report(Tally),
}

/// The leader's state.
#[derive(Clone, Debug)]
pub struct Poller {
    schedule: Schedule,
    service: Service,
    /// `ClientID`.
    client: String,
    /// Each as JSON.
    rules: Vec<(RuleId, String)>,
    targets: Vec<(RuleId, String)>,
    /// The rules that can match requests to this service.
    own: RuleSet,
    fetched_at: u64,
    service_fetched_at: u64,
    /// The latest modification that made us fetch the rules, by the service's clock.
    seen_modification: u64,
    /// How far the service's clock is ahead of ours, milliseconds.
    ahead_ms: i64,
    rules_due: u64,
    targets_due: u64,
    awaited: Option<Awaited>,
    intake: Intake,
    /// Statistics of a round that has more rules to report, and how many it has reported.
    round: Option<(Tally, usize)>,
    /// The shortest interval that the targets of this round ask for.
    interval_ms: Option<u64>,
    failures: u32,
}

impl Poller {
    /// Takes the lead at `now`, Unix milliseconds. `published` is what an earlier leader left behind.
    pub fn new(
        schedule: Schedule,
        service: Service,
        client: String,
        published: Option<&[u8]>,
        now: u64,
        random: u64,
    ) -> Self {
        let tree = published.and_then(|bytes| json::read(bytes).ok()).unwrap_or(Tree::Null);
        let texts = |key| {
            let mut texts = Vec::new();
            for tree in list(&tree, key) {
                let mut text = String::new();
                json::write(tree, &mut text);
                texts.extend(id(tree).map(|id| (id, text)));
            }
            texts
        };
        let whole = |key| tree.get(&[key]).and_then(Tree::whole).unwrap_or_default();
        let fetched_at = whole(FETCHED_AT);
        // The first questions of processes that start together are spread over a second.
        let soon = now.saturating_add(random % 1000);
        Self {
            rules: texts(RULES),
            targets: texts(TARGETS),
            own: published.and_then(|bytes| RuleSet::read(bytes, &service)).unwrap_or_default(),
            fetched_at,
            service_fetched_at: whole(SERVICE_FETCHED_AT),
            seen_modification: whole(SEEN_MODIFICATION),
            ahead_ms: 0,
            rules_due: if fetched_at == 0 { soon } else { schedule.rules(fetched_at, random).max(soon) },
            targets_due: schedule.targets(now, None, random),
            awaited: None,
            intake: Intake::default(),
            round: None,
            interval_ms: None,
            failures: 0,
            schedule,
            service,
            client,
        }
    }

    /// The next call, if one is due. `take` takes away what all VMs have counted since it was last called.
    pub fn poll(&mut self, now: u64, take: impl FnOnce() -> Tally) -> Option<Request> {
        if self.awaited.is_some() {
            return None;
        }
        // A clock that was set back puts nothing off for longer than usual.
        let latest = now.saturating_add(self.schedule.longest());
        self.rules_due = self.rules_due.min(latest);
        self.targets_due = self.targets_due.min(latest);
        if self.rules_due <= now {
            self.awaited = Some(Awaited::Rules);
            let body = api::ask_rules(self.intake.next_token()).into_bytes();
            return Some(Request { path: RULES_PATH, body });
        }
        if self.own.rules().is_empty() || now < self.targets_due {
            return None;
        }
        let (mut tally, reported) = self.round.take().unwrap_or_else(|| (take(), 0));
        let mut sent = Tally::default();
        let mut counted = Vec::with_capacity(MAX_DOCUMENTS);
        for rule in self.own.rules().iter().skip(reported).take(MAX_DOCUMENTS) {
            let counts = tally.take(rule.id);
            sent.add(rule.id, &counts);
            counted.push((rule, counts));
        }
        let seconds = now.saturating_add_signed(self.ahead_ms) / 1000;
        let reported = reported.saturating_add(counted.len());
        let body = api::report(&counted, &self.service.name, &self.client, seconds).into_bytes();
        // What a round leaves over counts rules that are gone.
        self.round = (reported < self.own.rules().len()).then_some((tally, reported));
        self.awaited = Some(Awaited::Report(sent));
        Some(Request { path: TARGETS_PATH, body })
    }

    /// Takes the answer to the latest call.
    pub fn answered(&mut self, answer: Answer<'_>, now: u64, random: u64) -> Progress {
        let Some(mut awaited) = self.awaited.take() else { return Progress::default() };
        let read = match answer.status {
            Some(200..=299) => json::read(answer.body).ok(),
            _ => None,
        };
        if let (Some(_), Some(time)) = (&read, answer.service_time) {
            let apart = i64::try_from(time).unwrap_or(i64::MAX).saturating_sub_unsigned(now);
            self.ahead_ms = if apart.unsigned_abs() < CLOCKS_AGREE_MS { 0 } else { apart };
        }
        let done = read.and_then(|tree| match &mut awaited {
            Awaited::Rules => self.take_rules(&tree, now, random),
            Awaited::Report(sent) => self.take_targets(&tree, sent, now, random),
        });
        match done {
            Some(progress) => {
                let news = (0 < std::mem::take(&mut self.failures)).then_some(News::Recovered);
                Progress { succeeded: true, news, ..progress }
            }
            None => {
                let path = if let Awaited::Rules = awaited { RULES_PATH } else { TARGETS_PATH };
                let progress = self.fail(awaited, &answer, now, random);
                let news = (self.failures == 1).then(|| News::Failing(problem(path, &answer)));
                Progress { news, ..progress }
            }
        }
    }

    /// Gives up the lead; answers what was not reported. What is on its way is lost: X-Ray may have it.
    pub fn resign(self) -> Progress {
        let lost = match &self.awaited {
            Some(Awaited::Report(sent)) => sent.requests(),
            _ => 0,
        };
        Progress { returned: self.round.map(|(tally, _)| tally).unwrap_or_default(), lost, ..Progress::default() }
    }

    /// How many rules can match requests to this service.
    pub fn rule_count(&self) -> usize {
        self.own.rules().len()
    }

    fn take_rules(&mut self, answer: &Tree, now: u64, random: u64) -> Option<Progress> {
        if !self.intake.take(answer)? {
            self.rules_due = now;
            return Some(Progress::default());
        }
        let intake = std::mem::take(&mut self.intake);
        let refused_rules = intake.refused;
        let rules = intake.finish();
        // A rule that was changed begins anew, without the target of what it was.
        self.rules.retain(|rule| rules.contains(rule));
        self.targets.retain(|(id, _)| self.rules.iter().any(|(kept, _)| kept == id));
        self.rules = rules;
        self.fetched_at = now;
        self.service_fetched_at = now.saturating_add_signed(self.ahead_ms);
        self.rules_due = self.schedule.rules(now, random);
        // The round's order of rules was that of the old ones.
        let returned = self.round.take().map(|(tally, _)| tally).unwrap_or_default();
        Some(Progress { publish: Some(self.publish()), refused_rules, returned, ..Progress::default() })
    }

    fn take_targets(&mut self, answer: &Tree, sent: &mut Tally, now: u64, random: u64) -> Option<Progress> {
        let documents @ Tree::List(_) = answer.get(&["SamplingTargetDocuments"])? else { return None };
        let mut progress = Progress::default();
        for document in documents.elements() {
            let Some(rule) = id(document).filter(|rule| self.own.find(*rule).is_some()) else { continue };
            let Some(target) = Target::publish(document, now, self.ahead_ms) else { continue };
            self.targets.retain(|(known, _)| *known != rule);
            self.targets.push((rule, target));
            if let Some(seconds) = document.get(&["Interval"]).and_then(Tree::whole) {
                let asked = seconds.saturating_mul(1000);
                self.interval_ms = Some(self.interval_ms.map_or(asked, |known| known.min(asked)));
            }
        }
        for unprocessed in answer.get(&["UnprocessedStatistics"]).map_or(&[][..], Tree::elements) {
            let Some(rule) = id(unprocessed) else { continue };
            // Anomalies have a list of their own.
            let (counts, anomalies) = sent.take(rule).by_document();
            sent.add(rule, &anomalies);
            if api::may_be_sent_again(unprocessed) {
                progress.returned.add(rule, &counts);
            } else {
                progress.lost = progress.lost.saturating_add(counts.requests.into());
            }
        }
        for unprocessed in answer.get(&["UnprocessedBoostStatistics"]).map_or(&[][..], Tree::elements) {
            let Some(rule) = id(unprocessed).filter(|_| api::may_be_sent_again(unprocessed)) else { continue };
            progress.returned.add(rule, &sent.take(rule).by_document().1);
        }
        if self.round.is_none() {
            self.targets_due = self.schedule.targets(now, self.interval_ms.take(), random);
        }
        let modified = answer.get(&["LastRuleModification"]).and_then(Tree::number);
        let modified = modified.map_or(0, |seconds| (seconds * 1000.0) as u64);
        if self.service_fetched_at < modified && modified != self.seen_modification {
            self.seen_modification = modified;
            self.rules_due = now;
        }
        progress.publish = Some(self.publish());
        Some(progress)
    }

    fn fail(&mut self, awaited: Awaited, answer: &Answer<'_>, now: u64, random: u64) -> Progress {
        self.failures = self.failures.saturating_add(1);
        let again = self.schedule.after_failures(self.failures, answer.retry_after_ms, now, random);
        let mut progress = Progress::default();
        match awaited {
            Awaited::Rules => {
                self.intake = Intake::default();
                self.rules_due = again;
            }
            Awaited::Report(sent) => {
                self.targets_due = again;
                // Without an answer, or with one that cannot be read, X-Ray may have counted what was sent: better too
                // little than twice.
                if answer.not_sent.is_none() && matches!(answer.status, None | Some(200..=299 | 504)) {
                    progress.lost = sent.requests();
                } else {
                    progress.returned = sent;
                }
                progress.lost = progress.lost.saturating_add(match self.round.take() {
                    Some((tally, _)) => progress.returned.merge(&tally),
                    None => 0,
                });
            }
        }
        progress
    }

    /// Brings our own view up to date and writes what all VMs shall know.
    fn publish(&mut self) -> Vec<u8> {
        let mut text = String::from("{");
        for (key, number) in [
            (FETCHED_AT, self.fetched_at),
            (SERVICE_FETCHED_AT, self.service_fetched_at),
            (SEEN_MODIFICATION, self.seen_modification),
        ] {
            text.push_str(&["\"", key, "\":", &number.to_string(), ","].concat());
        }
        for (key, list, end) in [(RULES, &self.rules, "],"), (TARGETS, &self.targets, "]}")] {
            text.push_str(&["\"", key, "\":["].concat());
            for (index, (_, element)) in list.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                text.push_str(element);
            }
            text.push_str(end);
        }
        let bytes = text.into_bytes();
        self.own = RuleSet::read(&bytes, &self.service).unwrap_or_default();
        bytes
    }
}

fn id(tree: &Tree) -> Option<RuleId> {
    tree.get(&["RuleName"]).and_then(Tree::text).map(RuleId::of)
}

/// What went wrong, in words.
fn problem(path: &str, answer: &Answer<'_>) -> String {
    let number;
    let what = match (answer.not_sent, answer.status) {
        (Some(reason), _) => {
            number = reason.to_string();
            ["not sent, because Envoy has no such cluster or no host in it; hostcall status ", &number]
        }
        (None, Some(200..=299)) => ["an answer that does not belong to this call", ""],
        (None, Some(status)) => {
            number = status.to_string();
            ["HTTP status ", &number]
        }
        (None, None) => ["no answer", ""],
    };
    ["POST ", path, ": ", &what.concat()].concat()
}
