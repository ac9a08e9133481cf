//! `cargo xtask package`: what a release consists of, in `target/package`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::artefact::image::{Image, Variant};
use crate::artefact::layout;
use crate::artefact::module::{self, Identity};
use crate::commands::build;
use crate::tools::git::{self, Commit};
use crate::tools::skopeo::Skopeo;
use crate::{run, workspace};

/// What to do beside building.
#[derive(Args, Default)]
pub(crate) struct Package {
    /// Print what this module says of itself, and build nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["push", "check_reproducible", "allow_dirty"])]
    inspect: Option<PathBuf>,
    /// Package a tree with changes that are in no commit; the module then says so
    #[arg(long)]
    allow_dirty: bool,
    /// Push the images to this repository, such as registry.example/mesh/tracelift
    #[arg(long, value_name = "REPOSITORY")]
    push: Option<String>,
    /// Push without TLS, for a registry on this machine
    #[arg(long, requires = "push")]
    plain_http: bool,
    /// Build the commit again in a folder of another name, and fail unless every digest is the same
    #[arg(long, conflicts_with = "allow_dirty")]
    check_reproducible: bool,
}

impl Package {
    /// For the tests: whatever state the tree is in.
    pub(crate) fn of_any_tree() -> Self {
        Self { allow_dirty: true, ..Self::default() }
    }

    /// Builds everything and prints what was written.
    pub(crate) fn execute(&self) -> Result<()> {
        if let Some(file) = &self.inspect {
            let module = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
            println!("{}", Identity::of(&module).with_context(|| format!("cannot inspect {}", file.display()))?);
            return Ok(());
        }
        let commit = Commit::of_working_tree()?;
        if commit.is_dirty && !self.allow_dirty {
            bail!(
                "tracked files differ from commit {}. Commit them, or package what is here:\n  cargo xtask package --allow-dirty",
                commit.id
            );
        }
        let started = Instant::now();
        let images = write(&dir(), &commit.describe())?;
        println!("packaged        in {:.1} s", started.elapsed().as_secs_f32());
        if let Some(repository) = &self.push {
            push(&images, repository, self.plain_http)?;
        }
        if self.check_reproducible { check_reproducible() } else { Ok(()) }
    }
}

/// Where a package is written.
pub(crate) fn dir() -> PathBuf {
    workspace::root().join("target").join("package")
}

/// Builds the module that says `commit` and writes all files of the package.
fn write(dir: &Path, commit: &str) -> Result<Vec<Image>> {
    let named = build::named(Some(commit))?;
    let module = module::without_names(&named)?;
    if build::SIZE_LIMIT < module.len() {
        bail!("the module has {} bytes; its limit is {}", module.len(), build::SIZE_LIMIT);
    }
    let identity = Identity::of(&module)?;
    if identity.commit != commit {
        bail!("the module says commit {}, but {commit} was built", identity.commit);
    }
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("could not clear {}", dir.display()))?;
    }
    fs::create_dir_all(dir)?;
    let write = |name: &str, content: &[u8]| build::write_if_changed(&dir.join(name), content).map(drop);
    write("tracelift.wasm", &module)?;
    write("tracelift.wasm.sha256", format!("{}  tracelift.wasm\n", identity.sha256).as_bytes())?;
    write("tracelift.debug.wasm", &named)?;

    let images = Variant::ALL.map(|variant| Image::new(variant, &module, &identity));
    let images = images.into_iter().collect::<Result<Vec<_>>>()?;
    layout::write_oci(&dir.join("oci"), &images)?;
    for image in &images {
        layout::write_dir(&dir.join("dir").join(&image.tag), image)?;
    }
    let summary = format!("{:#}\n", summary(&identity, &images));
    write("package.json", summary.as_bytes())?;

    println!("{identity}");
    for image in &images {
        println!("image           {}@{}", image.tag, image.manifest.digest());
    }
    println!("written         target/package (tracelift.debug.wasm is the same code with names)");
    Ok(images)
}

/// What was built, for programs; the digests are what manifests pin.
fn summary(identity: &Identity, images: &[Image]) -> Value {
    json!({
        "version": identity.version,
        "commit": identity.commit,
        "abi": identity.abi,
        "module": { "file": "tracelift.wasm", "bytes": identity.bytes, "sha256": identity.sha256 },
        "images": images.iter().map(|image| json!({ "tag": image.tag, "digest": image.manifest.digest() })).collect::<Vec<_>>(),
    })
}

fn push(images: &[Image], repository: &str, plain_http: bool) -> Result<()> {
    let skopeo = Skopeo::ensure()?;
    for image in images {
        let to = format!("{repository}:{}", image.tag);
        skopeo.push(&format!("dir:{}", dir().join("dir").join(&image.tag).display()), &to, plain_http)?;
        println!("pushed          {to}@{}", image.manifest.digest());
    }
    Ok(())
}

/// This program again, in a clone of the commit whose folder has another name and depth, with nothing built yet.
fn check_reproducible() -> Result<()> {
    let temporary = std::env::temp_dir().join(format!("tracelift-again-{}", std::process::id()));
    let clone = temporary.join("another").join("folder");
    println!("\nBuilding the commit again in {} (everything anew, a few minutes) …", clone.display());
    fs::create_dir_all(&temporary)?;
    let again = git::clone(&clone).and_then(|()| {
        let mut xtask = Command::new(std::env::current_exe()?);
        // That is how this program knows its working tree.
        run::run(xtask.arg("package").env("CARGO_MANIFEST_DIR", clone.join("xtask")))?;
        read_summary(&clone.join("target").join("package"))
    });
    fs::remove_dir_all(&temporary)?;
    let (first, second) = (read_summary(&dir())?, again?);
    if first != second {
        bail!("not reproducible: here\n{first:#}\nand there\n{second:#}");
    }
    println!("reproducible    both builds have these digests");
    Ok(())
}

fn read_summary(dir: &Path) -> Result<Value> {
    let path = dir.join("package.json");
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what we write", path.display()))
}
