//! Sections of a module: the names that are kept apart, and what the module says of itself.

use std::fmt;

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};

use crate::artefact::digest;

/// The custom section that maps functions to names. WebAssembly core specification, appendix "Name Section".
const NAMES: &str = "name";
/// Custom sections of ours; `plugin/wasm/src/sections.rs` writes them.
const VERSION: &str = "tracelift.version";
const COMMIT: &str = "tracelift.commit";
/// What every proxy-wasm module exports, with the version of its ABI behind it.
const ABI_EXPORT: &str = "proxy_abi_version_";

/// What a module says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Of the plugin's crate.
    pub(crate) version: String,
    /// What it was built from; `unreleased` for a build that nobody told.
    pub(crate) commit: String,
    /// Of proxy-wasm, as in `0.2.1`.
    pub(crate) abi: String,
    /// Of the file.
    pub(crate) sha256: String,
    /// Of the file.
    pub(crate) bytes: usize,
    /// Whether functions have names in it.
    pub(crate) has_names: bool,
}

impl Identity {
    /// Reads a module's sections; an error when it is no module, or none of ours.
    pub(crate) fn of(module: &[u8]) -> Result<Self> {
        let (mut version, mut commit, mut abi, mut has_names) = (None, None, None, false);
        for payload in Parser::new(0).parse_all(module) {
            match payload.context("not a WebAssembly module")? {
                Payload::CustomSection(section) => match section.name() {
                    VERSION => version = Some(text(section.data())?),
                    COMMIT => commit = Some(text(section.data())?),
                    NAMES => has_names = true,
                    _ => {}
                },
                Payload::ExportSection(exports) => {
                    for export in exports {
                        if let Some(found) = export?.name.strip_prefix(ABI_EXPORT) {
                            abi = Some(found.replace('_', "."));
                        }
                    }
                }
                _ => {}
            }
        }
        let missing = |what: &str| format!("the module has no {what}: it is not Tracelift, or was stripped of it");
        Ok(Self {
            version: version.with_context(|| missing("section tracelift.version"))?,
            commit: commit.with_context(|| missing("section tracelift.commit"))?,
            abi: abi.with_context(|| missing("export proxy_abi_version_*"))?,
            sha256: digest::sha256(module),
            bytes: module.len(),
            has_names,
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, commit, abi, sha256, bytes, has_names } = self;
        let names = if *has_names { "in the module" } else { "kept apart" };
        write!(
            f,
            "version         {version}\ncommit          {commit}\nproxy-wasm ABI  {abi}\nbytes           {bytes}\nsha256          {sha256}\nfunction names  {names}"
        )
    }
}

/// The module without its name section. Nothing else moves, so that a function or an address in a crash of the one is
/// the same in the other.
pub(crate) fn without_names(named: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(named.len());
    let mut from: usize = 0;
    for payload in Parser::new(0).parse_all(named) {
        let payload = payload.context("wasm-opt wrote no module")?;
        let end = match (&payload, payload.as_section()) {
            (Payload::Version { range, .. }, _) => usize::try_from(range.end)?,
            (_, Some((_, range))) => usize::try_from(range.end)?,
            _ => continue,
        };
        let is_names = matches!(&payload, Payload::CustomSection(section) if section.name() == NAMES);
        let section = named.get(from..end).context("sections of a module are in order")?;
        if !is_names {
            kept.extend_from_slice(section);
        }
        from = end;
    }
    if kept.len() == named.len() {
        bail!("the module was built without the names of its functions");
    }
    Ok(kept)
}

fn text(section: &[u8]) -> Result<String> {
    String::from_utf8(section.to_vec()).context("a section of ours is not text")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A custom section: its name and content, each below 100 bytes.
    fn custom(name: &str, content: &str) -> Vec<u8> {
        let size = 1 + name.len() + content.len();
        [&[0, size as u8, name.len() as u8], name.as_bytes(), content.as_bytes()].concat()
    }

    /// A module that does nothing but say what it is.
    pub(crate) fn module(names: bool) -> Vec<u8> {
        let export = "proxy_abi_version_0_2_1";
        let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
        module.extend([7, 4 + export.len() as u8, 1, export.len() as u8]);
        module.extend([export.as_bytes(), &[0, 0], b"\x0a\x04\x01\x02\0\x0b"].concat());
        module.extend(custom(VERSION, "1.2.3"));
        if names {
            module.extend(custom(NAMES, "\x01\x04\x01\0\x01f"));
        }
        module.extend(custom(COMMIT, "0123abcd"));
        module
    }

    #[test]
    fn a_module_tells_its_version_commit_and_abi() {
        let identity = Identity::of(&module(true)).unwrap();
        assert_eq!((identity.version.as_str(), identity.commit.as_str()), ("1.2.3", "0123abcd"));
        assert_eq!(identity.abi, "0.2.1");
        assert!(identity.has_names && !Identity::of(&module(false)).unwrap().has_names);
    }

    #[test]
    fn names_are_cut_out_and_everything_else_stays_as_it_is() {
        assert_eq!(without_names(&module(true)).unwrap(), module(false));
        let error = without_names(&module(false)).unwrap_err().to_string();
        assert!(error.contains("without the names"), "{error}");
    }

    #[test]
    fn what_is_no_module_of_ours_is_told_apart() {
        assert!(Identity::of(b"#!/bin/sh").unwrap_err().to_string().contains("not a WebAssembly module"));
        let error = Identity::of(b"\0asm\x01\0\0\0").unwrap_err().to_string();
        assert!(error.contains("tracelift.version"), "{error}");
    }
}
