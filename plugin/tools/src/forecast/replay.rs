//! What really happened, decided again under a policy.
//!
//! The head decision of a trace is made at its root: the span without a parent, else the one that began first. A failed
//! trace charges the budget of the service that saw the failure first, at the time it did; admitted, every failed hop and
//! every hop above one is kept. Above is known by parent ids, and where there are none (access logs) by time: a hop above
//! began before and ended after.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::judge::{Judge, Judged};
use super::kinds::{Kinds, KindsForecast};
use super::price::PriceTable;
use super::rates::ordinary_span_bytes;
use super::record::{Record, Role};
use super::row::{Forecast, Row};
use super::steer::{Arrival, Ending, Happened, Paid, steer};
use super::sums::Sums;
use super::trace::{Seen, chain, root};
use super::{adaptive::Adaptive, kinds, notes};
use tracelift::policy::Policy;
use tracelift::sampling::{Algorithm, Randomness, Sampler, Steps};
use tracelift::span::KindSetting;
use tracelift::trace_context::TraceId;

/// The clock at the first request, nanoseconds: where controllers begin to count.
const START: u64 = 1_000_000_000_000;

/// Records that were taken, waiting to be decided. Holds about 80 bytes a record and 100 a trace.
pub struct Replay<'p> {
    policy: &'p Policy,
    judge: Judge,
    kinds: Option<Kinds>,
    traces: HashMap<TraceId, Vec<Seen>>,
    services: Vec<String>,
    span_bytes: f64,
    /// For traces without an id.
    made: u64,
    first: u64,
    last: u64,
    timeless: bool,
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Not one record.
    Empty,
    /// The records have no times, and none was given.
    NoTime,
    /// All begin at one moment, and no time was given.
    OneMoment,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "found no request in it; allowed are access logs of Envoy and OTLP in JSON lines",
            Self::NoTime => "the requests have no times. Say how long they took to come with --window, for example 1h",
            Self::OneMoment => {
                "all traces in it begin at one moment, which does not say how many begin in a second. Say how long they took to come \
                 with --window, for example 1h"
            }
        })
    }
}

impl std::error::Error for ReplayError {}

impl<'p> Replay<'p> {
    /// Nothing seen yet.
    pub fn new(policy: &'p Policy) -> Self {
        Self {
            policy,
            judge: Judge::new(policy),
            kinds: Kinds::of(policy),
            traces: HashMap::new(),
            services: Vec::new(),
            span_bytes: ordinary_span_bytes(policy),
            made: 0,
            first: u64::MAX,
            last: 0,
            timeless: false,
        }
    }

    /// Takes one record.
    pub fn take(&mut self, record: &Record) {
        let trace_id = record.trace_id.unwrap_or_else(|| self.next_trace_id());
        let ended = record.started.saturating_add(record.took);
        if record.started == 0 {
            self.timeless = true;
        } else {
            self.first = self.first.min(record.started);
            self.last = self.last.max(ended);
        }
        let Judged { sampled, failed } = self.judge.judge(record, trace_id);
        let is_hop = record.role == Role::Hop;
        let kind = self.kinds.as_mut().filter(|_| is_hop).map(|kinds| kinds.number(record));
        let kind = kind.filter(|_| kinds::may_be_kept(self.policy, record));
        let service = self.services.iter().position(|known| *known == record.service).unwrap_or_else(|| {
            self.services.push(record.service.clone());
            self.services.len() - 1
        });
        let rate = self.rate(record);
        let spans = if record.bytes.is_none() && self.policy.span_kind == KindSetting::Both { 2.0 } else { 1.0 };
        self.traces.entry(trace_id).or_default().push(Seen {
            span_id: record.span_id,
            parent_id: record.parent_id,
            started: record.started,
            ended,
            service,
            weight: record.weight,
            bytes: record.bytes.map_or(self.span_bytes * spans, f64::from),
            spans,
            role: record.role,
            sampled,
            rate,
            failed: failed && is_hop,
            kind,
            covered: false,
        });
    }

    /// Which rate would decide it: that of all traces or of its route, unless its rule has a ratio of its own.
    fn rate(&self, record: &Record) -> Option<u16> {
        let settings = self.policy.sampling.pace.as_ref()?;
        let rule = record.request.with_facts(|facts| self.policy.sampling.first_match(facts, &mut Steps::default()));
        if self.policy.sampling.rule(rule).is_some_and(|rule| rule.sampler.is_some()) {
            return None;
        }
        let routes = self.policy.paced.as_ref().filter(|_| 1 < settings.rates);
        let place = routes.and_then(|paced| paced.routes.find(record.request.path.as_bytes()));
        Some(place.map_or(0, |place| place.saturating_add(1)))
    }

