//! Istio: its control plane, and its agent, which fetches the module and runs Envoy.

use crate::tools::locked::Locked;

/// A program of ours that runs Istio's own packages without a cluster.
pub(crate) const ISTIO: Locked = Locked {
    variable: "TRACELIFT_ISTIO",
    title: "Istio",
    program: "istio",
    package: ".",
    folder: "envoy/tests/istio/program",
    version: "v0.0.0-20260827124520-eed52ebb66ad",
    beside: (
        "istio.io/istio",
        &["tools/packaging/common/envoy_bootstrap.json", "manifests/charts/base/files/crd-all.gen.yaml"],
    ),
    // Without optimisation, which would take longer than the tests save.
    flags: &["-ldflags=-s -w", "-gcflags=all=-N -l -dwarf=false"],
    says: ("version", "istio.io/istio v0.0.0-20260827124520-eed52ebb66ad"),
    takes: "more than an hour on two busy cores",
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
