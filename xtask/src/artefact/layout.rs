//! Images on disk: the OCI layout that registry tools read, and Docker's form as `dir:` of skopeo.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::artefact::image::{Blob, Image};

/// Writes images into a folder as an OCI image layout (OCI Image Specification 1.1, "Image Layout"): one index, in which
/// each has its tag.
pub(crate) fn write_oci(dir: &Path, images: &[Image]) -> Result<()> {
    let blobs = dir.join("blobs").join("sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("could not make {}", blobs.display()))?;
    let mut manifests = Vec::new();
    for image in images {
        for blob in image.blobs.iter().chain([&image.manifest]) {
            write(&blobs.join(name(blob)), &blob.content)?;
        }
        let mut descriptor = image.manifest.descriptor();
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": image.tag });
        manifests.push(descriptor);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    write(&dir.join("index.json"), index.to_string().as_bytes())?;
    write(&dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// Writes one image as skopeo's `dir:`, which keeps a manifest's bytes whatever its media type.
pub(crate) fn write_dir(dir: &Path, image: &Image) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
    write(&dir.join("version"), b"Directory Transport Version: 1.1\n")?;
    write(&dir.join("manifest.json"), &image.manifest.content)?;
    image.blobs.iter().try_for_each(|blob| write(&dir.join(name(blob)), &blob.content))
}

fn name(blob: &Blob) -> String {
    blob.digest().trim_start_matches("sha256:").to_owned()
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}
