//! The Go toolchain, with which programs are built that nobody packages as we need them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{self, Cache};
use crate::run;
use crate::tools::debian;

/// The first release that fetches a newer one by itself where a module asks for it (Go Toolchains, go.dev/doc/toolchain).
const OLDEST: (u32, u32) = (1, 21);
/// Debian's package of its current release.
const PACKAGE: &str = "golang-go";

/// Path of a `go` that builds today's modules: the one on `PATH`, else Debian's where we may install it.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(go) = run::find_on_path("go") {
        check(&go)?;
        return Ok(go);
    }
    if debian::can_install() && debian::candidate(PACKAGE).is_some_and(|version| is_new_enough(&version)) {
        debian::install(&[PACKAGE])?;
        let go = run::find_on_path("go").with_context(|| format!("{PACKAGE} was installed and brought no go"))?;
        check(&go)?;
        return Ok(go);
    }
    bail!("there is no Go on PATH. Install {} or newer (https://go.dev/doc/install) and try again", oldest())
}

/// Modules and objects of one build: a gigabyte that nobody needs afterwards.
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Nothing is made before `go` first runs.
    pub(crate) fn below(dir: &Path) -> Self {
        Self { dir: dir.join("scratch") }
    }

    /// Runs `go` in a folder, which is also where `go install` puts programs.
    pub(crate) fn run(&self, go: &Path, dir: &Path, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(go);
        command.args(arguments).current_dir(dir).env("GOBIN", dir);
        command.env("GOMODCACHE", self.dir.join("modules")).env("GOCACHE", self.dir.join("objects"));
        // Debian's own `go` would not fetch the release that a module asks for.
        command.env("GOTOOLCHAIN", "auto").env("CGO_ENABLED", "0");
        // Modules that can be removed; nothing of this machine's paths in the program.
        command.env("GOFLAGS", "-modcacherw -trimpath -buildvcs=false");
        run::run(&mut command)
    }

    /// Fetches a module without building it, and returns its folder.
    pub(crate) fn module(&self, go: &Path, dir: &Path, path: &str, version: &str) -> Result<PathBuf> {
        self.run(go, dir, &["mod", "download", path])?;
        Ok(self.dir.join("modules").join(format!("{path}@{version}")))
    }

    /// Removes what was fetched and compiled.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.dir).with_context(|| format!("could not remove {}", self.dir.display()))
    }
}

/// Files that hold a Go program to modules of one version and sum each: a folder with `go.mod` and `go.sum`, and sources where the
/// program is ours.
pub(crate) struct Lock {
    dir: PathBuf,
}

impl Lock {
    const FILES: [&str; 2] = ["go.mod", "go.sum"];

    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// All files, one after the other: what a build depends on.
    pub(crate) fn content(&self) -> Result<Vec<u8>> {
        let read = |file: String| {
            let path = self.dir.join(file);
            fs::read(&path).with_context(|| format!("could not read {}", path.display()))
        };
        Ok(self.files()?.into_iter().map(read).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Puts them where the program shall be built.
    pub(crate) fn copy_to(&self, sources: &Path) -> Result<()> {
        for file in self.files()? {
            fs::copy(self.dir.join(&file), sources.join(&file))
                .with_context(|| format!("could not copy {file} of {}", self.dir.display()))?;
        }
        Ok(())
    }

    /// The names of the lock and of the sources, these in order.
    fn files(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir).with_context(|| format!("could not read {}", self.dir.display()))?;
        let mut sources = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".go") {
                sources.push(name);
            }
        }
        sources.sort();
        Ok(Self::FILES.into_iter().map(str::to_owned).chain(sources).collect())
    }
}

/// A program of one Go module, built at one version. Go checks the sum of every module below it against its public log.
pub(crate) struct Program {
    name: &'static str,
    /// The package with `main`.
    package: &'static str,
    /// As the module's tags have it.
    version: &'static str,
    /// How long a build takes.
    takes: &'static str,
    /// Where a person gets it.
    page: &'static str,
    /// Names the binary for the tests.
    pub(crate) variable: &'static str,
}

/// What renders manifests for the tests: the overlays of `envoy/istio`, and the chart in `envoy/chart`.
pub(crate) const RENDERERS: [Program; 2] = [
    Program {
        name: "kustomize",
        package: "sigs.k8s.io/kustomize/kustomize/v5",
        version: "v5.7.1", // Builds with Go 1.24 and newer.
        takes: "about a minute",
        page: "https://kubectl.docs.kubernetes.io/installation/kustomize",
        variable: "TRACELIFT_KUSTOMIZE",
    },
    Program {
        name: "helm",
        package: "helm.sh/helm/v3/cmd/helm",
        version: "v3.22.0",
        takes: "some three minutes on two cores",
        page: "https://helm.sh/docs/intro/install",
        variable: "TRACELIFT_HELM",
    },
];

impl Program {
    /// Path of the one on `PATH`, or of one built into the cache folder.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let Self { name, package, version, takes, page, .. } = self;
        if let Some(found) = run::find_on_path(name) {
            return Ok(found);
        }
        let entry = format!("{name}-{version}");
        let cached = cache::entry(&entry).join(name);
        if cached.is_file() {
            return Ok(cached);
        }
        let go = ensure().with_context(|| format!("{name} is not on PATH ({page}) and cannot be built"))?;
        let cache = Cache::lock()?;
        println!("Building {name} {version} with Go ({takes}, once) …");
        let entry = cache.fill(&entry, |dir| {
            let scratch = Scratch::below(dir);
            scratch
                .run(&go, dir, &["install", &format!("{package}@{version}")])
                .with_context(|| format!("Go could not build {name}"))?;
            scratch.remove()
        })?;
        Ok(entry.join(name))
    }
}

fn check(go: &Path) -> Result<()> {
    let version = run::output(Command::new(go).args(["env", "GOVERSION"]))?;
    if !is_new_enough(&version) {
        bail!("{} says {version:?}; {} or newer is needed (https://go.dev/doc/install)", go.display(), oldest());
    }
    Ok(())
}

fn oldest() -> String {
    format!("{}.{}", OLDEST.0, OLDEST.1)
}

/// Reads `go1.26.8` of Go and `2:1.24~2` of Debian. Something else is Go's own development version, and new.
fn is_new_enough(version: &str) -> bool {
    let release = version.trim_start_matches("go").rsplit(':').next().unwrap_or_default();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => OLDEST <= (major, minor),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_cannot_fetch_its_successor_is_too_old() {
        for (version, enough) in [
            ("go1.26.8", true),
            ("go1.21", true),
            ("go1.24rc1", true),
            ("go1.20.14", false),
            ("2:1.24~2", true),
            ("2:1.19~1", false),
            ("devel go1.27-abc", true),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }
}
