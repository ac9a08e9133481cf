//! Things fetched once for all working trees of a user: `$TRACELIFT_CACHE`, else the user's cache folder.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;

/// Every name that we create in the folder, by its beginning; nothing else there is ours to remove. The lock stays: whoever
/// waits for it holds the same file.
const OURS: [&str; 13] = [
    "cargo-deny-",
    "collector-",
    "earlier-",
    "envoy-",
    "helm-",
    "kustomize-",
    "moto-",
    "node-",
    "opentelemetry-",
    "partial-",
    "passed-",
    "prometheus-",
    "rustup-",
];

/// The cache folder, held by this process alone until dropped.
pub(crate) struct Cache {
    dir: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens the folder, made when missing, and waits until no other xtask is filling it.
    pub(crate) fn lock() -> Result<Self> {
        let dir = dir();
        fs::create_dir_all(&dir).with_context(|| format!("could not make the cache folder {}", dir.display()))?;
        let path = dir.join("lock");
        let lock = File::create(&path).with_context(|| format!("could not open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("Waiting for another xtask that is filling {} …", dir.display());
                lock.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self { dir, _lock: lock })
    }

    /// Makes the entry `name` whole or not at all: `fill` works in an empty folder that takes the name only after success.
    pub(crate) fn fill(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let partial = self.dir.join(format!("partial-{name}"));
        remove(&partial)?; // Left by a process that was ended half-way: the lock says that nobody works there now.
        fs::create_dir_all(&partial)?;
        let entry = self.dir.join(name);
        let filled = fill(&partial).and_then(|()| {
            remove(&entry)?;
            fs::rename(&partial, &entry).with_context(|| format!("could not move {} into place", entry.display()))
        });
        if filled.is_err() {
            remove(&partial)?;
        }
        filled.map(|()| entry)
    }

    /// Removes what is ours, and returns the names removed.
    pub(crate) fn clear(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if OURS.iter().any(|ours| name.starts_with(ours)) {
                remove(&self.dir.join(&name))?;
                removed.push(name);
            }
        }
        removed.sort();
        Ok(removed)
    }
}

/// Path of the entry `name`, whether it exists or not. Entries only ever appear whole, so reading one needs no lock.
pub(crate) fn entry(name: &str) -> PathBuf {
    dir().join(name)
}

/// The cache folder, whether it exists or not.
pub(crate) fn dir() -> PathBuf {
    dir_from(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from), &workspace::root())
}

fn dir_from(variable: impl Fn(&str) -> Option<PathBuf>, root: &Path) -> PathBuf {
    variable("TRACELIFT_CACHE")
        .map(|dir| root.join(dir)) // An absolute path stays what it is.
        .or_else(|| variable("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("tracelift")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache").join("tracelift")))
        .unwrap_or_else(|| root.join(".cache"))
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.with_context(|| format!("could not remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_override_then_the_users_then_the_trees() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("TRACELIFT_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/c"),
            (&[("TRACELIFT_CACHE", ".cache"), ("HOME", "/h")], "/tree/.cache"),
            (&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/x/tracelift"),
            (&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], "/h/.cache/tracelift"),
            (&[("HOME", "/h")], "/h/.cache/tracelift"),
            (&[], "/tree/.cache"),
        ];
        for (variables, expected) in cases {
            let variable =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
            assert_eq!(dir_from(variable, Path::new("/tree")), Path::new(expected), "{variables:?}");
        }
    }

    #[test]
    fn an_entry_appears_whole_or_not_at_all_and_clearing_leaves_what_is_not_ours() {
        let dir = env::temp_dir().join(format!("tracelift-cache-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let cache = Cache { _lock: File::create(dir.join("lock")).unwrap(), dir: dir.clone() };
        fs::write(dir.join("somebody-elses"), "").unwrap();

        let half =
            |into: &Path| fs::write(into.join("half"), "").map_err(Into::into).and_then(|()| anyhow::bail!("cut off"));
        assert!(cache.fill("envoy-1", half).is_err());
        assert!(!dir.join("envoy-1").exists() && !dir.join("partial-envoy-1").exists());

        let entry = cache.fill("envoy-1", |into| Ok(fs::write(into.join("whole"), "")?)).unwrap();
        assert!(entry.join("whole").exists());

        assert_eq!(cache.clear().unwrap(), ["envoy-1"]);
        assert!(dir.join("somebody-elses").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
