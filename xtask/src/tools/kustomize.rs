//! `kustomize`, which renders the overlays of `envoy/istio`.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools::go::Program;

/// Names the binary for the tests.
pub(crate) const VARIABLE: &str = "TRACELIFT_KUSTOMIZE";
/// Builds with Go 1.24 and newer.
const KUSTOMIZE: Program = Program {
    name: "kustomize",
    package: "sigs.k8s.io/kustomize/kustomize/v5",
    version: "v5.7.1",
    takes: "about a minute",
    page: "https://kubectl.docs.kubernetes.io/installation/kustomize",
};

/// Path of the program.
pub(crate) fn ensure() -> Result<PathBuf> {
    KUSTOMIZE.ensure()
}
