//! The boost: when it begins, how long it stays, what it costs, and that noise does not raise it.

use tracelift::sampling::pace::{Settings, Turn};

use crate::world::{Kept, Second, World, boost, settings, target};

fn raised(target_per_second: f64) -> Settings {
    Settings { boost: Some(boost(1.0)), ..settings(target(target_per_second)) }
}

/// Seconds in which a boost began.
fn begins(world: &World) -> Vec<u64> {
    world.steps.iter().filter(|(_, step)| step.boost == Some(Turn::Begins)).map(|(at, _)| *at).collect()
}

/// A number that scatters by so much around 1, for five seconds each.
fn noise(world: &mut World, scatter: f64) -> f64 {
    (1.0 + scatter * world.chance.normal()).max(0.0)
}

/// A day with 0.2 % of failures whose share and number scatter.
fn day(offered: f64, scatter: f64, seed: u64) -> World {
    let mut world = World::new(raised(20.0), 1, seed);
    let (mut share, mut load) = (1.0, 1.0);
    for second in 0..86_400_u32 {
        if second % 5 == 0 {
            (share, load) = (noise(&mut world, scatter), noise(&mut world, scatter));
        }
        world.second(&[Second { offered: offered * load, failing: 0.002 * share, others: 0.0 }]);
    }
    world
}

#[test]
fn a_day_of_noise_raises_no_alarm() {
    for (seed, offered) in [(41, 5.0), (42, 50.0), (43, 500.0), (44, 5_000.0)] {
        assert_eq!(begins(&day(offered, 0.2, seed)), [0_u64; 0], "{offered} a second");
    }
    let wild = begins(&day(5_000.0, 0.4, 45));
    assert!(wild.len() <= 2, "{wild:?}");
}

/// Seconds from the moment at which ten times as many fail as before to the boost.
fn delay(offered: f64, seed: u64) -> Option<u64> {
    let mut world = World::new(raised(20.0), 2, seed);
    let quiet = |_| Second { offered, failing: 0.002, others: 0.0 };
    world.run(1_800, quiet);
    world.run(300, |_| Second { failing: 0.02, ..quiet(0.0) });
    begins(&world).first().map(|at| at - 1_800)
}

#[test]
fn ten_times_the_failures_are_seen_within_two_intervals_where_there_is_traffic() {
    for seed in 50..60 {
        for offered in [500.0, 5_000.0] {
            let seconds = delay(offered, seed);
            assert!(seconds.is_some_and(|seconds| seconds <= 15), "{offered} a second: {seconds:?}");
        }
    }
    let mut sparse: Vec<_> = (60..80).map(|seed| delay(50.0, seed).unwrap_or(999)).collect();
    sparse.sort_unstable();
    assert!(sparse[10] <= 80 && sparse[18] < 999, "half of the time within 80 s: {sparse:?}");
}

#[test]
fn a_boost_is_paid_back_within_hours() {
    let mut world = World::new(raised(20.0), 4, 81);
    let traffic = |failing| move |_: f64| Second { offered: 2_000.0, failing, others: 0.0 };
    let mut kept = world.run(1_800, traffic(0.002));
    let outage = world.run(60, traffic(0.2));
    let boosted = Kept::sum(&outage[20..]).kept / 40.0;
    assert!((150.0..230.0).contains(&boosted), "{boosted} a second");
    kept.extend(outage);
    kept.extend(world.run(600, traffic(0.002)));
    assert_eq!(begins(&world).len(), 1);
    assert!(!world.worker(0).is_boosted());
    let after = Kept::sum(&kept[2_160..]).kept / 300.0;
    assert!(after < 20.0, "it is being paid back: {after} a second");
    kept.extend(world.run(4 * 3_600, traffic(0.002)));
    let all = Kept::sum(&kept);
    let allowed = 20.0 * kept.len() as f64;
    assert!(all.kept < allowed + 3.0 * allowed.sqrt() + 100.0, "{} of {allowed}", all.kept);
    assert!(all.z().abs() < 4.0, "{}", all.z());
}

#[test]
fn a_fixed_ratio_is_raised_up_to_the_bound() {
    let fixed = Settings { ratio: 0.01, target: None, boost: Some(boost(0.05)), rates: 1 };
    let mut world = World::new(fixed, 2, 82);
    let traffic = |failing| move |_: f64| Second { offered: 1_000.0, failing, others: 0.0 };
    world.run(600, traffic(0.002));
    assert_eq!(world.worker(0).ratio(&fixed, 0), 0.01);
    world.run(30, traffic(0.1));
    assert_eq!(world.worker(0).ratio(&fixed, 0), 0.05);
    world.run(180, traffic(0.002));
    assert_eq!(world.worker(0).ratio(&fixed, 0), 0.01);
}
