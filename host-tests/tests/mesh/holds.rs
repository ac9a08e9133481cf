//! What must hold, in a few meshes that are always the same and in one that nobody has seen.

use std::time::{SystemTime, UNIX_EPOCH};

use tracelift_host::mesh::{Mesh, Options, Parents, Report, Trouble};
use tracelift_host::testing;

fn run(options: Options) -> Report {
    let mesh = Mesh::start(options, testing::module()).unwrap_or_else(|refused| panic!("{refused}"));
    mesh.run(|_| ())
}

fn holds(options: Options) -> Report {
    let report = run(options);
    assert!(report.violations.is_empty(), "{}", report.violations);
    report
}

#[test]
fn where_every_pod_has_the_filter_no_hop_above_a_failure_is_missed() {
    let report = holds(Options { seed: 11, trouble: Trouble::Calm, ..Options::default() });
    let figures = &report.figures;
    assert!(20 < figures.error_traces, "{report}");
    assert_eq!(figures.ancestors.kept, figures.ancestors.all, "{report}");
    assert!(100 < figures.ancestors.all, "{report}");
    assert!(figures.siblings.kept < figures.siblings.all, "siblings that had answered fine are dropped: {report}");
    assert_eq!(figures.discarded, 0, "{report}");
    let Parents { found, ambiguous, unknown } = figures.parents;
    assert!(10 < found && ambiguous + unknown < found, "most calls of SDKs find their place: {report}");
}

#[test]
fn in_an_everyday_mesh_every_hop_that_can_be_told_is_kept_and_every_loss_is_counted() {
    let report = holds(Options { seed: 12, ..Options::default() });
    let figures = &report.figures;
    assert_eq!(figures.reached.kept, figures.reached.all, "{report}");
    assert!(100 < figures.reached.all && 0 < figures.traps, "{report}");
    assert!(figures.filters < report.options.pods, "some pods go without: {report}");
    assert_eq!(figures.shed, 0, "the budget was never near: {report}");
}

#[test]
fn where_wrapped_and_plain_filters_are_mixed_every_trace_is_as_whole_as_before() {
    let mixed = |seed, trouble, recall| Options { seed, trouble, recall, mixed: true, ..Options::default() };
    let report = holds(mixed(21, Trouble::Calm, false));
    let figures = &report.figures;
    assert_eq!(figures.ancestors.kept, figures.ancestors.all, "{report}");
    assert!(100 < figures.ancestors.all && figures.discarded == 0, "{report}");
    let report = holds(mixed(22, Trouble::Everyday, false));
    assert_eq!(report.figures.reached.kept, report.figures.reached.all, "{report}");
    let report = holds(mixed(23, Trouble::Calm, true));
    assert_eq!(report.figures.whole.kept, report.figures.whole.all, "{report}");
}

#[test]
fn in_a_storm_the_budget_holds_and_what_is_kept_stays_whole() {
    let options = Options { seed: 13, trouble: Trouble::Storm, budget: 5, ..Options::default() };
    let report = holds(options);
    let figures = &report.figures;
    assert!(100 < figures.shed, "{report}");
    assert_eq!(figures.reached.kept, figures.reached.all, "{report}");
}

#[test]
fn with_recall_every_hop_of_every_failed_trace_is_kept_where_every_pod_has_the_filter() {
    let report = holds(Options { seed: 14, trouble: Trouble::Calm, recall: true, ..Options::default() });
    let figures = &report.figures;
    assert_eq!(figures.whole.kept, figures.whole.all, "{report}");
    assert_eq!(figures.siblings.kept, figures.siblings.all, "{report}");
    assert!(20 < figures.whole.all && 500 < figures.siblings.all, "{report}");
    assert!(0 < figures.messages.followed && figures.evicted == 0, "{report}");
}

#[test]
fn with_recall_lost_messages_and_trapped_vms_cost_only_what_is_counted() {
    let report = holds(Options { seed: 15, recall: true, ..Options::default() });
    let figures = &report.figures;
    assert!(0 < figures.messages.lost && 0 < figures.traps, "{report}");
    assert!(figures.siblings.all < 2 * figures.siblings.kept, "most siblings are kept all the same: {report}");
}

/// Small enough for three of them, and lies enough that every bound is met.
fn lying(seed: u64) -> Options {
    Options { seed, pods: 20, requests: 600, ratio: 0.05, budget: 2, liars: 0.3, ..Options::default() }
}

#[test]
fn where_a_third_lies_no_honest_failure_is_lost_and_no_bound_is_exceeded() {
    for seed in [1, 2] {
        let lies = holds(Options { trouble: Trouble::Calm, ..lying(seed) }).figures.lies;
        assert!(0 < lies.pods && 500 < lies.answers, "{lies:?}");
        assert!(0 < lies.believed && 0 < lies.hidden, "what cannot be told from the truth is believed: {lies:?}");
        assert!(50 < lies.chosen && lies.sampled < lies.chosen / 4, "{lies:?}");
    }
}

#[test]
fn an_everyday_mesh_and_a_storm_hold_among_liars() {
    holds(Options { trouble: Trouble::Everyday, ..lying(3) });
    let report = holds(Options { trouble: Trouble::Storm, ..lying(4) });
    assert!(0 < report.figures.lies.joins_refused, "more of upgraded traces than their bound: {report}");
}

#[test]
fn with_recall_nobody_learns_the_secret_and_no_liar_is_obeyed() {
    holds(Options { recall: true, trouble: Trouble::Everyday, ..lying(911_954) });
}

#[test]
fn a_mesh_that_nobody_has_seen_holds_too() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    for (trouble, budget, liars) in
        [(Trouble::Everyday, 1000, 0.0), (Trouble::Storm, 5, 0.0), (Trouble::Everyday, 5, 0.3)]
    {
        let seed = u64::from(now.subsec_micros());
        let options = Options { seed, pods: 60, trouble, budget, liars, recall: true, ..Options::default() };
        println!("{options}");
        holds(options);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let small =
        |seed| Options { seed, pods: 20, requests: 300, trouble: Trouble::Storm, budget: 5, ..Options::default() };
    let (first, again, other) = (run(small(5)), run(small(5)), run(small(6)));
    assert_eq!(first.digest, again.digest);
    assert_eq!(first.figures, again.figures);
    assert_ne!(first.digest, other.digest);
}
