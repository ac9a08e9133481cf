//! What a callback costs: hostcalls, those that return a value, and fuel.

use std::ops::AddAssign;

/// Counts of one callback, one request or one VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Calls by import name, in order of the first call. WASI calls count too: they leave the VM alike.
    pub hostcalls: Vec<(&'static str, u64)>,
    /// Calls for which the host had to call the guest's allocator to hand over a value: the dear ones.
    pub returning: u64,
    /// Wasm instructions, as Wasmtime's fuel counts them; the guest's allocator is included.
    pub fuel: u64,
}

impl Cost {
    /// How many hostcalls in all.
    pub fn hostcall_count(&self) -> u64 {
        self.hostcalls.iter().map(|(_, count)| count).sum()
    }

    /// How often one import was called.
    pub fn calls_of(&self, name: &str) -> u64 {
        self.hostcalls.iter().find(|(n, _)| *n == name).map_or(0, |(_, count)| *count)
    }

    pub(crate) fn count(&mut self, name: &'static str, calls: u64) {
        match self.hostcalls.iter_mut().find(|(n, _)| *n == name) {
            Some((_, count)) => *count += calls,
            None => self.hostcalls.push((name, calls)),
        }
    }
}

impl AddAssign<&Cost> for Cost {
    fn add_assign(&mut self, other: &Cost) {
        for (name, calls) in &other.hostcalls {
            self.count(name, *calls);
        }
        self.returning += other.returning;
        self.fuel += other.fuel;
    }
}
