//! `skopeo`, which moves images between folders and registries with the credentials that Docker or Podman keep.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;
use crate::tools::debian;

const PROGRAM: &str = "skopeo";

/// The program.
pub(crate) struct Skopeo(PathBuf);

impl Skopeo {
    /// Takes the one on `PATH`, or installs it where we may.
    pub(crate) fn ensure() -> Result<Self> {
        if run::find_on_path(PROGRAM).is_none() && debian::can_install() {
            debian::install(&[PROGRAM])?;
        }
        match run::find_on_path(PROGRAM) {
            Some(program) => Ok(Self(program)),
            None => bail!("{PROGRAM} is not on PATH; it pushes images. Run:\n  {}", debian::install_line(&[PROGRAM])),
        }
    }

    /// Copies an image to a registry, its digest unchanged.
    pub(crate) fn push(&self, from: &str, to: &str, plain_http: bool) -> Result<()> {
        let mut copy = Command::new(&self.0);
        // The policy says whose signatures a pull must have; a push of our own needs none.
        copy.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"]);
        if plain_http {
            copy.arg("--dest-tls-verify=false");
        }
        run::run(copy.arg(from).arg(format!("docker://{to}"))).with_context(|| {
            format!("could not push {to}. For a registry that asks who you are, first run:\n  skopeo login REGISTRY")
        })
    }
}
