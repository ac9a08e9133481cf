//! Libraries: two of them at once, and what is none of ours.

use crate::stage::{bootstrap, inbound, launch, until, with_workers};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tracelift_envoy::{Bootstrap, Client, Collector, EnvoyError, Filter, Request, Stats, Upstream};

/// The library of this run.
pub fn library() -> PathBuf {
    match Filter::of_this_run().unwrap_or_else(|error| panic!("{error}")) {
        Filter::Dynamic(path) => path,
        Filter::Wasm | Filter::Wrapped { .. } => {
            panic!("this run has no dynamic module: cargo xtask test --only dynamic")
        }
    }
}

/// A new version beside the old one, as an upgrade has it for the time of a drain: two paths, two copies of everything.
#[tokio::test]
async fn two_libraries_in_one_process_serve_a_listener_each_and_share_nothing() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("libtracelift-next.so");
    std::fs::copy(library(), &other).unwrap();
    let mut bootstrap = bootstrap(&collector, &upstream);
    let mut outbound = bootstrap.listener("outbound").unwrap().clone();
    Filter::Dynamic(other).put_into(&mut outbound);
    *bootstrap.listener("outbound").unwrap() = outbound;
    let envoy = launch(&bootstrap).await;

    let client = Client::new();
    for number in 0..20 {
        let (listener, host) = if number % 2 == 0 { ("inbound", "cart") } else { ("outbound", "payments") };
        let request = Request::get(envoy.address(listener).unwrap(), "/cart").host(host);
        assert_eq!(client.send(request).await.unwrap().status, 200);
    }
    let exported = |stats: &Stats| stats.ledger().exported == 20 && stats.ledger().is_settled();
    until(&envoy, "both have exported", exported).await;
    assert_eq!(collector.spans().len(), 20);
    let starts = envoy.log().lines().filter(|line| line.contains("dynamic module ABI")).count();
    assert_eq!(starts, 2, "each library starts once: {}", envoy.log());
}

/// Compiles a library that is not ours.
fn compiled(directory: &TempDir, name: &str, source: &str) -> PathBuf {
    let (file, library) = (directory.path().join(format!("{name}.rs")), directory.path().join(format!("{name}.so")));
    std::fs::write(&file, source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compile = Command::new(rustc);
    compile.args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-o"]);
    let output = compile.arg(&library).arg(&file).output().expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// A library that only says its version.
fn of_version(directory: &TempDir, version: &str) -> PathBuf {
    let source = format!(
        "#[unsafe(no_mangle)] pub extern \"C\" fn envoy_dynamic_module_on_program_init() -> *const std::ffi::c_char \
         {{ c\"{version}\".as_ptr() }}"
    );
    compiled(directory, "version", &source)
}

/// A library that needs what no Envoy has.
fn of_a_later_envoy(directory: &TempDir) -> PathBuf {
    let source = "unsafe extern \"C\" { fn envoy_dynamic_module_callback_of_tomorrow(); }\n\
                  #[unsafe(no_mangle)] pub extern \"C\" fn envoy_dynamic_module_on_program_init() -> *const std::ffi::c_char \
                  { unsafe { envoy_dynamic_module_callback_of_tomorrow() }; c\"v0.2.0\".as_ptr() }";
    compiled(directory, "later", source)
}

/// What Envoy says of a library at start.
async fn refusal(bootstrap: &Bootstrap, library: &Path) -> String {
    match with_workers().filter(Filter::Dynamic(library.to_owned())).start(bootstrap).await {
        Ok(_) => panic!("Envoy started with {}", library.display()),
        Err(EnvoyError::Refused { status, log }) => {
            assert!(status.code().is_some(), "it did not end by itself but by a signal: {status}\n{log}");
            log
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_is_no_library_of_ours_is_refused_with_a_reason_and_never_crashes_envoy() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    // The machine that an ELF file is for is in its bytes 18 and 19.
    let mut foreign = std::fs::read(library()).unwrap();
    foreign[18..20].copy_from_slice(&[0xff, 0x7f]);
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cases = [
        ("no file", directory.path().join("nowhere.so"), "nowhere.so"),
        ("a wasm module", file("module.so", b"\0asm\x01\0\0\0"), "module.so: file too short"),
        ("ours, for another machine", file("foreign.so", &foreign), "foreign.so"),
        ("another library", compiled(&directory, "other", ""), "envoy_dynamic_module_on_program_init"),
        ("of a later Envoy", of_a_later_envoy(&directory), "envoy_dynamic_module_callback_of_tomorrow"),
        ("of another version of the ABI, without its hooks", of_version(&directory, "v9.9.9"), "v9.9.9"),
    ];
    let bootstrap = bootstrap(&collector, &upstream);
    for (what, path, reason) in cases {
        let log = refusal(&bootstrap, &path).await;
        assert!(log.contains(reason), "{what}: no {reason:?} in {log}");
    }
}

/// As an update it is a refusal, and what serves goes on.
#[tokio::test]
async fn a_wrong_library_in_an_update_is_refused_and_the_one_before_serves() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let watched = crate::watched::Watched::start(bootstrap(&collector, &upstream)).await;
    let directory = tempfile::tempdir().unwrap();
    let wrong = of_a_later_envoy(&directory);
    let mut next = watched.bootstrap.clone();
    let mut response: Value = serde_json::from_str(&next.listeners_as_discovery_response()).unwrap();
    replace_library(&mut response, &wrong);
    tracelift_envoy::process::replace_file(&watched.file, &response.to_string()).unwrap();
    let refused = |stats: &Stats| stats.get("listener_manager.lds.update_rejected") == 1;
    until(&watched.envoy, "the update is refused", refused).await;
    assert!(watched.envoy.log().contains("callback_of_tomorrow"), "{}", watched.envoy.log());
    let reply = Client::new().send(Request::get(inbound(&watched.envoy), "/cart")).await.unwrap();
    assert_eq!(reply.status, 200);
    until(&watched.envoy, "and traces", |stats| stats.ledger().exported == 1).await;
}

fn replace_library(value: &mut Value, library: &Path) {
    match value {
        Value::Object(members) if members.contains_key("dynamic_module_config") => {
            members["dynamic_module_config"] = json!({ "module": { "local": { "filename": library } } });
        }
        Value::Object(members) => members.values_mut().for_each(|member| replace_library(member, library)),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_library(item, library)),
        _ => {}
    }
}
