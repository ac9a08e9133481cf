//! Lints that every crate of the plugin must turn on at the root of its library and of each program. In the root, and not in
//! `Cargo.toml`, so that they do not hold for benches and tests, which may unwrap.

use syn::punctuated::Punctuated;
use syn::{Meta, Path, Token};

use crate::crates::Crate;
use crate::violation::Violation;

/// A panic in the module fails every request of its worker. `disallowed_methods` has its list, with reasons, in
/// `plugin/clippy.toml`; an exception needs a reason, too.
const DENIED: [&str; 6] = [
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::panic",
    "clippy::disallowed_methods",
    "clippy::allow_attributes_without_reason",
];

/// In crates that speak to no host: only shells have an ABI.
const FORBIDDEN: &str = "unsafe_code";
const SAFE_CRATES: [&str; 2] = ["engine", "tools"];

fn check(crates: &[Crate]) -> Vec<Violation> {
    let roots = crates.iter().flat_map(|crate_| crate_.roots.iter().map(move |root| (crate_, root)));
    roots
        .flat_map(|(crate_, root)| {
            let text = std::fs::read_to_string(root).expect("Cargo knows this file");
            check_root(&crate_.shown(root), SAFE_CRATES.contains(&crate_.folder.as_str()), &text)
        })
        .collect()
}

fn check_root(place: &str, must_be_safe: bool, text: &str) -> Vec<Violation> {
    let attributes = syn::parse_file(text).expect("the root of a crate parses").attrs;
    let declared = |levels: &[&str]| -> Vec<String> {
        let of_level =
            attributes.iter().filter(|attribute| levels.iter().any(|level| attribute.path().is_ident(level)));
        let lints = |meta: &Meta| match meta {
            Meta::List(list) => {
                list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default()
            }
            _ => Punctuated::new(),
        };
        of_level.flat_map(|attribute| lints(&attribute.meta)).map(|lint| joined(lint.path())).collect()
    };
    let (denied, forbidden) = (declared(&["deny", "forbid"]), declared(&["forbid"]));
    let missing = DENIED.iter().filter(|lint| !denied.iter().any(|found| found == *lint));
    let mut missing: Vec<String> = missing.map(|lint| format!("`#![deny({lint})]` is missing")).collect();
    if must_be_safe && !forbidden.iter().any(|found| found == FORBIDDEN) {
        missing.push(format!("`#![forbid({FORBIDDEN})]` is missing"));
    }
    missing.into_iter().map(|problem| Violation::of(place, problem)).collect()
}

fn joined(path: &Path) -> String {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crates;
    use crate::violation::{assert_each_says, assert_none};

    #[test]
    fn each_crate_of_the_plugin_turns_its_lints_on() {
        assert_none(&check(&crates::of_the_plugin()), "The list is in xtask/tests/rules/lints.rs.");
    }

    #[test]
    fn a_planted_crate_without_a_lint_is_found() {
        let all = "#![forbid(unsafe_code)] #![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
            #![deny(clippy::panic, clippy::disallowed_methods, clippy::allow_attributes_without_reason, reason = \"r\")]";
        assert_each_says(&check_root("lib.rs", true, all), &[]);
        for lint in DENIED {
            let without = all.replace(lint, "clippy::todo");
            assert_each_says(
                &check_root("lib.rs", true, &without),
                &[&format!("lib.rs: `#![deny({lint})]` is missing")],
            );
        }
        let unsafe_is_denied = all.replace("forbid", "deny");
        assert_each_says(&check_root("lib.rs", true, &unsafe_is_denied), &["`#![forbid(unsafe_code)]` is missing"]);
        assert_each_says(&check_root("lib.rs", false, &unsafe_is_denied), &[]);
        let only_warned = all.replace("deny(clippy::panic", "warn(clippy::panic");
        assert_eq!(check_root("lib.rs", true, &only_warned).len(), 3);
    }
}
