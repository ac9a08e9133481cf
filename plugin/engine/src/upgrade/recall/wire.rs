//! The recall request and its answer, version 2.
//!
//! No body on either side: the filter exports no body callback, and HEAD keeps others from answering with one. `traceparent:
//! ff-tracelift-recall-2` marks the request; W3C Trace Context Level 2 ("Versioning of traceparent") forbids version ff for
//! ever, so that no context ever looks like it, and a normal request, whose context is read anyway, pays nothing for the
//! question. [`HEADER`] names version and trace-ids; [`mac`] shows that whoever asks knows the mesh's secret, which itself
//! never travels. An instance without the filter answers the path as it does any that it lacks.

use crate::trace_context::{RECALL_MARK, TraceId};
use crate::upgrade::mac::{self, Statement};

/// Path of the request.
pub const PATH: &str = "/.well-known/tracelift/recall";
/// `2;<trace-id>,<trace-id>…` in a request; in an answer the version that is understood.
pub const HEADER: &str = "x-tracelift-recall";
/// Where version 1 carried the secret itself. Read where the configuration accepts that version, and never written.
pub const TOKEN: &str = "x-tracelift-token";
/// Where an ORIGINAL_DST cluster of Envoy reads the instance's address.
pub const DESTINATION: &str = "x-envoy-original-dst-host";
/// How the names of our own request headers begin.
pub const OURS: &[u8] = b"x-tracelift-";
/// The version that this filter speaks.
pub const VERSION: &str = "2";
/// The version before, with the secret in a header.
pub const PREVIOUS: &str = "1";
/// The purpose in what is signed.
const PURPOSE: &str = "recall-2";
/// Trace-ids in one request: its header stays below 2.2 KB.
pub const MAX_IDS: usize = 64;

/// Why a request was refused, as its answer's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: another version, or no list of trace-ids. The answer names the version that is understood.
    NotUnderstood,
    /// 403: no MAC of the mesh for this instance and minute, or a peer that is not listed.
    Denied,
    /// 429: more upgrades than the budget admits. What it admitted is done; asking again is welcome.
    Busy,
}

impl Refusal {
    /// HTTP status of the answer.
    pub const fn status(self) -> u32 {
        match self {
            Self::NotUnderstood => 400,
            Self::Denied => 403,
            Self::Busy => 429,
        }
    }
}

/// What an answer means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The filter there gives up what it holds.
    Done,
    /// A filter that will not, now or ever: it does not trust us, or speaks another version.
    Refused,
    /// Nobody knows the path: no filter, or one with recall switched off.
    NoFilter,
    /// No answer, or not now: ask again.
    Again,
}

impl Reply {
    /// Reads an answer; `header` is its [`HEADER`]. Envoy makes up a 503 for an instance that is not there and a 504 for one
    /// that says nothing, so that a 5xx without the header is no answer.
    pub fn read(status: Option<u16>, header: Option<&[u8]>) -> Self {
        match (status, header) {
            (Some(200..=299), Some(_)) => Self::Done,
            (Some(429), _) | (Some(500..=599) | None, None) => Self::Again,
            (_, Some(_)) => Self::Refused,
            (Some(_), None) => Self::NoFilter,
        }
    }
}

/// Headers of a request for these traces, at most [`MAX_IDS`] of them, to the instance at this address, at `now` (Unix
/// nanoseconds).
pub fn request<'a>(destination: &'a str, token: &'a str, traces: &[TraceId], now: u64) -> [(&'static str, String); 8] {
    let mut ids = String::with_capacity(2 + 33 * traces.len().min(MAX_IDS));
    ids.push_str(VERSION);
    for (number, id) in traces.iter().take(MAX_IDS).enumerate() {
        ids.push(if number == 0 { ';' } else { ',' });
        ids.extend(id.hex().map(char::from));
    }
    let mac = statement(destination.as_bytes(), ids.as_bytes()).sign(token.as_bytes(), now);
    [
        (":method", "HEAD".to_owned()),
        (":path", PATH.to_owned()),
        (":authority", destination.to_owned()),
        (":scheme", "http".to_owned()),
        ("traceparent", [RECALL_MARK, VERSION].concat()),
        (HEADER, ids),
        (mac::HEADER, mac),
        (DESTINATION, destination.to_owned()),
    ]
}

/// What a request for the traces in this [`HEADER`] has to be signed with.
pub fn statement<'a>(destination: &'a [u8], ids: &'a [u8]) -> Statement<'a> {
    Statement { purpose: PURPOSE, audience: destination, content: ids }
}

