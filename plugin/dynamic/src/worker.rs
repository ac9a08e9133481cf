//! The workers: one state for each thread of Envoy's that serves requests, which the main thread visits on a tick.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tracelift::door::Attribute;
use tracelift::process::Worker;

use super::bell::Bell;
use super::config::Config;
use super::door::{Door, now};
use super::running::Running;
use super::writes::Writes;
use super::{abi, config};

/// Attempts to visit a worker that is just serving a request, which takes microseconds.
const TRIES: usize = 100;
/// So many of them without pausing: then the worker may be waiting for the processor that this thread is on.
const SPINS: usize = 50;

/// Streams that are known to have ended.
const ENDED: usize = 64;

/// A worker, as the main thread knows it.
pub struct Slot {
    /// Its number; [`super::process::MAIN`] is none of them.
    pub number: u32,
    worker: Mutex<Worker>,
    /// The main thread was asked to come for what it has queued under that root.
    pub asked: Bell,
    /// Its streams, for the main thread.
    running: Running,
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
        for tried in 0..TRIES {
            match self.worker.try_lock() {
                Ok(worker) => return Some(worker),
                Err(TryLockError::Poisoned(worker)) => return Some(worker.into_inner()),
                Err(TryLockError::WouldBlock) if tried < SPINS => std::hint::spin_loop(),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
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
    /// Streams that ended as they should, each at the place of its number: Envoy destroys one a moment later, when others may have ended.
    ended: [Cell<u32>; ENDED],
    /// Of the configurations that it has taken up.
    generation: Cell<u64>,
    pub writes: RefCell<Writes>,
    /// The slot's list of running streams is kept.
    lists: Cell<bool>,
    /// The root whose queue the main thread is to come for when this hook has let go of the worker; 0 for none.
    full: Cell<u32>,
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
        let slot = Arc::new(Slot {
            number,
            worker: Mutex::default(),
            asked: Bell::new(),
            running: Running::default(),
            ended: AtomicBool::new(false),
        });
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&slot));
        Self {
            slot,
            entered: Cell::new(false),
            last_stream: Cell::new(0),
            ended: [const { Cell::new(0) }; ENDED],
            generation: Cell::new(0),
            writes: RefCell::default(),
            lists: Cell::new(abi::newer().timing.is_none()),
            full: Cell::new(0),
        }
    }

    /// When a stream began, as far as this module has seen it; Unix nanoseconds.
    pub fn started(&self, stream: u32) -> Option<i64> {
        self.slot.running.number(stream, Attribute::StartTime)
    }

    /// The head of a stream's request came; `direction` reads its listener's.
    pub fn requested(&self, stream: u32, direction: impl FnOnce() -> Option<i64>) {
        if self.lists.get() {
            self.slot.running.set_direction(stream, direction);
        }
    }

    /// Lets the main thread come for what this worker has queued. Once until it comes: each request asks that ends in the meantime.
    #[cold]
    fn call(&self) {
        let root = self.full.take();
        if self.slot.asked.ring(root) {
            config::wake(root, config::Event::Collect);
        }
    }

    /// A stream has ended, and the engine has let go of it.
    pub fn end(&self, stream: u32) {
        if self.lists.get() {
            self.slot.running.end(stream);
        }
        self.place(stream).set(stream);
    }

    /// Where it is known that a stream has ended, until one ends whose number is so many higher.
    #[allow(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn place(&self, stream: u32) -> &Cell<u32> {
        &self.ended[stream as usize % ENDED]
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
        let result = work(here, &mut here.slot.lock());
        if here.full.get() != 0 {
            here.call();
        }
        Some(result)
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
            if worker.has_application() {
                here.lists.set(true); // From now on, so that no stream is listed and not forgotten.
            }
        }
        let stream = here.last_stream.get().checked_add(1).unwrap_or(1);
        here.last_stream.set(stream);
        if here.lists.get() {
            here.slot.running.begin(stream, now());
        }
        worker.context_created(stream, config.root);
        stream
    })
}

/// Leaves nothing of a stream behind, however it ended. One that has just ended is not looked for again.
pub fn forget(stream: u32) {
    if !HERE.try_with(|here| here.place(stream).get() == stream).unwrap_or(false) {
        with((), |here, worker| {
            here.end(stream);
            worker.forget_stream(stream);
        });
    }
}

/// A number of a running stream of the worker with that number.
pub fn number_of(worker: u32, stream: u32, attribute: Attribute) -> Option<i64> {
    let slot = ALL.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|slot| slot.number == worker).cloned()?;
    slot.running.number(stream, attribute)
}

/// Lets the main thread come for what this worker has queued, as soon as it can be had: a thread that wakes may run at once in place of
/// this one, and would find the worker in the middle of its hook.
pub fn collect(root: u32) {
    // On a thread that ends, the next tick comes for it.
    let _ = HERE.try_with(|here| here.full.set(root));
}
