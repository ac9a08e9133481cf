//! The exporter: a pure state machine between the spans that are offered and the host's callouts.

use std::collections::VecDeque;
use std::sync::Arc;

use super::answer::{Answer, Verdict};
use super::backoff::Backoff;
use super::batch::{Batch, InFlight};
use super::clock::{Clock, NANOS_PER_MILLI};
use super::counts::{Counts, DiscardReason};
use super::episode::Episode;
use super::event::{Event, Problem};
use super::queue::SpanQueue;
use crate::metrics::Exemplars;
use crate::otlp as framing;
use crate::otlp::EncodedSpan;
use crate::otlp::Envelope;
use crate::otlp::{Protocol, Settings};
use crate::span::Resource;

/// Requests that may be unanswered at once. After a failure that is to be retried it is one, until one succeeds.
const MAX_IN_FLIGHT: usize = 4;
/// Most bytes of a request before compression. OTLP would allow 64 MiB; a worker's memory does not.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// How long after its timeout a request counts as lost when the host has not called back, milliseconds.
const CALLBACK_SLACK_MS: u64 = 5_000;
/// Durations kept for the histogram until they are taken; more than requests end between two ticks.
const MAX_DURATIONS: usize = 64;

/// Names one request of one exporter. The host's token for it is the caller's to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A request for the host to dispatch, to the cluster of [`Exporter::settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRequest {
    /// To be handed back with the answer.
    pub id: RequestId,
    /// Names in lower case, pseudo-headers first.
    pub headers: Vec<(String, String)>,
    /// Compressed and framed as the headers say; never without a span.
    pub body: Vec<u8>,
    /// At least 1.
    pub timeout_ms: u32,
}

/// Queue, batches in flight and retries. Times are Unix nanoseconds, which may run backwards; `random` is 64 random
/// bits. After every call the law of [`Counts`] holds. Unknown and repeated ids change nothing.
#[derive(Debug)]
pub struct Exporter {
    pub(super) settings: Settings,
    pub(super) headers: Vec<(String, String)>,
    pub(super) envelope: Arc<Envelope>,
    pub(super) max_span_bytes: usize,
    pub(super) clock: Clock,
    /// When a call will surely come again.
    next_look: u64,
    pub(super) queue: SpanQueue,
    /// Batches for another attempt, or of an earlier configuration.
    pub(super) waiting: VecDeque<Batch>,
    in_flight: Vec<InFlight>,
    next_id: u64,
    pub(super) backoff: Backoff,
    pub(super) episode: Episode,
    durations_ms: VecDeque<u64>,
    pub(super) counts: Counts,
    /// Of spans that the collector has.
    pub(super) exemplars: Exemplars,
    pub(super) closed: bool,
}

impl Exporter {
    /// Nothing waits and nothing is on its way.
    pub fn new(settings: Settings, resource: &Resource) -> Self {
        let envelope = Arc::new(Envelope::new(resource));
        let prefix = match settings.protocol {
            Protocol::HttpProtobuf => 0,
            Protocol::Grpc => framing::GRPC_PREFIX,
        };
        let endpoint = format!("cluster \"{}\", {}{}", settings.cluster, settings.authority, framing::path(&settings));
        Self {
            headers: framing::headers(&settings),
            max_span_bytes: MAX_REQUEST_BYTES.saturating_sub(envelope.overhead()).saturating_sub(prefix),
            settings,
            envelope,
            clock: Clock::default(),
            next_look: 0,
            queue: SpanQueue::default(),
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            next_id: 0,
            backoff: Backoff::default(),
            episode: Episode::new(endpoint),
            durations_ms: VecDeque::new(),
            counts: Counts::default(),
            exemplars: Exemplars::default(),
            closed: false,
        }
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What became of the spans.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Nothing waits and nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.counts.queued == 0 && self.counts.in_flight == 0
    }

