//! The whole engine on the simulated host of its own tests: the protocol of requests, natively.

use crate::Input;

/// The tests' own host, so that both have one. What only they use of it is unused here.
#[allow(dead_code)]
#[path = "../../../../plugin/engine/tests/protocol/kit/mod.rs"]
mod kit;

use kit::play::{Play, Source};

impl Source for Input<'_> {
    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.any::<u8>()) % bound
    }

    fn bytes(&mut self) -> Vec<u8> {
        Input::bytes(self).to_vec()
    }
}

/// Callbacks in any order, answers by hand, faults of any operation: no panic, and every span is accounted for.
pub(super) fn protocol(bytes: &[u8]) {
    Play::run(&mut Input::new(bytes));
}
