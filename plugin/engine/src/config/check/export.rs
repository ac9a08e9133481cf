//! `export`: what goes into headers of requests must not break them, and a batch fits into the queue.

use super::Findings;
use crate::config::bounded::HeaderName;
use crate::config::error::{self, Problem};
use crate::config::raw;
use crate::json::Tree;
use crate::otlp::{Protocol, Settings};

/// Headers that a configuration adds to each request at most.
pub const MAX_EXPORT_HEADERS: usize = 32;
/// Longest value of one of them, in bytes.
const MAX_VALUE: usize = 4096;

/// A batch size that is not set follows a smaller queue, so that naming the queue alone is enough.
pub fn fill(tree: &mut Tree) {
    let queue = tree.get(&["export", "max_queue_size"]).and_then(Tree::whole);
    let batch = raw::Export::default().max_export_batch_size.get();
    if let Some(queue) = queue.filter(|queue| (1..batch).contains(queue)) {
        tree.fill(&["export", "max_export_batch_size"], Tree::Number(queue.to_string()));
    }
}

/// Reads `export`.
pub fn settings(raw: raw::Export, findings: &mut Findings) -> Settings {
    let defaults = raw::Export::default();
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !raw.path.0.starts_with('/') || !visible(&raw.path.0) {
        let allowed = "a path that begins with `/`, visible ASCII without spaces";
        findings.refuse("export.path", &error::quoted(&raw.path.0), allowed);
    } else if raw.protocol == Protocol::Grpc && raw.path != defaults.path {
        findings.warn("export.path", "has no effect with `protocol` = \"grpc\", which has a path of its own");
    }
    if !visible(&raw.authority.0) {
        findings.refuse("export.authority", &error::quoted(&raw.authority.0), "a host, visible ASCII without spaces");
    }
    let queue = raw.max_queue_size.size();
    let batch = raw.max_export_batch_size.size();
    if queue < batch && findings.problems.is_empty() {
        let allowed = ["at most `export.max_queue_size`, which is ", &queue.to_string()].concat();
        let problem = Problem::new("export.max_export_batch_size", batch.to_string(), allowed);
        findings.problems.push(problem.advise("Make the batch smaller or the queue larger."));
    }
    Settings {
        protocol: raw.protocol,
        cluster: raw.cluster.0,
        path: raw.path.0,
        authority: raw.authority.0,
        headers: headers(raw.headers.0, findings),
        timeout_ms: raw.timeout_ms.narrow(),
        compression: raw.compression,
        max_queue_size: queue,
        max_queue_bytes: raw.max_queue_bytes.size(),
        max_export_batch_size: batch,
        scheduled_delay_ms: raw.scheduled_delay_ms.get(),
        tracestate: raw.tracestate,
    }
}

fn headers(raw: Vec<(String, crate::config::bounded::Secret)>, findings: &mut Findings) -> Vec<(String, String)> {
    const PATH: &str = "export.headers";
    if !findings.at_most(PATH, raw.len(), MAX_EXPORT_HEADERS, "headers") {
        return Vec::new();
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        let shown = ["the header ", &error::quoted(&name)].concat();
        let Some(HeaderName(lower)) = HeaderName::new(&name) else {
            // Not shown: it may be the whole header.
            findings.refuse(PATH, "a name of another length or with other characters", HeaderName::ALLOWED);
            continue;
        };
        if Settings::reserves(&lower) {
            let problem = Problem::new(PATH, shown, "a header that the exporter does not write itself");
            findings.problems.push(problem.advise("Take it out."));
        } else if let Some(fault) = header_value_fault(&value.0) {
            let allowed = "up to 4096 bytes of visible ASCII with spaces and tabs inside, no line breaks";
            findings.refuse(&[PATH, ".", &lower].concat(), fault, allowed);
        } else if headers.iter().any(|(known, _)| *known == lower) {
            findings.refuse(PATH, &[&shown, " again"].concat(), "each header once, whatever its case");
        } else {
            headers.push((lower, value.0));
        }
    }
    headers
}

/// What is wrong with the value of a header, without showing it: it may be a secret. RFC 9110 section 5.5.
pub fn header_value_fault(value: &str) -> Option<&'static str> {
    if value.bytes().any(|byte| byte == b'\r' || byte == b'\n' || byte == 0) {
        Some("a value with a line break or NUL")
    } else if value.bytes().any(|byte| !byte.is_ascii_graphic() && byte != b' ' && byte != b'\t') {
        Some("a value with a character outside visible ASCII")
    } else if MAX_VALUE < value.len() {
        Some("a value of more than 4096 bytes")
    } else if value.trim_ascii() != value {
        Some("a value with space around it")
    } else {
        None
    }
}
