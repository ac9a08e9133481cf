//! The worker of this VM, and what a VM says and reads when it starts and is configured.

use std::cell::RefCell;

use tracelift::config::Environment;
use tracelift::door::{Level, Refused};
use tracelift::identity::{ABI, COMMIT, VERSION};
use tracelift::process::{Setup, Worker};
use tracelift::span::NodeMetadata;

use super::abi::Buffer;
use super::host;

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// Runs a callback on the VM's state. A host that calls back while a callback runs gets `otherwise`, not a panic.
pub fn with<T>(otherwise: T, callback: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with(|worker| match worker.try_borrow_mut() {
        Ok(mut worker) => callback(&mut worker),
        Err(_) => otherwise,
    })
}

/// Logs which Tracelift starts here: one line a VM, so one a worker and one for the main thread.
pub fn announce() {
    host::log(Level::Info, &format!("tracelift {VERSION} (commit {COMMIT}, proxy-wasm ABI {ABI})"));
}

/// What the host has to say to a configuration of `size` bytes.
pub fn setup(size: usize) -> Setup {
    Setup {
        environment: environment(),
        configuration: host::buffer(Buffer::PluginConfiguration, size).map_err(Refused::from),
        node: NodeMetadata::read(|path| host::property(&path.join("\0")).ok().flatten()),
        plugin: plugin_name(),
    }
}

/// The name of this filter in Envoy's configuration.
fn plugin_name() -> String {
    let name = host::property("plugin_name").ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&name).into_owned()
}

/// The variables of this VM. One that is not UTF-8 is not one of ours.
fn environment() -> Environment {
    let text = host::environment().unwrap_or_else(|| {
        host::log(Level::Warn, "tracelift: the host hands no environment variables over; going on without them");
        Vec::new()
    });
    let variables = text.split(|byte| *byte == 0).filter_map(|variable| str::from_utf8(variable).ok()?.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
