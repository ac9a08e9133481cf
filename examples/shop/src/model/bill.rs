//! What AWS X-Ray would ask for these traces.

use serde::Serialize;
use std::time::Duration;

/// US dollars for a million traces recorded: price page of AWS X-Ray as read in 2026-11. The free tier (100,000 a month)
/// and the price of reading traces are left out.
pub const DOLLARS_PER_MILLION: f64 = 5.0;
/// When the price was read.
pub const PRICE_READ: &str = "2026-11";
/// A month as AWS counts it.
const MONTH: Duration = Duration::from_secs(730 * 3600);

/// One way to sample, and what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Traces recorded so far.
    pub traces: u64,
    /// Dollars for these.
    pub so_far: f64,
    /// Dollars for a month of such traffic.
    pub month: f64,
}

impl Cost {
    /// For `traces` recorded in `elapsed`.
    pub fn of(traces: u64, elapsed: Duration) -> Self {
        let so_far = traces as f64 / 1e6 * DOLLARS_PER_MILLION;
        let months = elapsed.as_secs_f64() / MONTH.as_secs_f64();
        Self { traces, so_far, month: if months > 0.0 { so_far / months } else { 0.0 } }
    }
}

/// Three ways to sample the same traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Every request but the probes: every error is there.
    pub everything: Cost,
    /// What the head sampled and nothing else: errors are there at the ratio.
    pub head_only: Cost,
    /// What was recorded: every error, the rest at the ratio.
    pub tracelift: Cost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_traces_cost_five_dollars_and_a_month_is_730_hours() {
        let hour = Duration::from_secs(3600);
        let cost = Cost::of(1_000_000, hour);
        assert_eq!((cost.so_far, cost.month), (5.0, 3650.0));
        assert_eq!(Cost::of(0, hour).month, 0.0);
        assert_eq!(Cost::of(5, Duration::ZERO).month, 0.0);
    }

    #[test]
    fn the_reference_example_comes_out() {
        // 10,000 requests a second at 5 % are 43.2 million traces a day, $216.
        let day = Duration::from_secs(24 * 3600);
        assert!((Cost::of(43_200_000, day).so_far - 216.0).abs() < 1e-9);
    }
}
