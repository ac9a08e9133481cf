//! The process part, on Envoy's main thread: the one exporter, and the ticks of all workers.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, TryLockError};

use tracelift::door::Level;
use tracelift::identity::{COMMIT, VERSION};
use tracelift::process::Worker;
use tracelift::shared::Arrival;

use super::calls::{self, Call};
use super::config::{self, Config, Event};
use super::door::{self, Door};
use super::guard::hook;
use super::{abi, farewell, faults, worker};

/// The number of the exporting worker, which has no streams.
pub const MAIN: u32 = 0;

static EXPORTING: LazyLock<Mutex<Worker>> = LazyLock::new(Mutex::default);
/// Answers that came while the main thread was busy with one of its hooks.
static LATE: Mutex<Vec<Call>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The exporting worker; `None` in a hook within a hook, because only the main thread ever takes it.
fn exporting() -> Option<MutexGuard<'static, Worker>> {
    match EXPORTING.try_lock() {
        Ok(worker) => Some(worker),
        Err(TryLockError::Poisoned(worker)) => Some(worker.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Logs which Tracelift starts here: one line a process.
pub fn announce() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let abi = abi::VERSION.to_string_lossy();
        door::log(Level::Info, &format!("tracelift {VERSION} (commit {COMMIT}, dynamic module ABI {abi})"));
    });
}

/// Reads and checks a configuration; `false` refuses it.
pub fn configure(config: &Config) -> bool {
    let accepted = exporting().is_some_and(|mut exporting| {
        let door = Door::main(config, MAIN);
        let accepted = exporting.configure(&door, config.root, config.setup());
        if !accepted {
            exporting.done(&door, config.root);
        }
        config.set_in_use(accepted);
        accepted
    });
    take_late();
    accepted
}

/// The main thread was woken.
pub fn woken(config: &Config, event: Event) {
    config.woken(event);
    faults::point("scheduled");
    if let Some(mut exporting) = exporting() {
        for slot in worker::all() {
            slot.asked.answer(config.root);
            let Some(mut worker) = slot.visit() else { continue };
            match event {
                _ if !worker.has_root(config.root) => {}
                Event::Tick => worker.tick_apart(&Door::main(config, slot.number), config.root, &mut exporting),
                Event::Collect => exporting.gather(config.root, &mut worker),
            }
        }
        let door = Door::main(config, MAIN);
        match event {
            Event::Tick => exporting.tick(&door, config.root),
            Event::Collect => exporting.send(&door, config.root),
        }
        config.metrics.count_panics(config.envoy);
    }
    take_late();
    farewell::look();
}

/// An answer has come, or will not: also in the middle of another hook, when it waits for that one's end.
pub fn answered(call: Call) {
    lock(&LATE).push(call);
    if exporting().is_some() {
        take_late();
    }
    farewell::look();
}

/// Sends all that waits and all that was counted, under every configuration.
pub fn flush() {
    let Some(mut exporting) = exporting() else { return };
    for config in config::all_in_use() {
        for slot in worker::all() {
            if let Some(mut worker) = slot.visit() {
                exporting.gather_all(&Door::main(&config, slot.number), config.root, &mut worker);
            }
        }
        exporting.send_all(&Door::main(&config, MAIN), config.root);
    }
}

/// Passes answers on until there are none.
fn take_late() {
    loop {
        let Some(call) = lock(&LATE).pop() else { break };
        if let Some(config) = config::find(call.root) {
            pass(&config, &call);
        }
    }
}

/// An answer over which its worker panics is one that never came: what it was about is sent again.
fn pass(config: &Config, call: &Call) {
    let passed = hook(false, || {
        faults::point("answer_ended");
        pass_once(config, call);
        true
    });
    if !passed {
        hook((), || pass_once(config, &call.without_answer()));
    }
}

fn pass_once(config: &Config, call: &Call) {
    let arrival =
        Arrival { token: call.token, has_headers: call.answer.has_headers, body_size: call.answer.body.len() };
    let door = Door::answered(config, call.owner, &call.answer);
    if call.owner == MAIN {
        if let Some(mut exporting) = exporting() {
            exporting.call_answered(&door, arrival);
        }
    } else if let Some(slot) = worker::all().iter().find(|slot| slot.number == call.owner) {
        slot.lock().call_answered(&door, arrival);
    }
}

/// A configuration ends, after its last stream. What it has queued is its successor's, or leaves now.
pub fn end(config: &Arc<Config>) {
    config.set_in_use(false); // No worker takes it up any more.
    let has_successor = config::has_other(config);
    if has_successor || worker::have_ended() {
        config.set_closing(); // No call is made any more: by another configuration instead, or not at all.
    }
    if has_successor {
        fail_all(config);
    }
    if let Some(mut exporting) = exporting() {
        for slot in worker::all() {
            let mut worker = slot.lock();
            if worker.has_root(config.root) {
                worker::take_up(&mut worker); // A successor, if there is one.
                exporting.gather(config.root, &mut worker);
                worker.done(&Door::main(config, slot.number), config.root);
            }
        }
        exporting.done(&Door::main(config, MAIN), config.root);
    }
    fail_all(config); // Envoy cancels them when this hook has returned.
}

fn fail_all(config: &Config) {
    for call in calls::abandoned(config.root) {
        pass(config, &call);
    }
}
