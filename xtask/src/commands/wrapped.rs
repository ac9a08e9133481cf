//! What the test command does with the wasm module wrapped in a matcher, as `envoy/wrapped.yaml` has it: stories of real Envoys that touch
//! what the matcher decides, or what is known of an answer that it sent past the filter.

use crate::commands::dynamic;

/// Set for the tests whose Envoys are to have it.
pub(crate) const VARIABLE: &str = "TRACELIFT_WRAPPED";

/// Programs of tests, and how the paths of the stories begin that run.
const SUITES: [(&str, &[&str]); 3] = [
    (
        "end_to_end",
        &[
            "beside_envoy::",
            "configs::every_shipped_file_serves",
            "context::",
            "coverage::",
            "failures::",
            "grpc::",
            "measured::every_request",
            "recall::siblings",
            "shadow::",
            "travel::",
        ],
    ),
    ("faults", &["liars::a_call_over_tls", "liars_signal::"]),
    ("rollout", &["change::ratio_and_rules"]),
];

/// Arguments of `cargo test` for each of them.
pub(crate) fn runs() -> impl Iterator<Item = Vec<&'static str>> {
    SUITES.iter().map(|(test, stories)| dynamic::chosen(["tracelift-envoy", test], stories, std::iter::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dynamic::tests::stories_with;
    use crate::workspace;

    #[test]
    fn every_story_that_is_chosen_exists() {
        for (test, chosen) in SUITES {
            stories_with(&workspace::root().join("envoy/tests").join(test), chosen);
        }
        assert_eq!(runs().count(), SUITES.len());
    }
}
