//! The Helm chart as registries and `helm install` take it: `envoy/chart` in one archive.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::artefact::archive;
use crate::workspace;

const FOLDER: &str = "envoy/chart";
/// Values of our own tests, which `.helmignore` leaves out as well.
const TESTS: &str = "ci";
/// `name` in `Chart.yaml`, and so the folder in the archive.
const NAME: &str = "tracelift";

/// The archive's name and bytes.
pub(crate) fn packed(version: &str) -> Result<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let folder = workspace::root().join(FOLDER);
    read(&folder, &folder, &mut files)?;
    files.sort();
    check(&files, version)?;
    let archive = archive::tar(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
    Ok((format!("{NAME}-{version}.tgz"), archive::gzip(&archive)?))
}

/// What is in `folder`, by its path from `top`. Not what git lists: a copy of the sources may lie where git ignores everything.
fn read(top: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let failed = || format!("could not read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let inside = path.strip_prefix(top)?;
        if path.is_dir() {
            if inside != Path::new(TESTS) {
                read(top, &path, files)?;
            }
        } else {
            let content = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
            files.push((named(inside), content));
        }
    }
    Ok(())
}

fn named(inside: &Path) -> String {
    format!("{NAME}/{}", inside.display())
}

/// Helm reads the version from the chart, and not from the archive's name.
fn check(files: &[(String, Vec<u8>)], version: &str) -> Result<()> {
    let chart = named(Path::new("Chart.yaml"));
    let (_, content) = files.iter().find(|(name, _)| *name == chart).context("envoy/chart has no Chart.yaml")?;
    let text = String::from_utf8_lossy(content);
    for key in ["version", "appVersion"] {
        if !text.lines().any(|line| line == format!("{key}: {version}")) {
            bail!("envoy/chart/Chart.yaml does not say `{key}: {version}`, which is the version of this tree");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_archive_has_the_chart_in_a_folder_of_its_name_and_no_values_of_ours() {
        let (name, packed) = packed(env!("CARGO_PKG_VERSION")).unwrap();
        assert_eq!(name, format!("tracelift-{}.tgz", env!("CARGO_PKG_VERSION")));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&packed[..]));
        let mut names = Vec::new();
        for file in archive.entries().unwrap() {
            let mut file = file.unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            assert!(!content.is_empty());
            names.push(file.path().unwrap().display().to_string());
        }
        for expected in ["Chart.yaml", "values.yaml", "values.schema.json", "templates/plugins.yaml", "README.md"] {
            assert!(names.contains(&format!("tracelift/{expected}")), "{names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("/ci/")), "{names:?}");
    }

    #[test]
    fn a_chart_of_another_version_is_not_packed() {
        let error = packed("9.9.9").unwrap_err().to_string();
        assert!(error.contains("version: 9.9.9"), "{error}");
    }
}