    /// Evenly spread over all randomness (by the golden ratio), so that a small log gives no lucky result.
    fn next_trace_id(&mut self) -> TraceId {
        self.made += 1;
        let spread = self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let low = spread >> 8 | (spread & 0xff << 56); // R has 56 bits, the legacy algorithms look at all 64.
        TraceId::from_u128(u128::from(self.made) << 64 | u128::from(low)).unwrap_or(TraceId::MIN)
    }

    /// Seconds from the first request to the last; or why they are not known.
    fn seconds(&self) -> Result<f64, ReplayError> {
        match self.times() {
            _ if self.timeless => Err(ReplayError::NoTime),
            (first, last) if first < last => Ok((self.last - self.first) as f64 / 1e9),
            _ => Err(ReplayError::OneMoment),
        }
    }

    /// When the first trace begins, and when the last one does.
    fn times(&self) -> (u64, u64) {
        let begins = self.traces.values().filter_map(|spans| spans.iter().map(|span| span.started).min());
        begins.fold((u64::MAX, 0), |(first, last), begin| (first.min(begin), last.max(begin)))
    }

    /// The longest time without a request: how long it lasts and when it begins, in seconds since the first request.
    fn pause(&self) -> (f64, f64) {
        let mut spans: Vec<_> = self.traces.values().flatten().map(|span| (span.started, span.ended)).collect();
        spans.sort_unstable();
        let (mut pause, mut ended) = ((0, self.first), self.first);
        for (started, end) in spans {
            pause = pause.max((started.saturating_sub(ended), ended));
            ended = ended.max(end);
        }
        (pause.0 as f64 / 1e9, pause.1.saturating_sub(self.first) as f64 / 1e9)
    }

    /// Decides. `window` is the time that the records stand for, in seconds, where their times do not say it.
    pub fn forecast(mut self, window: Option<f64>, prices: &PriceTable) -> Result<Forecast, ReplayError> {
        if self.traces.is_empty() {
            return Err(ReplayError::Empty);
        }
        let seconds = window.map_or_else(|| self.seconds(), Ok)?;
        let admitted = self.admitted();
        let kinds = self.cover(&admitted);
        let (by_rate, adaptive) = self.steer(seconds, &admitted);
        let [mut everything, mut head, mut tracelift] = [Sums::default(); 3];
        for (trace_id, spans) in &self.traces {
            let chain = chain(spans, |span| span.failed);
            let covered = self::chain(spans, |span| span.covered);
            let is_covered = |at: usize| covered.get(at).copied().unwrap_or_default();
            let by_ratio = || root(spans).is_some_and(|root| root.sampled);
            let sampled = by_rate.get(trace_id).copied().unwrap_or_else(by_ratio);
            let upgraded = admitted.contains(trace_id);
            everything.add(spans, &chain, |_, _| true);
            head.add(spans, &chain, |_, _| sampled);
            tracelift.add(spans, &chain, |at, in_chain| sampled || (upgraded && in_chain) || is_covered(at));
        }
        let notes = self.notes(seconds, &tracelift, kinds.as_ref());
        let records: usize = self.traces.values().map(Vec::len).sum();
        Ok(Forecast {
            basis: format!(
                "{records} spans of {} traces in {}, {:.0} traces failed, decided again",
                self.traces.len(),
                notes::in_seconds(seconds),
                tracelift.failed
            ),
            rows: vec![
                Row::new("keep everything", everything.kept(seconds), prices),
                Row::new("head only", head.kept(seconds), prices),
                Row::new("tracelift", tracelift.kept(seconds), prices),
            ],
            prices: prices.clone(),
            kinds,
            adaptive,
            notes,
        })
    }

    /// What the rate decides, in the order in which it happened; without times, by the ratio at which it settles.
    fn steer(&self, seconds: f64, admitted: &HashSet<TraceId>) -> (HashMap<TraceId, bool>, Option<Adaptive>) {
        let Some(settings) = &self.policy.sampling.pace else { return (HashMap::new(), None) };
        let mut traces: Vec<_> = self.traces.iter().collect();
        traces.sort_unstable_by_key(|(trace_id, _)| trace_id.get());
        let roots = || traces.iter().filter_map(|(trace_id, spans)| root(spans).map(|root| (**trace_id, root)));
        let decided = || roots().filter(|(_, root)| root.rate.is_some());
        let Ok(took) = self.seconds() else {
            let offered: f64 = decided().map(|(_, root)| root.weight).sum();
            let sampler = Sampler::new(Algorithm::Consistent, settings.settled(offered / seconds)).ok();
            let keeps = |id| sampler.is_some_and(|it| it.sample(id, Randomness::from_trace_id(id)).keep);
            return (decided().map(|(trace_id, _)| (trace_id, keeps(trace_id))).collect(), None);
        };
        // A window that was given stretches the times.
        let at = |time: u64| (time.saturating_sub(self.first) as f64 * seconds / took) as u64 + START;
        let mut happened = Happened {
            arrivals: Vec::new(),
            endings: Vec::new(),
            services: &self.services,
            traces: traces.len(),
            range: (at(self.first), at(self.last)),
        };
        for (trace, (trace_id, spans)) in traces.iter().enumerate() {
            let (trace_id, upgraded) = (**trace_id, admitted.contains(*trace_id));
            let Some(root) = root(spans) else { continue };
            if let Some(rate) = root.rate {
                let (at, service, weight) = (at(root.started), root.service, root.weight);
                happened.arrivals.push(Arrival { at, service, trace, trace_id, rate, weight });
            }
            let in_chain = chain(spans, |span| span.failed);
            let covered = chain(spans, |span| span.covered);
            let above = in_chain.into_iter().zip(covered);
            for (span, (in_chain, covered)) in spans.iter().zip(above).filter(|(span, _)| span.role == Role::Hop) {
                let begins_here = std::ptr::eq(span, root) && root.rate.is_none() && root.sampled;
                let paid = match begins_here {
                    true => Paid::First,
                    false if upgraded && in_chain || covered => Paid::IfDropped,
                    false => Paid::No,
                };
                let (at, service, failed, weight) = (at(span.ended), span.service, span.failed, span.weight);
                happened.endings.push(Ending { at, service, trace, failed, paid, weight });
            }
        }
        let (sampled, adaptive) = steer(settings, happened);
        let sampled = traces.iter().zip(sampled).filter_map(|((trace_id, _), sampled)| Some((**trace_id, sampled?)));
        (sampled.collect(), Some(adaptive))
    }

