//! What became of each stage, and the summary.

use std::time::Duration;

use super::stage::Stage;
use crate::commands::counts::Counts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// Something that it needs failed.
    Skipped,
    /// It passed before, and nothing that it depends on has changed.
    Unchanged,
}

impl Outcome {
    pub(super) fn is_well(self) -> bool {
        matches!(self, Self::Passed | Self::Unchanged)
    }
}

pub(super) struct Report {
    pub(super) stage: Stage,
    pub(super) outcome: Outcome,
    pub(super) counts: Counts,
    pub(super) took: Duration,
    /// What the stage failed with.
    pub(super) error: Option<String>,
}

impl Report {
    /// Of a stage that did not run.
    pub(super) fn of_none(stage: Stage, outcome: Outcome) -> Self {
        Self { stage, outcome, counts: Counts::default(), took: Duration::ZERO, error: None }
    }
}

/// Prints one line a stage, and returns the sums.
pub(super) fn summarise(reports: &[Report]) -> Counts {
    let mut total = Counts::default();
    println!("\n{:<10} {:<10} {:>7} {:>7} {:>9}", "stage", "outcome", "passed", "failed", "seconds");
    for Report { stage, outcome, counts, took, .. } in reports {
        let outcome = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
            Outcome::Unchanged => "unchanged",
        };
        println!(
            "{:<10} {outcome:<10} {:>7} {:>7} {:>9.1}",
            stage.name(),
            counts.passed,
            counts.failed,
            took.as_secs_f32()
        );
        total.add(*counts);
    }
    let took: Duration = reports.iter().map(|report| report.took).sum();
    println!("{:<10} {:<10} {:>7} {:>7} {:>9.1}", "all", "", total.passed, total.failed, took.as_secs_f32());
    total
}