    /// Takes the span, or refuses it when a bound is met; ordinary spans leave a quarter of the room to those that an upgrade
    /// keeps. Never evicts: a span that was taken will be sent.
    /// Its `scheduled_delay` runs from the last time that a call named, so a batch may be early by up to one tick.
    pub fn offer(&mut self, span: EncodedSpan) -> Result<(), DiscardReason> {
        self.counts.offered = self.counts.offered.saturating_add(1);
        let result = self.admit(&span);
        if result.is_ok() {
            self.queue.push(span, self.clock.now());
        }
        self.check();
        result
    }

    /// Says what time it is and when it will be said again, Unix nanoseconds: what would be late by then is due before.
    pub fn look(&mut self, unix_nanos: u64, again_in_nanos: u64) {
        self.next_look = self.clock.advance(unix_nanos).saturating_add(again_in_nanos);
    }

    /// Whether a batch need not wait for more spans.
    pub fn batch_is_full(&self) -> bool {
        self.max_batch_size() <= self.queue.len() || self.max_span_bytes <= self.queue.bytes()
    }

    /// Whether a batch could leave at the last time that a call named: a full one, or one that the next look would find late.
    /// A request that asks this during an outage then does nothing for the export.
    pub fn batch_is_ready(&self) -> bool {
        let now = self.clock.now();
        (self.batch_is_full() || self.batch_is_due(now)) && self.may_send(now)
    }

    /// Whether the span that has waited longest would wait for too long, if it were to wait until the next look.
    fn batch_is_due(&self, now: u64) -> bool {
        let delay = self.settings.scheduled_delay_ms.saturating_mul(NANOS_PER_MILLI);
        let due = self.queue.oldest().map(|oldest| oldest.saturating_add(delay));
        due.is_some_and(|due| due <= now || due < self.next_look)
    }

    /// The next request to dispatch, if one is due: a retry, a full batch, or a partial one whose first span has waited
    /// for `scheduled_delay`. Call it until there is none. `force` is for a flush: it minds neither delay nor backoff
    /// nor the number in flight, and sends each batch once.
    pub fn poll(&mut self, unix_nanos: u64, random: u64, force: bool) -> Option<ExportRequest> {
        let now = self.clock.advance(unix_nanos);
        self.give_up_lost_requests(now, random);
        self.give_up_old_batches(now);
        let batch = if force { self.next_unflushed() } else { self.next_due(now) };
        let request = batch.map(|batch| self.send(batch, now));
        self.check();
        request
    }

    /// The host did not dispatch the request. `status` is proxy-wasm's `WasmResult`.
    pub fn refused(&mut self, id: RequestId, status: u32, unix_nanos: u64, random: u64) {
        let now = self.clock.advance(unix_nanos);
        if let Some(request) = self.take_in_flight(id.0) {
            let problem = Problem::NotDispatched { status };
            self.retry(request, &problem, String::new(), None, now, random);
        }
        self.check();
    }

    /// The host's callback, whatever it brings.
    pub fn answered(&mut self, id: RequestId, answer: Answer<'_>, unix_nanos: u64, random: u64) {
        let now = self.clock.advance(unix_nanos);
        if let Some(request) = self.take_in_flight(id.0) {
            if self.durations_ms.len() < MAX_DURATIONS {
                self.durations_ms.push_back(now.saturating_sub(request.sent_at) / NANOS_PER_MILLI);
            }
            match answer.verdict(self.settings.protocol, unix_nanos) {
                Verdict::Accepted { rejected, detail, readable } => {
                    let rejected = rejected.min(request.batch.len());
                    self.accept(&request, rejected);
                    self.episode.remark(rejected, detail, readable, now);
                }
                Verdict::Retry { problem, detail, asked_ms } => {
                    self.retry(request, &problem, detail, asked_ms, now, random)
                }
                Verdict::Discard { problem, detail, reason } => {
                    self.episode.fail(&problem, detail, false, self.counts.discarded_in_all(), self.next_id);
                    self.backoff.succeed(request.id); // It answers: no reason to spare it.
                    self.counts.exports_failed = self.counts.exports_failed.saturating_add(1);
                    self.counts.discard(reason, request.batch.len(), request.batch.upgraded);
                }
            }
        }
        self.check();
    }

