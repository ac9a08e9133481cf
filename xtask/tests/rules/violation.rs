//! What a rule found wrong, and where.

use std::fmt;

use crate::source::Found;

/// One place that breaks a rule.
#[derive(Debug)]
pub(crate) struct Violation {
    place: String,
    problem: String,
}

impl Violation {
    /// In the line where something was found.
    pub(crate) fn at(found: &Found, problem: String) -> Self {
        Self { place: format!("{}:{}", found.file, found.line), problem }
    }

    /// In a file, or in a table, as a whole.
    pub(crate) fn of(place: &str, problem: String) -> Self {
        Self { place: place.to_owned(), problem }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Fails the test with every violation, one a line, and with what to do about them.
pub(crate) fn assert_none(violations: &[Violation], what_to_do: &str) {
    let lines: Vec<String> = violations.iter().map(|violation| format!("\n  {violation}")).collect();
    assert!(violations.is_empty(), "{} violations. {what_to_do}{}", violations.len(), lines.concat());
}

/// For planted violations: each part must be in the violation of the same position, and there must be no other.
pub(crate) fn assert_each_says(violations: &[Violation], parts: &[&str]) {
    let said: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert_eq!(said.len(), parts.len(), "{said:#?}");
    for (said, part) in said.iter().zip(parts) {
        assert!(said.contains(part), "expected `{part}` in `{said}`");
    }
}
