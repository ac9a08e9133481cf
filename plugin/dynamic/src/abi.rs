//! Envoy's dynamic module ABI as the linker sees it, declared once: types, callbacks of Envoy, and those that only newer Envoys
//! have. `source/extensions/dynamic_modules/abi/abi.h` of Envoy describes them; nothing of it is copied.
//!
//! Envoy trusts a module and checks no pointer. What is said here of a pointer's life is Envoy's promise.

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

/// Envoy's object behind a filter's configuration; lives until the configuration's destroy hook.
pub type EnvoyConfig = *mut c_void;
/// Envoy's object behind a stream's filter; lives until the stream's destroy hook.
pub type EnvoyFilter = *mut c_void;
/// What we return for a configuration.
pub type ModuleConfig = *const c_void;
/// What we return for a stream.
pub type ModuleFilter = *const c_void;
/// Envoy's object that runs a hook of ours on the main thread; ours to delete.
pub type Scheduler = *mut c_void;

/// The version of the ABI that this file describes, as Envoy logs it.
pub const VERSION: &std::ffi::CStr = c"v0.2.0";

/// Bytes of Envoy's, borrowed until the hook returns or what they are of is changed.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct EnvoyBuffer {
    pub data: *const u8,
    pub size: usize,
}

impl EnvoyBuffer {
    pub const EMPTY: Self = Self { data: std::ptr::null(), size: 0 };

    /// The bytes.
    ///
    /// # Safety
    ///
    /// Envoy must have filled it during this hook, and the caller must not let the bytes outlive what they are of.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

/// Bytes of ours, which Envoy reads during a callback.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ModuleBuffer {
    pub data: *const u8,
    pub size: usize,
}

impl ModuleBuffer {
    /// No value, which removes a header.
    pub const NONE: Self = Self { data: std::ptr::null(), size: 0 };

    pub fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), size: bytes.len() }
    }
}

/// One header of a map of Envoy's.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct EnvoyHeader {
    pub key: EnvoyBuffer,
    pub value: EnvoyBuffer,
}

/// One header of ours.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ModuleHeader {
    pub key: ModuleBuffer,
    pub value: ModuleBuffer,
}

/// A map of headers.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum Map {
    Request = 0,
    Response = 2,
    ResponseTrailers = 3,
}

/// How urgent a log line is, those levels that we use.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum LogLevel {
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// An attribute of a stream by its number, those that we read.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum AttributeId {
    RequestProtocol = 10,
    ResponseCode = 15,
    ResponseCodeDetails = 16,
    ResponseFlags = 17,
    SourceAddress = 24,
    DestinationAddress = 26,
    ConnectionUriSanPeerCertificate = 37,
    UpstreamAddress = 41,
    UpstreamTlsVersion = 43,
    UpstreamTransportFailureReason = 52,
    XdsClusterName = 57,
    XdsListenerDirection = 59,
    XdsRouteName = 61,
}

/// What a callback that starts a request of ours, or changes a metric, answers where it worked.
pub const SUCCESS: u32 = 0;

/// Times of a stream, in nanoseconds: its first byte since 1970, then offsets to it, −1 where there is none. Longer than what Envoy
/// writes, in case that it ever writes more.
#[derive(Default)]
#[repr(C)]
pub struct Timing {
    pub started: i64,
    pub offsets: [i64; 31],
}

