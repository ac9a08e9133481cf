//! What is in a published file, for scanners and auditors: a software bill of materials in CycloneDX 1.5, one beside each module.

use anyhow::{Context, Result, anyhow, bail};
use cyclonedx_bom::models::component::Classification;
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::external_reference::{ExternalReference, ExternalReferenceType, ExternalReferences};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::prelude::{
    Bom, Component, Components, DateTime, Metadata, Purl, SpdxExpression, SpecVersion, Uri, UrnUuid, Validate,
};

use crate::artefact::beside::{Beside, RUST, UNWINDER, WASI};
use crate::artefact::crates::{self, Crate, Tree};
use crate::artefact::digest;
use crate::workspace;

/// What goes behind a file's name, as CycloneDX recommends it.
const SUFFIX: &str = "cdx.json";
/// Of our own crates.
const LICENCE: &str = "Apache-2.0";

/// A published file to describe.
pub(crate) struct Subject<'a> {
    /// Its name in the release.
    file: &'a str,
    bytes: &'a [u8],
    /// The crate that it is built of, and for what.
    package: &'a str,
    target: String,
    version: &'a str,
    /// When the commit was made, UTC, RFC 3339: the same files have the same bill.
    time: &'a str,
    /// What is in it beside crates.
    beside: &'static [Beside],
}

impl<'a> Subject<'a> {
    /// The wasm module.
    pub(crate) fn module(file: &'a str, bytes: &'a [u8], version: &'a str, time: &'a str) -> Self {
        let [(package, target), _] = crates::MODULES;
        Self { file, bytes, package, target: target.to_owned(), version, time, beside: &[RUST, WASI] }
    }

    /// A dynamic module for a target.
    pub(crate) fn library(file: &'a str, bytes: &'a [u8], target: String, version: &'a str, time: &'a str) -> Self {
        Self { file, bytes, package: workspace::DYNAMIC, target, version, time, beside: &[RUST, UNWINDER] }
    }

    /// The name of its bill, and the bill: JSON.
    pub(crate) fn bill(&self) -> Result<(String, Vec<u8>)> {
        let tree = Tree::of(self.package, &self.target)?;
        let others = crates::described(&tree.others().cloned().collect())?;
        let mut bill = Vec::new();
        let bom = self.bom(&tree, &others)?;
        let checked = bom.validate_version(SpecVersion::V1_5);
        if !checked.passed() {
            bail!("the bill of {} is no CycloneDX 1.5: {checked:?}", self.file);
        }
        bom.output_as_json_v1_5(&mut bill).with_context(|| format!("could not write the bill of {}", self.file))?;
        bill.push(b'\n');
        Ok((format!("{}.{SUFFIX}", self.file), bill))
    }

    fn bom(&self, tree: &Tree, others: &[Crate]) -> Result<Bom> {
        let sha256 = digest::sha256(self.bytes);
        let mut subject = Component::new(Classification::Library, self.file, self.version, Some(self.file.to_owned()));
        subject.hashes = Some(hashes(&sha256));
        subject.licenses = Some(licences(LICENCE)?);
        let mut components = Vec::new();
        for title in &tree.ours {
            let (name, version) = title.split_once(' ').context("a crate has a name and a version")?;
            let mut ours = Component::new(Classification::Library, name, version, Some(title.clone()));
            ours.licenses = Some(licences(LICENCE)?);
            components.push(ours);
        }
        for one in others {
            components.push(component(one)?);
        }
        for Beside { name, licence, source } in self.beside {
            let mut beside = Component::new(Classification::Library, name, "", Some((*name).to_owned()));
            beside.version = None; // It is part of the compiler or of the system that built the file.
            beside.licenses = Some(licences(licence)?);
            beside.external_references = Some(source_at(source));
            components.push(beside);
        }
        let own = tree.ours.iter().filter(|title| title.split_once(' ').is_some_and(|(name, _)| name == self.package));
        let parts = own.cloned().chain(self.beside.iter().map(|beside| beside.name.to_owned()));
        let mut dependencies = vec![depends(self.file, parts.collect())];
        dependencies.extend(tree.depends.iter().map(|(title, on)| depends(title, on.iter().cloned().collect())));
        Ok(Bom {
            serial_number: Some(serial_number(&sha256)?),
            metadata: Some(Metadata {
                timestamp: Some(DateTime::try_from(self.time.to_owned()).context("the commit's time is invalid")?),
                component: Some(subject),
                ..Metadata::default()
            }),
            components: Some(Components(components)),
            dependencies: Some(Dependencies(dependencies)),
            spec_version: SpecVersion::V1_5,
            ..Bom::default()
        })
    }
}

