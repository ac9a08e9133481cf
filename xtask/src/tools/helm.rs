//! `helm`, which checks and renders the chart in `envoy/chart`.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools::go::Program;

/// Names the binary for the tests.
pub(crate) const VARIABLE: &str = "TRACELIFT_HELM";
const HELM: Program = Program {
    name: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    version: "v3.22.0",
    takes: "some three minutes on two cores",
    page: "https://helm.sh/docs/intro/install",
};

/// Path of the program.
pub(crate) fn ensure() -> Result<PathBuf> {
    HELM.ensure()
}
