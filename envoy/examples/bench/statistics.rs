//! Medians with an interval. What is compared was measured in the same round, so that what a machine does to all is gone.

use tracelift_envoy::Random;

/// Resamples for an interval.
const RESAMPLES: usize = 1000;

/// A median and the interval that holds it with 90 % certainty, by bootstrap over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The middle of the measured values.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Median {
    /// Of one value for each round; all three are NaN when there is none.
    pub fn of(values: &[f64]) -> Self {
        let value = middle(values.to_vec());
        let mut random = Random(1);
        let resample =
            |_| middle((0..values.len()).map(|_| values[random.below(values.len() as u64) as usize]).collect());
        let mut medians: Vec<f64> = (0..RESAMPLES).map(resample).collect();
        medians.sort_by(f64::total_cmp);
        Self { value, low: medians[RESAMPLES / 20], high: medians[RESAMPLES - 1 - RESAMPLES / 20] }
    }
}

/// The middle value; NaN when there is none.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

/// The value below which that share of the sorted values lies.
pub fn quantile(sorted: &[u32], share: f64) -> u32 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(((last as f64) * share).round() as usize).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_within_its_interval_and_the_interval_within_the_values() {
        let values: Vec<f64> = (0..25).map(f64::from).collect();
        let median = Median::of(&values);
        assert_eq!(median.value, 12.0);
        assert!(0.0 < median.low && median.low < 12.0 && 12.0 < median.high && median.high < 24.0, "{median:?}");
        assert_eq!(Median::of(&[3.0, 1.0]).value, 2.0);
        assert!(Median::of(&[]).value.is_nan());
    }

    #[test]
    fn a_shuffled_list_has_the_same_members_in_another_order() {
        let mut list: Vec<u32> = (0..50).collect();
        Random(7).shuffle(&mut list);
        assert_ne!(list, (0..50).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
        assert_eq!((quantile(&list, 0.5), quantile(&list, 0.99), quantile(&[], 0.5)), (25, 49, 0));
    }
}