    /// How long the next finished request took, milliseconds, for the histogram.
    pub fn next_duration_ms(&mut self) -> Option<u64> {
        self.durations_ms.pop_front()
    }

    /// What points of metrics may show: of spans that the collector has acknowledged.
    pub fn exemplars(&mut self) -> &mut Exemplars {
        &mut self.exemplars
    }

    /// The next line for the log.
    pub fn next_event(&mut self) -> Option<Event> {
        self.episode.next_event()
    }

    /// The VM ends: no answer can come any more. What waits or is on its way counts as discarded, and so does what is
    /// offered from now on.
    pub fn close(&mut self) {
        let lost = self.counts.queued.saturating_add(self.counts.in_flight);
        let in_flight = self.in_flight.iter().fold(0_u64, |sum, request| sum.saturating_add(request.batch.upgraded));
        let upgraded = self.counts.queued_upgraded.saturating_add(in_flight);
        self.counts.discard(DiscardReason::Shutdown, lost, upgraded);
        self.queue = SpanQueue::default();
        self.waiting.clear();
        self.in_flight.clear();
        self.counts.queued = 0;
        self.counts.queued_bytes = 0;
        self.counts.queued_upgraded = 0;
        self.counts.in_flight = 0;
        self.counts.in_flight_bytes = 0;
        self.closed = true;
        self.check();
    }

    fn may_send(&self, now: u64) -> bool {
        let most = if self.backoff.is_backing_off() { 1 } else { MAX_IN_FLIGHT };
        self.in_flight.len() < most && self.backoff.is_open(now)
    }

    fn next_due(&mut self, now: u64) -> Option<Batch> {
        if !self.may_send(now) {
            return None;
        }
        if let Some(batch) = self.waiting.pop_front() {
            return Some(batch);
        }
        (self.batch_is_due(now) || self.batch_is_full()).then(|| self.new_batch())
    }

    fn next_unflushed(&mut self) -> Option<Batch> {
        let retry = self.waiting.iter().position(|batch| !batch.flushed);
        let mut batch = match retry {
            Some(index) => self.waiting.remove(index)?,
            None => {
                self.queue.oldest()?;
                self.new_batch()
            }
        };
        batch.flushed = true;
        Some(batch)
    }

    /// The queue must not be empty.
    fn new_batch(&mut self) -> Batch {
        let spans = self.queue.take(self.max_batch_size(), self.max_span_bytes);
        Batch::new(spans, &self.envelope)
    }

    fn send(&mut self, batch: Batch, now: u64) -> ExportRequest {
        let timeout_ms = self.settings.timeout_ms.max(1);
        let request = ExportRequest {
            id: RequestId(self.next_id),
            headers: self.headers.clone(),
            body: framing::body(&self.settings, &batch.envelope, &batch.spans, batch.bytes),
            timeout_ms,
        };
        let wait_ms = u64::from(timeout_ms).saturating_add(CALLBACK_SLACK_MS);
        self.count_unqueued(batch.len(), batch.bytes, batch.upgraded);
        self.counts.in_flight = self.counts.in_flight.saturating_add(batch.len());
        self.counts.in_flight_bytes = self.counts.in_flight_bytes.saturating_add(batch.bytes as u64);
        self.in_flight.push(InFlight {
            id: self.next_id,
            batch,
            sent_at: now,
            lost_at: now.saturating_add(wait_ms.saturating_mul(NANOS_PER_MILLI)),
        });
        self.next_id = self.next_id.saturating_add(1);
        request
    }

