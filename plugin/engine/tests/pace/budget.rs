//! A month's budget of spans, and what a restart is worth.

use tracelift::sampling::pace::{Settings, TargetSettings};

use crate::world::{Kept, World, settings, steady, target};

/// Ten traces a second.
fn month() -> Settings {
    let per_second = TargetSettings::of_month(26_300_160.0);
    assert!((per_second - 10.0).abs() < 1e-9);
    settings(TargetSettings { carries: true, ..target(per_second) })
}

#[test]
fn what_a_quiet_hour_did_not_spend_is_spent_in_the_next() {
    let mut world = World::new(month(), 4, 21);
    let quiet = world.run(3_600, |_| steady(2.0));
    let unspent = 36_000.0 - Kept::sum(&quiet).kept;
    let busy = world.run(7_200, |_| steady(5_000.0));
    let spent = Kept::sum(&busy).kept;
    assert!(72_000.0 + 0.6 * unspent < spent, "{spent} with {unspent} to spend");
    let all = Kept::sum(quiet.iter().chain(&busy)).kept;
    let most: f64 = 10.0 * 10_800.0;
    assert!(all < most + 3.0 * most.sqrt() + 100.0, "{all}");
    let first_hour = Kept::sum(&busy[..3_600]).kept;
    let second_hour = Kept::sum(&busy[3_600..]).kept;
    assert!(second_hour < first_hour, "{first_hour} {second_hour}");
}

#[test]
fn more_than_an_hour_is_not_carried_over() {
    let mut world = World::new(month(), 4, 22);
    let _ = world.run(6 * 3_600, |_| steady(0.5));
    let spent = Kept::sum(&world.run(3 * 3_600, |_| steady(5_000.0))).kept;
    let most: f64 = 10.0 * 4.0 * 3_600.0;
    assert!(spent < most + 3.0 * most.sqrt() + 100.0, "{spent}");
}

#[test]
fn a_restart_is_worth_one_burst() {
    let mut world = World::new(month(), 4, 23);
    let mut kept = Vec::new();
    for _ in 0..12 {
        world.restart();
        kept.extend(world.run(300, |_| steady(20_000.0)));
    }
    let burst = 0.05 * 20_000.0; // A tick at the fixed ratio.
    for life in kept.chunks(300) {
        let spent = Kept::sum(life).kept;
        assert!(spent < 10.0 * 300.0 + 3.0 * 3_000_f64.sqrt() + 2.0 * burst + 100.0, "{spent}");
    }
    assert!(Kept::sum(&kept).z().abs() < 4.0);
}

#[test]
fn a_day_of_waves_spends_the_budget_and_no_more() {
    let mut world = World::new(month(), 2, 24);
    let wave = |second: f64| 500.0 * (1.0 + 0.9 * (second * std::f64::consts::TAU / 86_400.0).sin());
    let kept = Kept::sum(&world.run(86_400, |second| steady(wave(second)))).kept;
    let most = 864_000.0_f64;
    assert!(0.98 * most < kept && kept < most + 3.0 * most.sqrt() + 100.0, "{kept}");
}
