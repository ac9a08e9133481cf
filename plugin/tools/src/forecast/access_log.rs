//! Access logs of Envoy: JSON lines, the text format that Envoy writes by default, Istio's, and the one of the shipped
//! configurations.
//!
//! Text: `[time] "METHOD path protocol" status flags …`. Behind the flags comes either the duration with its unit (`12ms`, the
//! shipped format), or bytes received, bytes sent and the duration (Envoy), or words, a quoted text and then the same three
//! numbers (Istio). A `traceparent` anywhere in the line gives trace and span; the host is the quoted `:authority` behind
//! agent and request id.

use serde_json::{Map, Value};

use super::record::{Record, Role};
use super::skip::{Reason, Skip};
use super::status;
use crate::explain::Request;
use tracelift::trace_context::{TRACEPARENT_LEN, TraceParent};

/// Reads one line of text.
pub fn text(line: &str) -> Result<Record, Skip> {
    if is_own_log(line) {
        return Err(Reason::OwnLog.into());
    }
    let no_log = |detail: &str| Skip::new(Reason::NoLog, detail);
    let rest = line.strip_prefix('[').ok_or_else(|| no_log("no [time] at its beginning"))?;
    let (time, rest) = rest.split_once(']').ok_or_else(|| no_log("no end of the [time]"))?;
    let words = words(rest);
    let mut asked = words.first().ok_or_else(|| no_log("nothing behind the time"))?.split(' ');
    let (Some(method), Some(path)) = (asked.next(), asked.next()) else {
        return Err(no_log("no \"METHOD path protocol\" behind the time"));
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
        protocol: asked.next().unwrap_or_default(),
        host: quoted.get(quoted.len().saturating_sub(2)).copied().filter(|_| 4 <= quoted.len()).unwrap_or_default(),
        status: word(1),
        flags: word(2),
        duration,
        context,
        grpc_status: "",
        service: "",
    })
}

/// `[2026-11-21 10:00:00.250][1][info][main]` of Envoy, `2026-11-21T10:00:00.250000Z info` of Istio's agent, tabs between.
fn is_own_log(line: &str) -> bool {
    let is_agent = line.split_once('\t').is_some_and(|(time, _)| time.parse::<jiff::Timestamp>().is_ok());
    let level = line.strip_prefix('[').and_then(|line| line.split_once("][")).map(|(time, rest)| {
        let starts = time.starts_with(|first: char| first.is_ascii_digit());
        starts
            && ["[trace]", "[debug]", "[info]", "[warning]", "[error]", "[critical]"]
                .iter()
                .any(|level| rest.contains(level))
    });
    is_agent || level == Some(true)
}

/// Reads one object of JSON, by the names that Envoy's, Istio's and Envoy Gateway's documentation and this project give to
/// the fields; `-` in a name is as good as `_`.
pub fn json(object: &Map<String, Value>) -> Result<Record, Skip> {
    let field = |names: &[&str]| -> String { names.iter().find_map(|name| value(object, name)).unwrap_or_default() };
    let time = field(&["start_time", "time", "timestamp", "@timestamp"]);
    let (trace, span) = (field(&["trace_id", "traceId"]), field(&["span_id", "spanId"]));
    let context = traceparent(&field(&["traceparent", "context"]));
    let context = context.or_else(|| traceparent(&format!("00-{trace}-{span}-00")));
    let status = field(&["response_code", "status", "status_code", "response_status"]);
    let method = field(&["method", "request_method", ":method"]);
    let path = field(&["path", "x_envoy_origin_path", "x_envoy_original_path", "request_path", "uri", ":path"]);
    let has_request = ["response_code", "response_flags", "method"].iter().any(|name| object.contains_key(*name));
    if !has_request && (status.is_empty() || method.is_empty()) {
        return Err(Reason::NoRequest.into());
    }
    record(Fields {
        time: &time,
        method: &method,
        path: &path,
        protocol: &field(&["protocol"]),
        host: &field(&["authority", ":authority", "host", "request_host"]),
        status: &status,
        flags: &field(&["response_flags", "flags"]),
        duration: &field(&["duration", "duration_ms"]),
        context,
        grpc_status: &field(&["grpc_status", "grpc_status_number"]),
        service: &field(&["service", "service_name"]),
    })
}

