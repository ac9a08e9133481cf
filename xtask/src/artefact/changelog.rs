//! What a version changes: its section of `CHANGELOG.md`, which is the text of its release notes.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace;

/// The notes of a version of this working tree.
pub(crate) fn notes(version: &str) -> Result<String> {
    let path = workspace::root().join("CHANGELOG.md");
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    section(&text, version).with_context(|| {
        format!(
            "CHANGELOG.md has no section of version {version}. Give what is under `## [Unreleased]` the heading\n  \
             ## [{version}] - <date, YYYY-MM-DD>"
        )
    })
}

/// The text below `## [version] - date`, up to the next version, without blank lines around it. Links that lead into the tree stay as
/// they are.
fn section(changelog: &str, version: &str) -> Option<String> {
    let heading = format!("## [{version}] - ");
    let lines = changelog.lines().skip_while(|line| !line.starts_with(&heading));
    let section: Vec<_> = lines.skip(1).take_while(|line| !line.starts_with("## [")).collect();
    let text = section.join("\n").trim().to_owned();
    (!text.is_empty()).then(|| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.0] - 2026-01-02\n\nWhy.\n\n### Added\n\n- this\n\n\
                             ## [1.1.0] - 2026-01-01\n\n## [1.0.0] - 2025-01-01\n\n- first\n";

    #[test]
    fn a_version_has_what_stands_between_its_heading_and_the_next() {
        assert_eq!(section(CHANGELOG, "1.2.0").as_deref(), Some("Why.\n\n### Added\n\n- this\n"));
        assert_eq!(section(CHANGELOG, "1.0.0").as_deref(), Some("- first\n"));
    }

    #[test]
    fn a_version_without_a_section_or_with_an_empty_one_has_no_notes() {
        for version in ["1.1.0", "1.3.0", "1.2", "Unreleased"] {
            assert_eq!(section(CHANGELOG, version), None, "{version}");
        }
    }

    #[test]
    fn the_changelog_of_this_tree_has_todays_version() {
        let notes = notes(env!("CARGO_PKG_VERSION")).unwrap();
        assert!(notes.contains("\n### "), "{notes}");
    }
}
