//! Models of what Envoy's threads share: loom runs each with every order of its threads' steps that matters, and with every value
//! that a weakly ordered memory may show. `cargo xtask test --only dynamic` compiles them with `--cfg loom`.
#![cfg(loom)]

#[path = "../src/bell.rs"]
mod bell;
#[path = "../src/shard.rs"]
mod shard;
#[path = "../src/sync.rs"]
mod sync;

use bell::Bell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use shard::{Class, Shard};
use tracelift::door::Update;

const KEY: &[u8] = b"budget";
const CLASS: Class = Class(7);

fn count(value: Option<&[u8]>) -> u8 {
    value.and_then(|value| value.first().copied()).unwrap_or(0)
}

fn add_one(shard: &Shard) {
    assert_eq!(shard.update(CLASS, KEY, |value| Some([count(value) + 1])), Update::Changed);
}

#[test]
fn two_workers_that_charge_one_budget_are_both_counted() {
    loom::model(|| {
        let shard = Arc::new(Shard::new());
        let other = Arc::clone(&shard);
        let worker = thread::spawn(move || add_one(&other));
        add_one(&shard);
        worker.join().unwrap();
        let (value, mark) = shard.get(CLASS, KEY).unwrap();
        assert_eq!((value, mark), (vec![2], 2));
    });
}

#[test]
fn of_two_workers_that_swap_the_same_value_one_wins_and_the_other_is_refused() {
    loom::model(|| {
        let shard = Arc::new(Shard::new());
        add_one(&shard);
        let (_, mark) = shard.get(CLASS, KEY).unwrap();
        let other = Arc::clone(&shard);
        let worker = thread::spawn(move || other.swap(CLASS, KEY, b"a", mark));
        let here = shard.swap(CLASS, KEY, b"b", mark);
        let there = worker.join().unwrap();
        assert!(here != there);
        assert_eq!(shard.get(CLASS, KEY).unwrap().0, if here { b"b" } else { b"a" });
    });
}

#[test]
fn a_worker_that_hears_of_a_verdict_finds_it_though_it_looks_without_a_lock_first() {
    loom::model(|| {
        let (shard, heard) = (Arc::new(Shard::new()), Arc::new(AtomicU32::new(0)));
        let (other, said) = (Arc::clone(&shard), Arc::clone(&heard));
        let worker = thread::spawn(move || {
            add_one(&other);
            said.store(1, Ordering::Release);
        });
        let knows = heard.load(Ordering::Acquire) == 1;
        let found = shard.get(CLASS, KEY);
        assert!(found.is_some() || !knows);
        assert!(found.is_none_or(|(value, mark)| (value, mark) == (vec![1], 1)));
        worker.join().unwrap();
    });
}

/// What a worker has queued lies behind the lock that the main thread takes to come for it.
#[test]
fn a_batch_that_was_queued_is_fetched_though_only_the_first_ring_wakes_the_main_thread() {
    loom::model(|| {
        let (bell, queue, wakes) =
            (Arc::new(Bell::new()), Arc::new(loom::sync::Mutex::new(0)), Arc::new(AtomicU32::new(0)));
        let worker = {
            let (bell, queue, wakes) = (Arc::clone(&bell), Arc::clone(&queue), Arc::clone(&wakes));
            thread::spawn(move || {
                for _ in 0..2 {
                    *queue.lock().unwrap() += 1;
                    if bell.ring(1) {
                        wakes.fetch_add(1, Ordering::AcqRel);
                    }
                }
            })
        };
        // The main thread, in the middle of which another batch may be queued.
        if wakes.load(Ordering::Acquire) != 0 {
            wakes.fetch_sub(1, Ordering::AcqRel);
            bell.answer(1);
            *queue.lock().unwrap() = 0;
        }
        worker.join().unwrap();
        let waits = *queue.lock().unwrap();
        assert!(waits == 0 || 0 < wakes.load(Ordering::Acquire), "{waits} wait, and the main thread is not coming");
    });
}

#[test]
fn two_configurations_that_ring_one_bell_are_both_served() {
    loom::model(|| {
        let bell = Arc::new(Bell::new());
        let other = Arc::clone(&bell);
        let worker = thread::spawn(move || [other.ring(1), other.ring(2), other.ring(1)]);
        bell.answer(1);
        let rung = worker.join().unwrap();
        // The main thread was woken for both, and for the first one again, unless it has not looked since.
        assert_eq!(rung, [true, true, true]);
        bell.answer(1);
        assert!(bell.ring(1) && !bell.ring(1) && bell.ring(2));
    });
}
