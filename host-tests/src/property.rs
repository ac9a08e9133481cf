//! Properties (Envoy attributes): their byte forms, and which exist in which phase.
//!
//! The table follows what Envoy 1.40 was seen to answer, not its documentation.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stream::{Phase, Stream, grpc_status_of_http};
use crate::{Direction, Headers, Status};

/// A path's parts joined with NUL, as the ABI passes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PropertyPath(pub(crate) Vec<u8>);

impl From<&str> for PropertyPath {
    /// A dotted path; use a slice of parts when one holds a dot itself.
    fn from(dotted: &str) -> Self {
        Self(dotted.replace('.', "\0").into_bytes())
    }
}

impl From<&[&str]> for PropertyPath {
    fn from(parts: &[&str]) -> Self {
        Self(parts.join("\0").into_bytes())
    }
}

impl<const N: usize> From<&[&str; N]> for PropertyPath {
    fn from(parts: &[&str; N]) -> Self {
        parts[..].into()
    }
}

/// A value in its byte form, or the status that the read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property(pub(crate) Result<Vec<u8>, Status>);

impl Property {
    /// Reads answer `NotFound`.
    pub const ABSENT: Self = Self(Err(Status::NotFound));

    /// Reads answer this status.
    pub fn failing(status: Status) -> Self {
        Self(Err(status))
    }
}

impl From<&str> for Property {
    fn from(text: &str) -> Self {
        Self(Ok(text.into()))
    }
}

impl From<String> for Property {
    fn from(text: String) -> Self {
        Self(Ok(text.into_bytes()))
    }
}

impl From<&[u8]> for Property {
    fn from(bytes: &[u8]) -> Self {
        Self(Ok(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for Property {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Ok(bytes))
    }
}

impl From<i64> for Property {
    fn from(number: i64) -> Self {
        Self(Ok(number.to_le_bytes().to_vec()))
    }
}

impl From<bool> for Property {
    fn from(flag: bool) -> Self {
        Self(Ok(vec![flag.into()]))
    }
}

impl From<Duration> for Property {
    /// A duration, or a time since the epoch: nanoseconds in 64 bits.
    fn from(time: Duration) -> Self {
        (time.as_nanos() as i64).into()
    }
}

/// Values a test or the process set, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties(BTreeMap<Vec<u8>, Property>);

impl Properties {
    pub(crate) fn set(&mut self, path: PropertyPath, value: Property) {
        self.0.insert(path.0, value);
    }

    fn get(&self, path: &[u8]) -> Option<&Property> {
        self.0.get(path)
    }
}

/// Where a property is read from.
pub(crate) struct Reader<'a> {
    pub(crate) process: &'a Properties,
    pub(crate) plugin_name: &'a str,
    pub(crate) vm_id: &'a str,
    pub(crate) direction: Direction,
    pub(crate) stream: Option<&'a Stream>,
    pub(crate) now: Duration,
}

impl Reader<'_> {
    pub(crate) fn read(&self, path: &[u8]) -> Result<Vec<u8>, Status> {
        let parts: Vec<&str> =
            path.split(|byte| *byte == 0).map(|part| std::str::from_utf8(part).unwrap_or("\u{fffd}")).collect();
        if self.stream.is_some_and(|stream| !exists(stream, &parts)) {
            return Err(Status::NotFound);
        }
        let overridden = self.stream.and_then(|stream| stream.overrides.get(path)).or_else(|| self.process.get(path));
        if let Some(Property(value)) = overridden {
            return value.clone();
        }
        match parts[..] {
            ["plugin_name"] => return Property::from(self.plugin_name).0,
            ["plugin_root_id"] => return Property::from("").0,
            ["plugin_vm_id"] => return Property::from(self.vm_id).0,
            _ => {}
        }
        let stream = self.stream.ok_or(Status::NotFound)?;
        match parts[..] {
            ["filter_state", key] => filter_state(stream, key.strip_prefix("wasm.").unwrap_or(key)),
            ["filter_state" | "upstream_filter_state"] | ["xds", "upstream_host_locality_metadata"] => {
                Err(Status::SerializationFailure)
            }
            ["xds", "listener_direction"] => Property::from(self.direction as i64).0,
            ["request", ..] => self.request(stream, &parts[1..]),
            ["response", ..] => response(stream, &parts[1..]),
            ["upstream", "request_attempt_count"] => {
                let tried = i64::from(Phase::ResponseHeaders <= stream.phase);
                Property::from(tried).0
            }
            [key] => filter_state(stream, key),
            _ => Err(Status::NotFound),
        }
    }

