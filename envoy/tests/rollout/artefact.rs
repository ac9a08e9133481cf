//! The images of `cargo xtask package`, pushed to a real registry and fetched from it as meshes fetch them.

use crate::kit::{SOON, program};
use crate::registry::{REPOSITORY, Registry, package, summary};
use serde_json::Value;
use std::fs;
use std::process::Command;
use tracelift_envoy::{Bootstrap, Client, Collector, Launch, Request, Shipped};

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
        .args(["inspect", "--tls-verify=false", &format!("docker://{}/{REPOSITORY}:{version}", registry.address())])
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
