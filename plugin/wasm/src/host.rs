//! The one door to the host: hostcalls, clock and entropy. Bytes in, bytes out, and an error instead of a panic, because
//! a panic traps the VM with every stream on it.

use tracelift::door::Level;
use tracelift::http::pairs;

use super::abi::{self, Buffer, Map, Metric, Status};
use super::landing;

/// A hostcall that answered anything but `OK`.
pub type HostResult<T> = Result<T, Status>;

fn check(status: u32) -> HostResult<()> {
    if Status(status) == Status::OK { Ok(()) } else { Err(Status(status)) }
}

/// Takes over what the host wrote into memory that it asked our allocator for.
fn returned(status: u32, data: *mut u8, size: usize) -> HostResult<Vec<u8>> {
    check(status)?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: `data` came from `proxy_on_memory_allocate(size)`, a `Vec<u8>` of exactly this capacity, which was
    // forgotten there; the host filled all of it. It is not where values land: that was closed, or `lend` knew it.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Lets `read` look at what a hostcall returns; `None` when there is nothing. A short value is not allocated.
fn lend<T>(call: impl FnOnce(&mut *mut u8, &mut usize) -> u32, read: impl FnOnce(HostResult<Option<&[u8]>>) -> T) -> T {
    let opened = landing::open();
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    let status = call(&mut data, &mut size);
    if Status(status) == Status::OK
        && let Some(value) = opened.value(data, size)
    {
        return read(Ok(Some(value)));
    }
    match optional(returned(status, data, size)) {
        Ok(value) => read(Ok(value.as_deref())),
        Err(status) => read(Err(status)),
    }
}

/// Takes over what a hostcall returns; `None` when there is nothing.
fn keep(call: impl FnOnce(&mut *mut u8, &mut usize) -> u32) -> HostResult<Option<Vec<u8>>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    let status = call(&mut data, &mut size);
    optional(returned(status, data, size))
}

/// `NOT_FOUND` is an answer, not an error.
fn optional(result: HostResult<Vec<u8>>) -> HostResult<Option<Vec<u8>>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Status::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}

/// One log line. Level and text only: never a line per request.
pub fn log(level: Level, text: &str) {
    // SAFETY: the host reads `text` during the call only. A log line that cannot be written has nowhere to go.
    let _ = unsafe { abi::proxy_log(abi::level(level), text.as_ptr(), text.len()) };
}

/// Unix time in nanoseconds; 0 when the host will not tell, which makes a span of no length instead of a trap.
pub fn now() -> u64 {
    let mut time = 0;
    // SAFETY: the host writes one u64.
    match check(unsafe { abi::proxy_get_current_time_nanoseconds(&mut time) }) {
        Ok(()) => time,
        Err(_) => 0,
    }
}

