//! Why a configuration was refused: every problem with its path, what was found, what is allowed and what to do.

use std::fmt;

pub use crate::json::quoted;

/// Problems that one refusal names at most; a configuration with more is hardly the one that was meant.
pub const MAX_PROBLEMS: usize = 16;

/// What [`Problem::found`] says of an unknown key.
pub const UNKNOWN_KEY: &str = "an unknown key";

/// A refused configuration: nothing of it applies. Holds at least one problem and at most [`MAX_PROBLEMS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong, in words for whoever wrote it. Never holds a secret (a token, the value of a header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place, `sampling.rules[2].ratio`; `line 3, column 7` for text that is no JSON.
    pub path: String,
    /// What is there.
    pub found: String,
    /// What may be there.
    pub allowed: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    /// A problem whose advice is the general one.
    pub fn new(path: impl Into<String>, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            found: found.into(),
            allowed: allowed.into(),
            advice: "Correct the value, or leave the key out to get its default.".to_owned(),
        }
    }

    /// The same problem with this advice.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl ConfigError {
    /// The first [`MAX_PROBLEMS`] of these.
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.truncate(MAX_PROBLEMS);
        Self { problems }
    }

    /// What is wrong, in the order in which it was found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.path, ": found ", &self.found, "; allowed is ", &self.allowed, ". ", &self.advice] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("configuration refused: ")?;
        for (index, problem) in self.problems.iter().enumerate() {
            if 0 < index {
                f.write_str(" | ")?; // One line: Envoy's log and a NACK both show it as such.
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for ConfigError {}

/// `a`, `b` or `c`, each quoted by backticks.
pub fn one_of(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| ["`", name, "`"].concat()).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [rest @ .., last] => [rest.join(", ").as_str(), " or ", last].concat(),
    }
}

/// The known name that is nearest to a misspelt one, if one is near enough to be meant.
pub fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let found = found.get(..found.len().min(64))?; // No known name is longer, and the work is a product of lengths.
    let near = |name: &&'a str| {
        let distance = distance(found.as_bytes(), name.as_bytes());
        (distance <= 1 + name.len() / 4).then_some((distance, *name))
    };
    known.iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Levenshtein's distance over bytes without regard to case, `-` being `_`.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let fold = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, &a) in left.iter().enumerate() {
        let mut diagonal = index; // The cell left of and above the current one.
        let mut before = index + 1;
        for (cell, &b) in row.iter_mut().skip(1).zip(right) {
            let replaced = diagonal + usize::from(fold(a) != fold(b));
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(before + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let known = ["ratio", "rules", "mode", "max_queue_size", "max_queue_bytes"];
        for (found, meant) in [
            ("ratoi", Some("ratio")),
            ("ration", Some("ratio")),
            ("Ratio", Some("ratio")),
            ("rule", Some("rules")),
            ("max-queue-size", Some("max_queue_size")),
            ("maxQueueBytes", Some("max_queue_bytes")),
            ("probability", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, &known), meant, "{found}");
        }
    }

    #[test]
    fn a_long_or_foreign_key_is_compared_without_fault() {
        assert_eq!(nearest(&"é".repeat(100), &["ratio"]), None);
        assert_eq!(nearest(&["a", &"é".repeat(100)].concat(), &["ratio"]), None);
    }
}
