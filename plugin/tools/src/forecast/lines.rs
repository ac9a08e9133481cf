//! Which of the formats a file has, line by line.

use serde::Serialize;
use serde_json::Value;

use super::record::Record;
use super::{access_log, otlp};

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// An access log of text.
    AccessLogText,
    /// An access log of JSON.
    AccessLogJson,
    /// OTLP in JSON.
    Otlp,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineError {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub problem: String,
}

/// Reads line by line; a line that is none of the formats is counted and left out.
#[derive(Debug, Default)]
pub struct Lines {
    line: u64,
    /// Lines that could be read.
    pub read: u64,
    /// Lines that could not.
    pub refused: u64,
    /// The first of them.
    pub first_refused: Option<LineError>,
    /// What the lines were.
    pub format: Option<Format>,
}

impl Lines {
    /// The records of the next line; none for an empty one.
    pub fn take(&mut self, line: &str) -> Vec<Record> {
        self.line += 1;
        let line = line.trim();
        if line.is_empty() {
            return Vec::new();
        }
        match read(line) {
            Ok((format, records)) => {
                self.read += 1;
                self.format.get_or_insert(format);
                records
            }
            Err(problem) => {
                self.refused += 1;
                self.first_refused.get_or_insert(LineError { line: self.line, problem });
                Vec::new()
            }
        }
    }
}

fn read(line: &str) -> Result<(Format, Vec<Record>), String> {
    if !line.starts_with('{') {
        return Ok((Format::AccessLogText, vec![access_log::text(line)?]));
    }
    let value: Value = serde_json::from_str(line).map_err(|error| format!("no valid JSON: {error}"))?;
    match value.as_object() {
        Some(object) if object.contains_key("resourceSpans") => Ok((Format::Otlp, otlp::line(line)?)),
        Some(object) => Ok((Format::AccessLogJson, vec![access_log::json(object)?])),
        None => Err("no object of JSON".to_owned()),
    }
}
