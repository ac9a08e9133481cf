//! Whatever a host does, in whatever order: nothing panics, no stream pays for a call of ours, every span is accounted for.

use proptest::prelude::*;

use crate::kit::play::{Play, Source};

/// Choices, one byte each.
struct Choices(std::vec::IntoIter<u8>);

impl Source for Choices {
    fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().unwrap_or_default()) * bound / 256
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = self.below(40);
        self.0.by_ref().take(count).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sequence_of_callbacks_answers_and_faults_leaves_the_engine_whole(
        choices in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        Play::run(&mut Choices(choices.into_iter()));
    }
}
