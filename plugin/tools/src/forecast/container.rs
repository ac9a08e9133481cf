//! What container runtimes, `kubectl` and log collectors put around a line.

use serde_json::Value;

/// A line as the program wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// All of it.
    Whole(&'l str),
    /// A part of it, as the runtime cuts long lines; the next part follows.
    Part(&'l str),
}

/// Takes off what is in front: the prefix of `kubectl logs --prefix` or of `docker compose logs`, the time of
/// `kubectl logs --timestamps`, CRI's time, stream and tag, and the words that syslog and other readers of pods write.
pub fn unwrap(line: &str) -> Line<'_> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let line = after_pod(line).or_else(|| after_compose(line)).unwrap_or(line);
    let Some(rest) = after_time(line) else { return Line::Whole(after_words(line).unwrap_or(line)) };
    for stream in ["stdout ", "stderr "] {
        if let Some(rest) = rest.strip_prefix(stream) {
            // The tag may hold more than one word, `F` or `P` first: `P:x`.
            let (tag, text) = rest.split_once(' ').unwrap_or((rest, ""));
            return match tag.split(':').next() {
                Some("P") => Line::Part(text),
                Some("F") => Line::Whole(text.trim()),
                _ => Line::Whole(rest.trim()), // `aws logs tail` and the like name the stream alone.
            };
        }
    }
    Line::Whole(after_words(rest).unwrap_or(rest))
}

/// Up to six words without quotes, then what a log of Envoy begins with: `Nov 21 10:00:00 host envoy[7]: [2026-…`.
fn after_words(line: &str) -> Option<&str> {
    if line.starts_with(['[', '{']) {
        return None;
    }
    let place = [" [20", " {\""].iter().filter_map(|start| line.find(start)).min()?;
    let (words, rest) = line.split_at_checked(place)?;
    let are_words = !words.contains(['"', '\t']) && words.split_whitespace().count() <= 6;
    are_words.then(|| rest.trim())
}

/// `[pod/<name>/<container>] `.
fn after_pod(line: &str) -> Option<&str> {
    let (prefix, rest) = line.strip_prefix("[pod/")?.split_once("] ")?;
    (!prefix.contains(' ')).then(|| rest.trim())
}

/// `<service>-1  | `.
fn after_compose(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(" | ")?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    name.trim().chars().all(is_name).then(|| rest.trim())
}

/// A time of RFC 3339 and what is behind it. A tab behind it is the agent's own log.
fn after_time(line: &str) -> Option<&str> {
    let (time, rest) = line.split_once(' ')?;
    let is_time = time.starts_with(|first: char| first.is_ascii_digit()) && time.contains('T');
    (is_time && time.parse::<jiff::Timestamp>().is_ok()).then(|| rest.trim())
}

/// The line inside of an object of JSON: Docker's `log`, a collector's `message`, Google's payloads, journald's `MESSAGE`.
pub enum Inside<'v> {
    /// A text, to be read as a line.
    Text(&'v str),
    /// An object.
    Object(&'v Value),
}

/// What is inside of the object, if that is a line or an object of its own.
pub fn inside(object: &Value) -> Option<Inside<'_>> {
    for key in ["jsonPayload", "json", "log_processed"] {
        if let Some(inner) = object.get(key).filter(|inner| inner.is_object()) {
            return Some(Inside::Object(inner));
        }
    }
    for key in ["log", "message", "msg", "line", "textPayload", "MESSAGE", "@message"] {
        match object.get(key) {
            Some(Value::String(text)) => return Some(Inside::Text(text)),
            Some(inner) if inner.is_object() => return Some(Inside::Object(inner)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_front_of_a_line_is_taken_off() {
        let line = r#"[2026-11-21T10:00:00.250Z] "GET / HTTP/1.1" 200 -"#;
        for front in [
            "",
            "2026-11-21T10:00:00.123456789Z stdout F ",
            "2026-11-21T11:00:00.123456789+01:00 stderr F ",
            "2026-11-21T10:00:00.123456789Z stdout F:x ",
            "2026-11-21T10:00:00.123456789Z ",
            "[pod/web-7d4b9/istio-proxy] ",
            "[pod/web-7d4b9/istio-proxy] 2026-11-21T10:00:00.123456789Z ",
            "envoy-1  | ",
            "web-7d4b9 istio-proxy ",
            "Nov 21 10:00:00 node-3 envoy[7]: ",
        ] {
            assert_eq!(unwrap(&format!("{front}{line}\n")), Line::Whole(line), "{front}");
        }
        assert_eq!(unwrap("2026-11-21T10:00:00.1Z stdout P {\"a\":"), Line::Part("{\"a\":"));
        let quoted = r#"[2026-11-21T10:00:00.250Z] "GET /a | b HTTP/1.1" 200 -"#;
        assert_eq!(unwrap(quoted), Line::Whole(quoted));
    }
}
