//! Access logs of Envoy: JSON lines, the text format that Envoy writes by default, Istio's, and the one of the shipped
//! configurations.
//!
//! Text: `[time] "METHOD path protocol" status flags …`. Behind the flags comes either the duration with its unit (`12ms`, the
//! shipped format), or bytes received, bytes sent and the duration (Envoy), or words, a quoted text and then the same three
//! numbers (Istio). A `traceparent` anywhere in the line gives trace and span; the host is the quoted `:authority` behind
//! agent and request id.

use serde_json::{Map, Value};

use super::record::{Record, Role};
use crate::explain::{self, Request};
use tracelift::http::GrpcStatus;
use tracelift::trace_context::{TRACEPARENT_LEN, TraceParent};

/// Reads one line of text; `Err` says what is missing.
pub fn text(line: &str) -> Result<Record, String> {
    let rest = line.strip_prefix('[').ok_or("no [time] at its beginning")?;
    let (time, rest) = rest.split_once(']').ok_or("no end of the [time]")?;
    let words = words(rest);
    let mut asked = words.first().ok_or("nothing behind the time")?.split(' ');
    let (Some(method), Some(path)) = (asked.next(), asked.next()) else {
        return Err("no \"METHOD path protocol\" behind the time".to_owned());
    };
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let duration = match word(3).strip_suffix("ms") {
        Some(duration) => duration,
        None => {
            let numbers = words.iter().skip(3).take_while(|word| !word.contains("context="));
            let mut numbers = numbers.skip_while(|word| word.parse::<u64>().is_err());
            numbers.nth(2).map_or("", String::as_str)
        }
    };
    let quoted = quoted(rest);
    let context = line.split(['=', ' ', '"']).find_map(traceparent);
    record(Fields {
        time,
        method,
        path,
        host: quoted.get(quoted.len().saturating_sub(2)).copied().filter(|_| 4 <= quoted.len()).unwrap_or_default(),
        status: word(1),
        flags: word(2),
        duration,
        context,
        grpc_status: None,
        service: "",
    })
}

/// Reads one object of JSON, by the names that Envoy's and Istio's documentation and this project give to the fields.
pub fn json(object: &Map<String, Value>) -> Result<Record, String> {
    let field = |names: &[&str]| -> String {
        match names.iter().find_map(|name| object.get(*name)) {
            Some(Value::String(text)) if text != "-" => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    };
    let time = field(&["start_time", "time", "timestamp", "@timestamp"]);
    let (trace, span) = (field(&["trace_id", "traceId"]), field(&["span_id", "spanId"]));
    let context = traceparent(&field(&["traceparent", "context"]));
    let context = context.or_else(|| traceparent(&format!("00-{trace}-{span}-00")));
    record(Fields {
        time: &time,
        method: &field(&["method"]),
        path: &field(&["path", "x_envoy_original_path"]),
        host: &field(&["authority", "host"]),
        status: &field(&["response_code", "status"]),
        flags: &field(&["response_flags", "flags"]),
        duration: &field(&["duration", "duration_ms"]),
        context,
        grpc_status: Some(field(&["grpc_status", "grpc_status_number"])).filter(|status| !status.is_empty()),
        service: &field(&["service", "service_name"]),
    })
}

struct Fields<'l> {
    time: &'l str,
    method: &'l str,
    path: &'l str,
    host: &'l str,
    status: &'l str,
    flags: &'l str,
    duration: &'l str,
    context: Option<TraceParent>,
    grpc_status: Option<String>,
    service: &'l str,
}

