//! Steps, on and off, waves: what is kept of them, and that it counts right.

use tracelift::sampling::pace::{Bound, BoundChange, Cause};

use crate::world::{Kept, Second, World, settings, steady, target};

const TARGET: f64 = 20.0;

/// Kept in so many seconds, as deviations from what the target allows.
fn deviations(seconds: &[Kept]) -> f64 {
    let wanted = TARGET * seconds.len() as f64;
    (Kept::sum(seconds).kept - wanted) / wanted.sqrt()
}

fn assert_near(seconds: &[Kept], what: &str) {
    let away = deviations(seconds);
    assert!(away.abs() < 3.0, "{what}: {away:.1} deviations from the target, {:?}", Kept::sum(seconds));
}

#[test]
fn steady_traffic_keeps_the_target() {
    for (seed, offered) in [(1, 25.0), (2, 100.0), (3, 2_000.0), (4, 50_000.0)] {
        let mut world = World::new(settings(target(TARGET)), 4, seed);
        let kept = world.run(1_200, |_| steady(offered));
        kept[120..].chunks(60).for_each(|minute| assert_near(minute, &format!("{offered} a second")));
    }
}

/// Seconds of the longest interval: the one in which the load rises is not kept to the target.
const INTERVAL: usize = 5;

#[test]
fn a_step_up_is_followed_within_an_interval_and_a_step_down_within_a_minute() {
    for seed in 0..8 {
        let mut world = World::new(settings(target(TARGET)), 4, seed);
        let kept = world.run(900, |second| steady(if (300.0..600.0).contains(&second) { 20_000.0 } else { 2_000.0 }));
        assert_near(&kept[120..300], "before");
        let risen = Kept::sum(&kept[300..300 + INTERVAL]).kept;
        assert!(risen < 3.0 * TARGET * 10.0, "seed {seed}: {risen} in the interval of the step");
        assert_near(&kept[300 + INTERVAL..360], "the minute after the step up");
        assert_near(&kept[360..600], "later");
        let fallen = Kept::sum(&kept[600..660]);
        assert!(deviations(&kept[600..660]) < 3.0, "a step down never keeps too much: {fallen:?}");
        assert_near(&kept[660..900], "calm");
        let all = Kept::sum(&kept);
        assert!(all.z().abs() < 4.0, "seed {seed}: z {}", all.z());
        let causes: Vec<_> =
            world.steps.iter().filter(|(at, _)| 299 < *at).filter_map(|(_, step)| step.cause).collect();
        assert_eq!(causes.first(), Some(&Cause::Load), "{causes:?}");
        assert!(causes.contains(&Cause::Calm) && !causes.contains(&Cause::Budget), "{causes:?}");
    }
}

#[test]
fn traffic_that_comes_and_goes_keeps_the_target_but_where_it_rises() {
    for seed in 0..8 {
        let mut world = World::new(settings(target(TARGET)), 4, seed);
        let is_on = |second: usize| second % 60 < 30;
        let kept = world.run(1_200, |second| steady(if is_on(second as usize) { 5_000.0 } else { 50.0 }));
        for cycle in kept[120..].chunks(60) {
            assert_near(&cycle[INTERVAL..30], "beyond the interval in which it rose");
            // For thirty seconds the ratio rises by half in each interval: that is not enough for a hundredth of the load.
            let off = deviations(&cycle[30..]);
            assert!(off < 3.0, "a load that falls never keeps too much: {off}");
        }
        let ten = kept.windows(10).map(|ten| Kept::sum(ten).kept).fold(0.0, f64::max);
        assert!(ten < 3.0 * TARGET * 10.0 + 200.0, "{ten} in ten seconds");
        assert!(Kept::sum(&kept).z().abs() < 4.0);
    }
}

#[test]
fn a_wave_is_followed_up_and_down() {
    for (seed, period) in (0..8).flat_map(|seed| [120, 600, 3_600].map(|period| (seed, period))) {
        let mut world = World::new(settings(target(TARGET)), 4, seed);
        let turn = |second: f64| second * std::f64::consts::TAU / f64::from(period);
        let wave = |second: f64| 2_000.0 * (1.0 + 0.8 * turn(second).sin());
        let kept = world.run(600 + 3 * period, |second| steady(wave(second - 600.0)));
        for whole in kept[600..].chunks(period as usize) {
            assert_near(whole, &format!("seed {seed}, a wave of {period} s"));
        }
        let (quarter, half) = (period as usize / 4, period as usize / 2);
        for whole in kept[600..].chunks(period as usize) {
            for minute in whole[quarter..quarter + half].chunks(60) {
                let away = deviations(minute);
                assert!(away < 3.0, "seed {seed}, a wave of {period} s falls and never keeps too much: {away:.1}");
            }
            let all = Kept::sum(&whole[quarter..quarter + half]).kept / half as f64;
            assert!(0.75 * TARGET < all, "seed {seed}, a wave of {period} s falls, and {all} a second are kept");
        }
        assert!(Kept::sum(&kept).z().abs() < 4.0);
    }
}

