//! Failed traces: a line of each for the list, and a whole one for who opens it.

use super::{Model, waterfall};
use crate::span::Span;
use serde::Serialize;
use std::cmp::Reverse;
use std::time::Instant;

/// A trace with a trigger, in one line.
#[derive(Clone, Debug, Serialize)]
pub struct FailedTrace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The request's line.
    pub request: String,
    /// What went wrong, in words.
    pub what: String,
    /// What the client got.
    pub status: Option<u16>,
    /// When its first span began, Unix milliseconds.
    pub at_unix_ms: u64,
    /// From the first start to the last end.
    pub duration_ms: f64,
    /// The head had sampled it anyway.
    pub head_sampled: bool,
    /// Share of traces that the head sampled then.
    pub ratio: f64,
    /// How many there are.
    pub spans: usize,
}

/// A trace with its spans.
#[derive(Clone, Debug, Serialize)]
pub struct WholeTrace {
    /// Its line.
    #[serde(flatten)]
    pub line: FailedTrace,
    /// Its spans.
    pub rows: Vec<waterfall::Row>,
}

impl Model {
    /// The latest failed traces, newest first.
    pub fn failed(&self, now: Instant) -> Vec<FailedTrace> {
        let mut failed: Vec<_> = self.traces.failed(now).map(|(trace_id, spans)| self.line(trace_id, spans)).collect();
        failed.sort_by_key(|trace| Reverse(trace.at_unix_ms));
        failed
    }

    /// A trace that is remembered.
    pub fn whole_trace(&self, trace_id: u128) -> Option<WholeTrace> {
        let spans = self.traces.of(trace_id);
        if spans.is_empty() {
            return None;
        }
        let line = self.line(trace_id, spans);
        let known = self.known.get(&trace_id);
        let client_span = known.and_then(|known| known.visit.context).map(|context| context.span_id);
        let rows = waterfall::rows(spans, client_span, line.head_sampled);
        Some(WholeTrace { line, rows })
    }

    fn line(&self, trace_id: u128, spans: &[Span]) -> FailedTrace {
        let known = self.known.get(&trace_id);
        let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let end = spans.iter().map(|span| span.end).max().unwrap_or(0);
        FailedTrace {
            trace_id: format!("{trace_id:032x}"),
            request: known.map(|known| known.visit.line()).unwrap_or_default(),
            what: known.and_then(|known| known.visit.fault).map_or("not planned", |fault| fault.label()).to_owned(),
            status: known.and_then(|known| known.status),
            at_unix_ms: start / 1_000_000,
            duration_ms: end.saturating_sub(start) as f64 / 1e6,
            head_sampled: known.is_some_and(|known| known.sampled),
            ratio: known.map_or(self.settings.ratio, |known| known.ratio),
            spans: spans.len(),
        }
    }
}