unsafe extern "C" {
    pub fn envoy_dynamic_module_callback_log(level: LogLevel, message: ModuleBuffer);
    pub fn envoy_dynamic_module_callback_log_enabled(level: LogLevel) -> bool;

    pub fn envoy_dynamic_module_callback_http_get_headers_size(filter: EnvoyFilter, map: Map) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_headers(
        filter: EnvoyFilter,
        map: Map,
        headers: *mut EnvoyHeader,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_add_header(
        filter: EnvoyFilter,
        map: Map,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_header(
        filter: EnvoyFilter,
        map: Map,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_send_response(
        filter: EnvoyFilter,
        status: u32,
        headers: *const ModuleHeader,
        headers_count: usize,
        body: ModuleBuffer,
        details: ModuleBuffer,
    );
    pub fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: EnvoyFilter,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: EnvoyFilter,
        attribute: AttributeId,
        value: *mut EnvoyBuffer,
    ) -> bool;
    pub fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: EnvoyFilter,
        attribute: AttributeId,
        value: *mut u64,
    ) -> bool;

    pub fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: EnvoyConfig,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_count: usize,
        id: *mut usize,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: EnvoyConfig,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_count: usize,
        id: *mut usize,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_define_histogram(
        config: EnvoyConfig,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_count: usize,
        id: *mut usize,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: EnvoyFilter,
        id: usize,
        labels: *const ModuleBuffer,
        labels_count: usize,
        value: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_increment_gauge(
        filter: EnvoyFilter,
        id: usize,
        labels: *const ModuleBuffer,
        labels_count: usize,
        value: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_decrement_gauge(
        filter: EnvoyFilter,
        id: usize,
        labels: *const ModuleBuffer,
        labels_count: usize,
        value: u64,
    ) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_set_gauge(
        filter: EnvoyFilter,
        id: usize,
        labels: *const ModuleBuffer,
        labels_count: usize,
        value: u64,
    ) -> u32;

    pub fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: EnvoyConfig) -> Scheduler;
    pub fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: Scheduler, event: u64);
    pub fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: Scheduler);
    pub fn envoy_dynamic_module_callback_http_filter_config_start_http_stream(
        config: EnvoyConfig,
        stream: *mut u64,
        cluster: ModuleBuffer,
        headers: *const ModuleHeader,
        headers_count: usize,
        body: ModuleBuffer,
        end_of_stream: bool,
        timeout_ms: u64,
    ) -> u32;
}

unsafe extern "C" {
    pub fn envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(config: EnvoyConfig);
}

/// Tells Envoy that we have finished, with what came beside it.
pub type Completion = unsafe extern "C" fn(*mut c_void);

/// A change of a metric by its configuration, on any thread: `(config, id, labels, labels_count, value)`.
pub type OfConfig = unsafe extern "C" fn(EnvoyConfig, usize, *const ModuleBuffer, usize, u64) -> u32;

/// Callbacks that the oldest supported Envoy does not have; each is looked up by its name.
pub struct Newer {
    /// 1.40.
    pub timing: Option<unsafe extern "C" fn(EnvoyFilter, *mut Timing) -> bool>,
    /// These five 1.39.
    pub increment_counter: Option<OfConfig>,
    pub increment_gauge: Option<OfConfig>,
    pub decrement_gauge: Option<OfConfig>,
    pub set_gauge: Option<OfConfig>,
    pub record_histogram: Option<OfConfig>,
}

/// The names of [`Newer`], in its order.
pub const NEWER_NAMES: [&std::ffi::CStr; 6] = [
    c"envoy_dynamic_module_callback_http_get_timing_info",
    c"envoy_dynamic_module_callback_http_filter_config_increment_counter",
    c"envoy_dynamic_module_callback_http_filter_config_increment_gauge",
    c"envoy_dynamic_module_callback_http_filter_config_decrement_gauge",
    c"envoy_dynamic_module_callback_http_filter_config_set_gauge",
    c"envoy_dynamic_module_callback_http_filter_config_record_histogram_value",
];

/// What this Envoy has of them.
pub fn newer() -> &'static Newer {
    static NEWER: OnceLock<Newer> = OnceLock::new();
    NEWER.get_or_init(|| {
        let [timing, increment_counter, increment_gauge, decrement_gauge, set_gauge, record_histogram] = NEWER_NAMES
            .map(|name| {
                // SAFETY: a search for a name among the symbols of the program and its libraries.
                unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) }
            });
        // SAFETY: each name has had this signature in every Envoy that exports it, and a null pointer is `None`.
        unsafe {
            Newer {
                timing: std::mem::transmute::<
                    *mut c_void,
                    Option<unsafe extern "C" fn(EnvoyFilter, *mut Timing) -> bool>,
                >(timing),
                increment_counter: std::mem::transmute::<*mut c_void, Option<OfConfig>>(increment_counter),
                increment_gauge: std::mem::transmute::<*mut c_void, Option<OfConfig>>(increment_gauge),
                decrement_gauge: std::mem::transmute::<*mut c_void, Option<OfConfig>>(decrement_gauge),
                set_gauge: std::mem::transmute::<*mut c_void, Option<OfConfig>>(set_gauge),
                record_histogram: std::mem::transmute::<*mut c_void, Option<OfConfig>>(record_histogram),
            }
        }
    })
}

unsafe extern "C" {
    /// POSIX; a null handle searches the program and all that it was started with.
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    /// Linux; glibc since 2.25.
    pub fn getrandom(buffer: *mut c_void, size: usize, flags: u32) -> isize;
}
