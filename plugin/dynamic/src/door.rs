//! The engine's door for a worker: clock, randomness, shared memory, metrics, log and calls.

use std::ffi::c_void;
use std::time::{SystemTime, UNIX_EPOCH};

use tracelift::door::{Attribute, Description, Host, Level, Part, Refused, Update, Wanted};

use super::abi::{self, LogLevel, ModuleBuffer};
use super::calls::{self, Answer};
use super::config::Config;
use super::{metrics, shared, worker};

/// Refuses a call outside the main thread: the exporting worker makes it on its next tick.
const NOT_HERE: u32 = 10;

/// A worker's process, for one hook.
pub struct Door<'a> {
    /// The configuration that the hook is about.
    config: Option<&'a Config>,
    /// On the main thread: the worker that a call is made for.
    owner: Option<u32>,
    /// The answer that has just come.
    answer: Option<&'a Answer>,
}

impl<'a> Door<'a> {
    /// For a hook of a stream, on any thread.
    pub fn stream(config: Option<&'a Config>) -> Self {
        Self { config, owner: None, answer: None }
    }

    /// For work on the main thread, for the worker of that number.
    pub fn main(config: &'a Config, owner: u32) -> Self {
        Self { config: Some(config), owner: Some(owner), answer: None }
    }

    /// The same, when an answer has come.
    pub fn answered(config: &'a Config, owner: u32, answer: &'a Answer) -> Self {
        Self { config: Some(config), owner: Some(owner), answer: Some(answer) }
    }
}

/// Unix time in nanoseconds.
#[allow(clippy::disallowed_methods, reason = "this is the host that the time comes from")]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// One line in Envoy's log.
pub fn log(level: Level, text: &str) {
    let level = match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    // SAFETY: Envoy reads the text during the call; any thread may log.
    unsafe {
        if abi::envoy_dynamic_module_callback_log_enabled(level) {
            abi::envoy_dynamic_module_callback_log(level, ModuleBuffer::of(text.as_bytes()));
        }
    }
}

impl Host for Door<'_> {
    fn now(&self) -> u64 {
        now()
    }

    fn random(&self, bytes: &mut [u8]) -> bool {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            // SAFETY: the kernel writes at most that many bytes there.
            let got = unsafe { abi::getrandom(rest.as_mut_ptr().cast::<c_void>(), rest.len(), 0) };
            match usize::try_from(got) {
                Ok(got) if 0 < got => filled = filled.saturating_add(got),
                _ => return false,
            }
        }
        true
    }

    fn shared(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Refused> {
        Ok(shared::get(key))
    }

    fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> Result<bool, Refused> {
        Ok(shared::swap(key, value, mark))
    }

    fn update<V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        _tries: usize,
        change: impl FnMut(Option<&[u8]>) -> Option<V>,
    ) -> Update {
        shared::update(key, change)
    }

    fn call(&self, cluster: &str, headers: &[(&[u8], &[u8])], body: &[u8], timeout_ms: u32) -> Result<u32, Refused> {
        match (self.config, self.owner) {
            (Some(config), Some(owner)) if !config.is_closing() => {
                calls::start(config, owner, cluster, headers, body, timeout_ms)
            }
            _ => Err(Refused(NOT_HERE)),
        }
    }

    fn answer_part(&self, part: Part) -> Vec<u8> {
        let Some(answer) = self.answer else { return Vec::new() };
        match part {
            Part::Headers => answer.headers.clone(),
            Part::Trailers => answer.trailers.clone(),
            Part::Body { max } => answer.body.get(..max).unwrap_or(&answer.body).to_vec(),
        }
    }

    fn as_root(&self, root: u32, _stream: u32, _work: impl FnOnce()) -> Result<(), Refused> {
        worker::collect(root); // The main thread sends, for all workers together.
        Ok(())
    }

    /// A tick is on the main thread, where a stream of a worker's must not be looked at.
    fn number_of(&self, _root: u32, _stream: u32, _attribute: Attribute) -> Option<i64> {
        None
    }

    fn tick_every(&self, milliseconds: u32) {
        if let Some(config) = self.config {
            config.tick_every(milliseconds);
        }
    }

    fn done(&self) {} // Envoy ends a configuration without asking.

    fn log(&self, level: Level, text: &str) {
        log(level, text);
    }

    fn define(&self, metric: Description) -> Option<u32> {
        metrics::place(metric.name)
    }

    fn add(&self, metric: u32, offset: i64) -> bool {
        self.config.is_some_and(|config| config.metrics.add(config.envoy, metric, offset))
    }

    fn record(&self, metric: u32, value: u64) {
        if let Some(config) = self.config {
            config.metrics.record(config.envoy, metric, value);
        }
    }

    fn prepare(&self, _root: u32, _wanted: &[Wanted]) {} // Each attribute has a getter.
}
