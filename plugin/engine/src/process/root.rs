//! One root: a configuration in use, what its requests share, and the exporter that works for it.

use std::sync::Arc;

use super::metering::{Meter, Metering, Occasion, Retired};
use crate::door::{Host, Level, Refused};
use crate::export::{Answer, Counts, Exporter, RequestId};
use crate::metrics::Recorder;
use crate::otlp::{Exemplar, SpanEncoder};
use crate::policy::Policy;
use crate::request::Scope;
use crate::sampling::Audit;
use crate::shared::{CallAnswer, Entropy, Tokens};
use crate::span::Span;
use crate::telemetry::{Metric, Metrics};

/// Bytes of the span of an ordinary request.
const ORDINARY_SPAN_BYTES: u64 = 700;
/// Requests sent off in one callback at most, should an exporter never be satisfied.
const SENDS_AT_ONCE: usize = 64;

/// A root. Without a configuration in use every stream passes through.
pub(super) struct Root {
    pub(super) plugin: String,
    pub(super) work: Option<Work>,
    /// What its requests share.
    pub(super) scope: Scope,
    /// What becomes of the counts of its requests, where they are counted.
    pub(super) metering: Option<Box<Metering>>,
    /// The same of settings before.
    retired: Retired,
    /// Spans made so far and their bytes.
    made: (u64, u64),
    /// What the metrics have seen of the exporter.
    pub(super) published: Counts,
    pub(super) published_pending: i64,
    /// Fractions of what the audit has counted, which no counter shows yet.
    pub(super) audited: Audit,
    /// Nanoseconds between its ticks.
    pub(super) tick_nanos: u64,
    /// The host has asked for its end: nothing new is sent.
    ending: bool,
}

/// A configuration in use.
pub(super) struct Work {
    pub(super) policy: Arc<Policy>,
    pub(super) exporter: Exporter,
    encoder: SpanEncoder,
    /// Requests whose answer is awaited.
    calls: Tokens<RequestId>,
}

impl Work {
    pub(super) fn new(policy: Policy, exporter: Exporter) -> Self {
        Self { policy: Arc::new(policy), exporter, encoder: SpanEncoder::default(), calls: Tokens::default() }
    }

    /// Logs the first failure of an episode and its end, never more.
    fn report(&mut self, host: &impl Host) {
        while let Some(event) = self.exporter.next_event() {
            let level = if event.is_problem() { Level::Warn } else { Level::Info };
            host.log(level, &format!("tracelift: {event}"));
        }
    }
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        Self {
            plugin: String::new(),
            work: None,
            scope: Scope { root: id, mean_span_bytes: ORDINARY_SPAN_BYTES, ..Scope::default() },
            metering: None,
            retired: Retired::default(),
            made: (0, 0),
            published: Counts::default(),
            published_pending: 0,
            audited: Audit::default(),
            tick_nanos: 0,
            ending: false,
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.scope.root
    }

    /// What is counted of its requests.
    pub(super) fn recorder(&self) -> Option<&Recorder> {
        self.scope.recorder.as_deref()
    }

    /// The configuration that streams of this root obey.
    pub(super) fn policy(&self) -> Option<&Arc<Policy>> {
        self.work.as_ref().map(|work| &work.policy)
    }

    /// Queues a span, or counts why not. `upgraded`: an upgrade keeps it. `exemplar`: may be shown, if it is of this span.
    pub(super) fn offer(&mut self, span: &Span<'_>, upgraded: bool, exemplar: Option<&Exemplar>) {
        if let Some(work) = &mut self.work {
            let encoded = work.encoder.encode(span, work.policy.export.tracestate);
            self.made = (self.made.0.saturating_add(1), self.made.1.saturating_add(encoded.len() as u64));
            self.scope.mean_span_bytes = self.made.1.checked_div(self.made.0).unwrap_or(ORDINARY_SPAN_BYTES);
            let exemplar = exemplar.filter(|exemplar| exemplar.span_id == span.span_id);
            let _ = work.exporter.offer(encoded.upgraded(upgraded).shown_by(exemplar)); // Counted by the exporter.
        }
    }

    /// Shares how long requests took, where that is learned.
    pub(super) fn share_slowness(&mut self, host: &impl Host, now: u64, metrics: &mut Metrics) {
        if self.ending {
            return;
        }
        let Scope { slow, shadow_slow, .. } = &mut self.scope;
        [slow, shadow_slow].into_iter().flatten().for_each(|slow| slow.tick(host, now, metrics));
    }

    /// Sends what is due, and what would be late at the next tick.
    pub(super) fn tick(&mut self, host: &impl Host, now: u64, entropy: &mut Entropy) {
        self.look(now);
        self.send(host, now, false, entropy);
    }

    /// Says what time it is.
    pub(super) fn look(&mut self, now: u64) {
        if let Some(work) = &mut self.work {
            work.exporter.look(now, self.tick_nanos);
        }
        let Scope { coverage, shadow_coverage, .. } = &mut self.scope;
        [coverage, shadow_coverage].into_iter().flatten().for_each(|coverage| coverage.look(now));
    }

