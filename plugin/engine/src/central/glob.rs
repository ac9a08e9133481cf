//! X-Ray's patterns: `*` is any run of characters, `?` one character, and the case of ASCII letters does not matter, as in
//! X-Ray's own SDKs.

use crate::sampling::Steps;

/// Values longer than this, in bytes, match `*` alone. The time of a match grows with pattern times value, and clients
/// choose the value.
const MAX_VALUE: usize = 2048;

/// One pattern, in lower case, no `*` beside another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<[u8]>);

impl Glob {
    /// Takes any text.
    pub fn new(pattern: &str) -> Self {
        let mut bytes = pattern.to_ascii_lowercase().into_bytes();
        bytes.dedup_by(|later, earlier| *later == b'*' && *earlier == b'*');
        Self(bytes.into_boxed_slice())
    }

    /// `*`, which matches what is not there, too.
    pub fn is_any(&self) -> bool {
        *self.0 == *b"*"
    }

    /// Whether the pattern has this byte.
    pub fn has(&self, byte: u8) -> bool {
        self.0.contains(&byte)
    }

    /// Whether the whole value matches; an absent one is matched by `*` alone. `?` is one byte. What the steps do not suffice
    /// for does not match.
    pub fn matches(&self, value: Option<&[u8]>, steps: &mut Steps) -> bool {
        self.is_any() || value.is_some_and(|value| value.len() <= MAX_VALUE && self.matches_bytes(value, steps))
    }

    /// Greedy with one place to come back to: the latest `*` takes one byte more each time.
    fn matches_bytes(&self, value: &[u8], steps: &mut Steps) -> bool {
        let (mut at, mut pattern_at) = (0_usize, 0_usize);
        let mut retry: Option<(usize, usize)> = None;
        while let Some(byte) = value.get(at) {
            if !steps.take(1) {
                return false;
            }
            match self.0.get(pattern_at) {
                Some(b'*') => {
                    retry = Some((pattern_at.saturating_add(1), at));
                    pattern_at = pattern_at.saturating_add(1);
                }
                Some(wanted) if *wanted == b'?' || *wanted == byte.to_ascii_lowercase() => {
                    at = at.saturating_add(1);
                    pattern_at = pattern_at.saturating_add(1);
                }
                _ => {
                    let Some((after_star, taken)) = retry else { return false };
                    at = taken.saturating_add(1);
                    retry = Some((after_star, at));
                    pattern_at = after_star;
                }
            }
        }
        self.0.get(pattern_at..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_as_in_x_ray() {
        let cases = [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("/cart", "/cart", true),
            ("/cart", "/CART", true),
            ("/Cart", "/cart", true),
            ("/cart", "/cart/", false),
            ("/cart*", "/cart", true),
            ("/cart*", "/cart/7", true),
            ("*cart", "/v1/cart", true),
            ("*cart", "/v1/cart/", false),
            ("/*/items/*", "/v1/items/7", true),
            ("/*/items/*", "/items/7", false),
            ("?et", "GET", true),
            ("?et", "et", false),
            ("??", "a", false),
            ("*?", "", false),
            ("*?", "ab", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("**a**", "bab", true),
            ("*.shop.?xample", "eu.shop.example", true),
            ("[a-z]", "[a-z]", true),
            ("[a-z]", "b", false),
            ("a.c", "abc", false),
        ];
        for (pattern, value, wanted) in cases {
            assert_eq!(
                Glob::new(pattern).matches(Some(value.as_bytes()), &mut Steps::default()),
                wanted,
                "{pattern} on {value}"
            );
        }
    }

    #[test]
    fn an_absent_value_and_a_very_long_one_are_matched_by_the_star_alone() {
        let long = vec![b'a'; MAX_VALUE + 1];
        for (pattern, wanted) in [("*", true), ("**", true), ("", false), ("?", false), ("a*", false)] {
            assert_eq!(Glob::new(pattern).matches(None, &mut Steps::default()), wanted, "{pattern}");
            assert_eq!(Glob::new(pattern).matches(Some(&long), &mut Steps::default()), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_made_to_take_long_ends_with_its_steps() {
        let nasty = Glob::new(&["*", &"a".repeat(250), "b"].concat());
        let value = vec![b'a'; MAX_VALUE];
        let mut steps = Steps::default();
        assert!(!nasty.matches(Some(&value), &mut steps) && steps.is_over());
        assert!(Glob::new("*").matches(Some(&value), &mut steps), "that costs nothing");
    }

    /// The definition, without a thought for time.
    fn naive(pattern: &[u8], value: &[u8]) -> bool {
        match (pattern.split_first(), value.split_first()) {
            (None, _) => value.is_empty(),
            (Some((b'*', rest)), first) => naive(rest, value) || first.is_some_and(|(_, after)| naive(pattern, after)),
            (Some((b'?', rest)), Some((_, after))) => naive(rest, after),
            (Some((byte, rest)), Some((found, after))) => byte == found && naive(rest, after),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_definition_says(pattern in "[ab*?]{0,8}", value in "[ab]{0,10}") {
            let wanted = naive(pattern.as_bytes(), value.as_bytes());
            prop_assert_eq!(Glob::new(&pattern).matches(Some(value.as_bytes()), &mut Steps::default()), wanted);
        }

        #[test]
        fn any_bytes_are_matched_without_harm(pattern in ".{0,40}", value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Glob::new(&pattern).matches(Some(&value), &mut Steps::default());
        }
    }
}
