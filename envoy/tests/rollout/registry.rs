//! A real registry, and the packaged images that are pushed to it.

use crate::daemon::Daemon;
use crate::kit::program;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tracelift_envoy::Request;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Where the images are pushed to.
pub const REPOSITORY: &str = "mesh/tracelift";

/// What `cargo xtask package` wrote: `TRACELIFT_PACKAGE`, else `target/package`.
pub fn package() -> PathBuf {
    let named = std::env::var_os("TRACELIFT_PACKAGE").map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/package"));
    assert!(path.join("package.json").is_file(), "no package in {}: run `cargo xtask package`", path.display());
    path
}

/// What it says of itself.
pub fn summary() -> Value {
    serde_json::from_slice(&fs::read(package().join("package.json")).unwrap()).unwrap()
}

/// Debian's `docker-registry` (CNCF Distribution). `cargo xtask test` starts one too, in xtask, which everyone compiles first
/// and which therefore shares no code with this crate's clients and servers.
pub struct Registry(Daemon);

impl Registry {
    /// On a free port, empty.
    pub async fn start() -> Self {
        let daemon = Daemon::start("docker-registry", "/v2/", |address, directory| {
            let configuration = serde_json::json!({
                "version": 0.1,
                "log": { "level": "error" },
                "storage": { "filesystem": { "rootdirectory": directory.join("storage") } },
                "http": { "addr": address.to_string() },
            });
            let file = directory.join("config.json");
            fs::write(&file, configuration.to_string()).unwrap();
            vec!["serve".into(), file.into()]
        });
        Self(daemon.await)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Pushes the packaged image of that tag.
    pub fn push(&self, tag: &str) {
        let from = format!("dir:{}", package().join("dir").join(tag).display());
        self.push_from(&from, tag);
    }

    /// Pushes what skopeo finds there.
    pub fn push_from(&self, from: &str, tag: &str) {
        let status = Command::new(program("skopeo", "skopeo"))
            .args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", from])
            .arg(format!("docker://{}/{REPOSITORY}:{tag}", self.0.address()))
            .status()
            .unwrap();
        assert!(status.success(), "skopeo could not push {from}");
    }

    /// A manifest by tag or digest, and its own media type and digest as the registry tells them.
    pub async fn manifest(&self, reference: &str) -> (Value, String, String) {
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        let request =
            Request::get(self.0.address(), &path).header("accept", OCI_MANIFEST).header("accept", DOCKER_MANIFEST);
        let reply = self.0.send(request).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let header = |name| reply.header(name).unwrap_or_default().to_owned();
        (reply.json(), header("content-type"), header("docker-content-digest"))
    }

    async fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let reply = self.0.send(Request::get(self.0.address(), &format!("/v2/{REPOSITORY}/blobs/{digest}"))).await;
        let body = reply.unwrap().body;
        assert_eq!(Some(body.len() as u64), descriptor["size"].as_u64());
        body
    }

    /// The module by the rules that Istio (`pkg/wasm/imagefetcher.go`) and Envoy Gateway (`internal/wasm`) share: a manifest
    /// that says Docker has it in its last layer, of Docker's layer type; else the last layer is OCI's, or there are
    /// exactly two layers and the one of the module's own type is it, bare.
    pub async fn fetch(&self, reference: &str) -> Result<Vec<u8>, String> {
        let (manifest, _, _) = self.manifest(reference).await;
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        let last = layers.last().ok_or("no layer")?;
        if manifest["mediaType"] == DOCKER_MANIFEST {
            return match last["mediaType"].as_str() {
                Some("application/vnd.docker.image.rootfs.diff.tar.gzip") => from_archive(&self.blob(last).await),
                other => Err(format!("media type {other:?}")),
            };
        }
        if last["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip" {
            return from_archive(&self.blob(last).await);
        }
        let bare = |layer: &&Value| layer["mediaType"] == "application/vnd.module.wasm.content.layer.v1+wasm";
        match layers.iter().find(bare) {
            Some(layer) if layers.len() == 2 => Ok(self.blob(layer).await),
            _ => Err(format!("{} layers and no module among them", layers.len())),
        }
    }
}

/// The file `plugin.wasm` of a gzipped archive.
fn from_archive(layer: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(layer));
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if entry.path().is_ok_and(|path| path.file_name().is_some_and(|name| name == "plugin.wasm")) {
            let mut module = Vec::new();
            return entry.read_to_end(&mut module).map(|_| module).map_err(|error| error.to_string());
        }
    }
    Err("plugin.wasm not found in the archive".to_owned())
}
