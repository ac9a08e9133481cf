//! Envoy Gateway in its standalone mode: it watches a folder of manifests, and runs an Envoy of ours, to which it sends what it makes
//! of them by xDS. The controller is the one that runs in a cluster; what is missing is Kubernetes around it.

use crate::kit::{SOON, wait_until};
use serde_json::{Value, json};
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;
use tracelift_envoy::{Admin, process};

/// Names the controller's binary; `cargo xtask test --only mesh` builds it.
const VARIABLE: &str = "TRACELIFT_ENVOY_GATEWAY";
/// What `EnvoyProxy` asks for by number, and gets as the binary under test, whichever that is.
pub const ENVOY_VERSION: &str = "1.40.0";

/// The controller's ports are fixed (8081, 18000 to 18002, 19000, 19001), so that one runs at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A controller and the Envoy that it runs; both are gone when dropped.
pub struct Standalone {
    process: Child,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Standalone {
    /// Starts the controller with what `manifests` makes of the folder of its certificates.
    pub async fn start(manifests: impl FnOnce(&Path) -> Vec<Value>) -> Self {
        let alone = ALONE.lock().await;
        let folder = tempfile::Builder::new().prefix("tracelift-gateway-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let gateway = PathBuf::from(env::var_os(VARIABLE).unwrap_or_else(|| panic!("{VARIABLE} is not set")));
        let mut certificates = Command::new(&gateway);
        certificates.args(["certgen", "--local", "--config-home"]).arg(at("config"));
        let certificates = certificates.output().unwrap();
        assert!(certificates.status.success(), "{}", String::from_utf8_lossy(&certificates.stderr));

        let binary = at("data").join("envoy-versions").join(ENVOY_VERSION).join("bin");
        fs::create_dir_all(&binary).unwrap();
        let envoy = process::binary().unwrap_or_else(|error| panic!("{error}"));
        symlink(envoy.canonicalize().unwrap(), binary.join("envoy")).unwrap();
        fs::create_dir(at("manifests")).unwrap();
        put(folder.path(), &manifests(&at("config").join("certs")));
        fs::write(at("gateway.json"), configuration(folder.path()).to_string()).unwrap();

        let log = File::create(at(LOG)).unwrap();
        let process = Command::new(gateway)
            .args(["server", "--config-path"])
            .arg(at("gateway.json"))
            .env("HOME", folder.path()) // It keeps the modules that it fetches below it.
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder, _alone: alone }
    }

    /// Has the controller read these in place of what there was.
    pub fn apply(&self, manifests: &[Value]) {
        put(self.folder.path(), manifests);
    }

    /// What the controller and its Envoy have logged so far.
    pub fn log(&self) -> String {
        fs::read(self.folder.path().join(LOG)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// What was logged in the part after `from`, as soon as `text` is in it.
    pub async fn logged(&self, from: usize, text: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.log();
            if let Some(new) = log.get(from..).filter(|new| new.contains(text)) {
                return new.to_owned();
            }
            assert!(started.elapsed() < SOON, "no {text:?} in the log:\n{}", log.get(from..).unwrap_or_default());
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The admin port of its Envoy, as soon as that is live.
    pub async fn envoy(&self) -> Admin {
        wait_until("Envoy Gateway starts an Envoy", async || self.admin_address().is_some()).await;
        let admin = Admin::new(self.admin_address().unwrap().parse().unwrap());
        wait_until("Envoy is live", async || admin.is_ready().await).await;
        admin
    }

    /// func-e, which runs Envoy for it, has it written into the folder of each run.
    fn admin_address(&self) -> Option<String> {
        let runs = fs::read_dir(self.folder.path().join("run")).ok()?.flatten();
        runs.filter_map(|run| fs::read_to_string(run.path().join("admin-address.txt")).ok())
            .find(|text| !text.is_empty())
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // The kernel ends its Envoy with it: func-e has asked for that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const LOG: &str = "gateway.log";

/// Moves a file of all manifests into the folder that is watched.
fn put(folder: &Path, manifests: &[Value]) {
    let text: Vec<_> = manifests.iter().map(Value::to_string).collect();
    let next = folder.join("next.yaml");
    fs::write(&next, text.join("\n---\n")).unwrap();
    fs::rename(next, folder.join("manifests").join("all.yaml")).unwrap();
}

/// `EnvoyGateway`, the controller's own configuration.
fn configuration(folder: &Path) -> Value {
    let at = |name: &str| folder.join(name);
    let host = json!({ "configHome": at("config"), "dataHome": at("data"), "stateHome": at("state"), "runtimeDir": at("run") });
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": { "controllerName": "gateway.envoyproxy.io/gatewayclass-controller" },
        "provider": { "type": "Custom", "custom": {
            "resource": { "type": "File", "file": { "paths": [at("manifests")] } },
            "infrastructure": { "type": "Host", "host": host },
        }},
        "logging": { "level": { "default": "info" } },
        "extensionApis": { "enableBackend": true, "enableEnvoyPatchPolicy": true },
    })
}
