//! Changes of headers that wait until the map is not being read: a change may move what a view points to.

use super::abi::{self, EnvoyFilter, Map, ModuleBuffer};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One more entry.
    Add,
    /// Exactly one entry.
    Replace,
    /// No entry.
    Remove,
}

struct Write {
    map: Map,
    change: Change,
    key: usize,
    value: usize,
}

/// One worker's; its memory is used again.
#[derive(Default)]
pub struct Writes {
    list: Vec<Write>,
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
}

impl Writes {
    /// Remembers a change.
    pub fn push(&mut self, map: Map, change: Change, key: &str, value: &[u8]) {
        self.list.push(Write { map, change, key: key.len(), value: value.len() });
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// Makes all changes, in order. A map that could be read can be changed.
    pub fn apply(&mut self, filter: EnvoyFilter) {
        let mut rest = self.bytes.as_slice();
        for write in &self.list {
            let Some((key, behind)) = rest.split_at_checked(write.key) else { break };
            let Some((value, behind)) = behind.split_at_checked(write.value) else { break };
            rest = behind;
            let _ = apply(filter, write.map, write.change, key, value);
        }
        self.clear();
    }

    /// Forgets changes that a hook left behind when it panicked.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }
}

/// Makes one change; `false` where there is no such map now.
pub fn apply(filter: EnvoyFilter, map: Map, change: Change, key: &[u8], value: &[u8]) -> bool {
    let (key, value) = (ModuleBuffer::of(key), ModuleBuffer::of(value));
    // SAFETY: the stream lives while its hook runs, and Envoy reads both during the call.
    unsafe {
        match change {
            Change::Add => abi::envoy_dynamic_module_callback_http_add_header(filter, map, key, value),
            Change::Replace => abi::envoy_dynamic_module_callback_http_set_header(filter, map, key, value),
            Change::Remove => abi::envoy_dynamic_module_callback_http_set_header(filter, map, key, ModuleBuffer::NONE),
        }
    }
}
