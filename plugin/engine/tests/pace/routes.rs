//! A rate for each route: each is equally well known, and none takes the budget of others.

use tracelift::sampling::pace::Settings;

use crate::world::{Kept, Second, World, settings, steady, target};

const LOADS: [f64; 7] = [0.2, 1.0, 5.0, 30.0, 200.0, 1_000.0, 5_000.0];

fn by_route(rates: usize) -> Settings {
    Settings { rates, ..settings(target(40.0)) }
}

fn run(world: &mut World, seconds: usize, traffic: &[Second]) -> Vec<Kept> {
    let mut all = vec![Kept::default(); traffic.len()];
    for _ in 0..seconds {
        for (sum, kept) in all.iter_mut().zip(world.second(traffic)) {
            *sum = Kept::sum([&*sum, &kept]);
        }
    }
    all
}

#[test]
fn routes_are_kept_alike_and_the_rare_whole() {
    let mut world = World::new(by_route(LOADS.len()), 4, 31);
    let traffic = LOADS.map(steady);
    let _ = run(&mut world, 300, &traffic);
    let kept = run(&mut world, 600, &traffic);
    for (load, kept) in LOADS.iter().zip(&kept) {
        let a_second = kept.kept / 600.0;
        if *load < 7.0 {
            assert_eq!(kept.kept, kept.offered, "{load} a second");
        } else {
            assert!((7.0..10.0).contains(&a_second), "{load} a second: {a_second} kept");
            assert!(kept.z().abs() < 4.0, "{load} a second: {}", kept.z());
        }
    }
    let total = Kept::sum(&kept).kept / 600.0;
    assert!((38.0..41.0).contains(&total), "{total}");
}

#[test]
fn a_flood_on_one_route_costs_the_others_little() {
    let mut world = World::new(by_route(3), 4, 32);
    let before = [20.0, 500.0, 500.0].map(steady);
    let _ = run(&mut world, 300, &before);
    let flood = [0.0, 500.0, 50_000.0].map(steady);
    let burst = run(&mut world, 10, &flood);
    let later = run(&mut world, 300, &flood);
    assert!(15.0 < later[1].kept / 300.0 && later[2].kept / 300.0 < 25.0, "{later:?}");
    assert!(Kept::sum(&burst).kept < 12_000.0, "a flood on a quiet route is seen within a tick or two: {burst:?}");
    for route in burst.iter().chain(&later).filter(|route| 0.0 < route.variance) {
        assert!(route.z().abs() < 4.0, "{route:?}");
    }
}

#[test]
fn a_route_that_comes_back_is_kept_whole_until_it_is_known() {
    let mut world = World::new(by_route(2), 4, 33);
    let _ = run(&mut world, 300, &[1_000.0, 0.0].map(steady));
    let kept = run(&mut world, 10, &[1_000.0, 2.0].map(steady));
    assert_eq!(kept[1].kept, kept[1].offered);
}
