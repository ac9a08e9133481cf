//! Traces as X-Ray gives them back.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;

/// One trace of `BatchGetTraces`.
#[derive(Clone, Debug)]
pub struct StoredTrace {
    /// `1-<8>-<24>`.
    pub id: String,
    /// Segments and independent subsegments, in no order.
    pub documents: Vec<Value>,
    /// Bytes of each of them, in the same order, as the exporter wrote it: Go spends six on `<`, `>` and `&`.
    pub sizes: Vec<usize>,
}

/// A trace-id of 32 hexadecimal digits as X-Ray writes it.
pub fn xray_id(trace_id: &str) -> String {
    let (seconds, unique) = trace_id.split_at_checked(8).unwrap_or((trace_id, ""));
    format!("1-{seconds}-{unique}")
}

/// Where a person looks a trace up.
pub fn console_link(region: &str, id: &str) -> String {
    format!("https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#xray:traces/{id}")
}

impl StoredTrace {
    /// Reads one element of `Traces`.
    pub fn read(trace: &Value) -> Result<Self> {
        let id = trace["Id"].as_str().context("a trace without Id")?.to_owned();
        let segments = trace["Segments"].as_array().context("a trace without Segments")?;
        let (mut documents, mut sizes) = (Vec::new(), Vec::new());
        for segment in segments {
            let text = segment["Document"].as_str().context("a segment without Document")?;
            let document = serde_json::from_str(text).with_context(|| format!("a document that is no JSON: {text}"))?;
            documents.push(document);
            sizes.push(text.len());
        }
        Ok(Self { id, documents, sizes })
    }

    /// The document with that id (16 hexadecimal digits).
    pub fn document(&self, id: &str) -> Option<&Value> {
        self.documents.iter().find(|document| document["id"] == id)
    }

    /// Documents below that one.
    pub fn children(&self, id: &str) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(move |document| document["parent_id"] == id)
    }

    /// Documents whose parent is not in X-Ray: the trace's root, and below a stranger's span the first of ours.
    pub fn tops(&self) -> Vec<&Value> {
        let ids: BTreeSet<_> = self.documents.iter().filter_map(|document| document["id"].as_str()).collect();
        let orphan = |document: &&Value| document["parent_id"].as_str().is_none_or(|parent| !ids.contains(parent));
        self.documents.iter().filter(orphan).collect()
    }

    /// As many lines as documents, indented by depth, as the console's timeline has them.
    pub fn outline(&self) -> String {
        let mut lines = Vec::new();
        for top in self.tops() {
            self.line(top, 0, &mut lines);
        }
        lines.join("\n")
    }

    fn line(&self, document: &Value, depth: usize, lines: &mut Vec<String>) {
        // A circle cannot be shown, and no deep trace needs more.
        if self.documents.len() <= depth {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = if document["type"] == "subsegment" { "subsegment" } else { "segment" };
        let (request, status) = (&document["http"]["request"], &document["http"]["response"]["status"]);
        let status = status.as_i64().map_or_else(|| "no status".to_owned(), |status| status.to_string());
        let time = |key: &str| document[key].as_f64().unwrap_or_default();
        let mut line = format!(
            "{:>5.0} ms  {}{kind:<10} {:<12} {} {} -> {status}",
            (time("end_time") - time("start_time")) * 1000.0,
            "  ".repeat(depth),
            text(&document["name"]),
            text(&request["method"]),
            text(&request["url"]),
        );
        for mark in ["fault", "error", "throttle"].into_iter().filter(|mark| document[mark] == Value::Bool(true)) {
            line.push(' ');
            line.push_str(mark);
        }
        if let Some(why) = document.pointer("/cause/exceptions/0/message").and_then(Value::as_str) {
            line.push_str(": ");
            line.push_str(why);
        }
        lines.push(line);
        for child in self.children(document["id"].as_str().unwrap_or_default()) {
            self.line(child, depth + 1, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_is_split_after_the_time() {
        assert_eq!(xray_id("5759e988bd862e3fe1be46a994272793"), "1-5759e988-bd862e3fe1be46a994272793");
    }

    #[test]
    fn an_outline_has_a_line_for_each_document_and_ends_in_a_circle() {
        let document = |id: &str, parent: Option<&str>| match parent {
            Some(parent) => json!({ "id": id, "parent_id": parent, "name": id, "type": "subsegment", "fault": true }),
            None => json!({ "id": id, "name": id }),
        };
        let documents = vec![document("c", Some("b")), document("a", None), document("b", Some("a"))];
        let trace = StoredTrace { id: "1-x-y".to_owned(), documents, sizes: Vec::new() };
        let outline = trace.outline();
        assert_eq!(outline.lines().count(), 3, "{outline}");
        let line = |number: usize| outline.lines().nth(number).unwrap_or_default();
        assert!(line(0).contains("0 ms  segment    a") && line(2).contains("0 ms      subsegment c"), "{outline}");

        let circle = vec![document("a", Some("b")), document("b", Some("a"))];
        assert_eq!(StoredTrace { id: String::new(), documents: circle, sizes: Vec::new() }.outline(), "");
    }
}