#[test]
fn estimates_have_the_deviation_that_they_are_said_to_have() {
    let zs = (0..60).map(|seed| {
        let mut world = World::new(settings(target(TARGET)), 4, 1_000 + seed);
        let traffic = |second: f64| {
            if second % 200.0 < 20.0 {
                20_000.0
            } else if 180.0 < second % 200.0 {
                50.0
            } else {
                2_000.0
            }
        };
        Kept::sum(&world.run(600, |second| steady(traffic(second)))).z()
    });
    let zs: Vec<f64> = zs.collect();
    let mean = zs.iter().sum::<f64>() / 60.0;
    let deviation = (zs.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>() / 59.0).sqrt();
    assert!(mean.abs() < 0.5 && (0.75..1.25).contains(&deviation), "mean {mean:.2}, deviation {deviation:.2}");
}

#[test]
fn all_workers_go_by_one_ratio_a_tick_after_a_step() {
    let mut world = World::new(settings(target(TARGET)), 16, 7);
    for second in 0..300 {
        world.second(&[steady(if second < 150 { 2_000.0 } else { 30_000.0 })]);
        let step = world.steps.last().map_or(0, |(at, _)| *at);
        if step + 1 < second {
            let ratios: Vec<f64> = (0..16).map(|worker| world.worker(worker).ratio(&world.settings, 0)).collect();
            assert!(ratios.iter().all(|ratio| *ratio == ratios[0]), "second {second}: {ratios:?}");
        }
    }
}

#[test]
fn upgrades_are_paid_first_and_a_bound_that_wins_is_logged_once() {
    let mut world = World::new(settings(target(TARGET)), 4, 9);
    let outage = |second: f64| if (300.0..600.0).contains(&second) { 100.0 } else { 5.0 };
    let kept = world.run(1_200, |second| Second { others: outage(second), ..steady(2_000.0) });
    let calm = Kept::sum(&kept[120..300]);
    let total = (calm.kept + calm.others) / 180.0;
    assert!((total - TARGET).abs() < 1.5, "{total} a second with upgrades");
    let storm = Kept::sum(&kept[400..600]);
    assert!(storm.kept / 200.0 < 0.5, "what is left is min_ratio: {storm:?}");
    let changes: Vec<_> = world.steps.iter().filter_map(|(_, step)| step.bound).collect();
    assert_eq!(changes, [BoundChange::Hit(Bound::Min), BoundChange::Left(Bound::Min, 0)]);
    assert!(world.steps.iter().any(|(_, step)| step.cause == Some(Cause::Budget)));
}

#[test]
fn after_an_outage_that_took_the_whole_target_the_rate_is_back_within_a_minute() {
    for (seed, others) in (0..8).flat_map(|seed| [20.0, 40.0, 100.0].map(|others| (seed, others))) {
        let mut world = World::new(settings(target(TARGET)), 4, seed);
        let outage = |second: f64| if (300.0..600.0).contains(&second) { others } else { 0.2 };
        let kept = world.run(900, |second| Second { others: outage(second), ..steady(2_000.0) });
        assert!(
            Kept::sum(&kept[400..600]).kept < 0.5 * 200.0 || others < 1.5 * TARGET,
            "{others} a second take all of it"
        );
        let back = Kept::sum(&kept[640..660]).kept / 20.0;
        let wanted = if others < 3.0 * TARGET { 0.75 } else { 0.5 };
        assert!(wanted * TARGET < back, "seed {seed}, after {others} a second: {back} within the first minute");
        let paid = |second: &Kept| Kept { kept: second.kept + second.others, ..*second };
        assert_near(&kept[680..].iter().map(paid).collect::<Vec<_>>(), "calm");
    }
}

#[test]
fn little_traffic_is_kept_whole() {
    let mut world = World::new(settings(target(TARGET)), 4, 10);
    let kept = world.run(600, |_| steady(2.0));
    let late = Kept::sum(&kept[120..]);
    assert_eq!(late.kept, late.offered);
    let changes: Vec<_> = world.steps.iter().filter_map(|(_, step)| step.bound).collect();
    assert_eq!(changes, [BoundChange::Hit(Bound::Max)]);
}

#[test]
fn a_clock_that_is_set_keeps_the_ratio() {
    use tracelift::sampling::pace::{Pace, Sums};
    let settings = settings(target(TARGET));
    let mut pace = Pace::new(&settings, 1_000_000_000_000);
    for second in 1_u64..60 {
        pace.add(&Sums { offered: vec![2_000], expected: 2_000.0 * pace.ratio(&settings, 0), ..Sums::default() });
        pace.step(&settings, 1_000_000_000_000 + second * 1_000_000_000);
    }
    let settled = pace.ratio(&settings, 0);
    for at in [5, 10_000_000_000_000, 9_999_000_000_000] {
        assert_eq!(pace.step(&settings, at), None);
        assert_eq!(pace.ratio(&settings, 0), settled);
    }
}
