//! The kind of a request, as 64 bits that tell one from another.

/// Spreads what goes in over all bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A kind, or what is known of it so far: a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(u64);

impl Kind {
    /// Nothing is known yet.
    pub const START: Self = Self(0);

    /// Of a filter: those of different names do not share kinds.
    pub fn of(filter: &[u8]) -> Self {
        Self::START.with_text(filter)
    }

    /// With one more number.
    #[must_use]
    pub fn with(self, number: u64) -> Self {
        let mixed = (self.0 ^ number).wrapping_mul(SPREAD);
        Self(mixed ^ mixed >> 29)
    }

    /// With a text.
    #[must_use]
    pub fn with_text(self, text: &[u8]) -> Self {
        let words = text.chunks(8).map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        words.fold(self.with(text.len() as u64), Self::with)
    }

    /// With the octave of a latency: all below a millisecond are alike, then each doubling is another.
    #[must_use]
    pub fn with_latency(self, milliseconds: u64) -> Self {
        self.with(u64::from(u64::BITS - milliseconds.leading_zeros()))
    }

    /// The bits.
    pub fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn kinds_that_differ_in_anything_differ() {
        let mut all = HashSet::new();
        for filter in ["inbound", "outbound", ""] {
            for route in ["", "/", "/a", "/users/{id}", "/users/{id}/orders", "/users/{id}/orders2"] {
                for number in 0..2000 {
                    assert!(all.insert(Kind::of(filter.as_bytes()).with_text(route.as_bytes()).with(number)));
                }
            }
        }
        assert_ne!(Kind::of(b"a").with(1).with(2), Kind::of(b"a").with(2).with(1));
    }

    #[test]
    fn a_latency_counts_by_its_octave() {
        let of = |milliseconds| Kind::of(b"").with_latency(milliseconds);
        for (one, other, alike) in
            [(0, 1, false), (1, 2, false), (2, 3, true), (3, 4, false), (512, 1023, true), (1023, 1024, false)]
        {
            assert_eq!(of(one) == of(other), alike, "{one} ms and {other} ms");
        }
    }
}
