//! The container images that carry a module, in the forms that meshes fetch. Wasm Image Specification 0.0.0
//! (solo-io/wasm, `spec.md` and `spec-compat.md`).
//!
//! Everything is made from the module's bytes, [`Identity`] and [`Notices`] alone: no clock, no host name, no user id, so that the same
//! module gives the same digest everywhere.

use anyhow::Result;
use serde_json::{Value, json};

use crate::artefact::archive;
use crate::artefact::digest;
use crate::artefact::module::Identity;
use crate::artefact::notices::Notices;

/// The name that every fetcher looks for in the layer.
const FILE: &str = "plugin.wasm";
const LICENCE: &str = "Apache-2.0";
const TITLE: &str = "tracelift";

/// A form of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// One gzipped archive with `plugin.wasm` and the licences in it, media types of the Open Container Initiative: for Istio, Envoy
    /// Gateway, and every registry and image tool.
    Compat,
    /// The same archive with Docker's media types, for registries and mirrors that know no other.
    Docker,
    /// The bare module and its runtime configuration as two layers of media types of their own.
    Artifact,
}

impl Variant {
    /// All of them; the first is the one to use.
    pub(crate) const ALL: [Self; 3] = [Self::Compat, Self::Docker, Self::Artifact];

    /// The tag of this form of a version.
    pub(crate) fn tag(self, version: &str) -> String {
        match self {
            Self::Compat => version.to_owned(),
            Self::Docker => format!("{version}-docker"),
            Self::Artifact => format!("{version}-artifact"),
        }
    }

    /// Media types of the manifest, its configuration and the layer with the module.
    fn media_types(self) -> [&'static str; 3] {
        match self {
            Self::Compat => [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ],
            Self::Docker => [
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ],
            Self::Artifact => [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.module.wasm.content.layer.v1+wasm",
            ],
        }
    }
}

/// Bytes and what they are.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    pub(crate) content: Vec<u8>,
}

impl Blob {
    /// The digest as manifests write it.
    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", digest::sha256(&self.content))
    }

    /// How a manifest or an index refers to it.
    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.content.len() })
    }
}

/// An image: its manifest, and the blobs that this names (the configuration first).
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) tag: String,
    pub(crate) manifest: Blob,
    pub(crate) blobs: Vec<Blob>,
}

impl Image {
    /// The module as an image of that form.
    pub(crate) fn new(variant: Variant, module: &[u8], identity: &Identity, notices: &Notices) -> Result<Self> {
        let [manifest_type, config_type, layer_type] = variant.media_types();
        // The module first: fetchers stop reading there.
        let archive = archive::tar([(FILE, module)].into_iter().chain(notices.files()))?;
        let layers = match variant {
            Variant::Compat | Variant::Docker => {
                vec![Blob { media_type: layer_type, content: archive::gzip(&archive)? }]
            }
            // Fetchers want exactly these two.
            Variant::Artifact => vec![
                Blob { media_type: layer_type, content: module.to_vec() },
                Blob { media_type: "application/vnd.module.wasm.config.v1+json", content: runtime(identity) },
            ],
        };
        let contents: Vec<String> = match variant {
            Variant::Compat | Variant::Docker => vec![format!("sha256:{}", digest::sha256(&archive))],
            Variant::Artifact => layers.iter().map(Blob::digest).collect(),
        };
        let config = Blob { media_type: config_type, content: configuration(identity, &contents) };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        if variant != Variant::Docker {
            manifest["annotations"] = annotations(identity);
        }
        if variant == Variant::Compat {
            manifest["annotations"]["module.wasm.image/variant"] = "compat".into();
        }
        Ok(Self {
            tag: variant.tag(&identity.version),
            manifest: Blob { media_type: manifest_type, content: manifest.to_string().into_bytes() },
            blobs: [vec![config], layers].concat(),
        })
    }
}

/// OCI Image Specification 1.1, "Pre-Defined Annotation Keys".
fn annotations(identity: &Identity) -> Value {
    json!({
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.version": identity.version,
        "org.opencontainers.image.revision": identity.commit,
        "org.opencontainers.image.licenses": LICENCE,
    })
}

/// OCI Image Specification 1.1, "Image Configuration"; Docker's has the same members.
fn configuration(identity: &Identity, contents: &[String]) -> Vec<u8> {
    let configuration = json!({
        "architecture": "wasm",
        "os": "wasip1",
        "config": { "Labels": annotations(identity) },
        "rootfs": { "type": "layers", "diff_ids": contents },
    });
    configuration.to_string().into_bytes()
}

/// What the artifact form says of the module's host.
fn runtime(identity: &Identity) -> Vec<u8> {
    let runtime = json!({ "type": "envoy_proxy", "abiVersions": [identity.abi], "config": { "root_ids": [TITLE] } });
    runtime.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artefact::module;
    use std::io::Read;

    fn images() -> Vec<Image> {
        let module = module::tests::module(false);
        let identity = Identity::of(&module).unwrap();
        Variant::ALL.map(|variant| Image::new(variant, &module, &identity, &Notices::short()).unwrap()).to_vec()
    }

    #[test]
    fn a_manifest_names_its_blobs_by_digest_and_size() {
        for image in images() {
            let manifest: Value = serde_json::from_slice(&image.manifest.content).unwrap();
            let mut named = vec![manifest["config"].clone()];
            named.extend(manifest["layers"].as_array().unwrap().clone());
            assert_eq!(named, image.blobs.iter().map(Blob::descriptor).collect::<Vec<_>>(), "{}", image.tag);
        }
    }

    #[test]
    fn the_layer_holds_the_module_then_the_licences_and_no_trace_of_the_machine() {
        for image in &images()[..2] {
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&image.blobs[1].content[..]));
            let mut found = Vec::new();
            for file in archive.entries().unwrap() {
                let mut file = file.unwrap();
                let header = file.header();
                assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.mode().unwrap()), (0, 0, 0o644));
                let mut content = Vec::new();
                file.read_to_end(&mut content).unwrap();
                found.push((file.path().unwrap().to_str().unwrap().to_owned(), content));
            }
            let (names, contents): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            assert_eq!(names, ["plugin.wasm", "LICENSE", "THIRD-PARTY-NOTICES.txt"]);
            assert_eq!(contents, [module::tests::module(false), b"ours\n".to_vec(), b"theirs\n".to_vec()]);
        }
    }

    #[test]
    fn the_same_module_gives_the_same_digests() {
        let digests = |images: Vec<Image>| images.iter().map(|image| image.manifest.digest()).collect::<Vec<_>>();
        assert_eq!(digests(images()), digests(images()));
    }

    #[test]
    fn each_form_has_its_own_tag() {
        let tags: Vec<_> = images().into_iter().map(|image| image.tag).collect();
        assert_eq!(tags, ["1.2.3", "1.2.3-docker", "1.2.3-artifact"]);
    }
}
