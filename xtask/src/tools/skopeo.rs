//! `skopeo`, which moves images between folders and registries with the credentials that Docker or Podman keep.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::artefact::digest;
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

    /// The digest of an image as a registry has it.
    pub(crate) fn digest(&self, of: &str, plain_http: bool) -> Result<String> {
        let mut inspect = Command::new(&self.0);
        // Raw: skopeo inspects nothing that it takes for no image to run, such as an artifact.
        inspect.args(["inspect", "--raw"]);
        if plain_http {
            inspect.arg("--tls-verify=false");
        }
        let output = inspect.arg(format!("docker://{of}")).output().context("could not start skopeo")?;
        if !output.status.success() {
            bail!("the registry does not give {of} back: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(format!("sha256:{}", digest::sha256(&output.stdout)))
    }
}
