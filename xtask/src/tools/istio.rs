//! Istio's control plane and agent, which run the shipped manifests without a cluster.

use crate::tools::locked::Locked;

/// A program of ours that starts Istio's own packages.
pub(crate) const ISTIO: Locked = Locked {
    variable: "TRACELIFT_ISTIO",
    title: "Istio",
    program: "istio",
    package: ".",
    folder: "envoy/tests/istio/program",
    version: "v0.0.0-20260827124520-eed52ebb66ad",
    beside: Some(("istio.io/istio", "tools/packaging/common/envoy_bootstrap.json")),
    // Without optimisation: a third less to wait for.
    flags: &["-ldflags=-s -w", "-gcflags=all=-N -l -dwarf=false"],
    says: ("version", "istio.io/istio v0.0.0-20260827124520-eed52ebb66ad"),
    takes: "some ten minutes on two cores",
    page: "https://github.com/istio/istio/releases",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_the_version_that_is_printed() {
        ISTIO.assert_version_is_locked("istio.io/istio");
        assert!(ISTIO.says.1.ends_with(ISTIO.version));
    }
}
