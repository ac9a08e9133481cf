//! What `metrics` in the configuration means.

use super::Routes;
use crate::json::names;

names! {
    /// What a point of a metric counts.
    pub enum Temporality {
        /// Everything since the series began. A point that is lost is made good by the next one.
        Cumulative = "cumulative",
        /// What came since the point before. A point that is lost is lost.
        Delta = "delta",
    }
}

names! {
    /// How durations are sorted into buckets.
    pub enum Aggregation {
        /// Base-2 exponential buckets: scale 4 or less, at most 160 of them.
        Exponential = "exponential",
        /// The 14 bounds of the semantic conventions, for back ends without native histograms.
        Explicit = "explicit",
    }
}

/// Checked settings of request metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Path templates of `http.route`.
    pub routes: Routes,
    /// An answer's header that names the route, in lower case; stronger than `routes`.
    pub route_header: Option<String>,
    /// What a point counts.
    pub temporality: Temporality,
    /// How durations are sorted.
    pub histogram: Aggregation,
    /// Milliseconds between two exports.
    pub interval_ms: u64,
    /// Series that a process keeps for a metric, 10 to 2000.
    pub max_series: usize,
    /// Whether points show requests whose spans the collector has.
    pub exemplars: bool,
    /// Before the names of the metrics.
    pub namespace: String,
    /// `:path` for OTLP over HTTP.
    pub path: String,
}
