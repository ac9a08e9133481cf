//! One root context: a configuration in use, and the exporter that works for it.

use std::rc::Rc;

use super::abi::{Buffer, Level, Map};
use super::attributes::Lists;
use super::budget::SharedBudget;
use super::central::Central;
use super::entropy::Entropy;
use super::metrics::Metrics;
use super::pairs::{self, Pairs};
use super::recall::Recall;
use super::request::StreamContext;
use super::signal::SignalLimit;
use super::{host, node};
use crate::central::Service;
use crate::config::{self, Environment, OnInvalidConfig, Policy};
use crate::export::{Answer, Counts, DiscardReason, Exporter, RequestId, encode_span};
use crate::span::Span;
use crate::stream::Rules;
use crate::telemetry::Metric;

/// Bytes of the span of an ordinary request.
const ORDINARY_SPAN_BYTES: u64 = 700;
/// Larger answers say nothing that we need; OTLP answers are a few bytes.
const ANSWER_BYTES: usize = 64 * 1024;
/// Requests sent off in one callback at most, should an exporter never be satisfied.
const SENDS_AT_ONCE: usize = 64;
/// Ticks are no rarer, because counters are shown on a tick, and no closer, because each enters every VM.
const TICK_MS: std::ops::RangeInclusive<u64> = 100..=1000;

/// A checked configuration in use.
pub struct Active {
    pub policy: Policy,
    /// What is read of a stream that is kept.
    pub lists: Lists,
}

impl Active {
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            sampling: &self.policy.sampling,
            upgrade: &self.policy.upgrade,
            kind: self.policy.span_kind,
            edge: self.policy.edge,
        }
    }

    /// The rules of the policy that looks on.
    pub fn shadow(&self) -> Option<Rules<'_>> {
        let shadow = self.policy.shadow.as_ref()?;
        let live = self.rules();
        Some(Rules {
            sampling: shadow.sampling.as_ref().unwrap_or(live.sampling),
            upgrade: shadow.upgrade.as_ref().unwrap_or(live.upgrade),
            ..live
        })
    }
}

/// A root context. Without an [`Active`] configuration every stream passes through.
pub struct Root {
    pub id: u32,
    plugin: String,
    work: Option<Work>,
    pub budget: SharedBudget,
    /// X-Ray's sampling rules, where they are to decide.
    pub central: Option<Box<Central>>,
    /// The budget of the policy that looks on.
    pub shadow_budget: SharedBudget,
    /// Spans made so far and their bytes.
    made: (u64, u64),
    /// Signals of upstreams that were believed, against a flood of them.
    pub signals: SignalLimit,
    /// Traces that other instances recalled, likewise.
    pub recalls: SignalLimit,
    /// What the metrics have seen of the exporter.
    published: Counts,
    published_pending: i64,
    /// `on_done` has come: nothing new is sent.
    ending: bool,
}