fn component(one: &Crate) -> Result<Component> {
    let Crate { name, version, licence, repository, sha256, .. } = one;
    let mut component = Component::new(Classification::Library, name, version, Some(format!("{name} {version}")));
    component.purl = Some(Purl::new("cargo", name, version)?);
    component.hashes = Some(hashes(sha256));
    component.licenses = Some(licences(licence)?);
    component.external_references = (!repository.is_empty()).then(|| source_at(repository));
    Ok(component)
}

fn hashes(sha256: &str) -> Hashes {
    Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(sha256.to_owned()) }])
}

/// Cargo's older form of "or" is a slash.
fn licences(expression: &str) -> Result<Licenses> {
    let expression = expression.replace('/', " OR ");
    let expression = SpdxExpression::try_from(expression.clone()).with_context(|| format!("licence {expression:?}"))?;
    Ok(Licenses(vec![LicenseChoice::Expression(expression)]))
}

fn source_at(url: &str) -> ExternalReferences {
    ExternalReferences(vec![ExternalReference {
        external_reference_type: ExternalReferenceType::Vcs,
        url: cyclonedx_bom::models::external_reference::Uri::Url(Uri::new(url)),
        comment: None,
        hashes: None,
    }])
}

fn depends(title: &str, on: Vec<String>) -> Dependency {
    Dependency { dependency_ref: title.to_owned(), dependencies: on }
}

/// A UUID (RFC 9562, version 8) of the file's digest: another file has another, and the same file always the same.
fn serial_number(sha256: &str) -> Result<UrnUuid> {
    let (a, b, c, d, e) = (&sha256[..8], &sha256[8..12], &sha256[13..16], &sha256[17..20], &sha256[20..32]);
    UrnUuid::new(format!("urn:uuid:{a}-{b}-8{c}-8{d}-{e}")).map_err(|error| anyhow!("a digest is no UUID: {error:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_bill_of_the_module_names_every_crate_with_licence_and_checksum_and_is_the_same_twice() {
        let subject = Subject::module("tracelift.wasm", b"module", "1.2.3", "2026-11-30T02:33:01Z");
        let (name, bill) = subject.bill().unwrap();
        assert_eq!(name, "tracelift.wasm.cdx.json");
        assert_eq!(subject.bill().unwrap().1, bill);

        let bill: Value = serde_json::from_slice(&bill).unwrap();
        assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
        let about = &bill["metadata"]["component"];
        assert_eq!(about["hashes"][0]["content"], digest::sha256(b"module"));
        let components = bill["components"].as_array().unwrap();
        let named: Vec<_> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
        for name in [workspace::MODULE, workspace::ENGINE, "prost", "regex-lite", "rust-std", "wasi-libc"] {
            assert!(named.contains(&name), "{name} is missing: {named:?}");
        }
        for name in ["prost-derive", "serde_derive", "wasmtime", "clap"] {
            assert!(!named.contains(&name), "{name} is not in the module");
        }
        let prost = components.iter().find(|one| one["name"] == "prost").unwrap();
        assert_eq!(prost["licenses"][0]["expression"], "Apache-2.0");
        assert_eq!(prost["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert!(prost["purl"].as_str().unwrap().starts_with("pkg:cargo/prost@"));
        let depends = bill["dependencies"].as_array().unwrap();
        let engine = depends.iter().find(|one| one["ref"].as_str().unwrap().starts_with("tracelift 0")).unwrap();
        assert!(engine["dependsOn"].as_array().unwrap().contains(&prost["bom-ref"]), "{engine}");
        let text = bill.to_string();
        assert!(!text.contains(workspace::root().to_str().unwrap()), "no path of a machine");
    }
}
