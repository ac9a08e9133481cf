//! Whether what is kept stands for what there was: of the requests that are decided here, their number beside the sum of the adjusted
//! counts of their spans. Without a fault the two differ by chance alone, by the variance that is known of each decision.

use super::threshold::Threshold;

/// Sums of one class of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// N: requests.
    pub requests: f64,
    /// Their estimate by the adjusted counts of the spans that were offered for export.
    pub estimated: f64,
    /// The variance of that estimate: (1 - p) / p of each request whose span was kept with probability p.
    pub variance: f64,
}

/// Spans that are to be expected before [`Sums::z_centi`] says anything: below, chance is not normally distributed.
const ENOUGH: f64 = 100.0;

impl Sums {
    /// One more of the same.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.estimated += other.estimated;
        self.variance += other.variance;
    }

    /// How far the estimate is from the number, in hundredths of its standard deviation: above 400 once in 16,000 times. 0 where too
    /// few spans are to be expected.
    pub fn z_centi(&self) -> u64 {
        let is_enough = 0.0 < self.variance && ENOUGH * self.variance <= self.requests * self.requests;
        let z = (self.estimated - self.requests).abs() / self.variance.sqrt();
        if is_enough { (100.0 * z) as u64 } else { 0 }
    }
}

/// Requests that failed, and the others: whose share of kept spans differs most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Audit {
    /// Those that did not fail.
    pub ok: Sums,
    /// Those that failed, or took too long.
    pub failed: Sums,
    /// Those that are not in `ok` yet.
    run: Run,
}

/// Requests of one kind, as nearly all are: decided by the same threshold, without a failure, and not kept for anything else. To count
/// one more costs an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Run {
    threshold: Option<Threshold>,
    requests: u32,
}

impl Audit {
    /// Of two classes.
    pub fn new(ok: Sums, failed: Sums) -> Self {
        Self { ok, failed, run: Run::default() }
    }

    /// A request has ended. `threshold`: by which its trace was decided here; `None` where something else than chance keeps it.
    #[inline(always)] // For every request that is decided here.
    pub fn ended(&mut self, failed: bool, threshold: Option<Threshold>) {
        if !failed && threshold.is_some() && threshold == self.run.threshold && self.run.requests != u32::MAX {
            self.run.requests = self.run.requests.wrapping_add(1);
        } else {
            self.ended_otherwise(failed, threshold);
        }
    }

    #[inline(never)] // Seldom.
    fn ended_otherwise(&mut self, failed: bool, threshold: Option<Threshold>) {
        if !failed && threshold.is_some() {
            *self = self.settled();
            self.run = Run { threshold, requests: 1 };
            return;
        }
        let sums = self.of(failed);
        sums.requests += 1.0;
        if let Some(threshold) = threshold {
            sums.variance += threshold.adjusted_count() - 1.0;
        }
    }

    /// The same with all that was counted in its two classes.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let Run { threshold, requests } = std::mem::take(&mut self.run);
        let requests = f64::from(requests);
        self.ok.requests += requests;
        self.ok.variance += requests * threshold.map_or(0.0, |threshold| threshold.adjusted_count() - 1.0);
        self
    }

    /// Its span was offered for export and stands for so many requests.
    pub fn offered(&mut self, failed: bool, adjusted_count: f64) {
        self.of(failed).estimated += adjusted_count;
    }

    /// What another part of the process has counted.
    pub fn add(&mut self, other: &Self) {
        self.ok.add(&other.ok);
        self.failed.add(&other.failed);
    }

    /// The larger one of both classes.
    pub fn z_centi(&self) -> u64 {
        self.ok.z_centi().max(self.failed.z_centi())
    }

    fn of(&mut self, failed: bool) -> &mut Sums {
        if failed { &mut self.failed } else { &mut self.ok }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(requests: f64, estimated: f64, variance: f64) -> Sums {
        Sums { requests, estimated, variance }
    }

    #[test]
    fn a_difference_counts_by_its_deviation_once_there_is_enough() {
        // 5 %: a variance of 19 for each request.
        for (sums, z_centi) in [
            (sums(1e6, 1e6, 19e6), 0),
            (sums(1e6, 0.9e6, 19e6), 2294),
            (sums(1e6, 1.1e6, 19e6), 2294),
            (sums(1e3, 0.0, 19e3), 0),
            (sums(1e3, 1e3, 0.0), 0),
            (Sums::default(), 0),
        ] {
            assert_eq!(sums.z_centi(), z_centi, "{sums:?}");
        }
    }

    #[test]
    fn what_is_kept_for_certain_has_no_variance() {
        let mut audit = Audit::default();
        let half = Threshold::parse(b"8").unwrap();
        audit.ended(false, Some(half));
        audit.ended(false, Some(half));
        audit.offered(false, half.adjusted_count());
        audit.ended(true, None);
        audit.offered(true, 1.0);
        let (ok, failed) = (sums(2.0, 2.0, 2.0), sums(1.0, 1.0, 0.0));
        assert_eq!(audit.settled(), Audit::new(ok, failed));
    }

    #[test]
    fn requests_of_several_thresholds_are_counted_each_by_its_own() {
        let (half, tenth) = (Threshold::parse(b"8").unwrap(), Threshold::from_ratio(0.1).unwrap());
        let of = |threshold: Threshold| threshold.adjusted_count() - 1.0;
        let mut audit = Audit::default();
        for (failed, threshold) in [
            (false, Some(half)),
            (false, Some(half)),
            (false, Some(tenth)),
            (true, Some(tenth)),
            (false, None),
            (false, Some(tenth)),
            (false, Some(half)),
        ] {
            audit.ended(failed, threshold);
        }
        audit = audit.settled();
        assert_eq!((audit.ok.requests, audit.failed.requests), (6.0, 1.0));
        assert!((audit.ok.variance - 3.0 * of(half) - 2.0 * of(tenth)).abs() < 1e-9, "{audit:?}");
        assert_eq!((audit.failed.variance, audit.settled()), (of(tenth), audit));
    }
}