    fn take_in_flight(&mut self, id: u64) -> Option<InFlight> {
        let index = self.in_flight.iter().position(|request| request.id == id)?;
        let request = self.in_flight.swap_remove(index);
        self.counts.in_flight = self.counts.in_flight.saturating_sub(request.batch.len());
        self.counts.in_flight_bytes = self.counts.in_flight_bytes.saturating_sub(request.batch.bytes as u64);
        Some(request)
    }

    fn accept(&mut self, request: &InFlight, rejected: u64) {
        let exported = request.batch.len().saturating_sub(rejected);
        self.backoff.succeed(request.id);
        self.counts.exports_succeeded = self.counts.exports_succeeded.saturating_add(1);
        self.counts.exported = self.counts.exported.saturating_add(exported);
        self.episode.succeed(request.id, self.counts.discarded_in_all());
        self.counts.discard(DiscardReason::Rejected, rejected, request.batch.upgraded);
        // Which ones were rejected is not said.
        for exemplar in request.batch.spans.iter().filter(|_| rejected == 0).filter_map(EncodedSpan::exemplar) {
            self.exemplars.offer(exemplar);
        }
    }

    fn retry(
        &mut self,
        request: InFlight,
        problem: &Problem,
        detail: String,
        asked_ms: Option<u64>,
        now: u64,
        random: u64,
    ) {
        let opens_at = self.backoff.fail(request.id, self.next_id, asked_ms, now, random);
        let mut batch = request.batch;
        let life = super::GIVE_UP_AFTER_MS.saturating_mul(NANOS_PER_MILLI);
        let give_up_at = batch.give_up_at.unwrap_or_else(|| request.sent_at.saturating_add(life));
        let retried = opens_at < give_up_at;
        self.episode.fail(problem, detail, retried, self.counts.discarded_in_all(), self.next_id);
        if retried {
            batch.give_up_at = Some(give_up_at);
            self.counts.exports_retried = self.counts.exports_retried.saturating_add(1);
            self.count_queued(batch.len(), batch.bytes, batch.upgraded);
            self.waiting.push_back(batch);
        } else {
            self.counts.exports_failed = self.counts.exports_failed.saturating_add(1);
            self.counts.discard(DiscardReason::RetriesExhausted, batch.len(), batch.upgraded);
        }
    }

    fn give_up_lost_requests(&mut self, now: u64, random: u64) {
        while let Some(lost) = self.in_flight.iter().find(|request| request.lost_at <= now)
            && let Some(request) = self.take_in_flight(lost.id)
        {
            self.retry(request, &Problem::NoCallback, String::new(), None, now, random);
        }
    }

    fn give_up_old_batches(&mut self, now: u64) {
        let is_old = |batch: &Batch| batch.give_up_at.is_some_and(|give_up_at| give_up_at <= now);
        while let Some(index) = self.waiting.iter().position(is_old)
            && let Some(batch) = self.waiting.remove(index)
        {
            self.count_unqueued(batch.len(), batch.bytes, batch.upgraded);
            self.counts.discard(DiscardReason::RetriesExhausted, batch.len(), batch.upgraded);
        }
    }

    /// The counts balance, and they tell what is really held.
    pub(super) fn check(&self) {
        debug_assert!(self.counts.balance(), "{:?}", self.counts);
        debug_assert_eq!(
            (self.counts.queued, self.counts.queued_bytes),
            self.waiting.iter().fold((self.queue.len() as u64, self.queue.bytes() as u64), |(spans, bytes), batch| (
                spans + batch.len(),
                bytes + batch.bytes as u64
            ))
        );
        debug_assert_eq!(
            self.counts.queued_upgraded,
            self.waiting.iter().fold(self.queue.upgraded(), |spans, batch| spans + batch.upgraded)
        );
        debug_assert_eq!(
            (self.counts.in_flight, self.counts.in_flight_bytes),
            self.in_flight.iter().fold((0, 0), |(spans, bytes), request| (
                spans + request.batch.len(),
                bytes + request.batch.bytes as u64
            ))
        );
    }
}