    /// Enough is queued to send it now, or it cannot wait for the next tick.
    pub(super) fn batch_is_ready(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.exporter.batch_is_ready())
    }

    /// Sends what is due, or all there is (`force`). The root must be in effect.
    pub(super) fn send(&mut self, host: &impl Host, now: u64, force: bool, entropy: &mut Entropy) {
        let Some(work) = &mut self.work else { return };
        for _ in 0..SENDS_AT_ONCE {
            let Some(request) = work.exporter.poll(now, entropy.next_u64(host), force) else { break };
            let headers = request.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let headers: Vec<_> = headers.collect();
            match host.call(&work.policy.export.cluster, &headers, &request.body, request.timeout_ms) {
                Ok(token) => work.calls.add(token, request.id),
                Err(Refused(status)) => work.exporter.refused(request.id, status, now, entropy.next_u64(host)),
            }
        }
        work.report(host);
    }

    /// Whether this root made the call with that token.
    pub(super) fn awaits(&self, token: u32) -> bool {
        self.work.as_ref().is_some_and(|work| work.calls.awaits(token)) || self.meters(token)
    }

    /// The call with that token is an export of request metrics.
    fn meters(&self, token: u32) -> bool {
        self.metering.as_ref().is_some_and(|metering| metering.awaits(token)) || self.retired.awaits(token)
    }

    /// Takes an answer, and sends the next batch while the connection is warm.
    pub(super) fn answered(
        &mut self,
        host: &impl Host,
        token: u32,
        answer: &CallAnswer,
        metrics: &mut Metrics,
        entropy: &mut Entropy,
    ) {
        if self.meters(token) {
            return match self.metering.as_mut().filter(|metering| metering.awaits(token)) {
                Some(metering) => metering.answered(host, answer, metrics),
                None => self.retired.answered(host, token, answer, metrics),
            };
        }
        let now = host.now();
        let Some(work) = &mut self.work else { return };
        let Some(id) = work.calls.take(token) else { return };
        let (headers, trailers) = (answer.headers(), answer.trailers());
        let answer = Answer { status: answer.status, headers: &headers, trailers: &trailers, body: &answer.body };
        work.exporter.answered(id, answer, now, entropy.next_u64(host));
        while let Some(duration_ms) = work.exporter.next_duration_ms() {
            metrics.record(host, Metric::ExportDuration, duration_ms);
        }
        if !self.ending {
            self.send(host, now, false, entropy);
        }
    }

    /// Shares what was counted of requests, and exports it where this root is the one that does.
    pub(super) fn meter(&mut self, host: &impl Host, what: Meter, metrics: &mut Metrics) {
        if !self.ending && what == Meter::ShareAndExport {
            self.retired.tick(host, metrics);
        }
        if let (Some(metering), Some(recorder), Some(work)) =
            (&mut self.metering, &mut self.scope.recorder, &mut self.work)
            && !self.ending
        {
            metering.tick(host, what, (recorder, work.exporter.exemplars()), metrics);
        }
    }

    /// Shares all that was counted of requests, and exports it now where this root is the one that does.
    pub(super) fn flush_metering(&mut self, host: &impl Host, occasion: Occasion, metrics: &mut Metrics) {
        if !self.ending {
            self.retired.flush(host, occasion, metrics);
        }
        if let (Some(metering), Some(recorder), Some(work)) =
            (&mut self.metering, &mut self.scope.recorder, &mut self.work)
            && !self.ending
        {
            metering.flush(host, occasion, (recorder, work.exporter.exemplars()), metrics);
        }
    }

    /// The host has no more use for this root; whether another one works on.
    pub(super) fn end(&mut self, host: &impl Host, has_successor: bool, metrics: &mut Metrics) {
        self.flush_metering(host, if has_successor { Occasion::Replaced } else { Occasion::Last }, metrics);
        self.publish_audit(host, metrics);
        let Scope { slow, shadow_slow, .. } = &mut self.scope;
        [slow, shadow_slow].into_iter().flatten().for_each(|slow| slow.end(metrics));
        self.ending = true;
    }

    /// Whether [`Self::end`] was called.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether answers are outstanding.
    pub(super) fn is_awaiting(&self) -> bool {
        self.work.as_ref().is_some_and(|work| 0 < work.exporter.counts().in_flight)
            || self.metering.as_ref().is_some_and(|metering| metering.is_awaiting())
            || self.retired.is_awaiting()
    }

    /// Whether this root works for the same filter, so that it exports what the other leaves behind.
    pub(super) fn succeeds(&self, ending: &Self) -> bool {
        match (&self.work, &ending.work) {
            (Some(_), Some(_)) => !self.ending && self.plugin == ending.plugin,
            _ => false,
        }
    }

    /// Takes over the queue of a root that ends, and what was counted under other settings where no requests are served.
    pub(super) fn adopt(&mut self, host: &impl Host, ending: &mut Self) {
        if !ending.recorder().is_some_and(Recorder::serves) && !ending.retired.is_awaiting() {
            let metering = (self.metering.as_deref(), &mut ending.metering);
            self.retired.adopt(metering, &mut ending.retired, host);
        }
        if let (Some(ours), Some(theirs)) = (&mut self.work, &mut ending.work) {
            ours.exporter.adopt(&mut theirs.exporter);
        }
    }

    /// Takes over the queue of the same root on another thread.
    pub(super) fn gather(&mut self, other: &mut Self) {
        if let (Some(ours), Some(theirs)) = (&mut self.work, &mut other.work) {
            ours.exporter.gather(&mut theirs.exporter);
        }
    }

    /// The root is gone: what it still holds cannot be answered any more.
    pub(super) fn close(&mut self) {
        if let Some(work) = &mut self.work {
            work.exporter.close();
        }
    }
}