    fn request(&self, stream: &Stream, parts: &[&str]) -> Result<Vec<u8>, Status> {
        let at_log = stream.phase == Phase::Log;
        let sizes = |with_headers: bool| {
            let headers = stream.request_headers.as_ref().map_or(0, Headers::byte_size);
            (stream.request_body_size + if with_headers { headers } else { 0 }) as i64
        };
        match parts {
            ["time"] => return Property::from(stream.started).0,
            ["protocol"] => return Property::from("HTTP/1.1").0,
            ["size"] => return Property::from(sizes(false)).0,
            ["total_size"] => return Property::from(sizes(at_log)).0,
            ["duration"] => {
                let ended = stream.ended.unwrap_or(self.now);
                return Property::from(ended.saturating_sub(stream.started)).0;
            }
            _ => {}
        }
        let headers = stream.request_headers.as_ref().ok_or(Status::NotFound)?;
        let of = |name: &str| headers.get(name).map(<[u8]>::to_vec);
        let path = of(":path");
        let cut = path.as_ref().and_then(|path| path.iter().position(|byte| *byte == b'?'));
        let value = match parts {
            ["path"] => path,
            ["url_path"] => path.map(|p| p[..cut.unwrap_or(p.len())].to_vec()),
            ["query"] => path.map(|p| cut.map_or(Vec::new(), |at| p[at + 1..].to_vec())),
            ["host"] => of(":authority"),
            ["scheme"] => of(":scheme"),
            ["method"] => of(":method"),
            ["referer"] => of("referer"),
            ["useragent"] => of("user-agent"),
            ["id"] => of("x-request-id"),
            ["headers"] => Some(headers.to_pairs()),
            ["headers", name] => headers.joined(name),
            _ => None,
        };
        value.ok_or(Status::NotFound)
    }
}

/// Whether Envoy has the property in this phase at all, whoever set its value.
fn exists(stream: &Stream, parts: &[&str]) -> bool {
    let phase = stream.phase;
    let responding = Phase::ResponseHeaders <= phase;
    match parts {
        ["request", "time" | "protocol" | "size" | "total_size"] => true,
        ["request", "duration"] => Phase::Log <= phase,
        // The request map is gone between the request phase and the log.
        ["request", ..] => phase == Phase::Log || (Phase::RequestHeaders..=Phase::RequestTrailers).contains(&phase),
        ["response", "flags"] => true,
        ["response", "code" | "grpc_status"] => responding && stream.response_seen,
        ["response", "code_details"] => responding,
        ["response", "backend_latency"] => Phase::ResponseTrailers <= phase && stream.upstream_chosen,
        ["response", ..] => responding && phase <= Phase::Log,
        ["upstream", "request_attempt_count"] => true,
        ["upstream", ..] | ["xds", "upstream_host_metadata"] => responding && stream.upstream_chosen,
        _ => true,
    }
}

fn response(stream: &Stream, parts: &[&str]) -> Result<Vec<u8>, Status> {
    let phase = stream.phase;
    let value = match parts {
        ["flags"] => return Property::from(stream.flags.cast_signed()).0,
        ["code"] => stream.code,
        ["code_details"] => {
            let details = stream.code_details.clone();
            return details.map(String::into_bytes).ok_or(Status::NotFound);
        }
        ["grpc_status"] => {
            let sent = [&stream.response_trailers, &stream.response_headers]
                .into_iter()
                .flatten()
                .find_map(|map| std::str::from_utf8(map.get("grpc-status")?).ok()?.parse().ok())
                .filter(|_| phase != Phase::Done);
            sent.or_else(|| stream.code.map(grpc_status_of_http))
        }
        ["size"] => Some(stream.response_body_size as i64),
        ["total_size"] => {
            let maps = [&stream.response_headers, &stream.response_trailers];
            let headers: u64 = maps.into_iter().flatten().map(Headers::byte_size).sum();
            let extra = if phase == Phase::Log { headers } else { 0 };
            Some((stream.response_body_size + extra) as i64)
        }
        ["backend_latency"] => {
            let first = stream.first_response_byte.ok_or(Status::NotFound)?;
            return Property::from(first.saturating_sub(stream.started)).0;
        }
        [map @ ("headers" | "trailers"), rest @ ..] => return response_map(stream, map, rest),
        _ => None,
    };
    value.map(Property::from).unwrap_or(Property::ABSENT).0
}

fn response_map(stream: &Stream, map: &str, rest: &[&str]) -> Result<Vec<u8>, Status> {
    let map = match map {
        "headers" => &stream.response_headers,
        _ => &stream.response_trailers,
    };
    let map = map.as_ref().ok_or(Status::NotFound)?;
    match rest {
        [] => Ok(map.to_pairs()),
        [name] => map.joined(name).ok_or(Status::NotFound),
        _ => Err(Status::NotFound),
    }
}

fn filter_state(stream: &Stream, key: &str) -> Result<Vec<u8>, Status> {
    stream.filter_state.get(key.as_bytes()).cloned().ok_or(Status::NotFound)
}
