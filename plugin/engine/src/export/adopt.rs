//! A new configuration takes over the spans of the one before.

use std::sync::Arc;

use super::batch::Batch;
use super::exporter::Exporter;
use super::queue::SpanQueue;
use crate::otlp::Envelope;
use crate::otlp::Settings;
use crate::span::Resource;

impl Exporter {
    /// Goes on under another configuration. What waits is sent next, with the resource that it was recorded under, also
    /// where the new bounds are narrower; what is in flight stays so, and counts go on.
    pub fn reconfigure(&mut self, settings: Settings, resource: &Resource) {
        while self.queue.oldest().is_some() {
            let spans = self.queue.take(self.max_batch_size(), self.max_span_bytes);
            self.waiting.push_back(Batch::new(spans, &self.envelope));
        }
        let Self { settings, headers, envelope, max_span_bytes, backoff, episode, .. } = Self::new(settings, resource);
        self.settings = settings;
        self.headers = headers;
        self.envelope = envelope;
        self.max_span_bytes = max_span_bytes;
        self.backoff = backoff;
        self.episode = episode;
        self.check();
    }

    /// Takes over the spans that wait in the exporter of an earlier configuration, as far as the bounds allow, and sends
    /// them next, with the resource that they were recorded under. What the other one has in flight stays with it until
    /// it is answered; what comes back for a retry is there for the next call.
    pub fn adopt(&mut self, other: &mut Self) {
        self.adopt_exemplars(other);
        while let Some(batch) = other.waiting.pop_front() {
            other.release(batch.len(), batch.bytes, batch.upgraded);
            let mut source = SpanQueue::default();
            batch.spans.into_iter().for_each(|span| source.push(span, 0));
            self.adopt_spans(&mut source, &batch.envelope);
        }
        other.release(other.queue.len() as u64, other.queue.bytes(), other.queue.upgraded());
        self.adopt_spans(&mut std::mem::take(&mut other.queue), &other.envelope);
        other.check();
        self.check();
    }

    /// Takes over what waits in the exporter of another thread, which has the same configuration and sends nothing itself. Spans
    /// stay as old as they are, so that they wait for a full batch no longer than others.
    pub fn gather(&mut self, other: &mut Self) {
        self.adopt_exemplars(other);
        if !other.waiting.is_empty() {
            return self.adopt(other);
        }
        other.release(other.queue.len() as u64, other.queue.bytes(), other.queue.upgraded());
        while let Some((span, came)) = other.queue.pop() {
            self.counts.adopted = self.counts.adopted.saturating_add(1);
            if self.admit(&span).is_ok() {
                self.queue.push(span, came.min(self.clock.now()));
            }
        }
        other.check();
        self.check();
    }

    fn adopt_spans(&mut self, source: &mut SpanQueue, envelope: &Arc<Envelope>) {
        while source.oldest().is_some() {
            let mut spans = source.take(self.max_batch_size(), self.max_span_bytes);
            self.counts.adopted = self.counts.adopted.saturating_add(spans.len() as u64);
            spans.retain(|span| self.admit(span).is_ok());
            if !spans.is_empty() {
                self.waiting.push_back(Batch::new(spans, envelope));
            }
        }
    }

    fn adopt_exemplars(&mut self, other: &mut Self) {
        other.exemplars.take().iter().for_each(|exemplar| self.exemplars.offer(exemplar));
    }

    fn release(&mut self, spans: u64, bytes: usize, upgraded: u64) {
        self.count_unqueued(spans, bytes, upgraded);
        self.counts.released = self.counts.released.saturating_add(spans);
    }
}
