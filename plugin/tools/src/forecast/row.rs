//! The result: one row a policy.

use serde::Serialize;

use super::adaptive::Adaptive;
use super::kinds::KindsForecast;
use super::price::{Item, PriceTable};

/// Seconds of a month as AWS counts it: 730 hours.
pub const MONTH_SECONDS: f64 = 730.0 * 3600.0;

/// Three ways to sample the same traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// What this was made of, in words.
    pub basis: String,
    /// Whose prices, and when they were read.
    pub prices: PriceTable,
    /// Keep everything, head only, tracelift.
    pub rows: Vec<Row>,
    /// Kinds of requests, where coverage or request metrics are on and really happened ones were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<KindsForecast>,
    /// The rate over time, where `sampling.target` or `sampling.boost` is on and what really happened was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// What to bear in mind.
    pub notes: Vec<String>,
}

/// What one policy keeps, and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `keep everything`, `head only` or `tracelift`.
    pub policy: &'static str,
    /// Traces of which anything is kept, a second.
    pub traces_per_second: f64,
    /// Spans, a second.
    pub spans_per_second: f64,
    /// Their encoded bytes, a second.
    pub bytes_per_second: f64,
    /// Traces a month.
    pub traces_per_month: f64,
    /// Spans a month.
    pub spans_per_month: f64,
    /// Bytes a month.
    pub bytes_per_month: f64,
    /// The bill of a month.
    pub bill: Vec<Item>,
    /// Its sum, in US dollars.
    pub dollars_per_month: f64,
    /// Of failed traces, the share (0 to 1) whose every span from the failure up to the root is kept. `None`: none failed.
    pub chains_complete: Option<f64>,
    /// Of all spans of failed traces, the share (0 to 1) that is kept.
    pub failed_spans_kept: Option<f64>,
}

/// What a policy keeps in a second, before any price.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    pub traces: f64,
    pub spans: f64,
    pub bytes: f64,
    pub chains_complete: Option<f64>,
    pub failed_spans_kept: Option<f64>,
}

impl Row {
    /// A month of this, priced.
    pub(super) fn new(policy: &'static str, kept: Kept, prices: &PriceTable) -> Self {
        let [traces, spans, bytes] = [kept.traces, kept.spans, kept.bytes].map(|second| second * MONTH_SECONDS);
        let bill = prices.bill(traces, spans, bytes);
        Self {
            policy,
            traces_per_second: kept.traces,
            spans_per_second: kept.spans,
            bytes_per_second: kept.bytes,
            traces_per_month: traces,
            spans_per_month: spans,
            bytes_per_month: bytes,
            // The sum of nothing is -0.
            dollars_per_month: bill.iter().map(|item| item.dollars).sum::<f64>() + 0.0,
            bill,
            chains_complete: kept.chains_complete,
            failed_spans_kept: kept.failed_spans_kept,
        }
    }
}