    /// Marks what coverage keeps, in the order in which it happened.
    fn cover(&mut self, admitted: &HashSet<TraceId>) -> Option<KindsForecast> {
        let kinds = self.kinds.as_mut()?;
        let mut places = Vec::new();
        for (trace_id, spans) in &self.traces {
            let root = root(spans).map(std::ptr::from_ref);
            for (at, span) in spans.iter().enumerate() {
                let Some(kind) = span.kind else { continue };
                let request = kinds::Request {
                    kind,
                    service: span.service,
                    ended: span.ended,
                    is_root: root == Some(std::ptr::from_ref(span)),
                    is_kept: span.failed && admitted.contains(trace_id),
                };
                places.push((request, *trace_id, at));
            }
        }
        places.sort_unstable_by_key(|(request, trace_id, at)| (request.ended, trace_id.get(), *at));
        let requests: Vec<_> = places.iter().map(|(request, ..)| *request).collect();
        let (kept, forecast) = kinds.cover(&requests);
        for ((_, trace_id, at), kept) in places.iter().zip(kept) {
            if let Some(span) = self.traces.get_mut(trace_id).and_then(|spans| spans.get_mut(*at)) {
                span.covered = kept;
            }
        }
        Some(forecast)
    }

    fn notes(&self, seconds: f64, tracelift: &Sums, kinds: Option<&KindsForecast>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(kinds) = kinds {
            notes.extend(notes::of_kinds(self.policy, kinds));
        }
        if self.policy.xray.is_some() {
            notes.push(
                "X-Ray's rules are not known here: sampling.ratio and sampling.rules decided every root.".to_owned(),
            );
        }
        let known = self.seconds();
        notes.extend(notes::of_rate(self.policy, known.err()));
        if seconds < 3600.0 {
            let seconds = notes::in_seconds(seconds);
            notes.push(format!(
                "{seconds} of traffic are extrapolated to a month: a longer log gives a better forecast."
            ));
        }
        if let Ok(took) = known {
            notes.extend(notes::of_pause(self.pause(), took));
        }
        if self.timeless {
            notes.push("Some requests have no time: the budget was not applied to them.".to_owned());
        }
        if tracelift.failed == 0.0 {
            notes.push("Nothing in it failed, so it says nothing of upgrades.".to_owned());
        }
        if self.traces.values().flatten().any(|span| 1.0 < span.weight) {
            notes.push("The dump was sampled already: spans count by their `th`.".to_owned());
        }
        notes
    }

    /// The failed traces for which the budget had room, in order of their first failure.
    fn admitted(&self) -> HashSet<TraceId> {
        let first_failure = |spans: &Vec<Seen>| {
            let failed = spans.iter().filter(|span| span.failed);
            failed.min_by_key(|span| span.ended).map(|span| (span.ended, span.service))
        };
        let mut failures: Vec<_> =
            self.traces.iter().filter_map(|(id, spans)| Some((first_failure(spans)?, *id))).collect();
        failures.sort_unstable_by_key(|((ended, service), id)| (*ended, *service, id.get()));
        let mut arrivals = vec![0_u64; self.services.len()];
        let mut admitted = HashSet::new();
        for ((ended, service), id) in failures {
            let Some(arrival) = arrivals.get_mut(service) else { continue };
            let timeless = ended == 0;
            if let Some(next) = self.policy.upgrade.budget.charge(if timeless { 0 } else { *arrival }, ended) {
                *arrival = next;
                admitted.insert(id);
            }
        }
        admitted
    }
}
