//! What the licences of others ask for: their texts, beside every module that goes out. Made of the crates' own files, so that the
//! same `Cargo.lock` gives the same bytes everywhere.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::artefact::beside::{Beside, RUST, UNWINDER, WASI};
use crate::artefact::crates::{self, Crate};
use crate::workspace;

/// Our licence, and those of what is in the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notices {
    licence: String,
    others: String,
}

impl Notices {
    /// Of the module in this working tree.
    pub(crate) fn of_module() -> Result<Self> {
        let path = workspace::root().join("LICENSE");
        let licence = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(Self { licence, others: others(&crates::of_modules()?)? })
    }

    /// The files, by the names that they have in an image and in a release.
    pub(crate) fn files(&self) -> [(&'static str, &[u8]); 2] {
        [("LICENSE", self.licence.as_bytes()), ("THIRD-PARTY-NOTICES.txt", self.others.as_bytes())]
    }

    /// For tests that are not about what is in them.
    #[cfg(test)]
    pub(crate) fn short() -> Self {
        Self { licence: "ours\n".to_owned(), others: "theirs\n".to_owned() }
    }
}

/// One text of all. A licence that several crates have word for word stands once, behind the first of them.
fn others(crates: &[Crate]) -> Result<String> {
    let named = |Beside { licence, source, .. }: Beside| format!("({licence}, {source})");
    let [rust, wasi, unwinder] = [RUST, WASI, UNWINDER].map(named);
    let mut all = format!(
        "Tracelift's modules contain code of others, under these licences.\n\n\
        Besides these crates they contain Rust's standard library {rust};\n\
        the wasm module wasi-libc {wasi},\n\
        and the dynamic module the unwinder of libgcc {unwinder}.\n"
    );
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    for Crate { name, version, licence, repository, texts, .. } in crates {
        let title = format!("{name} {version}");
        all.push_str(&format!("\n{}\n{title}\n{licence}\n{repository}\n", "=".repeat(80)));
        for (file, content) in texts {
            all.push_str(&format!("\n--- {file}\n"));
            match first.get(content.as_str()) {
                Some(place) => all.push_str(&format!("The same as {place}.\n")),
                None => {
                    all.push_str(&format!("\n{}\n", content.trim_end()));
                    first.insert(content, format!("{file} of {title}"));
                }
            }
        }
    }
    if crates.is_empty() {
        bail!("the module depends on nothing, which cannot be");
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::artefact::crates::MODULES;
    use crate::run;

    use super::*;

    /// With macros and what they need, which is more than the module has in it.
    #[test]
    fn every_crate_of_the_modules_tree_has_its_licence_in_the_notices() {
        let tree = MODULES.map(|(module, target)| {
            let mut cargo = workspace::native_cargo();
            cargo.args(["tree", "--locked", "-p", module, "--target", target, "-e", "normal", "--prefix", "none"]);
            run::output(cargo.args(["--format", "{p};{l}"])).unwrap() + "\n"
        });
        let tree = tree.concat();
        let notices = Notices::of_module().unwrap();
        let mut named = BTreeSet::new();
        for line in tree.lines() {
            let (name, licence) = line.trim_end_matches(" (*)").split_once(';').unwrap();
            let title = format!("\n{}\n{licence}\n", name.replacen(" v", " ", 1));
            if notices.others.contains(&title) {
                named.insert(name.to_owned());
            } else {
                let at_build_time = ["tracelift", "prost-derive", "serde_derive", "anyhow", "either", "itertools"];
                let at_build_time = [&at_build_time[..], &["proc-macro2", "quote", "syn", "unicode-ident"]].concat();
                assert!(at_build_time.iter().any(|known| name.starts_with(known)), "{name} is not in the notices");
            }
        }
        assert!(
            ["prost ", "regex-lite ", "serde_json "].iter().all(|one| named.iter().any(|name| name.starts_with(one)))
        );
        assert_eq!(named.len(), crates::of_modules().unwrap().len(), "no others are in the notices");
        assert_eq!(notices, Notices::of_module().unwrap());
        assert!(!notices.others.contains(workspace::root().to_str().unwrap()), "no path of a machine");
    }

    #[test]
    fn a_licence_that_several_have_stands_once() {
        let one = |name: &str, content: &str| Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: "MIT".to_owned(),
            repository: "https://example.org".to_owned(),
            sha256: String::new(),
            texts: vec![("LICENSE".to_owned(), content.to_owned())],
        };
        let text =
            others(&[one("a", "text of a licence\n"), one("b", "text of a licence\n"), one("c", "another\n")]).unwrap();
        assert_eq!(text.matches("text of a licence").count(), 1);
        assert!(text.contains("\nb 1.0.0\nMIT\nhttps://example.org\n\n--- LICENSE\nThe same as LICENSE of a 1.0.0.\n"));
        assert!(others(&[]).is_err());
    }
}
