//! The images of `cargo xtask package`, pushed to a real registry and fetched from it as meshes fetch them.

use crate::daemon::Daemon;
use crate::kit::{SOON, program};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use tracelift_envoy::{Bootstrap, Client, Collector, Launch, Request, Shipped};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const REPOSITORY: &str = "mesh/tracelift";

/// What `cargo xtask package` wrote: `TRACELIFT_PACKAGE`, else `target/package`.
fn package() -> PathBuf {
    let named = std::env::var_os("TRACELIFT_PACKAGE").map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/package"));
    assert!(path.join("package.json").is_file(), "no package in {}: run `cargo xtask package`", path.display());
    path
}

fn summary() -> Value {
    serde_json::from_slice(&fs::read(package().join("package.json")).unwrap()).unwrap()
}

/// Debian's `docker-registry` (CNCF Distribution). `cargo xtask test` starts one too, in xtask, which everyone compiles first
/// and which therefore shares no code with this crate's clients and servers.
struct Registry(Daemon);

impl Registry {
    async fn start() -> Self {
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

    fn push(&self, tag: &str) {
        let from = format!("dir:{}", package().join("dir").join(tag).display());
        self.push_from(&from, tag);
    }

    fn push_from(&self, from: &str, tag: &str) {
        let status = Command::new(program("skopeo", "skopeo"))
            .args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", from])
            .arg(format!("docker://{}/{REPOSITORY}:{tag}", self.0.address()))
            .status()
            .unwrap();
        assert!(status.success(), "skopeo could not push {from}");
    }

    /// A manifest by tag or digest, and its own media type and digest as the registry tells them.
    async fn manifest(&self, reference: &str) -> (Value, String, String) {
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
    async fn fetch(&self, reference: &str) -> Result<Vec<u8>, String> {
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

#[tokio::test]
async fn every_image_is_fetched_by_tag_and_by_digest_and_holds_the_module_that_was_packaged() {
    let registry = Registry::start().await;
    let packaged = fs::read(package().join("tracelift.wasm")).unwrap();
    let images = summary()["images"].as_array().unwrap().clone();
    assert_eq!(images.len(), 3);
    for image in images {
        let (tag, digest) = (image["tag"].as_str().unwrap(), image["digest"].as_str().unwrap());
        registry.push(tag);
        let (manifest, media_type, told) = registry.manifest(tag).await;
        assert_eq!(told, digest, "{tag}: a manifest that pins the printed digest gets this image");
        assert_eq!(media_type, manifest["mediaType"], "{tag}");
        for reference in [tag, digest] {
            let fetched = registry.fetch(reference).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
            assert!(fetched == packaged, "{reference}: {} bytes", fetched.len());
        }
    }
}

#[tokio::test]
async fn the_oci_layout_can_be_pushed_as_it_lies_and_skopeo_tells_what_is_in_it() {
    let registry = Registry::start().await;
    let (summary, layout) = (summary(), package().join("oci"));
    let version = summary["version"].as_str().unwrap();
    registry.push_from(&format!("oci:{}:{version}", layout.display()), version);
    let (manifest, _, digest) = registry.manifest(version).await;
    assert_eq!(digest, summary["images"][0]["digest"].as_str().unwrap());
    assert_eq!(manifest["annotations"]["module.wasm.image/variant"], "compat");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));

    let inspected = Command::new(program("skopeo", "skopeo"))
        .args(["inspect", "--tls-verify=false", &format!("docker://{}/{REPOSITORY}:{version}", registry.0.address())])
        .output()
        .unwrap();
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let label = |name: &str| inspected["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("version"), version);
    assert_eq!(label("revision"), summary["commit"]);
    assert_eq!(inspected["RepoTags"], serde_json::json!([version]));
}

#[tokio::test]
async fn the_fetched_module_says_in_envoys_log_which_it_is_and_works() {
    let registry = Registry::start().await;
    let summary = summary();
    let version = summary["version"].as_str().unwrap();
    registry.push(version);
    let directory = tempfile::tempdir().unwrap();
    let fetched = directory.path().join("plugin.wasm");
    fs::write(&fetched, registry.fetch(version).await.unwrap()).unwrap();

    let collector = Collector::start().await.unwrap();
    let upstream = tracelift_envoy::Upstream::start().await.unwrap();
    let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, &fetched).unwrap();
    bootstrap.endpoints("otel_collector", &[collector.address()]).unwrap();
    bootstrap.endpoints("application", &[upstream.address()]).unwrap();
    bootstrap.plugin(|json| json["sampling"]["ratio"] = 1.into()).unwrap();
    let envoy = Launch::new().unwrap().start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"));
    let line = format!(
        "tracelift {version} (commit {}, proxy-wasm ABI {})",
        summary["commit"].as_str().unwrap(),
        summary["abi"].as_str().unwrap()
    );
    envoy.wait_for_log(&line, SOON).await.unwrap_or_else(|error| panic!("{error}"));
    let reply = Client::new().send(Request::get(envoy.address("inbound").unwrap(), "/cart")).await.unwrap();
    assert_eq!(reply.status, 200);
    collector.wait_for_spans(1, SOON).await.unwrap();
}

#[test]
fn the_module_with_names_is_the_same_code() {
    let read = |name: &str| fs::read(package().join(name)).unwrap();
    let (released, debug) = (read("tracelift.wasm"), read("tracelift.debug.wasm"));
    let code = |module: &[u8]| section(module, 10).expect("a code section").to_vec();
    assert!(released.len() < debug.len());
    assert!(code(&released) == code(&debug), "an address in a crash means the same in both");
}

/// The content of the first section of that id. WebAssembly core specification, "Binary Format, Modules".
fn section(module: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = module.get(8..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (mut size, mut shift, mut at) = (0usize, 0, 0);
        loop {
            let byte = *after.get(at)?;
            size |= usize::from(byte & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let content = after.get(at..at + size)?;
        if id == wanted {
            return Some(content);
        }
        rest = &after[at + size..];
    }
    None
}