/// The text of a field; `None` for `-` and null, Envoy's two ways to say nothing.
fn value(object: &Map<String, Value>, name: &str) -> Option<String> {
    let found = object.get(name).or_else(|| object.get(&name.replace('_', "-")))?;
    match found {
        Value::String(text) if text != "-" && !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

struct Fields<'l> {
    time: &'l str,
    method: &'l str,
    path: &'l str,
    protocol: &'l str,
    host: &'l str,
    status: &'l str,
    flags: &'l str,
    duration: &'l str,
    context: Option<TraceParent>,
    grpc_status: &'l str,
    service: &'l str,
}

fn record(fields: Fields<'_>) -> Result<Record, Skip> {
    let is_missing = |text: &str| text.is_empty() || text == "-";
    if is_missing(fields.method) || is_missing(fields.path) {
        let is_connection = is_missing(fields.protocol) && is_missing(fields.method);
        let is_codec_fault = is_missing(fields.method) && !is_missing(fields.protocol);
        return Err(match (is_connection, is_codec_fault) {
            (true, _) => Reason::Connection.into(),
            (_, true) => Reason::NoHeaders.into(),
            _ => Skip::new(Reason::NoRequest, "no method or no path"),
        });
    }
    let started = if is_missing(fields.time) { 0 } else { time(fields.time)? };
    let status = if is_missing(fields.status) { "0" } else { fields.status };
    let status: u16 =
        status.parse().map_err(|_| Skip::new(Reason::NoStatus, format!("\"{status}\" is not an HTTP status")))?;
    let duration: f64 = fields.duration.trim_end_matches("ms").parse().unwrap_or_default();
    let took = duration * if fields.duration.ends_with("ms") || !fields.duration.ends_with('s') { 1e6 } else { 1e9 };
    Ok(Record {
        trace_id: fields.context.map(|context| context.trace_id),
        span_id: fields.context.map(|context| context.parent_id),
        parent_id: None,
        started,
        took: took as u64,
        request: Request {
            method: fields.method.to_owned(),
            path: fields.path.to_owned(),
            host: fields.host.to_owned(),
            headers: Vec::new(),
        },
        status: (status != 0).then_some(status),
        grpc_status: status::grpc(fields.grpc_status),
        is_whole: status != 0,
        flags: status::flags(fields.flags),
        service: fields.service.to_owned(),
        weight: 1.0,
        bytes: None,
        role: Role::Hop,
    })
}

/// Unix nanoseconds of RFC 3339, or of seconds, milliseconds, microseconds or nanoseconds since 1970.
fn time(text: &str) -> Result<u64, Skip> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(u64::try_from(time.as_nanosecond()).unwrap_or_default());
    }
    let number: Option<f64> = text.parse().ok().filter(|number| (0.0..1e19).contains(number));
    let unit = |number: f64| [(1e11, 1e9), (1e14, 1e6), (1e17, 1e3)].iter().find(|(below, _)| number < *below);
    match number {
        Some(number) => Ok((number * unit(number).map_or(1.0, |(_, nanos)| *nanos)) as u64),
        None => Err(Skip::new(Reason::NoTime, format!("\"{text}\" is not a time of RFC 3339"))),
    }
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
    use tracelift::http::GrpcStatus;

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

    fn read(text: &str) -> Result<Record, Skip> {
        json(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap())
    }

    #[test]
    fn json_lines_are_read_by_the_names_that_people_use() {
        let record = read(
            r#"{"start_time":"2026-11-21T10:00:00Z","method":"GET","path":"/a","authority":"h","response_code":200,
                "response_flags":"-","duration":3,"grpc_status":"Unavailable","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#,
        )
        .unwrap();
        assert_eq!(record.grpc_status, GrpcStatus::from_name("UNAVAILABLE"));
        assert_eq!((record.took, record.span_id.map(|id| id.get())), (3_000_000, Some(0x00f0_67aa_0ba9_02b7)));
        let gateway = read(
            r#"{":authority":"shop.example","start_time":"2026-11-21T10:00:00Z","method":"GET","x-envoy-origin-path":"/a?b=1",
                "protocol":"HTTP/2","response_code":503,"response_flags":"UF,URX","duration":12,"upstream_host":null}"#,
        )
        .unwrap();
        assert_eq!((gateway.request.host.as_str(), gateway.request.path.as_str()), ("shop.example", "/a?b=1"));
        assert_eq!(gateway.flags.bits(), 0x8020);
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (text, reason) in [
            (r#"{"a":1}"#, Reason::NoRequest),
            (r#"{"method":"GET","response_code":200}"#, Reason::NoRequest),
            (r#"{"method":"GET","path":"/","status":"x"}"#, Reason::NoStatus),
            (r#"{"method":"GET","path":"/","status":200,"time":"noon"}"#, Reason::NoTime),
            (r#"{"method":null,"path":null,"protocol":null,"response_code":0,"bytes_sent":7}"#, Reason::Connection),
            (r#"{"method":"-","path":"-","protocol":"-","response_code":"0"}"#, Reason::Connection),
            (
                r#"{"method":null,"path":null,"protocol":"HTTP/1.1","response_code":400,"response_flags":"DPE"}"#,
                Reason::NoHeaders,
            ),
        ] {
            assert_eq!(read(text).unwrap_err().reason, reason, "{text}");
        }
        let broken = r#"[2026-11-21T10:00:00.250Z] "- - HTTP/1.1" 400 DPE 0 11 0 - "-" "-" "-" "-" "-""#;
        assert_eq!(text(broken).unwrap_err().reason, Reason::NoHeaders);
    }

    #[test]
    fn a_time_is_read_as_text_and_as_a_number() {
        for text in
            ["2026-11-21T10:00:00.250Z", "1795255200.250", "1795255200250", "1795255200250000", "1795255200250000000"]
        {
            let apart = time(text).unwrap().abs_diff(1_795_255_200_250_000_000);
            assert!(apart < 1_000, "{text}: {apart}");
        }
    }
}
