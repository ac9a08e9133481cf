//! Hooks of the program and of configurations, all on Envoy's main thread. Envoy finds them by name.

use std::ffi::c_char;

use super::abi::{self, EnvoyBuffer, EnvoyConfig, EnvoyHeader, ModuleConfig};
use super::calls::{self, Arrived};
use super::config::{Config, Event};
use super::guard::{self, hook};
use super::process;

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    hook((), guard::install);
    abi::VERSION.as_ptr()
}

/// Null refuses the configuration: a NACK, or the end of a starting Envoy.
///
/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: EnvoyConfig,
    name: EnvoyBuffer,
    configuration: EnvoyBuffer,
) -> ModuleConfig {
    hook(std::ptr::null(), || {
        process::announce();
        // SAFETY: both live as long as this hook.
        let (name, configuration) = unsafe { (name.bytes(), configuration.bytes()) };
        let config = Config::open(envoy, name, configuration);
        if hook(false, || process::configure(&config)) {
            config.into_envoy()
        } else {
            config.close();
            std::ptr::null()
        }
    })
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: ModuleConfig) {
    if config.is_null() {
        return;
    }
    // SAFETY: the last hook for it.
    let config = unsafe { Config::from_envoy(config) };
    hook((), || process::end(&config));
    hook((), || config.close());
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    _envoy: EnvoyConfig,
    config: ModuleConfig,
    event: u64,
) {
    // SAFETY: it lives.
    hook((), || process::woken(unsafe { Config::borrow(config) }, Event::of(event)));
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    _envoy: EnvoyConfig,
    config: ModuleConfig,
    stream: u64,
    headers: *const EnvoyHeader,
    count: usize,
    _end_of_stream: bool,
) {
    // SAFETY: Envoy made the array for this hook.
    unsafe { arrived(config, stream, headers, count, |headers| Arrived::Headers(headers)) }
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    _envoy: EnvoyConfig,
    config: ModuleConfig,
    stream: u64,
    chunks: *const EnvoyBuffer,
    count: usize,
    _end_of_stream: bool,
) {
    // SAFETY: Envoy made the array for this hook.
    unsafe { arrived(config, stream, chunks, count, |chunks| Arrived::Body(chunks)) }
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    _envoy: EnvoyConfig,
    config: ModuleConfig,
    stream: u64,
    trailers: *const EnvoyHeader,
    count: usize,
) {
    // SAFETY: Envoy made the array for this hook.
    unsafe { arrived(config, stream, trailers, count, |trailers| Arrived::Trailers(trailers)) }
}

/// # Safety
///
/// `parts` must be an array of Envoy's for this hook.
unsafe fn arrived<T>(
    config: ModuleConfig,
    stream: u64,
    parts: *const T,
    count: usize,
    part: impl FnOnce(&[T]) -> Arrived<'_>,
) {
    hook((), || {
        // SAFETY: see above; the configuration lives.
        let (config, parts) = unsafe {
            let parts = if parts.is_null() { &[] } else { std::slice::from_raw_parts(parts, count) };
            (Config::borrow(config), parts)
        };
        // SAFETY: the array is Envoy's, and so are its pointers.
        unsafe { calls::arrived(config.root, stream, &part(parts)) };
    });
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    _envoy: EnvoyConfig,
    config: ModuleConfig,
    stream: u64,
) {
    // SAFETY: it lives.
    unsafe { ended(config, stream, true) }
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    _envoy: EnvoyConfig,
    config: ModuleConfig,
    stream: u64,
    _reason: u32,
) {
    // SAFETY: it lives.
    unsafe { ended(config, stream, false) }
}

/// # Safety
///
/// The configuration must live.
unsafe fn ended(config: ModuleConfig, stream: u64, whole: bool) {
    hook((), || {
        // SAFETY: see above.
        let config = unsafe { Config::borrow(config) };
        if let Some(call) = calls::ended(config.root, stream, whole) {
            process::answered(call);
        }
    });
}
