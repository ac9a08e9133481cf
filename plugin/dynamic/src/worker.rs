//! The workers: one state for each thread of Envoy's that serves requests, which the main thread visits on a tick.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tracelift::process::Worker;

use super::config::Config;
use super::door::{Door, now};
use super::writes::Writes;
use super::{abi, config};

/// Attempts to visit a worker that is just serving a request, which takes microseconds.
const TRIES: usize = 1000;

/// A worker, as the main thread knows it.
pub struct Slot {
    /// Its number; [`super::process::MAIN`] is none of them.
    pub number: u32,
    worker: Mutex<Worker>,
    /// Its thread has ended.
    ended: AtomicBool,
}

static ALL: Mutex<Vec<Arc<Slot>>> = Mutex::new(Vec::new());

/// Whether there were workers and all have ended: Envoy exits, and its clusters are gone before its configurations.
pub fn have_ended() -> bool {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    !all.is_empty() && all.iter().all(|slot| slot.ended.load(Ordering::Acquire))
}

/// All workers that have served a request.
pub fn all() -> Vec<Arc<Slot>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Slot {
    /// A panic that left it half changed has cost a stream or a count, no more: the engine keeps no promise to unsafe code.
    pub fn lock(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its state, unless it is busy all the time.
    pub fn visit(&self) -> Option<MutexGuard<'_, Worker>> {
        for _ in 0..TRIES {
            match self.worker.try_lock() {
                Ok(worker) => return Some(worker),
                Err(TryLockError::Poisoned(worker)) => return Some(worker.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

/// What this thread knows.
pub struct Here {
    slot: Arc<Slot>,
    /// A hook of ours runs.
    entered: Cell<bool>,
    last_stream: Cell<u32>,
    /// Of the configurations that it has taken up.
    generation: Cell<u64>,
    pub writes: RefCell<Writes>,
    /// When streams began, Unix nanoseconds, where Envoy does not say it.
    started: RefCell<HashMap<u32, u64>>,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.slot.ended.store(true, Ordering::Release);
    }
}

thread_local! {
    static HERE: Here = Here::new();
}

impl Here {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot { number, worker: Mutex::default(), ended: AtomicBool::new(false) });
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&slot));
        Self {
            slot,
            entered: Cell::new(false),
            last_stream: Cell::new(0),
            generation: Cell::new(0),
            writes: RefCell::default(),
            started: RefCell::default(),
        }
    }

    /// When a stream began, as far as this module has seen it.
    pub fn started(&self, stream: u32) -> Option<u64> {
        self.started.try_borrow().ok()?.get(&stream).copied()
    }

    /// A stream has ended.
    pub fn forget(&self, stream: u32) {
        if abi::newer().timing.is_none()
            && let Ok(mut started) = self.started.try_borrow_mut()
        {
            started.remove(&stream);
        }
    }
}

/// Leaves [`with`], also when a hook panics.
struct Leave<'a>(&'a Here);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.entered.set(false);
    }
}

/// Runs a hook on this thread's worker. A hook within a hook gets `otherwise`, as does one on a thread that ends.
pub fn with<T>(otherwise: T, work: impl FnOnce(&Here, &mut Worker) -> T) -> T {
    let entered = HERE.try_with(|here| {
        if here.entered.replace(true) {
            return None;
        }
        let _leave = Leave(here);
        Some(work(here, &mut here.slot.lock()))
    });
    entered.ok().flatten().unwrap_or(otherwise)
}

/// Takes up what is in use and new to a worker: the listeners of a pod are judged together, whichever of them it serves.
pub fn take_up(worker: &mut Worker) {
    for config in config::all_in_use() {
        if !worker.has_root(config.root) {
            // It was checked on the main thread, which waits for this worker before it ends one that is in use.
            let _ = worker.configure(&Door::stream(Some(&config)), config.root, config.setup());
        }
    }
}

/// A new stream under a configuration.
pub fn begin(config: &Config) -> u32 {
    with(0, |here, worker| {
        let generation = config::generation();
        if here.generation.replace(generation) != generation {
            take_up(worker);
        }
        let stream = here.last_stream.get().checked_add(1).unwrap_or(1);
        here.last_stream.set(stream);
        if abi::newer().timing.is_none()
            && let Ok(mut started) = here.started.try_borrow_mut()
        {
            started.insert(stream, now());
        }
        worker.context_created(stream, config.root);
        stream
    })
}

/// Lets the main thread come for what a worker has queued.
pub fn collect(root: u32) {
    config::wake(root, config::Event::Collect);
}
