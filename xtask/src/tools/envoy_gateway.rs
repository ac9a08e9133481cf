//! Envoy Gateway, whose standalone mode runs the shipped manifests without a cluster.

use crate::tools::locked::Locked;

/// The controller.
pub(crate) const ENVOY_GATEWAY: Locked = Locked {
    variable: "TRACELIFT_ENVOY_GATEWAY",
    title: "Envoy Gateway",
    program: "envoy-gateway",
    package: "github.com/envoyproxy/gateway/cmd/envoy-gateway",
    folder: "envoy/tests/mesh/envoy-gateway",
    version: "v1.9.1",
    beside: ("", &[]),
    flags: &["-ldflags=-s -w -X github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion=v1.9.1"],
    says: ("version", "ENVOY_GATEWAY_VERSION: v1.9.1"),
    takes: "some ten minutes on two cores",
    page: "https://github.com/envoyproxy/gateway/releases",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_the_version_that_is_printed() {
        ENVOY_GATEWAY.assert_version_is_locked("github.com/envoyproxy/gateway");
        assert!(ENVOY_GATEWAY.flags[0].ends_with(ENVOY_GATEWAY.version));
        assert!(ENVOY_GATEWAY.says.1.ends_with(ENVOY_GATEWAY.version));
    }
}
