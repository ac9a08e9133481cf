//! Prometheus 3, with the OTLP receiver that Debian's has not.

use crate::tools::locked::Locked;

/// The server. Without the service discoveries of clouds, which are most of its modules; the web page's files are not in a Go module
/// anyway.
pub(crate) const PROMETHEUS: Locked = Locked {
    variable: "TRACELIFT_PROMETHEUS",
    title: "Prometheus",
    program: "prometheus",
    package: "github.com/prometheus/prometheus/cmd/prometheus",
    folder: "envoy/tests/metrics/prometheus",
    version: "v0.316.0",
    beside: ("", &[]),
    flags: &["-tags=remove_all_sd,netgo", "-ldflags=-s -w -X github.com/prometheus/common/version.Version=3.16.0"],
    says: ("--version", "prometheus, version 3."),
    takes: "four minutes on two cores",
    page: "https://prometheus.io/download/",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_the_version_that_is_printed() {
        PROMETHEUS.assert_version_is_locked("github.com/prometheus/prometheus");
        let printed = PROMETHEUS.version.replace("v0.3", "3.");
        assert!(PROMETHEUS.flags[1].ends_with(&printed), "{printed}");
    }
}
