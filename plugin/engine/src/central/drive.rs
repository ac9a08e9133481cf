//! X-Ray's central sampling in this worker, over the door: the lease, what all workers share, the leader's calls, and the
//! decision of a request.

use super::reservoirs;
use super::{
    Answer, Choice, Counts, How, Lead, MEMBER, News, Poller, RuleId, RuleSet, Schedule, Service, Standing, Tally,
};
use crate::door::{Host, Level, Refused, Update};
use crate::sampling::{Randomness, RequestFacts, Steps, XRaySettings};
use crate::shared::{CallAnswer, Entropy};
use crate::telemetry::{Metric, Metrics};
use crate::trace_context::Extracted;

/// Attempts against other workers.
const TRIES: usize = 8;
/// Larger answers are not sampling rules.
pub const ANSWER_BYTES: usize = 512 * 1024;
/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;
/// The number is the version of all layouts below: other layouts are other keys.
const PREFIX: &str = "tracelift.central.1.";
const LEAD: &str = "lead";
const RULES: &str = "rules";
const TALLY: &str = "tally";
const RESERVOIRS: &str = "reservoirs";

/// The part that one root context has in its process's central sampling.
pub struct Central {
    settings: XRaySettings,
    service: Service,
    /// Before the names of what is shared. Filters that ask the same cluster for the same service share it, on whatever
    /// listener.
    scope: String,
    /// Names this root in the lease; 0 before its first tick.
    me: u64,
    /// Of what was read last.
    version: u32,
    set: RuleSet,
    /// Counted here since the last tick.
    tally: Tally,
    spent: reservoirs::Spent,
    /// Only while this root leads.
    poller: Option<Box<Poller>>,
    /// The call whose answer is awaited.
    call: Option<u32>,
}

impl Central {
    /// Nothing is known yet; it asks on its first tick.
    pub fn new(settings: XRaySettings, service: Service) -> Self {
        let scope = [&settings.cluster, "\n", &settings.authority, "\n", &service.name, "\n"].concat();
        let scope =
            [&scope, service.kind.unwrap_or_default(), "\n", service.arn.as_deref().unwrap_or_default()].concat();
        let scope = RuleId::of(&scope).to_member();
        let scope = [PREFIX, str::from_utf8(&scope).unwrap_or_default(), "."].concat();
        Self {
            settings,
            service,
            scope,
            me: 0,
            version: 0,
            set: RuleSet::default(),
            tally: Tally::default(),
            spent: reservoirs::Spent::default(),
            poller: None,
            call: None,
        }
    }

    fn key(&self, name: &str) -> Vec<u8> {
        [&self.scope, name].concat().into_bytes()
    }

    /// Whether a new configuration asks the same for the same service.
    pub fn is_for(&self, settings: &XRaySettings, service: &Service) -> bool {
        self.settings == *settings && self.service == *service
    }

    /// Decides a request that no caller has decided; `None` leaves it to the configuration. Never inlined, so that it costs
    /// those nothing that do not come here.
    #[inline(never)]
    pub fn decide(
        &mut self,
        host: &impl Host,
        entries: &[(&[u8], &[u8])],
        randomness: Randomness,
        steps: &mut Steps,
        metrics: &mut Metrics,
    ) -> Option<Choice> {
        let choice = self.choose(host, entries, randomness, steps);
        let Some(choice) = &choice else {
            metrics.count(Metric::CentralFallback);
            return None;
        };
        let sampled = u32::from(choice.decision.sampled);
        let borrowed = u32::from(choice.how == How::Borrowed);
        self.tally.add(choice.rule, &Counts { requests: 1, sampled, borrowed, ..Counts::default() });
        match choice.how {
            How::Reservoir => metrics.count(Metric::CentralReservoir),
            How::Borrowed => metrics.count(Metric::CentralBorrowed),
            How::Rate | How::Dropped => {}
        }
        Some(*choice)
    }

    /// Whether there is any rule to look at.
    pub fn has_rules(&self) -> bool {
        !self.set.rules().is_empty()
    }

    fn choose(
        &mut self,
        host: &impl Host,
        entries: &[(&[u8], &[u8])],
        randomness: Randomness,
        steps: &mut Steps,
    ) -> Option<Choice> {
        if !self.has_rules() {
            return None;
        }
        let facts = RequestFacts::of(entries);
        let now = host.now() / MILLISECOND;
        let second = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let (scope, spent) = (&self.scope, &mut self.spent);
        self.set.decide(&facts, randomness, now, steps, |rule, quota| take(host, scope, spent, rule, quota, second))
    }

    /// The rule by which a caller had the trace decided, if it is one of ours. Never inlined, as above.
    #[inline(never)]
    pub fn rule_of(&self, extracted: &Extracted) -> Option<RuleId> {
        if self.set.rules().is_empty() {
            return None;
        }
        let rule = RuleId::parse(extracted.trace_state().get(MEMBER)?)?;
        self.set.find(rule).map(|rule| rule.id)
    }

