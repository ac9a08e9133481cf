//! `cargo xtask package`: what a release consists of, in `target/package`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::artefact::changelog;
use crate::artefact::chart;
use crate::artefact::digest;
use crate::artefact::image::{Image, Variant};
use crate::artefact::layout;
use crate::artefact::library::{self, Library};
use crate::artefact::module::{self, Identity};
use crate::artefact::notices::Notices;
use crate::commands::build;
use crate::commands::deny::{self, Advisories};
use crate::tools::git::{self, Commit};
use crate::tools::machine::Machine;
use crate::tools::skopeo::Skopeo;
use crate::{run, workspace};

/// What to do beside building.
#[derive(Args, Default)]
pub(crate) struct Package {
    /// Print what this module says of itself, and build nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["push", "check_reproducible", "allow_dirty", "release"])]
    inspect: Option<PathBuf>,
    /// Fail where the tree is not a commit as it is, or where known vulnerabilities of its crates cannot be looked up
    #[arg(long, conflicts_with = "allow_dirty")]
    release: bool,
    /// Package a tree with changes that are in no commit; the module then says so
    #[arg(long)]
    allow_dirty: bool,
    /// Push the images to this repository, such as registry.example/mesh/tracelift
    #[arg(long, value_name = "REPOSITORY")]
    push: Option<String>,
    /// Push without TLS, for a registry on this machine
    #[arg(long, requires = "push")]
    plain_http: bool,
    /// Build again in a folder of another name and depth, and fail unless every digest is the same: a clone of the commit,
    /// everything anew; with --allow-dirty a copy of the files, under target
    #[arg(long)]
    check_reproducible: bool,
    /// Make the dynamic module for this machine alone
    #[arg(long, conflicts_with = "release")]
    this_machine: bool,
}

impl Package {
    /// For the tests: whatever state the tree is in, pushed to a registry on this machine, and built a second time.
    pub(crate) fn tested(repository: String) -> Self {
        Self {
            allow_dirty: true,
            push: Some(repository),
            plain_http: true,
            check_reproducible: true,
            this_machine: true,
            ..Self::default()
        }
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
        if self.release {
            deny::execute(Advisories::Required)?;
        } else {
            println!("Not a release: known vulnerabilities are looked up with --release.");
        }
        let started = Instant::now();
        let libraries = self.libraries(&commit.describe())?;
        let images = write(&dir(), &commit.describe(), &libraries)?;
        println!("packaged        in {:.1} s", started.elapsed().as_secs_f32());
        if let Some(repository) = &self.push {
            push(&images, repository, self.plain_http)?;
        }
        match (self.check_reproducible, commit.is_dirty || self.allow_dirty) {
            (false, _) => Ok(()),
            (true, false) => same_from_a_clone(),
            (true, true) => same_from_a_copy(self.this_machine),
        }
    }

    /// The dynamic module for every machine that it can be built for here; a release has them all.
    fn libraries(&self, commit: &str) -> Result<Vec<Library>> {
        let host = Machine::host()?;
        let mut libraries = vec![Library::build(host, commit)?];
        for machine in Machine::ALL.into_iter().filter(|machine| *machine != host && !self.this_machine) {
            match machine.ensure() {
                Err(error) if self.release => return Err(error.context("a release has all dynamic modules")),
                Err(error) => println!("No dynamic module for {}: {error:#}", machine.name()),
                Ok(()) => libraries.push(Library::build(machine, commit)?),
            }
        }
        Ok(libraries)
    }
}

/// Where a package is written.
pub(crate) fn dir() -> PathBuf {
    workspace::root().join("target").join("package")
}

