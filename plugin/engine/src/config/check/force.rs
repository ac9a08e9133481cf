//! `force`: keys that can be told apart and cannot be guessed, and a header that a request can do without.

use super::{Findings, LONG_TOKEN_ALLOWED, is_long_token};
use crate::config::bounded::Rate;
use crate::config::error;
use crate::config::raw;
use crate::force::{Key, MAX_KEYS, Policy, is_key_id};
use crate::trace_context::{TRACEPARENT, XRAY};
use crate::upgrade::Budget;
use crate::upgrade::signal::{SERVER_TIMING, SIGNAL, TRACERESPONSE};

/// Headers that a request needs, or that say something else.
const NEEDED: [&str; 22] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "grpc-timeout",
    "host",
    "if-match",
    "if-none-match",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// Reads `force`; `None` where there is no key.
pub fn policy(raw: raw::Force, findings: &mut Findings) -> Option<Policy> {
    judge_header(&raw.header.0, findings);
    let Ok(budget) = Budget::per_second(raw.traces_per_second.0) else {
        findings.refuse("force.traces_per_second", "another number", Rate::ALLOWED);
        return None;
    };
    if raw.keys.is_empty() {
        if raw != raw::Force::default() {
            findings.warn("force.keys", "is empty, so that the other keys of `force` have no effect");
        }
        return None;
    }
    if !findings.at_most("force.keys", raw.keys.len(), MAX_KEYS, "keys") {
        return None;
    }
    if raw.traces_per_second.0 == 0.0 {
        findings.warn("force.traces_per_second", "is 0: no token has an effect");
    }
    let mut keys: Vec<Key> = Vec::with_capacity(raw.keys.len());
    for (index, key) in raw.keys.into_iter().enumerate() {
        keys.push(checked(key, &["force.keys[", &index.to_string(), "]"].concat(), &keys, findings));
    }
    Some(Policy { keys, header: raw.header.0.into(), max_ttl_s: raw.max_ttl_s.get(), budget, audience: String::new() })
}

fn checked(raw: raw::ForceKey, path: &str, known: &[Key], findings: &mut Findings) -> Key {
    let (id, secret) = (raw.id.0, raw.secret.0);
    let [id_path, secret_path] = ["id", "secret"].map(|key| [path, ".", key].concat());
    if !is_key_id(&id) {
        // Not shown: it may be "id=secret", as the environment variable has it.
        findings.refuse(&id_path, "a text with other characters", "1 to 32 letters, digits, `-` and `_`");
    } else if let Some(first) = known.iter().position(|key| key.id == id) {
        let found = [&error::quoted(&id), ", which is the id of force.keys[", &first.to_string(), "]"].concat();
        findings.refuse(&id_path, &found, "an id that no other key has");
    }
    if secret.is_empty() {
        findings.warn(&secret_path, "is empty: no token of this key is good");
    } else if !is_long_token(&secret) {
        let found = "a text that is shorter, longer or has other characters";
        findings.refuse(&secret_path, found, LONG_TOKEN_ALLOWED);
    } else if known.iter().any(|key| key.secret == secret) {
        findings.warn(&secret_path, "is that of another key: a holder of one can make tokens of both");
    }
    Key { id, secret }
}

fn judge_header(name: &str, findings: &mut Findings) {
    let ours = ["x-tracelift-mac", "x-tracelift-recall", "x-tracelift-token", SIGNAL, SERVER_TIMING, TRACERESPONSE];
    let is_context = [TRACEPARENT, "tracestate", XRAY, "b3"].contains(&name) || name.starts_with("x-b3-");
    if is_context || ours.contains(&name) || NEEDED.contains(&name) {
        let allowed = "a header that a request can do without: it is taken off";
        findings.refuse("force.header", &["the header ", &error::quoted(name)].concat(), allowed);
    }
}
