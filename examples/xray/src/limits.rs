//! What X-Ray refuses of a segment document, so that nobody has to find out by an empty map.
//!
//! AWS X-Ray developer guide, "Segment documents" and "Service quotas"; moto checks next to none of it.

use serde_json::Value;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of one document.
pub const DOCUMENT: usize = 64_000;
/// Annotations of one trace.
pub const ANNOTATIONS: usize = 50;
/// Characters of an annotation's text.
const ANNOTATION_TEXT: usize = 1000;
/// Characters of a segment's name.
const NAME: usize = 200;
/// Seconds that a segment's start may be ahead of X-Ray's clock.
const AHEAD: f64 = 5.0 * 60.0;
/// Seconds that it may be in the past: a trace is kept for 30 days.
const BEHIND: f64 = 30.0 * 24.0 * 60.0 * 60.0;

/// Why a document would not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The document's id, as far as it has one.
    pub id: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X-Ray would refuse the document {}: {}", self.id, self.problem)
    }
}

impl std::error::Error for Refusal {}

/// Letters, digits, white space and the ten signs that a name may have.
fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter.is_whitespace() || "_.:/%&#=+\\-@".contains(letter)
}

/// Checks size (bytes of the text that was sent), required fields, ids, times, name and annotations.
pub fn check(document: &Value, size: usize) -> Result<(), Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    check_at(document, size, now)
}

fn check_at(document: &Value, size: usize, now: f64) -> Result<(), Refusal> {
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    let refuse = |problem: String| Err(Refusal { id: text("id").to_owned(), problem });
    if DOCUMENT < size {
        return refuse(format!("{size} bytes, of which {DOCUMENT} are allowed"));
    }
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |id: &str| is_hex(id, 16) && id.bytes().any(|digit| digit != b'0');
    if !is_id(text("id")) || (!text("parent_id").is_empty() && !is_id(text("parent_id"))) {
        return refuse(format!("the id or its parent's, {:?}, is not 16 hexadecimal digits", text("parent_id")));
    }
    let parts: Vec<_> = text("trace_id").split('-').collect();
    if !matches!(parts[..], ["1", seconds, unique] if is_hex(seconds, 8) && is_hex(unique, 24)) {
        return refuse(format!("the trace id {:?} is not 1-<8 digits>-<24 digits>", text("trace_id")));
    }
    let name = text("name");
    if name.is_empty() || NAME < name.chars().count() || !name.chars().all(is_of_a_name) {
        return refuse(format!(
            "the name {name:?} is empty, longer than {NAME}, or has other than letters, digits, _.:/%&#=+\\-@"
        ));
    }
    let (Some(start), Some(end)) = (document["start_time"].as_f64(), document["end_time"].as_f64()) else {
        return refuse("no start_time or no end_time".to_owned());
    };
    if end < start || now + AHEAD < start || start < now - BEHIND {
        return refuse(format!("it ran from {start} to {end}; now is {now}"));
    }
    if document["type"] == "subsegment" && text("parent_id").is_empty() {
        return refuse("a subsegment without a parent".to_owned());
    }
    let Some(annotations) = document["annotations"].as_object() else { return Ok(()) };
    if ANNOTATIONS < annotations.len() {
        return refuse(format!("{} annotations, of which a trace may have {ANNOTATIONS}", annotations.len()));
    }
    for (key, value) in annotations {
        let long = value.as_str().is_some_and(|text| ANNOTATION_TEXT < text.chars().count());
        if long || value.is_array() || value.is_object() {
            return refuse(format!(
                "the annotation {key} is no text of up to {ANNOTATION_TEXT} characters, no number, no truth value"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "id": "53995c3f42cd8ad8", "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "name": "cart",
            "start_time": 1000.0, "end_time": 1000.5, "annotations": { "a": 1, "b": "text" },
        })
    }

    #[test]
    fn each_limit_refuses_what_is_beyond_it() {
        assert_eq!(check_at(&good(), DOCUMENT, 1000.0), Ok(()));
        assert!(check_at(&good(), DOCUMENT + 1, 1000.0).unwrap_err().to_string().contains("64001 bytes"));
        let many: serde_json::Map<_, _> = (0..51).map(|number| (format!("a{number}"), number.into())).collect();
        for (key, value, problem) in [
            ("id", json!("0000000000000000"), "16 hexadecimal"),
            ("id", json!("53995C3F42CD8AD8"), "16 hexadecimal"),
            ("parent_id", json!("53995c3f"), "16 hexadecimal"),
            ("trace_id", json!("5759e988bd862e3fe1be46a994272793"), "1-<8 digits>"),
            ("name", json!(""), "the name"),
            ("name", json!("outbound|80||cart"), "the name"),
            ("name", json!("n".repeat(201)), "the name"),
            ("start_time", json!(1301.0), "it ran"),
            ("end_time", json!(999.0), "it ran"),
            ("end_time", Value::Null, "no start_time"),
            ("type", json!("subsegment"), "without a parent"),
            ("annotations", Value::Object(many), "51 annotations"),
            ("annotations", json!({ "a": ["list"] }), "the annotation a"),
            ("annotations", json!({ "a": "t".repeat(1001) }), "the annotation a"),
        ] {
            let mut document = good();
            document[key] = value;
            let refusal = check_at(&document, 0, 1000.0).unwrap_err();
            assert!(refusal.to_string().contains(problem), "{refusal}");
        }
    }
}
