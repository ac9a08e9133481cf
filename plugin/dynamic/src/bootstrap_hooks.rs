//! Hooks of a bootstrap extension: the same library, named once more in Envoy's bootstrap, so that it learns of the exit. Without
//! it, what waits when Envoy exits is lost, and counted.

use std::ffi::c_void;

use super::abi::{self, Completion, EnvoyBuffer, EnvoyConfig, ModuleConfig};
use super::farewell;
use super::guard::hook;

/// What stands for the extension: it has no state of its own, and must not be null.
const EXTENSION: ModuleConfig = std::ptr::without_provenance(1);

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_new(
    envoy: EnvoyConfig,
    _name: EnvoyBuffer,
    _configuration: EnvoyBuffer,
) -> ModuleConfig {
    // SAFETY: Envoy's object lives; Envoy takes no traffic before every extension has said that it is ready.
    unsafe { abi::envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(envoy) };
    EXTENSION
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_new(_: ModuleConfig, _: EnvoyConfig) -> ModuleConfig {
    EXTENSION
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_shutdown(
    _: EnvoyConfig,
    _: ModuleConfig,
    completion: Completion,
    context: *mut c_void,
) {
    // A panic before the end leaves the exit to the next answer or tick.
    hook((), || farewell::begin(completion, context));
}

/// Hooks that Envoy demands and that have nothing to do here; what they are called with is not looked at.
macro_rules! unused {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() {}
        )*
    };
}

unused! {
    envoy_dynamic_module_on_bootstrap_extension_config_destroy
    envoy_dynamic_module_on_bootstrap_extension_destroy
    envoy_dynamic_module_on_bootstrap_extension_server_initialized
    envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized
    envoy_dynamic_module_on_bootstrap_extension_drain_started
    envoy_dynamic_module_on_bootstrap_extension_config_scheduled
    envoy_dynamic_module_on_bootstrap_extension_http_callout_done
    envoy_dynamic_module_on_bootstrap_extension_timer_fired
    envoy_dynamic_module_on_bootstrap_extension_file_changed
    envoy_dynamic_module_on_bootstrap_extension_admin_request
    envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update
    envoy_dynamic_module_on_bootstrap_extension_cluster_removal
    envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update
    envoy_dynamic_module_on_bootstrap_extension_listener_removal
}
