//! Hooks of a stats sink: the same library, named once more under `stats_sinks`, for a last export. Envoy flushes its stats once more
//! when all workers have ended and its clusters are still there; it has no other hook at that time. Envoy 1.39 and later.

use super::abi::{EnvoyBuffer, EnvoyConfig, ModuleConfig};
use super::farewell;
use super::guard::hook;

/// What stands for the sink: it has no state of its own, and must not be null.
const SINK: ModuleConfig = std::ptr::without_provenance(1);

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_stat_sink_config_new(
    _envoy: EnvoyConfig,
    _name: EnvoyBuffer,
    _configuration: EnvoyBuffer,
) -> ModuleConfig {
    farewell::comes_later();
    SINK
}

/// On the main thread, at each interval of Envoy's and at the end.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_stat_sink_flush() {
    hook((), farewell::last);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_stat_sink_config_destroy() {}

/// On any thread, for each value of each histogram of Envoy's.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_stat_sink_on_histogram_complete() {}
