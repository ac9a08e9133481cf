//! Which of the formats a file has, line by line.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::container::{self, Inside, Line};
use super::record::Record;
use super::skip::{Reason, Skip, Skipped};
use super::{access_log, otlp};

/// Bytes of one document of JSON, or of one line in several parts.
const MAX_DOCUMENT: usize = 64 * 1024 * 1024;
/// Objects with a line in each other: a collector's, Docker's.
const MAX_INSIDE: usize = 4;

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

/// Reads line by line; a line that gives no request is counted by its reason and left out.
#[derive(Debug, Default)]
pub struct Lines {
    line: u64,
    /// Lines that were read.
    pub read: u64,
    /// What the lines were.
    pub format: Option<Format>,
    skipped: BTreeMap<Reason, Skipped>,
    /// Parts of a line that is not whole yet.
    part: String,
    document: Document,
}

/// JSON over several lines.
#[derive(Debug, Default)]
struct Document {
    text: String,
    first: u64,
    brackets: Brackets,
}

impl Document {
    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.brackets.take(line);
    }
}

impl Lines {
    /// The records of the next line; none for an empty one, and for one that continues on the next.
    pub fn take(&mut self, line: &str) -> Vec<Record> {
        self.line += 1;
        match container::unwrap(line) {
            Line::Part(text) if self.part.len() < MAX_DOCUMENT => {
                self.part.push_str(text);
                Vec::new()
            }
            Line::Part(text) | Line::Whole(text) if self.part.is_empty() => self.whole(text, line),
            Line::Part(text) | Line::Whole(text) => {
                let whole = std::mem::take(&mut self.part) + text;
                self.whole(&whole, &whole)
            }
        }
    }

    /// Call it after the last line: what is left of a document that never ended is counted.
    pub fn finish(&mut self) {
        let left = [std::mem::take(&mut self.part), std::mem::take(&mut self.document.text)].concat();
        if !left.is_empty() {
            let first = if self.document.first == 0 { self.line } else { self.document.first };
            let lines = left.lines().count() as u64;
            self.skip(Skip::new(Reason::NoJson, "the end of the document is missing"), first, lines);
        }
    }

    /// What was left out, by reason.
    pub fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.skipped.values()
    }

    /// Lines that were left out though a log of requests should not have them.
    pub fn refused(&self) -> u64 {
        self.skipped().filter(|skipped| !skipped.is_expected).map(|skipped| skipped.lines).sum()
    }

    /// Whether so much was left out that what was read says little: half of what should be requests, or nine in ten of all.
    pub fn is_mostly_skipped(&self) -> bool {
        let all: u64 = self.read + self.skipped().map(|skipped| skipped.lines).sum::<u64>();
        self.read < self.refused() || self.read * 10 < all
    }

    fn whole(&mut self, text: &str, raw: &str) -> Vec<Record> {
        // The brackets of a list are lines of their own; its elements are read one by one.
        let is_bracket = self.document.text.is_empty() && ["[", "]"].contains(&text);
        if text.is_empty() || is_bracket {
            return Vec::new();
        }
        // A line that begins a document of its own ends one that was cut off.
        let is_new = raw.starts_with(['{', '[']) && 1 < text.len();
        if !self.document.text.is_empty() && is_new {
            let lines = self.document.text.lines().count() as u64;
            let Document { first, .. } = std::mem::take(&mut self.document);
            self.skip(Skip::new(Reason::NoJson, "the end of the document is missing"), first, lines);
        }
        if !self.document.text.is_empty() {
            return self.next_of_document(text);
        }
        match read(without_comma(text)) {
            Ok((format, records)) => {
                self.read += 1;
                self.format.get_or_insert(format);
                records
            }
            // `{` alone, as printers of JSON begin.
            Err(Skip { reason: Reason::NoJson, .. }) if text.ends_with(['{', '[', ',']) => {
                self.document = Document { first: self.line, ..Document::default() };
                self.document.push(text);
                Vec::new()
            }
            Err(skip) => {
                self.skip(skip, self.line, 1);
                Vec::new()
            }
        }
    }

    fn next_of_document(&mut self, text: &str) -> Vec<Record> {
        self.document.push(text);
        if 0 < self.document.brackets.open && self.document.text.len() < MAX_DOCUMENT {
            return Vec::new();
        }
        let document = std::mem::take(&mut self.document);
        match read(without_comma(document.text.trim_end())) {
            Ok((format, records)) => {
                self.read += 1;
                self.format.get_or_insert(format);
                records
            }
            Err(skip) => {
                self.skip(skip, document.first, document.text.lines().count() as u64);
                Vec::new()
            }
        }
    }

    fn skip(&mut self, skip: Skip, first: u64, lines: u64) {
        let Skip { reason, detail } = skip;
        let new = || Skipped { reason: reason.name(), lines: 0, first, detail, is_expected: reason.is_expected() };
        self.skipped.entry(reason).or_insert_with(new).lines += lines;
    }
}