fn record(fields: Fields<'_>) -> Result<Record, String> {
    if fields.method.is_empty() || fields.path.is_empty() {
        return Err("no method or no path".to_owned());
    }
    let started = if fields.time.is_empty() {
        0
    } else {
        let time: jiff::Timestamp =
            fields.time.parse().map_err(|_| format!("\"{}\" is no time as RFC 3339 has it", fields.time))?;
        u64::try_from(time.as_nanosecond()).unwrap_or_default()
    };
    let status: u16 = fields.status.parse().map_err(|_| format!("\"{}\" is no HTTP status", fields.status))?;
    let duration: f64 = fields.duration.parse().unwrap_or_default();
    let status_of_grpc =
        |text: String| GrpcStatus::from_name(&text).unwrap_or_else(|| GrpcStatus::from_header(text.as_bytes()));
    Ok(Record {
        trace_id: fields.context.map(|context| context.trace_id),
        span_id: fields.context.map(|context| context.parent_id),
        parent_id: None,
        started,
        took: (duration * 1e6) as u64,
        request: Request {
            method: fields.method.to_owned(),
            path: fields.path.to_owned(),
            host: fields.host.to_owned(),
            headers: Vec::new(),
        },
        status: (status != 0).then_some(status),
        grpc_status: fields.grpc_status.map(status_of_grpc),
        flags: explain::flags(fields.flags).unwrap_or_default(),
        service: fields.service.to_owned(),
        weight: 1.0,
        bytes: None,
        role: Role::Hop,
    })
}

fn traceparent(text: &str) -> Option<TraceParent> {
    let text = text.get(..TRACEPARENT_LEN).filter(|start| start.len() == text.len())?;
    TraceParent::parse(text.as_bytes()).ok()
}

/// Words, a quoted text being one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Quoted texts alone.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_format_gives_the_same_request() {
        let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let lines = [
            // Envoy's default.
            r#"[2026-11-21T10:00:00.250Z] "POST /pay?a=1 HTTP/2" 503 UF 154 0 226 - "10.0.35.28" "curl" "cc21d9b0" "shop.example" "10.0.2.1:80""#.to_owned(),
            // Istio's default.
            r#"[2026-11-21T10:00:00.250Z] "POST /pay?a=1 HTTP/2" 503 UF upstream_reset - "reset reason" 154 0 226 - "-" "curl" "cc21d9b0" "shop.example" "10.0.2.1:80" outbound|80||x - 10.0.0.1:80 10.0.0.2:1 - default"#.to_owned(),
            // The shipped configurations.
            format!(r#"[2026-11-21T10:00:00.250Z] "POST /pay?a=1 HTTP/2" 503 UF 226ms context={context} decision=-"#),
        ];
        for line in lines {
            let record = text(&line).unwrap();
            assert_eq!((record.request.method.as_str(), record.request.path.as_str()), ("POST", "/pay?a=1"), "{line}");
            assert_eq!((record.status, record.flags.bits(), record.took), (Some(503), 0x20, 226_000_000), "{line}");
            assert_eq!(record.started, 1_795_255_200_250_000_000, "{line}");
            assert_eq!(record.request.host, if line.contains("curl") { "shop.example" } else { "" }, "{line}");
            assert_eq!(record.trace_id.is_some(), line.contains("context="), "{line}");
        }
    }

    #[test]
    fn json_lines_are_read_by_the_names_that_people_use() {
        let read = |text: &str| json(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap());
        let record = read(
            r#"{"start_time":"2026-11-21T10:00:00Z","method":"GET","path":"/a","authority":"h","response_code":200,
                "response_flags":"-","duration":3,"grpc_status":"UNAVAILABLE","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#,
        )
        .unwrap();
        assert_eq!(record.grpc_status, GrpcStatus::from_name("UNAVAILABLE"));
        assert_eq!((record.took, record.span_id.map(|id| id.get())), (3_000_000, Some(0x00f0_67aa_0ba9_02b7)));
        assert_eq!(read(r#"{"method":"GET"}"#).unwrap_err(), "no method or no path");
        assert_eq!(read(r#"{"method":"GET","path":"/","status":"x"}"#).unwrap_err(), "\"x\" is no HTTP status");
    }
}
