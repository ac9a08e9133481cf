//! Sets of HTTP status codes, as a user writes them: classes and single codes.

use std::ops::RangeInclusive;

/// The codes that a set can hold: the five classes of RFC 9110 section 15.
pub type StatusRange = RangeInclusive<u16>;

const FIRST: u16 = 100;
const LAST: u16 = 599;
const WORDS: usize = 8; // 500 codes in 64-bit words.

/// A set of HTTP status codes between 100 and 599; one bit a code, so that asking costs no loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStatusSet([u64; WORDS]);

impl HttpStatusSet {
    /// Every code that the set can hold.
    pub const ALL: StatusRange = FIRST..=LAST;

    /// Adds each code of the range; those outside 100 to 599 are left out.
    pub fn insert(&mut self, codes: StatusRange) {
        for code in codes {
            if let Some((word, bit)) = Self::place(code)
                && let Some(word) = self.0.get_mut(word)
            {
                *word |= bit;
            }
        }
    }

    /// Whether the code is in the set; a code outside 100 to 599 never is.
    pub fn contains(&self, code: u16) -> bool {
        Self::place(code).is_some_and(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }

    fn place(code: u16) -> Option<(usize, u64)> {
        let offset = code.checked_sub(FIRST).filter(|_| code <= LAST)?;
        Some((usize::from(offset / 64), 1 << (offset % 64)))
    }
}

/// An unsigned decimal number of at most five digits, as `:status` has it.
pub fn decimal(text: &[u8]) -> Option<u16> {
    if text.is_empty() || 5 < text.len() {
        return None;
    }
    let mut number: u32 = 0; // Five digits stay below 2^32.
    for byte in text {
        number = number * 10 + u32::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_hundred_codes_and_no_other() {
        let mut set = HttpStatusSet::default();
        set.insert(500..=599);
        for code in 0..=700 {
            assert_eq!(set.contains(code), (500..=599).contains(&code), "{code}");
        }
    }

    #[test]
    fn single_codes_and_odd_ranges_are_taken_for_what_they_hold() {
        let mut set = HttpStatusSet::default();
        set.insert(429..=429);
        set.insert(0..=99);
        set.insert(600..=u16::MAX);
        assert!(set.contains(429));
        assert_eq!(HttpStatusSet::ALL.filter(|&code| set.contains(code)).count(), 1);
    }
}