/// Builds the module that says `commit` and writes all files of the package.
fn write(dir: &Path, commit: &str, libraries: &[Library]) -> Result<Vec<Image>> {
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
    let mut sums = String::new();
    let mut write = |name: &str, content: &[u8]| {
        sums.push_str(&format!("{}  {name}\n", digest::sha256(content)));
        build::write_if_changed(&dir.join(name), content).map(drop)
    };
    write("tracelift.wasm", &module)?;
    write("tracelift.debug.wasm", &named)?;

    for library in libraries {
        write(&library.file(&identity.version), &library.bytes)?;
    }
    let notes = changelog::notes(&identity.version)? + &library::notes(libraries, &identity.version);
    write("RELEASE-NOTES.md", notes.as_bytes())?;
    let (chart, packed) = chart::packed(&identity.version)?;
    write(&chart, &packed)?;

    let notices = Notices::of_module()?;
    notices.files().iter().try_for_each(|(name, content)| write(name, content))?;

    let images = Variant::ALL.map(|variant| Image::new(variant, &module, &identity, &notices));
    let images = images.into_iter().collect::<Result<Vec<_>>>()?;
    layout::write_oci(&dir.join("oci"), &images)?;
    for image in &images {
        layout::write_dir(&dir.join("dir").join(&image.tag), image)?;
    }
    let mut summary = summary(&identity, &images);
    summary["chart"] = json!({ "file": chart, "sha256": digest::sha256(&packed) });
    summary["dynamic_modules"] = libraries.iter().map(|library| library.summary(&identity.version)).collect();
    write("package.json", format!("{summary:#}\n").as_bytes())?;
    fs::write(dir.join("SHA256SUMS"), sums)?;

    println!("{identity}");
    for library in libraries {
        let (file, digest) = (library.file(&identity.version), digest::sha256(&library.bytes));
        println!("dynamic module  {file}  {} bytes  sha256 {digest}", library.bytes.len());
    }
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
        let found = skopeo.digest(&format!("{repository}@{}", image.manifest.digest()), plain_http)?;
        if found != image.manifest.digest() {
            bail!("the registry has {found} for {to}, and {} was pushed", image.manifest.digest());
        }
        println!("pushed          {to}@{}", image.manifest.digest());
    }
    Ok(())
}

/// Builds in a clone of the commit, with nothing built yet: what a stranger would get.
fn same_from_a_clone() -> Result<()> {
    let temporary = std::env::temp_dir().join(format!("tracelift-again-{}", std::process::id()));
    let clone = temporary.join("another").join("folder");
    println!("\nBuilding the commit again in {} (everything anew, a few minutes) …", clone.display());
    fs::create_dir_all(&temporary)?;
    let again = git::clone(&clone).and_then(|()| package_in(&clone, &[]));
    fs::remove_dir_all(&temporary)?;
    compare(&again?)
}

/// Builds from a copy of the files as they are, in a folder that stays, so that the next time only what changed is built.
/// Inside the working tree: git says of the copy what it says of the original.
fn same_from_a_copy(this_machine: bool) -> Result<()> {
    let copy = workspace::root().join("target").join("again").join("another").join("folder");
    println!("\nBuilding the same files again in {} …", copy.display());
    let files = git::files()?;
    for file in &files {
        let (from, to) = (workspace::root().join(file), copy.join(file));
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        let content = fs::read(&from).with_context(|| format!("could not read {}", from.display()))?;
        build::write_if_changed(&to, &content)?;
    }
    remove_others(&copy, &copy, &files.into_iter().collect())?;
    let options = if this_machine { &["--allow-dirty", "--this-machine"][..] } else { &["--allow-dirty"] };
    compare(&package_in(&copy, options)?)
}

/// Removes what is in `folder` and not among the files (paths from `top`); what is built there stays.
fn remove_others(top: &Path, folder: &Path, files: &HashSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(top)?;
        if path.is_dir() {
            if name != Path::new("target") {
                remove_others(top, &path, files)?;
            }
        } else if !files.contains(name) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// This program again, for the sources in another folder; what it said of its package.
fn package_in(folder: &Path, options: &[&str]) -> Result<Value> {
    let mut xtask = Command::new(own_program()?);
    // That is how this program knows its working tree.
    xtask.arg("package").args(options).env("CARGO_MANIFEST_DIR", folder.join("xtask")).stdout(Stdio::null());
    run::run(&mut xtask)?;
    read_summary(&folder.join("target").join("package"))
}

/// Where this program is. The tests' builds link it anew while it runs; Linux then says of the file that was started that it is
/// deleted, and the new one has its name.
fn own_program() -> Result<PathBuf> {
    let started = std::env::current_exe()?;
    let name = started.to_string_lossy();
    let replaced = name.strip_suffix(" (deleted)").map(PathBuf::from).filter(|_| !started.exists());
    Ok(replaced.unwrap_or(started))
}

fn compare(again: &Value) -> Result<()> {
    let here = read_summary(&dir())?;
    if here != *again {
        bail!("not reproducible: here\n{here:#}\nand there\n{again:#}");
    }
    println!("reproducible    both builds have these digests");
    Ok(())
}

fn read_summary(dir: &Path) -> Result<Value> {
    let path = dir.join("package.json");
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what we write", path.display()))
}
