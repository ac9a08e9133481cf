//! What the test command does with Envoys before the one that everything else runs with: a few stories that touch what differs between
//! releases in the oldest one each time, and all stories in all of them when asked for.

use crate::commands::dynamic;
use crate::tools::envoy::{self, Earlier};

/// A program of tests, and how the paths of the stories begin that run; an empty list is all.
struct Suite {
    test: &'static str,
    stories: &'static [&'static str],
}

/// In every run: attributes, headers, calls to clusters, shared data, timers, metrics, updates and the end of Envoy, each met once.
const EACH_RUN: [Suite; 3] = [
    Suite {
        test: "end_to_end",
        stories: &[
            "attributes::",
            "configs::every_shipped_file_serves",
            "configuration::a_wrong_update",
            "context::",
            "exports::grpc",
            "failures::every_kind",
            "grpc::",
            "measured::every_request",
            "recall::siblings",
            "shutdown::",
            "telemetry::",
            "travel::of_a_hundred",
        ],
    },
    Suite {
        test: "faults",
        stories: &["collector::a_cluster", "liars::a_call_over_tls", "process::sigterm_under_load"],
    },
    Suite { test: "rollout", stories: &["change::a_wrong_file_is", "change::ratio_and_rules"] },
];

/// When asked for. Of the rollout's stories those that run Envoys; the others are about images, charts and schemas.
const ALL: [Suite; 3] = [
    Suite { test: "end_to_end", stories: &[] },
    Suite { test: "faults", stories: &[] },
    Suite { test: "rollout", stories: &["change::", "ledger::", "dashboards::every_metric"] },
];

/// Stories that an earlier Envoy cannot tell as today's does: the last series without it, the story, and why. The test command prints
/// them; `docs/compatibility.md` has what they mean for a user.
const LATER: [(u16, &str, &str); 1] = [(
    37,
    "configuration::what_a_replaced_vm_has_on_its_way_is_counted_as_lost",
    "a VM that was replaced lives on there, and sends what it had on its way again",
)];

/// One run of `cargo test`.
pub(crate) struct Run {
    /// In which Envoy.
    pub(crate) envoy: &'static Earlier,
    /// Its arguments.
    pub(crate) arguments: Vec<&'static str>,
}

/// What is to run: in the oldest Envoy, or everything in all.
pub(crate) fn runs(all: bool) -> Vec<Run> {
    let (suites, envoys) = if all { (&ALL, usize::MAX) } else { (&EACH_RUN, 1) };
    let envoys = envoy::earlier_with_v8().take(envoys);
    envoys.flat_map(|envoy| suites.iter().map(move |suite| Run { envoy, arguments: suite.arguments(envoy) })).collect()
}

impl Suite {
    fn arguments(&self, envoy: &Earlier) -> Vec<&'static str> {
        let left_out = LATER.iter().filter(|(last, ..)| envoy.minor() <= *last).map(|(_, story, _)| *story);
        dynamic::chosen(["tracelift-envoy", self.test], self.stories, left_out)
    }
}

/// Prints what an earlier Envoy cannot do.
pub(crate) fn print_what_is_left_out() {
    for (last, story, why) in LATER {
        println!("Not in Envoy 1.{last} and before: {story} {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dynamic::tests::stories_with;
    use crate::workspace;

    #[test]
    fn every_story_that_is_chosen_or_left_out_exists() {
        let mut left_out: Vec<_> = LATER.iter().map(|(_, story, _)| *story).collect();
        for Suite { test, stories: chosen } in EACH_RUN.iter().chain(&ALL) {
            let there = stories_with(&workspace::root().join("envoy/tests").join(test), chosen);
            left_out.retain(|story| !there.iter().any(|name| name.starts_with(story)));
        }
        assert_eq!(left_out, Vec::<&str>::new());
    }

    #[test]
    fn each_run_has_the_oldest_envoy_and_all_have_every_one_with_v8() {
        let versions = |all| runs(all).iter().map(|run| run.envoy.version()).collect::<Vec<_>>();
        assert_eq!(versions(false), ["1.36.4"; 3]);
        assert_eq!(versions(true), [["1.36.4"; 3], ["1.37.0"; 3], ["1.39.3"; 3]].concat());
    }
}
