//! Requests of our own, and their answers while they come in. All on the main thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracelift::central;
use tracelift::door::Refused;
use tracelift::http::pairs;

use super::abi::{self, EnvoyBuffer, EnvoyHeader, ModuleBuffer, ModuleHeader, SUCCESS};
use super::config::Config;
use super::headers::View;

/// Bytes of an answer's body that are kept: as much as any reader of one wants, and one more, by which it is too long.
const BODY: usize = central::ANSWER_BYTES + 1;

/// An answer, as far as it came. Both maps are encoded as [`pairs`].
#[derive(Default)]
pub struct Answer {
    pub has_headers: bool,
    pub headers: Vec<u8>,
    pub trailers: Vec<u8>,
    pub body: Vec<u8>,
}

/// A request whose answer is awaited.
pub struct Call {
    /// The root of the configuration that it was made through.
    pub root: u32,
    /// Envoy's number within that configuration.
    stream: u64,
    /// The worker that waits for it; [`super::process::MAIN`] is the exporting one.
    pub owner: u32,
    /// By which its worker knows it.
    pub token: u32,
    pub answer: Answer,
}

static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

fn calls() -> MutexGuard<'static, Vec<Call>> {
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What of an answer came.
pub enum Arrived<'a> {
    Headers(&'a [EnvoyHeader]),
    Body(&'a [EnvoyBuffer]),
    Trailers(&'a [EnvoyHeader]),
}

/// Sends a request; its answer comes with the token. A stream of Envoy's, because its callouts show no trailers, where gRPC has
/// its status.
pub fn start(
    config: &Config,
    owner: u32,
    cluster: &str,
    headers: &[(&[u8], &[u8])],
    body: &[u8],
    timeout_ms: u32,
) -> Result<u32, Refused> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let header =
        |(key, value): &(&[u8], &[u8])| ModuleHeader { key: ModuleBuffer::of(key), value: ModuleBuffer::of(value) };
    let length = body.len().to_string();
    let length = (!body.is_empty()).then_some((b"content-length".as_slice(), length.as_bytes())); // Else HTTP/1.1 sends chunks.
    let headers: Vec<_> = headers.iter().chain(length.as_ref()).map(header).collect();
    let mut stream = 0;
    // SAFETY: on the main thread, with a configuration that lives; Envoy reads all of it during the call and writes one number.
    let status = unsafe {
        abi::envoy_dynamic_module_callback_http_filter_config_start_http_stream(
            config.envoy,
            &mut stream,
            ModuleBuffer::of(cluster.as_bytes()),
            headers.as_ptr(),
            headers.len(),
            ModuleBuffer::of(body),
            true,
            u64::from(timeout_ms.max(1)), // 0 would be none.
        )
    };
    if status != SUCCESS {
        return Err(Refused(reason(status)));
    }
    let token = NEXT.fetch_add(1, Ordering::Relaxed);
    calls().push(Call { root: config.root, stream, owner, token, answer: Answer::default() });
    Ok(token)
}

/// Envoy's reason in the numbers of proxy-wasm, which the engine's messages are written for: bad argument, internal failure.
fn reason(status: u32) -> u32 {
    const MISSING_HEADERS: u32 = 1;
    const NO_CLUSTER: u32 = 2;
    if matches!(status, MISSING_HEADERS | NO_CLUSTER) { 2 } else { 10 }
}

/// Whether no answer is awaited.
pub fn none_is_awaited() -> bool {
    calls().is_empty()
}

/// Keeps a part of an answer.
///
/// # Safety
///
/// Envoy must have made its pointers for this hook.
pub unsafe fn arrived(root: u32, stream: u64, part: &Arrived<'_>) {
    let mut calls = calls();
    let Some(call) = calls.iter_mut().find(|call| call.root == root && call.stream == stream) else { return };
    let answer = &mut call.answer;
    match part {
        Arrived::Headers(headers) => {
            answer.has_headers = true;
            answer.headers = pairs::encode(&View::new(headers).all());
        }
        Arrived::Trailers(trailers) => answer.trailers = pairs::encode(&View::new(trailers).all()),
        Arrived::Body(chunks) => {
            for chunk in *chunks {
                let room = BODY.saturating_sub(answer.body.len());
                // SAFETY: see above.
                let bytes = unsafe { chunk.bytes() };
                answer.body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
        }
    }
}

/// Nothing more comes. Without `whole` the call has failed, whatever came of it.
pub fn ended(root: u32, stream: u64, whole: bool) -> Option<Call> {
    let mut calls = calls();
    let place = calls.iter().position(|call| call.root == root && call.stream == stream)?;
    let mut call = calls.swap_remove(place);
    if !whole {
        call.answer = Answer::default();
    }
    Some(call)
}

/// Ends all calls that were made through a configuration: Envoy does not report what becomes of them.
pub fn abandoned(root: u32) -> Vec<Call> {
    let ours = |call: &mut Call| call.root == root;
    let mut calls = calls();
    let abandoned = calls.extract_if(.., ours);
    abandoned.map(|call| Call { answer: Answer::default(), ..call }).collect()
}
