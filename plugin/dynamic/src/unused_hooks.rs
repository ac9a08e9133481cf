//! Hooks that Envoy demands of every HTTP filter and that this one has no use for. They are never called, but for those of a
//! request's body and trailers, and of watermarks.

use super::abi::{EnvoyBuffer, EnvoyFilter, EnvoyHeader, ModuleFilter};

const CONTINUE: u32 = 0;

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(_: EnvoyFilter, _: ModuleFilter, _: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(_: EnvoyFilter, _: ModuleFilter) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _: EnvoyFilter,
    _: ModuleFilter,
    _: u64,
    _: u32,
    _: *const EnvoyHeader,
    _: usize,
    _: *const EnvoyBuffer,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _: EnvoyFilter,
    _: ModuleFilter,
    _: u64,
    _: *const EnvoyHeader,
    _: usize,
    _: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _: EnvoyFilter,
    _: ModuleFilter,
    _: u64,
    _: *const EnvoyBuffer,
    _: usize,
    _: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _: EnvoyFilter,
    _: ModuleFilter,
    _: u64,
    _: *const EnvoyHeader,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(_: EnvoyFilter, _: ModuleFilter, _: u64) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(_: EnvoyFilter, _: ModuleFilter, _: u64, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(_: EnvoyFilter, _: ModuleFilter, _: u64) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _: EnvoyFilter,
    _: ModuleFilter,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _: EnvoyFilter,
    _: ModuleFilter,
) {
}
