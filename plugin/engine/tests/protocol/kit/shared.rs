//! What the workers of a process share: values by key, each with a mark that changes with it.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// A value with its mark.
type Marked = (Vec<u8>, u32);

/// Shared values, as proxy-wasm's shared data behaves: no deletion, mark 0 writes whatever is there.
#[derive(Debug, Default)]
pub struct SharedData {
    values: RefCell<BTreeMap<Vec<u8>, Marked>>,
}

impl SharedData {
    /// The value and its mark.
    pub fn get(&self, key: &[u8]) -> Option<Marked> {
        self.values.borrow().get(key).cloned()
    }

    /// Writes, unless the mark is out of date.
    pub fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> bool {
        let mut values = self.values.borrow_mut();
        let known = values.get(key).map_or(0, |(_, known)| *known);
        if mark != 0 && mark != known {
            return false;
        }
        values.insert(key.to_vec(), (value.to_vec(), known.wrapping_add(1).max(1)));
        true
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.values.borrow().keys().cloned().collect()
    }
}