    /// Whether requests below this rule are counted as fine or failed. Never inlined, as above.
    #[inline(never)]
    pub fn boosts(&self, rule: RuleId) -> bool {
        self.set.find(rule).is_some_and(|rule| rule.boosts)
    }

    /// Counts the end of a request below a rule. Never inlined, as above.
    #[inline(never)]
    pub fn ended(&mut self, rule: RuleId, failed: bool, sampled: bool) {
        let anomalies = u32::from(failed);
        let sampled_anomalies = u32::from(failed && sampled);
        self.tally.add(rule, &Counts { total: 1, anomalies, sampled_anomalies, ..Counts::default() });
    }

    /// The rule's name, while it is there. Never inlined, as above.
    #[inline(never)]
    pub fn name(&self, rule: RuleId) -> Option<String> {
        self.set.find(rule).map(|rule| rule.name.clone())
    }

    /// Reads what others wrote, adds what was counted here, and leads if it falls to this root.
    pub fn tick(&mut self, host: &impl Host, entropy: &mut Entropy, metrics: &mut Metrics) {
        if self.me == 0 {
            self.me = entropy.next_u64(host) | 1;
        }
        let now = host.now() / MILLISECOND;
        let Ok(found) = host.shared(&self.key(LEAD)) else { return };
        let (bytes, cas) = found.unwrap_or_default();
        let lead = Lead::from_bytes(&bytes).unwrap_or_else(|| Lead::new(client(host, entropy)));
        match lead.standing(self.me, now) {
            // The first write of all cannot be guarded, so nobody leads before it has read that it does.
            Standing::Vacant => {
                let _ = host.swap(&self.key(LEAD), &lead.held_by(self.me, now).to_bytes(), cas);
                self.step_down(metrics);
            }
            Standing::Following => self.step_down(metrics),
            Standing::Renewing => {
                self.step_up(host, &lead, now, entropy, metrics);
                let _ = host.swap(&self.key(LEAD), &lead.held_by(self.me, now).to_bytes(), cas);
            }
            Standing::Leading => self.step_up(host, &lead, now, entropy, metrics),
        }
        if lead.version != self.version
            && let Ok(Some((published, _))) = host.shared(&self.key(RULES))
        {
            self.version = lead.version;
            self.set = RuleSet::read(&published, &self.service).unwrap_or_default();
        }
        self.add_up(host, metrics);
        self.send(host, now, entropy, metrics);
    }

    fn step_up(&mut self, host: &impl Host, lead: &Lead, now: u64, entropy: &mut Entropy, metrics: &mut Metrics) {
        if self.poller.is_some() {
            return;
        }
        // Values that are changed by compare-and-swap must be there first.
        for key in [self.key(TALLY), self.key(RESERVOIRS)] {
            if host.shared(&key) == Ok(None) {
                let _ = host.swap(&key, &[], 0);
            }
        }
        let published = host.shared(&self.key(RULES)).ok().flatten().map(|(published, _)| published);
        let schedule = Schedule {
            rules_ms: self.settings.rules_interval_ms,
            targets_ms: self.settings.targets_interval_ms,
            jitter_percent: self.settings.jitter_percent,
        };
        let (service, random) = (self.service.clone(), entropy.next_u64(host));
        let poller = Poller::new(schedule, service, lead.client_id(), published.as_deref(), now, random);
        self.poller = Some(Box::new(poller));
        metrics.count(Metric::CentralLeads);
    }

    fn step_down(&mut self, metrics: &mut Metrics) {
        self.call = None;
        if let Some(poller) = self.poller.take() {
            let left = poller.resign();
            lost(left.lost.saturating_add(self.tally.merge(&left.returned)), metrics);
        }
    }

    /// Adds what was counted here to what all workers have counted.
    fn add_up(&mut self, host: &impl Host, metrics: &mut Metrics) {
        if self.tally.is_empty() {
            return;
        }
        let mut without_room = 0;
        let update = host.update(&self.key(TALLY), TRIES, |shared| {
            let mut sum = Tally::from_bytes(shared?);
            without_room = sum.merge(&self.tally);
            Some(sum.to_bytes())
        });
        if update == Update::Changed {
            lost(without_room, metrics);
            self.tally = Tally::default();
        }
    }

    /// Makes the call that is due, if this root leads.
    fn send(&mut self, host: &impl Host, now: u64, entropy: &mut Entropy, metrics: &mut Metrics) {
        let tally = self.key(TALLY);
        let Some(poller) = &mut self.poller else { return };
        let Some(request) = poller.poll(now, || take_all(host, &tally)) else { return };
        let headers: [(&[u8], &[u8]); 4] = [
            (b":method", b"POST"),
            (b":path", request.path.as_bytes()),
            (b":authority", self.settings.authority.as_bytes()),
            (b"content-type", b"application/json"),
        ];
        match host.call(&self.settings.cluster, &headers, &request.body, self.settings.timeout_ms) {
            Ok(token) => self.call = Some(token),
            Err(Refused(status)) => {
                self.take(host, Answer { not_sent: Some(status), ..Answer::default() }, now, entropy, metrics);
            }
        }
    }