/// Asks for `on_tick` every `milliseconds` (0: never) on the root context in effect.
pub fn set_tick_period(milliseconds: u32) -> HostResult<()> {
    // SAFETY: plain values.
    check(unsafe { abi::proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Makes later hostcalls act for this context, until the callback returns.
pub fn set_effective_context(context: u32) -> HostResult<()> {
    // SAFETY: plain values.
    check(unsafe { abi::proxy_set_effective_context(context) })
}

/// The context in effect, which had asked for time in `on_done`, needs no more.
pub fn done() -> HostResult<()> {
    // SAFETY: no arguments.
    check(unsafe { abi::proxy_done() })
}

/// Up to `max_size` bytes of a buffer; empty when there are none.
pub fn buffer(buffer: Buffer, max_size: usize) -> HostResult<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host writes one pointer and one size.
    let status = unsafe { abi::proxy_get_buffer_bytes(buffer as u32, 0, max_size, &mut data, &mut size) };
    Ok(optional(returned(status, data, size))?.unwrap_or_default())
}

/// All entries of a map, still in the host's encoding: see [`pairs`].
pub fn map_bytes(map: Map) -> HostResult<Vec<u8>> {
    Ok(keep(map_call(map))?.unwrap_or_default())
}

/// Lets `read` look at all entries of a map, in the same encoding. A map that is not there is an error.
pub fn with_map<T>(map: Map, read: impl FnOnce(HostResult<&[u8]>) -> T) -> T {
    lend(map_call(map), |bytes| read(bytes.and_then(|bytes| bytes.ok_or(Status::NOT_FOUND))))
}

fn map_call(map: Map) -> impl FnOnce(&mut *mut u8, &mut usize) -> u32 {
    // SAFETY: the host writes one pointer and one size.
    move |data, size| unsafe { abi::proxy_get_header_map_pairs(map as u32, data, size) }
}

/// Lets `read` look at the first value of that name, or at `None`. `name` is in lower case.
pub fn with_header<T>(map: Map, name: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
    lend(header_call(map, name), |value| read(value.ok().flatten()))
}

fn header_call(map: Map, name: &str) -> impl FnOnce(&mut *mut u8, &mut usize) -> u32 {
    // SAFETY: the host reads `name` during the call and writes one pointer and one size.
    move |data, size| unsafe { abi::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size) }
}

/// Leaves exactly one entry of that name, with this value. The value must be fit for a header: Envoy fails the whole
/// request over a CR or LF.
pub fn replace_header(map: Map, name: &str, value: &[u8]) -> HostResult<()> {
    // SAFETY: the host reads both during the call.
    check(unsafe {
        abi::proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Puts one more entry of that name behind those that are there. The value must be fit for a header.
pub fn add_header(map: Map, name: &str, value: &[u8]) -> HostResult<()> {
    // SAFETY: the host reads both during the call.
    check(unsafe {
        abi::proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Leaves no entry of that name.
pub fn remove_header(map: Map, name: &str) -> HostResult<()> {
    // SAFETY: the host reads `name` during the call.
    match check(unsafe { abi::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) }) {
        Err(Status::NOT_FOUND) => Ok(()),
        result => result,
    }
}

/// A property's bytes; `path` has its parts joined by NUL. `None` when it is not there in this phase.
pub fn property(path: &str) -> HostResult<Option<Vec<u8>>> {
    keep(property_call(path.as_bytes()))
}

/// Lets `read` look at a property's bytes; `None` where it is not there, for whatever reason.
pub fn with_property<T>(path: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
    lend(property_call(path.as_bytes()), |value| read(value.ok().flatten()))
}

fn property_call(path: &[u8]) -> impl FnOnce(&mut *mut u8, &mut usize) -> u32 {
    // SAFETY: the host reads `path` during the call and writes one pointer and one size.
    move |data, size| unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), data, size) }
}

/// Lets `read` look at what a function that only some hosts have returns. `None` when it fails or returns nothing, or this host
/// has none of that name.
pub fn with_foreign<T>(name: &str, argument: &[u8], read: impl FnOnce(Option<&[u8]>) -> T) -> T {
    // SAFETY: the host reads `name` and `argument` during the call and writes one pointer and one size.
    let call = |data: &mut _, size: &mut _| unsafe {
        abi::proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), data, size)
    };
    lend(call, |value| read(value.ok().flatten()))
}

/// Writes filter state `wasm.<key>`, which an access log can read. A key has no NUL.
pub fn set_filter_state(key: &str, value: &str) -> HostResult<()> {
    // SAFETY: the host reads both during the call.
    check(unsafe { abi::proxy_set_property(key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
}

/// A value that all VMs of this process share, with the token that guards a change of it.
pub fn shared(key: &[u8]) -> HostResult<Option<(Vec<u8>, u32)>> {
    let (mut data, mut size, mut cas) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: the host reads `key` during the call and writes one pointer, one size and one u32.
    let status = unsafe { abi::proxy_get_shared_data(key.as_ptr(), key.len(), &mut data, &mut size, &mut cas) };
    Ok(optional(returned(status, data, size))?.map(|value| (value, cas)))
}

/// Changes a shared value if nobody else has since `cas` was read; `Ok(false)` when somebody has.
/// `cas` 0 writes whatever is there: the very first write cannot be guarded.
pub fn set_shared(key: &[u8], value: &[u8], cas: u32) -> HostResult<bool> {
    // SAFETY: the host reads both during the call.
    match check(unsafe { abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }) {
        Ok(()) => Ok(true),
        Err(Status::CAS_MISMATCH) => Ok(false),
        Err(status) => Err(status),
    }
}

/// Sends a request of our own; the answer comes to the root context in effect, with this token. `headers` is encoded by
/// [`pairs::encode`]. A timeout of 0 would be none.
pub fn http_call(cluster: &str, headers: &[u8], body: &[u8], timeout_milliseconds: u32) -> HostResult<u32> {
    let mut token = 0;
    let no_trailers = 0_u32.to_le_bytes();
    // SAFETY: the host reads all of it during the call and writes one u32.
    check(unsafe {
        abi::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            no_trailers.as_ptr(),
            no_trailers.len(),
            timeout_milliseconds.max(1),
            &mut token,
        )
    })?;
    Ok(token)
}

/// Answers the request at hand without a body, in place of the upstream; `details` is for the access log. Only in a request
/// callback, which must then stop the iteration.
pub fn send_local_response(status: u32, details: &str, headers: &[(&[u8], &[u8])]) -> HostResult<()> {
    const NO_GRPC_STATUS: i32 = -1;
    let headers = pairs::encode(headers);
    // SAFETY: the host reads all of it during the call.
    check(unsafe {
        abi::proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            [].as_ptr(),
            0,
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// The id of a metric in this process; the same name gives the same metric in every VM.
pub fn define_metric(kind: Metric, name: &str) -> HostResult<u32> {
    let mut id = 0;
    // SAFETY: the host reads `name` during the call and writes one u32.
    check(unsafe { abi::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

/// Adds to a counter (above 0 only) or a gauge (either way).
pub fn increment_metric(id: u32, offset: i64) -> HostResult<()> {
    // SAFETY: plain values.
    check(unsafe { abi::proxy_increment_metric(id, offset) })
}

/// Records one value of a histogram.
pub fn record_metric(id: u32, value: u64) -> HostResult<()> {
    // SAFETY: plain values.
    check(unsafe { abi::proxy_record_metric(id, value) })
}

/// Most bytes of an environment, and most variables in it.
const ENVIRONMENT: usize = 1 << 20;

/// The VM's environment variables, `NAME=value`, each with a NUL behind; `None` when the host refuses. Asked without the C
/// library, which would end the VM then.
pub fn environment() -> Option<Vec<u8>> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: the host writes two sizes.
    let status = unsafe { abi::environ_sizes_get(&mut count, &mut size) };
    if status != 0 || ENVIRONMENT < count || ENVIRONMENT < size {
        return None;
    }
    let mut starts = vec![std::ptr::null_mut(); count];
    let mut text = vec![0; size];
    // SAFETY: the host writes as many pointers and bytes as it has just said.
    let status = unsafe { abi::environ_get(starts.as_mut_ptr(), text.as_mut_ptr()) };
    (status == 0).then_some(text)
}

/// Fills `bytes` from the system's random source, by way of the host.
pub fn entropy(bytes: &mut [u8]) -> bool {
    // SAFETY: the host writes exactly these bytes.
    unsafe { abi::random_get(bytes.as_mut_ptr(), bytes.len()) == 0 }
}
