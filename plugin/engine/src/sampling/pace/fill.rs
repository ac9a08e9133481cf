//! One budget for many routes: as many traces of each as of any other, until the budget is spent. Equal numbers are equally well known.

/// Halvings of the level that is looked for: it is found within a millionth.
const HALVINGS: u32 = 48;

/// The number of traces a second to keep of each load (traces a second), such that all together are `budget` a second. A load is kept
/// at a ratio from `min` to `max` whatever the budget is, so that a level may not be found: it is 0 or infinite then.
pub fn fill(loads: impl Iterator<Item = f64> + Clone, budget: f64, (min, max): (f64, f64)) -> f64 {
    let kept = |level: f64| -> f64 { loads.clone().map(|load| level.min(load * max).max(load * min)).sum() };
    let mut high = loads.clone().fold(0.0, f64::max) * max;
    if kept(high) <= budget {
        return f64::INFINITY;
    }
    let mut low = 0.0;
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        let side = if kept(middle) <= budget { &mut low } else { &mut high };
        *side = middle;
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level(loads: &[f64], budget: f64) -> f64 {
        fill(loads.iter().copied(), budget, (0.0, 1.0))
    }

    #[test]
    fn the_rare_are_kept_whole_and_the_others_alike() {
        let loads = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0];
        let level = level(&loads, 600.0);
        assert!((level - 79.4).abs() < 0.5, "{level}");
        let kept: f64 = loads.iter().map(|load| load.min(level)).sum();
        assert!((kept - 600.0).abs() < 1e-6, "{kept}");
    }

    #[test]
    fn what_can_be_kept_whole_is() {
        for loads in [&[1.0, 2.0][..], &[0.0], &[]] {
            assert_eq!(level(loads, 10.0), f64::INFINITY);
        }
        assert!(level(&[5.0], 0.0) < 1e-9);
    }

    proptest! {
        #[test]
        fn the_budget_is_spent_unless_a_bound_forbids_it(
            loads in prop::collection::vec(0.0_f64..1e6, 1..200),
            budget in 0.0_f64..1e5,
            min in 0.0_f64..0.01,
            max in 0.02_f64..1.0,
        ) {
            let level = fill(loads.iter().copied(), budget, (min, max));
            let kept: f64 = loads.iter().map(|load| level.min(load * max).max(load * min)).sum();
            let total: f64 = loads.iter().sum();
            let wanted = budget.min(total * max).max(total * min);
            prop_assert!((kept - wanted).abs() <= 1e-6 * wanted.max(1.0), "{kept} {wanted}");
        }
    }
}
