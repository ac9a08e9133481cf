//! Istio's agent, which fetches the module and runs Envoy.

use crate::tools::locked::Locked;

/// A program of ours that starts Istio's own agent.
pub(crate) const ISTIO: Locked = Locked {
    variable: "TRACELIFT_ISTIO",
    title: "Istio's agent",
    program: "istio",
    package: ".",
    folder: "envoy/tests/istio/program",
    version: "v0.0.0-20260827124520-eed52ebb66ad",
    beside: Some(("istio.io/istio", "tools/packaging/common/envoy_bootstrap.json")),
    // As Istio builds its agent, without Kubernetes' packages; and without optimisation, which would take longer than the tests save.
    flags: &["-tags=agent", "-ldflags=-s -w", "-gcflags=all=-N -l -dwarf=false"],
    says: ("version", "istio.io/istio v0.0.0-20260827124520-eed52ebb66ad"),
    takes: "some five minutes on two cores",
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