/// Which brackets are open, outside of strings.
#[derive(Debug, Default)]
struct Brackets {
    open: i64,
    in_string: bool,
    escaped: bool,
}

impl Brackets {
    fn take(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.open += 1,
                b'}' | b']' if !self.in_string => self.open -= 1,
                _ => {}
            }
        }
    }
}

/// Without what divides the elements of a list.
fn without_comma(text: &str) -> &str {
    text.strip_suffix(',').filter(|text| text.ends_with('}')).unwrap_or(text)
}

fn read(text: &str) -> Result<(Format, Vec<Record>), Skip> {
    inner(text, 0)
}

fn inner(text: &str, depth: usize) -> Result<(Format, Vec<Record>), Skip> {
    // A text log begins with a bracket, too, and a digit.
    let is_list =
        || text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['{', ']']) || rest.is_empty());
    if !text.starts_with('{') && !is_list() {
        return access_log::text(text).map(|record| (Format::AccessLogText, vec![record]));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| Skip::new(Reason::NoJson, error.to_string()))?;
    of_json(&value, depth)
}

fn of_json(value: &Value, depth: usize) -> Result<(Format, Vec<Record>), Skip> {
    match value {
        Value::Array(elements) => {
            let mut all = Vec::new();
            let mut format = Format::AccessLogJson;
            for element in elements {
                let (found, records) = of_json(element, depth)?;
                format = found;
                all.extend(records);
            }
            Ok((format, all))
        }
        _ if otlp::is_request(value) => {
            let records = otlp::read(value).map_err(|problem| Skip::new(Reason::NoSpan, problem))?;
            Ok((Format::Otlp, records))
        }
        Value::Object(object) => match access_log::json(object) {
            Ok(record) => Ok((Format::AccessLogJson, vec![record])),
            Err(Skip { reason: Reason::NoRequest, detail }) => match container::inside(value) {
                Some(Inside::Object(object)) if depth < MAX_INSIDE => of_json(object, depth + 1),
                Some(Inside::Text(text)) if depth < MAX_INSIDE => match container::unwrap(text) {
                    Line::Whole(text) | Line::Part(text) => inner(text, depth + 1),
                },
                _ => Err(Skip { reason: Reason::NoRequest, detail }),
            },
            Err(skip) => Err(skip),
        },
        _ => Err(Reason::NoLog.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"start_time":"2026-11-21T10:00:00Z","method":"GET","path":"/a","response_code":200}"#;

    fn lines(text: &str) -> (usize, Lines) {
        let mut lines = Lines::default();
        let records = text.lines().map(|line| lines.take(line).len()).sum();
        lines.finish();
        (records, lines)
    }

    #[test]
    fn json_may_stand_on_one_line_or_on_several() {
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(LINE).unwrap()).unwrap();
        let list = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&format!("[{LINE}, {LINE}]")).unwrap())
            .unwrap();
        for text in
            [LINE.to_owned(), pretty.clone(), format!("[\n{LINE},\n{LINE}\n]"), format!("{pretty}\n{pretty}"), list]
        {
            let (records, lines) = lines(&text);
            assert!(0 < records && lines.skipped().count() == 0, "{text}");
        }
    }

    #[test]
    fn a_document_that_was_cut_off_hides_nothing_behind_it() {
        let (records, lines) = lines(&format!("{{\n  \"method\": \"GET\",\n{LINE}\n{LINE}\n"));
        assert_eq!((records, lines.refused()), (2, 2));
        let (records, lines) = self::lines("{\n  \"method\": [\n");
        assert_eq!((records, lines.refused()), (0, 2));
    }

    #[test]
    fn a_line_in_parts_is_put_together() {
        let (first, second) = LINE.split_at_checked(20).expect("a line");
        let text = format!("2026-11-21T10:00:00.1Z stdout P {first}\n2026-11-21T10:00:00.1Z stdout F {second}\n");
        assert_eq!(lines(&text).0, 1);
    }

    #[test]
    fn what_is_skipped_is_counted_by_its_reason() {
        let tcp = r#"[2026-11-21T10:00:00.250Z] "- - -" 0 - 5 7 100 - "-" "-" "-" "-" "10.0.0.1:80""#;
        let own = "[2026-11-21 10:00:00.250][1][info][main] [source/server/server.cc:1] starting";
        let agent = "2026-11-21T10:00:00.250000Z\tinfo\tcache\tgenerated new workload certificate";
        let (records, lines) = lines(&format!("{LINE}\n{tcp}\n{own}\n{agent}\nhello\n{{\"a\": 1}}\n"));
        let counts: Vec<_> = lines.skipped().map(|skipped| (skipped.reason, skipped.lines, skipped.first)).collect();
        assert_eq!(records, 1);
        assert_eq!(
            counts,
            [
                (Reason::Connection.name(), 1, 2),
                (Reason::OwnLog.name(), 2, 3),
                (Reason::NoLog.name(), 1, 5),
                (Reason::NoRequest.name(), 1, 6),
            ]
        );
        assert!(lines.is_mostly_skipped());
    }
}