struct Work {
    active: Rc<Active>,
    exporter: Exporter,
    /// Requests whose answer is awaited, by the host's token.
    calls: Vec<(u32, RequestId)>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            plugin: String::new(),
            work: None,
            budget: SharedBudget::default(),
            central: None,
            shadow_budget: SharedBudget::default(),
            made: (0, 0),
            signals: SignalLimit::default(),
            recalls: SignalLimit::default(),
            published: Counts::default(),
            published_pending: 0,
            ending: false,
        }
    }

    /// The configuration that streams of this root obey.
    pub fn active(&self) -> Option<Rc<Active>> {
        self.work.as_ref().map(|work| Rc::clone(&work.active))
    }

    /// Whether there is one.
    pub fn is_active(&self) -> bool {
        self.work.is_some()
    }

    /// Reads and checks the configuration; `false` refuses it. Says in the log what is wrong, and where.
    pub fn configure(&mut self, size: usize, metrics: &mut Metrics) -> bool {
        let environment = environment();
        let loaded = host::buffer(Buffer::PluginConfiguration, size)
            .map_err(|status| format!("configuration refused: the host would not hand it over (status {})", status.0))
            .and_then(|bytes| config::load(&bytes, &environment).map_err(|error| error.to_string()));
        match loaded {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    host::log(Level::Warn, &format!("tracelift: {warning}"));
                }
                let ratio = loaded.policy.sampling.fallback.share();
                self.take_up(loaded.policy);
                metrics.count(Metric::ConfigAccepted);
                metrics.record(Metric::ConfigRatio, (ratio * 1e6).round() as u64);
                true
            }
            Err(problem) => {
                host::log(Level::Error, &format!("tracelift: {problem}"));
                self.refuse(environment.on_invalid_config().0, metrics)
            }
        }
    }

    fn refuse(&mut self, on_invalid: OnInvalidConfig, metrics: &mut Metrics) -> bool {
        metrics.count(Metric::ConfigRefused);
        match on_invalid {
            OnInvalidConfig::Refuse => false,
            OnInvalidConfig::PassThrough => {
                let advice = "tracelift: PASSING EVERYTHING THROUGH, nothing is sampled or upgraded here, because \
                              TRACELIFT_ON_INVALID_CONFIG=pass_through; correct the configuration above";
                host::log(Level::Error, advice);
                metrics.count(Metric::ConfigPassThrough);
                true
            }
        }
    }

    fn take_up(&mut self, mut policy: Policy) {
        self.plugin = node::plugin_name();
        let resource = policy.resource.merge(&node::metadata());
        policy.attributes.service_name = resource.xray_service_name().to_owned();
        let mut tick = policy.export.scheduled_delay_ms.clamp(*TICK_MS.start(), *TICK_MS.end());
        if policy.upgrade.recall.enabled {
            tick = tick.min(Recall::tick_ms(&policy.upgrade.recall));
        }
        self.budget = SharedBudget::new(&self.plugin);
        let service = Service::of(&resource);
        self.central = policy.xray.as_ref().map(|settings| match self.central.take() {
            Some(central) if central.is_for(settings, &service) => central,
            _ => Box::new(Central::new(settings.clone(), service)),
        });
        if policy.shadow.is_some() {
            self.shadow_budget = SharedBudget::new(&[&self.plugin, "\0shadow"].concat()); // No name has a NUL.
        }
        let lists = Lists::new(policy.span_kind, self.work.as_ref().map(|work| work.active.lists));
        match &mut self.work {
            // Listeners with the same plugin and configuration share a root in Envoy, which configures it for each.
            Some(work) => {
                work.exporter.reconfigure(policy.export.clone(), &resource);
                work.active = Rc::new(Active { policy, lists });
            }
            None => {
                let mut exporter = Exporter::new(policy.export.clone(), &resource);
                exporter.tell_time(host::now());
                self.work = Some(Work { active: Rc::new(Active { policy, lists }), exporter, calls: Vec::new() });
            }
        }
        let _ = host::set_tick_period(u32::try_from(tick).unwrap_or(1000));
        host::log(Level::Debug, concat!("tracelift ", env!("CARGO_PKG_VERSION"), ": configured"));
    }

    /// Queues a span, or counts why not.
    pub fn offer(&mut self, span: &Span<'_>) {
        if let Some(work) = &mut self.work {
            let encoded = encode_span(span, work.active.policy.export.tracestate);
            self.made = (self.made.0.saturating_add(1), self.made.1.saturating_add(encoded.len() as u64));
            let _ = work.exporter.offer(encoded); // Counted by the exporter.
        }
    }

    /// Mean size of the spans made so far, in bytes; that of an ordinary one before the first.
    pub fn mean_span_bytes(&self) -> u64 {
        self.made.1.checked_div(self.made.0).unwrap_or(ORDINARY_SPAN_BYTES)
    }

    /// Enough is queued to send it now.
    pub fn batch_is_ready(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.exporter.batch_is_ready())
    }

    /// Sends what is due, or all there is (`force`). The root's context must be in effect.
    pub fn send(&mut self, now: u64, force: bool, entropy: &mut Entropy) {
        let Some(work) = &mut self.work else { return };
        for _ in 0..SENDS_AT_ONCE {
            let Some(request) = work.exporter.poll(now, entropy.next_u64(), force) else { break };
            let headers = pairs::encode_texts(&request.headers);
            match host::http_call(&work.active.policy.export.cluster, &headers, &request.body, request.timeout_ms) {
                Ok(token) => work.calls.push((token, request.id)),
                Err(status) => work.exporter.refused(request.id, status.0, now, entropy.next_u64()),
            }
        }
        work.tell();
    }

    /// Whether this root made the call with that token.
    pub fn awaits(&self, token: u32) -> bool {
        self.work.as_ref().is_some_and(|work| work.calls.iter().any(|(known, _)| *known == token))
    }

    /// Reads an answer, and sends the next batch while the connection is warm.
    pub fn answered(
        &mut self,
        token: u32,
        has_headers: bool,
        body_size: usize,
        metrics: &mut Metrics,
        entropy: &mut Entropy,
    ) {
        let now = host::now();
        let Some(work) = &mut self.work else { return };
        let Some(call) = work.calls.iter().position(|(known, _)| *known == token) else { return };
        let (_, id) = work.calls.swap_remove(call);
        let headers = host::map_bytes(Map::CalloutHeaders).unwrap_or_default();
        let trailers = host::map_bytes(Map::CalloutTrailers).unwrap_or_default();
        let body = match body_size {
            0 => Vec::new(),
            size => host::buffer(Buffer::CalloutBody, size.min(ANSWER_BYTES)).unwrap_or_default(),
        };
        let owned = |bytes| Pairs::new(bytes).map(|(key, value)| (key.to_vec(), value.to_vec())).collect::<Vec<_>>();
        let (headers, trailers) = (owned(&headers), owned(&trailers));
        let status = headers.iter().find(|(key, _)| key == b":status").map(|(_, value)| value.as_slice());
        let answer = Answer {
            status: if has_headers { status.and_then(super::facts::decimal) } else { None },
            headers: &headers,
            trailers: &trailers,
            body: &body,
        };
        work.exporter.answered(id, answer, now, entropy.next_u64());
        while let Some(duration_ms) = work.exporter.next_duration_ms() {
            metrics.record(Metric::ExportDuration, duration_ms);
        }
        if !self.ending {
            self.send(now, false, entropy);
        }
    }

    /// The host has no more use for this root.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// Whether [`Self::end`] was said.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether answers are outstanding.
    pub fn is_awaiting(&self) -> bool {
        self.work.as_ref().is_some_and(|work| 0 < work.exporter.counts().in_flight)
    }

    /// Whether this root works for the same filter, so that it exports what the other leaves behind.
    pub fn succeeds(&self, ending: &Self) -> bool {
        match (&self.work, &ending.work) {
            (Some(_), Some(_)) => !self.ending && self.plugin == ending.plugin,
            _ => false,
        }
    }

    /// Takes over the queue of a root that ends.
    pub fn adopt(&mut self, ending: &mut Self) {
        if let (Some(ours), Some(theirs)) = (&mut self.work, &mut ending.work) {
            ours.exporter.adopt(&mut theirs.exporter);
        }
    }

    /// The root is gone: what it still holds cannot be answered any more.
    pub fn close(&mut self) {
        if let Some(work) = &mut self.work {
            work.exporter.close();
        }
    }

    /// Adds what happened since the last time to the metrics.
    pub fn publish(&mut self, metrics: &mut Metrics) {
        let Some(work) = &self.work else { return };
        let counts = work.exporter.counts();
        let before = &self.published;
        let mut add = |metric, now: u64, before: u64| {
            metrics.add(metric, i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX));
        };
        add(Metric::SpansOffered, counts.offered, before.offered);
        add(Metric::SpansExported, counts.exported, before.exported);
        add(Metric::ExportsSucceeded, counts.exports_succeeded, before.exports_succeeded);
        add(Metric::ExportsRetried, counts.exports_retried, before.exports_retried);
        add(Metric::ExportsFailed, counts.exports_failed, before.exports_failed);
        add(Metric::QueueSpans, counts.queued, before.queued);
        add(Metric::QueueBytes, counts.queued_bytes, before.queued_bytes);
        add(Metric::InFlightSpans, counts.in_flight, before.in_flight);
        for reason in DiscardReason::ALL {
            let metric = match reason {
                DiscardReason::QueueFull => Metric::DiscardedQueueFull,
                DiscardReason::QueueBytes => Metric::DiscardedQueueBytes,
                DiscardReason::TooLarge => Metric::DiscardedTooLarge,
                DiscardReason::Rejected => Metric::DiscardedRejected,
                DiscardReason::NonRetryable => Metric::DiscardedNonRetryable,
                DiscardReason::RetriesExhausted => Metric::DiscardedRetriesExhausted,
                DiscardReason::Shutdown => Metric::DiscardedShutdown,
            };
            add(metric, counts.discarded(reason), before.discarded(reason));
        }
        self.published = counts.clone();
    }

    /// Shows how many streams of this root may still be upgraded.
    pub fn publish_pending<'a>(&mut self, streams: impl Iterator<Item = &'a StreamContext>, metrics: &mut Metrics) {
        let pending = streams.filter(|stream| stream.root() == self.id && stream.is_pending()).count();
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        metrics.add(Metric::PendingSpans, pending - self.published_pending);
        self.published_pending = pending;
    }
}

impl Work {
    /// Logs the first failure of an episode and its end, never more.
    fn tell(&mut self) {
        while let Some(event) = self.exporter.next_event() {
            let level = if event.is_problem() { Level::Warn } else { Level::Info };
            host::log(level, &format!("tracelift: {event}"));
        }
    }
}

/// The variables of this VM. Those that are no UTF-8 are none of ours.
fn environment() -> Environment {
    let text = host::environment().unwrap_or_else(|| {
        host::log(Level::Warn, "tracelift: the host hands no environment variables over; going on without them");
        Vec::new()
    });
    let variables = text.split(|byte| *byte == 0).filter_map(|variable| str::from_utf8(variable).ok()?.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
