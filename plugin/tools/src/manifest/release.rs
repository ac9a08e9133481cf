//! What a release of Envoy does not know of what a file asks of it. Each was seen with the release itself; `docs/compatibility.md` has the
//! table for people.

use std::fmt;
use std::str::FromStr;

use super::embedded::Embedded;
use super::find::{Found, Home, find};
use super::{Finding, Located, Position, Syntax, documents, nested};

/// A release series of Envoy, such as 1.36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u16,
    minor: u16,
}

impl Release {
    const fn of(minor: u16) -> Self {
        Self { major: 1, minor }
    }

    /// The oldest that the filter is tested with.
    pub const OLDEST: Self = Self::of(36);
    /// The newest that the filter is tested with.
    pub const NEWEST: Self = Self::of(40);
    /// The first that the dynamic module runs in.
    const DYNAMIC: Self = Self::of(38);
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why a text does not name a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotARelease(String);

impl fmt::Display for NotARelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {:?}; write a release of Envoy, such as {} or {}.4", self.0, Release::OLDEST, Release::OLDEST)
    }
}

impl std::error::Error for NotARelease {}

/// Reads `1.36`, `1.36.4` and `v1.36.4`.
impl FromStr for Release {
    type Err = NotARelease;

    fn from_str(text: &str) -> Result<Self, NotARelease> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.').map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), None | Some(Ok(_)), None) => Ok(Self { major, minor }),
            _ => Err(NotARelease(text.to_owned())),
        }
    }
}

/// Texts in texts, as deep as the check itself looks.
const MAX_NESTED: usize = 3;

/// What this release does not know of what the text asks of it: warnings, in the order of the text. A text that cannot be read has none,
/// because the check itself says so.
pub fn unknown_to(release: Release, text: &str, syntax: Syntax) -> Vec<Finding> {
    let mut findings = in_text(release, text, syntax, 0);
    if !(Release::OLDEST..=Release::NEWEST).contains(&release) {
        let message = format!(
            "the filter is tested with Envoy {} to {}, and not with {release}.",
            Release::OLDEST,
            Release::NEWEST
        );
        findings.push(Finding::warning(Position::START, "", message));
    }
    findings.sort_by_key(|finding| finding.at);
    findings.dedup();
    findings
}

fn in_text(release: Release, text: &str, syntax: Syntax, depth: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in documents(text, syntax).unwrap_or_default() {
        for found in find(&document.root).unwrap_or_default() {
            filter(release, &found, &mut findings);
        }
        extensions(release, &document.root, &mut findings);
        for inner in nested::find(&document.root) {
            let (Some(inside), Some(embedded)) = (inner.value.text(), Embedded::new(text, inner.value)) else {
                continue;
            };
            if depth < MAX_NESTED {
                let inside = in_text(release, inside, inner.syntax, depth + 1);
                findings.extend(inside.into_iter().map(|one| Finding { at: embedded.place(one.at), ..one }));
            }
        }
    }
    findings
}

fn filter(release: Release, found: &Found<'_>, findings: &mut Vec<Finding>) {
    let module = found.plugin.proto("dynamic_module_config");
    let is_dynamic = match found.home {
        Home::Envoy => module.is_some(),
        Home::EnvoyExtensionPolicy => found.plugin.get("code").is_none(),
        Home::Plain | Home::WasmPlugin | Home::TrafficExtension => false,
    };
    let mut warn = |at, message: String| findings.push(Finding::warning(at, "envoy", message));
    if is_dynamic && release < Release::DYNAMIC {
        let message = format!(
            "Envoy {release} refuses this: it lacks functions that the dynamic module calls, which came with {}. Use the wasm module.",
            Release::DYNAMIC
        );
        warn(module.map_or(found.at, |module| module.at), message);
    }
    if is_dynamic && release == Release::DYNAMIC {
        let message =
            format!("Envoy {release} does not show what the dynamic module records in histograms; later ones do.");
        warn(found.at, message);
    }
    if !is_dynamic && found.home != Home::Plain && release == Release::of(38) {
        let message = format!(
            "Envoy {release} is also distributed in builds without V8, such as PyPI's 1.38.3, which cannot run a wasm module: look \
             for `envoy.wasm.runtime.v8` in what your Envoy logs at start."
        );
        warn(found.at, message);
    }
}

/// Entries for a dynamic module in a bootstrap's `bootstrap_extensions`.
fn extensions(release: Release, bootstrap: &Located, findings: &mut Vec<Finding>) {
    const TYPE: &str = "dynamic_modules.v3.DynamicModuleBootstrapExtension";
    for extension in bootstrap.proto("bootstrap_extensions").map(Located::elements).unwrap_or_default() {
        let Some(typed) = extension.proto("typed_config") else { continue };
        if !typed.text_at(&["@type"]).is_some_and(|name| name.ends_with(TYPE)) {
            continue;
        }
        let module = typed.proto("dynamic_module_config").and_then(|config| config.proto("module"));
        let message = match module {
            _ if release < Release::DYNAMIC => {
                format!("Envoy {release} refuses this: the dynamic module needs {} or later.", Release::DYNAMIC)
            }
            Some(_) if release == Release::DYNAMIC => format!(
                "Envoy {release} reads no `module` here and looks for a library without a name: write `name: tracelift`, and name the \
                 folder of libtracelift.so in ENVOY_DYNAMIC_MODULES_SEARCH_PATH."
            ),
            _ => continue,
        };
        findings.push(Finding::warning(typed.at, "bootstrap_extensions", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WASM: &str = include_str!("../../../../envoy/sidecar.yaml");
    const DYNAMIC: &str = include_str!("../../../../envoy/dynamic-module.yaml");
    const GATEWAY: &str = include_str!("../../../../envoy/gateway-api/dynamic-module.yaml");

    fn said(release: &str, text: &str) -> String {
        let findings = unknown_to(release.parse().unwrap(), text, Syntax::Yaml);
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    #[test]
    fn a_release_has_two_or_three_numbers() {
        for text in ["1.36", "1.36.4", "v1.36.4"] {
            assert_eq!(text.parse(), Ok(Release::OLDEST), "{text}");
        }
        for text in ["", "1", "1.x", "1.36.4.1", "latest", "1.36-dev"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_wasm_module_runs_in_every_release_that_has_v8() {
        for release in ["1.36.4", "1.37", "1.39", "1.40"] {
            assert_eq!(said(release, WASM), "");
        }
        assert!(said("1.38", WASM).contains("without V8"));
        assert!(
            said("1.35", WASM)
                .starts_with("1:1: warning: the filter is tested with Envoy 1.36 to 1.40, and not with 1.35.")
        );
    }

    #[test]
    fn the_dynamic_module_is_refused_before_1_38_and_named_otherwise_in_it() {
        for release in ["1.36", "1.37"] {
            let said = said(release, DYNAMIC);
            assert_eq!(said.matches("refuses this").count(), 3, "two listeners and the extension: {said}");
        }
        assert!(said("1.38", DYNAMIC).contains("ENVOY_DYNAMIC_MODULES_SEARCH_PATH"));
        assert_eq!(said("1.39", DYNAMIC), "");
        assert!(said("1.37", GATEWAY).contains("Use the wasm module."));
        assert_eq!(said("1.39", GATEWAY), "");
    }
}
