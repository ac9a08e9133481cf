//! What the workers share: plain memory in shards, each behind a lock that is held for one look or one change. It outlives
//! configurations, and is the process's as proxy-wasm's shared data is.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracelift::door::Update;

/// Enough that two workers seldom meet: verdicts have 4,096 keys, which spread over all shards.
const SHARDS: usize = 64;

/// Values by key, each with the mark that guards a change of it.
type Values = HashMap<Vec<u8>, (Vec<u8>, u32), BuildHasherDefault<DefaultHasher>>;

struct Shard {
    /// Values in it: a shard that was never written is not locked.
    len: AtomicUsize,
    values: Mutex<Values>,
}

static ALL: [Shard; SHARDS] =
    [const { Shard { len: AtomicUsize::new(0), values: Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) } };
        SHARDS];

impl Shard {
    fn of(key: &[u8]) -> Option<&'static Self> {
        // FNV-1a: keys are few and of our own making.
        let hash = key
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        ALL.get((hash >> 32) as usize % SHARDS)
    }

    fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, values: &mut Values, key: &[u8], value: &[u8]) {
        match values.get_mut(key) {
            Some((old, mark)) => {
                old.clear();
                old.extend_from_slice(value);
                *mark = mark.wrapping_add(1).max(1);
            }
            None => {
                values.insert(key.to_vec(), (value.to_vec(), 1));
                self.len.store(values.len(), Ordering::Release);
            }
        }
    }
}

/// A value and its mark.
pub fn get(key: &[u8]) -> Option<(Vec<u8>, u32)> {
    let shard = Shard::of(key)?;
    if shard.len.load(Ordering::Acquire) == 0 {
        return None;
    }
    shard.lock().get(key).cloned()
}

/// Changes a value if its mark is still this one; mark 0 changes it in any case.
pub fn swap(key: &[u8], value: &[u8], mark: u32) -> bool {
    let Some(shard) = Shard::of(key) else { return false };
    let mut values = shard.lock();
    let fits = mark == 0 || values.get(key).is_some_and(|(_, found)| *found == mark);
    if fits {
        shard.write(&mut values, key, value);
    }
    fits
}

/// Changes a value in one go: no other worker comes in between, so that there is nothing to try again.
pub fn update<V: AsRef<[u8]>>(key: &[u8], change: impl FnOnce(Option<&[u8]>) -> Option<V>) -> Update {
    let Some(shard) = Shard::of(key) else { return Update::Failed };
    let mut values = shard.lock();
    match change(values.get(key).map(|(value, _)| value.as_slice())) {
        Some(next) => {
            shard.write(&mut values, key, next.as_ref());
            Update::Changed
        }
        None => Update::Left,
    }
}
