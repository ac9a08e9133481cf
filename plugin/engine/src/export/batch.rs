//! Spans on their way together.

use std::sync::Arc;

use crate::otlp::EncodedSpan;
use crate::otlp::Envelope;

/// Spans that travel together until they are exported or discarded.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) spans: Vec<EncodedSpan>,
    pub(super) bytes: usize,
    /// How many of the spans an upgrade keeps.
    pub(super) upgraded: u64,
    pub(super) envelope: Arc<Envelope>,
    /// When retries end; `None` before the first attempt.
    pub(super) give_up_at: Option<u64>,
    /// A flush has sent it already.
    pub(super) flushed: bool,
}

impl Batch {
    pub(super) fn new(spans: Vec<EncodedSpan>, envelope: &Arc<Envelope>) -> Self {
        Self {
            bytes: spans.iter().fold(0, |sum, span| sum.saturating_add(span.len())),
            upgraded: spans.iter().filter(|span| span.is_upgraded()).count() as u64,
            spans,
            envelope: Arc::clone(envelope),
            give_up_at: None,
            flushed: false,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.spans.len() as u64
    }
}

/// A batch that the host has dispatched.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: u64,
    pub(super) batch: Batch,
    pub(super) sent_at: u64,
    pub(super) lost_at: u64,
}
