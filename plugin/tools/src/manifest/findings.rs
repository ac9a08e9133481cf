//! One thing to say about a file.

use std::fmt;

use serde::Serialize;

use super::Position;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Envoy or the filter refuses it, or no span would ever arrive.
    Error,
    /// It loads, and does something else than it looks.
    Warning,
}

impl Severity {
    /// As it stands in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Position,
    /// The field: `sampling.rules[2].ratio` of the configuration, `tracing` of what is around it. Empty for the whole file.
    pub path: String,
    /// What is wrong, in words, with what is allowed and what to do.
    pub message: String,
}

impl Finding {
    /// An error.
    pub fn error(at: Position, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, at, path: one_line(path.into()), message: one_line(message.into()) }
    }

    /// A warning.
    pub fn warning(at: Position, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, at, path: one_line(path.into()), message: one_line(message.into()) }
    }
}

/// Whatever was quoted from the file, nothing of it moves a terminal's cursor or begins a line of its own.
fn one_line(text: String) -> String {
    if !text.chars().any(char::is_control) {
        return text;
    }
    let escape =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    text.chars().map(escape).collect()
}

/// `3:7: error: sampling.ratio: …`, the form that editors and CI systems jump to once a file's name stands before it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, at, path, message } = self;
        write!(f, "{}:{}: {}: ", at.line, at.column, severity.name())?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}
