//! One configuration of the filter, as all threads know it: one for each listener and version of it.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracelift::config::Environment;
use tracelift::process::Setup;

use super::abi::{self, EnvoyConfig, ModuleConfig, Scheduler};
use super::metrics::Metrics;
use super::{node, ticker};

/// What the main thread is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A worker has a batch.
    Collect,
}

impl Event {
    const TICK: u64 = 1;

    /// As Envoy returns it.
    pub fn of(number: u64) -> Self {
        if number == Self::TICK { Self::Tick } else { Self::Collect }
    }
}

/// Stays in place until its destroy hook.
pub struct Config {
    /// The engine's number for it; 0 is none.
    pub root: u32,
    /// The filter's name in Envoy's configuration.
    pub name: String,
    /// Envoy's side.
    pub envoy: EnvoyConfig,
    pub metrics: Metrics,
    bytes: Vec<u8>,
    scheduler: Scheduler,
    /// Milliseconds between two ticks; 0 for none.
    tick_ms: AtomicU64,
    ticks: AtomicBool,
    collects: AtomicBool,
    /// It was accepted and has not ended: every worker takes it up.
    in_use: AtomicBool,
    /// A later configuration does its work: it makes no more calls.
    closing: AtomicBool,
}

// SAFETY: Envoy's pointers are used from other threads for metrics and the scheduler only, which Envoy allows from any.
unsafe impl Send for Config {}
// SAFETY: as above.
unsafe impl Sync for Config {}

static ALL: Mutex<Vec<Arc<Config>>> = Mutex::new(Vec::new());
/// Counts configurations that came into use, so that a worker sees with one look that there are new ones.
static GENERATION: AtomicU64 = AtomicU64::new(0);

fn all() -> MutexGuard<'static, Vec<Arc<Config>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Config {
    /// Makes one and lets everyone know it. On the main thread, while Envoy's hook for it runs.
    pub fn open(envoy: EnvoyConfig, name: &[u8], bytes: &[u8]) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let config = Arc::new(Self {
            root: NEXT.fetch_add(1, Ordering::Relaxed),
            name: String::from_utf8_lossy(name).into_owned(),
            envoy,
            metrics: Metrics::define(envoy),
            bytes: bytes.to_vec(),
            // SAFETY: Envoy's configuration lives; the scheduler is deleted in `close`.
            scheduler: unsafe { abi::envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy) },
            tick_ms: AtomicU64::new(0),
            ticks: AtomicBool::new(false),
            collects: AtomicBool::new(false),
            in_use: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        all().push(Arc::clone(&config));
        config
    }

    /// It is found no more, and the main thread is not woken for it.
    pub fn close(&self) {
        {
            let mut all = all();
            all.retain(|config| config.root != self.root);
            // SAFETY: made in `open`, and what could use it can no longer find it.
            unsafe { abi::envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.scheduler) };
        }
        set_ticker();
    }

    /// The pointer that Envoy keeps for us.
    pub fn into_envoy(self: Arc<Self>) -> ModuleConfig {
        Arc::into_raw(self).cast::<c_void>()
    }

    /// What Envoy keeps, borrowed for a hook.
    ///
    /// # Safety
    ///
    /// `pointer` must come from [`Self::into_envoy`], and its destroy hook must not have returned.
    pub unsafe fn borrow<'a>(pointer: ModuleConfig) -> &'a Self {
        // SAFETY: see above.
        unsafe { &*pointer.cast::<Self>() }
    }

    /// Takes back what Envoy kept.
    ///
    /// # Safety
    ///
    /// As for [`Self::borrow`], and only in the destroy hook.
    pub unsafe fn from_envoy(pointer: ModuleConfig) -> Arc<Self> {
        // SAFETY: see above.
        unsafe { Arc::from_raw(pointer.cast::<Self>()) }
    }

    /// What the engine reads the configuration from, anew for each worker.
    pub fn setup(&self) -> Setup {
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Setup {
            configuration: Ok(self.bytes.clone()),
            environment: variables.collect::<Environment>(),
            node: node::metadata(),
            plugin: self.name.clone(),
        }
    }

    /// Ticks at this interval from now on.
    pub fn tick_every(&self, milliseconds: u32) {
        if self.tick_ms.swap(u64::from(milliseconds), Ordering::Relaxed) != u64::from(milliseconds) {
            set_ticker();
        }
    }

    /// It was accepted, or it ends.
    pub fn set_in_use(&self, in_use: bool) {
        self.in_use.store(in_use, Ordering::Release);
        if in_use {
            GENERATION.fetch_add(1, Ordering::Release);
        }
    }

    /// From now on another configuration makes the calls.
    pub fn set_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::set_closing`] was called.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Wakes the main thread, unless it was woken for the same and has not looked yet.
    fn wake(&self, event: Event) {
        let (flag, number) = match event {
            Event::Tick => (&self.ticks, Event::TICK),
            Event::Collect => (&self.collects, Event::TICK.saturating_add(1)),
        };
        if !flag.swap(true, Ordering::AcqRel) {
            // SAFETY: the caller found this configuration among all, so that its scheduler was not deleted.
            unsafe { abi::envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.scheduler, number) };
        }
    }

    /// The main thread looks now.
    pub fn woken(&self, event: Event) {
        match event {
            Event::Tick => self.ticks.store(false, Ordering::Release),
            Event::Collect => self.collects.store(false, Ordering::Release),
        }
    }
}

/// Wakes the main thread for a configuration, if it is still there.
pub fn wake(root: u32, event: Event) {
    if let Some(config) = all().iter().find(|config| config.root == root) {
        config.wake(event);
    }
}

/// Wakes the main thread for all of them.
pub fn wake_all() {
    for config in all().iter().filter(|config| config.tick_ms.load(Ordering::Relaxed) != 0) {
        config.wake(Event::Tick);
    }
}

/// A configuration that is in use.
pub fn find(root: u32) -> Option<Arc<Config>> {
    all().iter().find(|config| config.root == root).map(Arc::clone)
}

/// All configurations that are in use.
pub fn all_in_use() -> Vec<Arc<Config>> {
    all().iter().filter(|config| config.in_use.load(Ordering::Acquire)).map(Arc::clone).collect()
}

/// Changes when [`all_in_use`] has a new one.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Whether another configuration of that filter is in use.
pub fn has_other(than: &Config) -> bool {
    all().iter().any(|config| config.root != than.root && config.name == than.name)
}

fn set_ticker() {
    let ticks = |config: &Arc<Config>| Some(config.tick_ms.load(Ordering::Relaxed)).filter(|ms| *ms != 0);
    let every = all().iter().filter_map(ticks).min();
    ticker::every(every.unwrap_or(0));
}
