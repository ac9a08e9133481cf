//! Response headers for the mesh alone: marks of the application, and the name of its route. At the edge they are taken off, so that
//! they cannot be headers that an answer needs.

use super::Findings;
use crate::config::error;
use crate::sampling::StringMatcher;
use crate::trace_context::{TRACEPARENT, XRAY};
use crate::upgrade::recall::wire::OURS;
use crate::upgrade::signal::{SERVER_TIMING, TRACERESPONSE};

/// Without these an answer is another one, cannot be read, or is used differently; those of CORS as well.
const NEEDED: [&str; 24] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "expires",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "location",
    "retry-after",
    "sec-websocket-accept",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
];

/// Refuses or warns of an entry of the list at `path`, its name in lower case.
pub fn mark(path: &str, (name, wanted): (&str, &StringMatcher), findings: &mut Findings) {
    let path = [path, ".", name].concat();
    judge(&path, name, findings);
    if matches!(wanted, StringMatcher::Present(false)) {
        findings.warn(&path, "keeps every answer without this header, which is nearly all of them, up to the budget");
    }
}

/// Refuses a name, in lower case.
pub fn judge(path: &str, name: &str, findings: &mut Findings) {
    let is_context = [TRACEPARENT, "tracestate", TRACERESPONSE, SERVER_TIMING, XRAY, "b3"].contains(&name);
    if is_context
        || name.starts_with("x-b3-")
        || name.starts_with("access-control-")
        || name.as_bytes().starts_with(OURS)
        || NEEDED.contains(&name)
    {
        let allowed = "a header that an answer can do without: where `edge` is true it is taken off";
        findings.refuse(path, &["the header ", &error::quoted(name)].concat(), allowed);
    }
}
