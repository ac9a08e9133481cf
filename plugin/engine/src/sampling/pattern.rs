//! A regular expression for whole values, with its price and the literals without which it cannot match.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use super::price::Price;
use super::steps::Steps;

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// Largest compiled pattern, in bytes: `(a{99}){99}` is short and not small.
const MAX_COMPILED: usize = 64 * 1024;
/// Longest value that is shown to a regex, in bytes. Its time grows with pattern times value, and clients choose the value.
pub const MAX_VALUE: usize = 2048;

/// One compiled pattern, as Envoy's `safe_regex` reads it: anchored at both ends.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    price: Price,
    ignore_case: bool,
}

impl Pattern {
    /// Compiles `pattern` for whole values, in the syntax of the regex crate without Unicode classes.
    pub(super) fn new(pattern: &str, ignore_case: bool) -> Result<Self, PatternError> {
        if MAX_PATTERN < pattern.len() {
            return Err(PatternError::TooLong { found: pattern.len() });
        }
        let build = |text: &str| {
            let built = RegexBuilder::new(text).case_insensitive(ignore_case).size_limit(MAX_COMPILED).build();
            built.map_err(|error| PatternError::Syntax(error.to_string()))
        };
        build(pattern)?; // Alone first: `a)|(b` is no pattern, yet would be one between our anchors.
        let regex = build(&format!("^(?:{pattern})$"))?;
        Ok(Self { regex, price: Price::of(pattern, ignore_case), ignore_case })
    }

    /// Steps that a value of so many bytes costs, at most: every state may be looked at before each byte and at the end.
    pub fn steps(&self, bytes: usize) -> usize {
        self.price.states.saturating_mul(bytes.saturating_add(1))
    }

    /// What every value begins with that matches; may be empty.
    pub fn prefix(&self) -> &[u8] {
        &self.price.prefix
    }

    /// Literals first, then the regex, if its steps are left. Never true for a value that is not UTF-8 or is longer than 2048 bytes.
    pub(super) fn matches(&self, value: &[u8], steps: &mut Steps) -> bool {
        let Price { prefix, suffix, .. } = &self.price;
        let alike = |part: &[u8], wanted: &[u8]| match self.ignore_case {
            true => part.eq_ignore_ascii_case(wanted),
            false => part == wanted,
        };
        let rest = value.len().checked_sub(suffix.len());
        value.len() <= MAX_VALUE
            && value.get(..prefix.len()).is_some_and(|start| alike(start, prefix))
            && rest.and_then(|rest| value.get(rest..)).is_some_and(|end| alike(end, suffix))
            && steps.take(self.steps(value.len()))
            && str::from_utf8(value).is_ok_and(|text| self.regex.is_match(text))
    }
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// More than 1024 bytes.
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not a pattern, or one that compiles to more than 64 KiB; in the words of the regex compiler.
    Syntax(String),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => write!(f, "has {found} bytes, more than {MAX_PATTERN}"),
            Self::Syntax(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_refused_when_it_is_none_or_too_big() {
        assert_eq!(
            Pattern::new(&"a".repeat(MAX_PATTERN + 1), false).unwrap_err(),
            PatternError::TooLong { found: MAX_PATTERN + 1 }
        );
        for pattern in ["(", "a)|(b", "[z-a]", "(?:a{999}){999}", r"\p{Greek}", "(?x)a#"] {
            let error = Pattern::new(pattern, false).unwrap_err();
            assert!(matches!(&error, PatternError::Syntax(problem) if !problem.is_empty()), "{pattern}: {error:?}");
        }
    }

    #[test]
    fn a_value_longer_than_the_bound_is_not_shown_to_a_regex() {
        let pattern = Pattern::new("a*", false).unwrap();
        let mut steps = Steps::default();
        assert!(pattern.matches(&[b'a'; MAX_VALUE], &mut steps));
        assert!(!pattern.matches(&[b'a'; MAX_VALUE + 1], &mut steps));
        assert!(!steps.is_over());
    }

    #[test]
    fn a_regex_runs_only_where_its_literals_are_there_and_its_steps_are_left() {
        let pattern = Pattern::new("/user/[0-9]+/cart", false).unwrap();
        let price = pattern.steps(b"/user/42/cart".len());
        let mut steps = Steps::new(u32::try_from(price).unwrap());
        for value in ["/shop/42/cart", "/user/42/carts", "/user/", "/cart"] {
            assert!(!pattern.matches(value.as_bytes(), &mut steps), "{value}");
        }
        assert!(pattern.matches(b"/user/42/cart", &mut steps), "nothing was taken before");
        assert!(!steps.is_over());
        assert!(!pattern.matches(b"/user/42/cart", &mut steps) && steps.is_over());
    }

    #[test]
    fn literals_are_compared_as_the_regex_compares_them() {
        let pattern = Pattern::new(r"EU\.[a-z]+\.Example", true).unwrap();
        assert!(pattern.matches(b"eu.shop.eXample", &mut Steps::default()));
        let pattern = Pattern::new(r"EU\.[a-z]+\.Example", false).unwrap();
        assert!(!pattern.matches(b"eu.shop.eXample", &mut Steps::default()));
    }
}
