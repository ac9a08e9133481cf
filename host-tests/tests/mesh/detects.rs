//! The checker can fail: something is broken on purpose, and the right violation is found.

use tracelift_host::mesh::{Mesh, Options, Sabotage, Trouble};
use tracelift_host::testing;

/// Runs a mesh that holds, then the same with this fault, and expects all that must be found. The command that repeats the run
/// says so, too.
#[track_caller]
fn expect<const N: usize>(sabotage: Sabotage, options: Options, all: [&str; N]) {
    let run = |sabotage| {
        let mesh = Mesh::start(Options { sabotage, ..options.clone() }, testing::module());
        mesh.unwrap_or_else(|refused| panic!("{refused}")).run(|_| ()).violations
    };
    let sound = run(None);
    assert!(sound.is_empty(), "{sound}");
    let violations = run(Some(sabotage));
    for what in all {
        assert!(violations.first().iter().any(|violation| violation.what == what), "{what:?} is not in {violations}");
    }
    let command = format!("--sabotage {}", sabotage.name());
    assert!(violations.to_string().ends_with(&command), "{violations}");
}

fn small() -> Options {
    Options { seed: 3, pods: 20, requests: 400, trouble: Trouble::Calm, ..Options::default() }
}

#[test]
fn a_signal_that_is_lost_on_its_way() {
    expect(Sabotage::SignalEaten, small(), ["hops above a failure were dropped although they were signalled"]);
}

#[test]
fn listeners_of_a_pod_that_do_not_find_each_other() {
    expect(Sabotage::TableForgets, small(), ["hops above a failure were dropped although they were signalled"]);
}

#[test]
fn a_sampled_flag_that_nobody_decided() {
    expect(Sabotage::SampledForged, small(), ["a sampled flag came in that no hop had set"]);
}

#[test]
fn spans_that_a_collector_acknowledged_and_lost() {
    expect(
        Sabotage::SpansStolen,
        small(),
        ["spans that were kept did not arrive", "a VM counts spans as exported that no collector took"],
    );
}

#[test]
fn books_that_do_not_balance() {
    expect(
        Sabotage::BooksCooked,
        small(),
        [
            "spans were lost or counted twice",
            "the books of a VM do not balance",
            "spans that streams kept were never offered",
        ],
    );
}

#[test]
fn a_budget_that_is_ignored() {
    let storm = Options { trouble: Trouble::Storm, budget: 2, requests: 1200, ..small() };
    expect(Sabotage::BudgetIgnored, storm, ["the budget was exceeded"]);
}

fn lying() -> Options {
    Options { liars: 0.3, ratio: 0.05, requests: 600, ..small() }
}

#[test]
fn a_budget_of_what_others_ask_for_that_is_ignored() {
    let flooded = Options { budget: 1, requests: 1200, pods: 60, liars: 0.9, ..lying() };
    expect(Sabotage::BudgetIgnored, flooded, ["more signals were believed than ten times the budget"]);
}

#[test]
fn a_gateway_that_takes_clients_for_a_part_of_the_mesh() {
    expect(Sabotage::EdgeOpen, lying(), ["clients decided what is sampled", "a signal left the mesh"]);
}

#[test]
fn what_an_sdk_writes_that_is_taken_for_a_signal() {
    expect(Sabotage::SdkBelieved, lying(), ["a hop was kept without a head decision or a trigger"]);
}

#[test]
fn parents_that_nobody_exported() {
    expect(Sabotage::StaleParents, small(), ["spans have a parent that was not exported"]);
}

#[test]
fn recall_requests_that_are_acknowledged_and_go_nowhere() {
    let recalling = Options { recall: true, ..small() };
    expect(Sabotage::RecallIgnored, recalling, ["siblings within the hold time were dropped"]);
}

#[test]
fn instances_that_were_not_asked() {
    let recalling = Options { recall: true, ..small() };
    expect(Sabotage::RecallDisowned, recalling, ["instances that were called were not asked"]);
}

#[test]
fn memory_that_grows_beyond_its_bounds() {
    let storm = Options { ratio: 1.0, requests: 1500, pods: 4, ..small() };
    expect(Sabotage::MemoryUnbounded, storm, ["a VM has outgrown its bounds"]);
}