/// The trace-ids that [`HEADER`] names in that version, at least one and at most [`MAX_IDS`].
pub fn read(header: &[u8], version: &str) -> Result<Vec<TraceId>, Refusal> {
    let ids = header.strip_prefix(version.as_bytes()).and_then(|rest| rest.strip_prefix(b";"));
    let ids = ids.filter(|ids| ids.len() < 33 * MAX_IDS).ok_or(Refusal::NotUnderstood)?;
    ids.split(|byte| *byte == b',').map(|id| TraceId::parse(id).map_err(|_| Refusal::NotUnderstood)).collect()
}

/// Whether an instance can be asked at this address: an IP with a port, as `upstream.address` has it. Sockets without one
/// (pipes, Envoy's internal listeners) cannot.
pub fn is_destination(address: &[u8]) -> bool {
    let numeric = |byte: &u8| byte.is_ascii_hexdigit() || b".:[]".contains(byte);
    (1..=64).contains(&address.len()) && address.contains(&b':') && address.iter().all(numeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn traces(count: usize) -> Vec<TraceId> {
        (1..=count).map(|id| TraceId::from_u128(id as u128).expect("above zero")).collect()
    }

    fn ids(count: usize) -> String {
        let headers = request("10.0.0.2:8080", "secret", &traces(count), 0);
        headers.into_iter().find(|(name, _)| *name == HEADER).expect("the header").1
    }

    #[test]
    fn what_is_asked_is_what_is_read() {
        for count in [1, 2, MAX_IDS] {
            assert_eq!(read(ids(count).as_bytes(), VERSION), Ok(traces(count)));
        }
        assert_eq!(read(ids(MAX_IDS + 9).as_bytes(), VERSION), Ok(traces(MAX_IDS)));
    }

    #[test]
    fn another_version_and_what_is_no_list_is_refused() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let long = format!("2;{}", vec![id; MAX_IDS + 1].join(","));
        for bad in ["", "2", "2;", "1;0af7651916cd43dd8448eb211c80319c", "2;xyz", "2;0af7", &format!("2;{id},"), &long]
        {
            assert_eq!(read(bad.as_bytes(), VERSION), Err(Refusal::NotUnderstood), "{bad}");
        }
        for version in [PREVIOUS, VERSION] {
            assert_eq!(read(format!("{version};{id}").as_bytes(), version).map(|ids| ids.len()), Ok(1));
        }
    }

    #[test]
    fn an_answer_means_done_never_again_or_ask_again() {
        for (status, header, meant) in [
            (Some(200), Some("1"), Reply::Done),
            (Some(400), Some("2"), Reply::Refused),
            (Some(403), Some("1"), Reply::Refused),
            (Some(429), Some("1"), Reply::Again),
            (Some(503), None, Reply::Again),
            (Some(504), None, Reply::Again),
            (None, None, Reply::Again),
            (Some(404), None, Reply::NoFilter),
            (Some(200), None, Reply::NoFilter),
            (Some(403), None, Reply::NoFilter),
        ] {
            assert_eq!(Reply::read(status, header.map(str::as_bytes)), meant, "{status:?} {header:?}");
        }
    }

    #[test]
    fn a_request_is_signed_for_its_instance_and_never_holds_the_secret() {
        let headers = request("10.0.0.2:8080", "the-secret-of-the-mesh", &traces(2), 5_000_000_000);
        let value = |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str()).expect("it");
        assert!(headers.iter().all(|(_, value)| !value.contains("the-secret-of-the-mesh")), "{headers:?}");
        let asked = statement(b"10.0.0.2:8080", value(HEADER).as_bytes());
        assert!(asked.is_signed([b"the-secret-of-the-mesh", b""], value(mac::HEADER).as_bytes(), 5_000_000_000));
        assert_eq!((value(":method"), value("traceparent")), ("HEAD", "ff-tracelift-recall-2"));
    }

    #[test]
    fn only_an_address_with_a_port_can_be_asked() {
        for address in ["10.0.0.2:8080", "[2001:db8::1]:15006"] {
            assert!(is_destination(address.as_bytes()), "{address}");
        }
        for address in ["", "10.0.0.2", "/run/app.sock", "@pipe", "envoy://internal/x", "cart.shop:80\r\nx: y"] {
            assert!(!is_destination(address.as_bytes()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let read = read(&bytes, VERSION);
            prop_assert!(read.as_ref().is_ok_and(|ids| (1..=MAX_IDS).contains(&ids.len())) || read.is_err());
        }
    }
}
