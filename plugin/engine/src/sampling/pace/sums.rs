//! What a worker has counted since it last shared it.

/// Counts of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// Traces that were decided by the rate, by the number of their rate.
    pub offered: Vec<u32>,
    /// How many of these are kept on the mean: the sum of the ratios that were in force.
    pub expected: f64,
    /// Traces that begin here and are kept for another reason, and requests that only an upgrade keeps.
    pub others: u32,
    /// All requests that have ended.
    pub requests: u32,
    /// Those that failed.
    pub failed: u32,
    /// All requests that were timed and whose usual duration is known.
    pub timed: u32,
    /// Those that took longer than usual.
    pub slow: u32,
}

impl Sums {
    /// Nothing was counted.
    pub fn is_empty(&self) -> bool {
        let Self { offered, expected: _, others, requests, failed: _, timed, slow: _ } = self;
        *others == 0 && *requests == 0 && *timed == 0 && offered.iter().all(|count| *count == 0)
    }
}
