//! A part of what the workers share: values by key, behind a lock that is held for one look or one change, and in front of it a word
//! that says which keys may be there. What was never written, as for nearly every request, is not looked for under a lock.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::sync::PoisonError;

use tracelift::door::Update;

use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// Values by key, each with the mark that guards a change of it.
type Values = HashMap<Vec<u8>, (Vec<u8>, u32), BuildHasherDefault<DefaultHasher>>;

/// Some of the keys.
pub struct Shard {
    /// The classes of all keys that were ever written; a bit is set by the writer, under the lock, and stays.
    present: AtomicU64,
    values: Mutex<Values>,
}

/// One of 64 classes of the keys of a shard.
#[derive(Clone, Copy)]
pub struct Class(pub u8);

impl Class {
    fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, values: &mut Values, class: Class, key: &[u8], value: &[u8]) {
        match values.get_mut(key) {
            Some((old, mark)) => {
                old.clear();
                old.extend_from_slice(value);
                *mark = mark.wrapping_add(1).max(1);
            }
            None => {
                values.insert(key.to_vec(), (value.to_vec(), 1));
                self.present.fetch_or(class.bit(), Ordering::Release);
            }
        }
    }

    /// A value and its mark.
    pub fn get(&self, class: Class, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        if self.present.load(Ordering::Acquire) & class.bit() == 0 {
            return None;
        }
        self.lock().get(key).cloned()
    }

    /// Changes a value if its mark is still this one; mark 0 changes it in any case.
    pub fn swap(&self, class: Class, key: &[u8], value: &[u8], mark: u32) -> bool {
        let mut values = self.lock();
        let fits = mark == 0 || values.get(key).is_some_and(|(_, found)| *found == mark);
        if fits {
            self.write(&mut values, class, key, value);
        }
        fits
    }

    /// Changes a value in one go: no other worker comes in between, so that there is nothing to try again.
    pub fn update<V: AsRef<[u8]>>(
        &self,
        class: Class,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Option<V>,
    ) -> Update {
        let mut values = self.lock();
        match change(values.get(key).map(|(value, _)| value.as_slice())) {
            Some(next) => {
                self.write(&mut values, class, key, next.as_ref());
                Update::Changed
            }
            None => Update::Left,
        }
    }
}

#[cfg(not(loom))]
impl Shard {
    /// With nothing in it.
    pub const fn new() -> Self {
        Self { present: AtomicU64::new(0), values: Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) }
    }
}

#[cfg(loom)]
impl Shard {
    /// With nothing in it.
    pub fn new() -> Self {
        Self { present: AtomicU64::new(0), values: Mutex::new(HashMap::default()) }
    }
}