    /// Whether this is the token of our call.
    pub fn awaits(&self, token: u32) -> bool {
        self.call == Some(token)
    }

    /// The answer to our call came, or its absence.
    pub fn answered(&mut self, host: &impl Host, answer: &CallAnswer, entropy: &mut Entropy, metrics: &mut Metrics) {
        self.call = None;
        let now = host.now() / MILLISECOND;
        let (date, retry_after) = (answer.header("date"), answer.header("retry-after"));
        let answer = Answer { status: answer.status, body: &answer.body, ..Answer::default() };
        if self.take(host, answer.with_times(date, retry_after, now), now, entropy, metrics) {
            self.send(host, now, entropy, metrics); // The next page, or the rules that a report has found changed.
        }
    }

    /// Takes an answer; `true` when it could be used.
    fn take(
        &mut self,
        host: &impl Host,
        answer: Answer<'_>,
        now: u64,
        entropy: &mut Entropy,
        metrics: &mut Metrics,
    ) -> bool {
        let Some(poller) = &mut self.poller else { return false };
        let progress = poller.answered(answer, now, entropy.next_u64(host));
        metrics.count(if progress.succeeded { Metric::CentralPollsSucceeded } else { Metric::CentralPollsFailed });
        metrics.add(Metric::CentralRulesRefused, i64::try_from(progress.refused_rules).unwrap_or(i64::MAX));
        lost(progress.lost.saturating_add(self.tally.merge(&progress.returned)), metrics);
        if let Some(published) = progress.publish {
            metrics.record(host, Metric::CentralRules, u64::try_from(poller.rule_count()).unwrap_or(u64::MAX));
            self.publish(host, &published, now);
        }
        match progress.news {
            Some(News::Failing(problem)) => host.log(
                Level::Warn,
                &format!(
                    "tracelift: X-Ray's sampling rules, by way of cluster `{}`: {problem}. Rules that were fetched stay \
                     in force for an hour, then `sampling.ratio` and `sampling.rules` decide. Check that the cluster is \
                     the collector's awsproxy extension, and that it may call xray:GetSamplingRules and \
                     xray:GetSamplingTargets.",
                    self.settings.cluster
                ),
            ),
            Some(News::Recovered) => host.log(Level::Info, "tracelift: X-Ray's sampling rules: it answers again"),
            None => {}
        }
        progress.succeeded
    }

    /// Shows all VMs what the answer said, unless another root has taken the lead meanwhile.
    fn publish(&mut self, host: &impl Host, published: &[u8], now: u64) {
        let Ok(Some((bytes, cas))) = host.shared(&self.key(LEAD)) else { return };
        let Some(lead) = Lead::from_bytes(&bytes) else { return };
        if !matches!(lead.standing(self.me, now), Standing::Leading | Standing::Renewing) {
            return;
        }
        let version = lead.version.wrapping_add(1);
        if host.swap(&self.key(RULES), published, 0) == Ok(true) {
            let _ = host.swap(&self.key(LEAD), &Lead { version, ..lead }.to_bytes(), cas);
        }
    }

    /// This root ends: another one leads at once, and nothing that was counted is lost.
    pub fn end(&mut self, host: &impl Host, metrics: &mut Metrics) {
        let led = self.poller.is_some();
        self.step_down(metrics);
        self.add_up(host, metrics);
        if led
            && let Ok(Some((bytes, cas))) = host.shared(&self.key(LEAD))
            && let Some(lead) = Lead::from_bytes(&bytes).filter(|lead| lead.holder == self.me)
        {
            let _ = host.swap(&self.key(LEAD), &lead.given_up().to_bytes(), cas);
        }
    }
}

/// Takes one of the quota that all workers share. Where that cannot be asked, nothing is taken: the rate still holds.
fn take(host: &impl Host, scope: &str, spent: &mut reservoirs::Spent, rule: RuleId, quota: u32, second: u32) -> bool {
    if spent.knows(rule, second) {
        return false;
    }
    let key = [scope, RESERVOIRS].concat();
    let key = key.as_bytes();
    let mut empty = false;
    let update = host.update(key, TRIES, |shared| {
        let taken = reservoirs::take(shared?, rule, quota, second);
        empty = taken.is_none();
        taken
    });
    if empty {
        spent.note(rule, second);
    }
    update == Update::Changed
}

/// Takes away what all workers have counted.
fn take_all(host: &impl Host, key: &[u8]) -> Tally {
    let mut taken = Tally::default();
    let update = host.update(key, TRIES, |shared| {
        taken = Tally::from_bytes(shared?);
        Some(Vec::new())
    });
    if update == Update::Changed { taken } else { Tally::default() }
}

fn client(host: &impl Host, entropy: &mut Entropy) -> [u8; 12] {
    let random = u128::from(entropy.next_u64(host)) << 64 | u128::from(entropy.next_u64(host));
    random.to_be_bytes().first_chunk::<12>().copied().unwrap_or_default()
}

fn lost(requests: u64, metrics: &mut Metrics) {
    metrics.add(Metric::CentralStatisticsLost, i64::try_from(requests).unwrap_or(i64::MAX));
}
