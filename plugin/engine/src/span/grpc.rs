//! gRPC calls: whether a request is one, and whether the method that it names exists.

use super::{HttpFacts, bounds};
use crate::http::{GrpcStatus, ResponseFlags};

/// What a span says of the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// `package.Service/Method`, and the answer shows that the server knows it.
    Known(&'a str),
    /// A method by its form, but nothing shows that it exists: a caller may have made it up.
    Claimed(&'a str),
    /// The path is no method.
    Malformed,
}

/// Flags that Envoy sets only once the request was on its way to an upstream.
const REACHED: ResponseFlags = ResponseFlags::UPSTREAM_TIMEOUT
    .or(ResponseFlags::UPSTREAM_REMOTE_RESET)
    .or(ResponseFlags::CONNECTION_TERMINATION)
    .or(ResponseFlags::STREAM_IDLE_TIMEOUT)
    .or(ResponseFlags::MAX_STREAM_DURATION)
    .or(ResponseFlags::DURATION_TIMEOUT)
    .or(ResponseFlags::UPSTREAM_PROTOCOL_ERROR);

/// Whether the request's content type is gRPC's (`application/grpc`, with `+proto` and the like). gRPC-Web is not: its
/// status is in the body.
#[inline(always)] // For every request that is counted; `application/json` is as long: one byte tells that from ours.
pub fn is_call(content_type: Option<&[u8]>) -> bool {
    let last = content_type.and_then(|value| value.get(TYPE.len() - 1));
    last.is_some_and(|last| last | 0x20 == b'c') && begins_as_call(content_type.unwrap_or_default())
}

const TYPE: &[u8] = b"application/grpc";

#[inline(never)]
fn begins_as_call(content_type: &[u8]) -> bool {
    content_type.split_at_checked(TYPE.len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// The method that the call names.
///
/// Its name is of low cardinality only if the server knows it. A gRPC answer shows that: one of the upstream's with another status
/// than UNIMPLEMENTED, or one that began and had no status, since a side broke it off. A server of HTTP may answer 200 to any path, and a
/// caller may choose the time after which Envoy gives up: what broke off before the answer began counts only for a method that was seen.
pub fn method<'a>(facts: &HttpFacts<'a>) -> Method<'a> {
    let Some(name) = facts.path.and_then(parse) else { return Method::Malformed };
    let by_upstream = match facts.code_details {
        Some(details) => details == b"via_upstream",
        None => !facts.response_flags.failed(),
    };
    let is_shown = facts.grpc_answer
        && match facts.grpc_status {
            Some(status) => by_upstream && status != GrpcStatus::UNIMPLEMENTED,
            None => facts.status_code == Some(200),
        };
    let is_late = facts.grpc_method_seen
        && facts.response_flags.intersects(REACHED)
        && facts.grpc_status != Some(GrpcStatus::UNIMPLEMENTED);
    if is_shown || is_late { Method::Known(name) } else { Method::Claimed(name) }
}

/// Reads `/package.Service/Method`: exactly two segments of letters, digits and `_`, the first with dots between its parts.
fn parse(path: &[u8]) -> Option<&str> {
    let name = path.strip_prefix(b"/").filter(|name| name.len() <= bounds::GRPC_METHOD)?;
    let slash = name.iter().position(|&byte| byte == b'/')?;
    let (service, method) = (name.get(..slash)?, name.get(slash..)?.get(1..)?);
    let part = |part: &[u8]| {
        let starts = part.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        starts && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let legal = service.split(|&byte| byte == b'.').all(part) && part(method);
    str::from_utf8(name).ok().filter(|_| legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcfoo", false),
            ("application/json", false),
            ("application", false),
            ("", false),
        ] {
            assert_eq!(is_call(Some(content_type.as_bytes())), expected, "{content_type}");
        }
        assert!(!is_call(None));
        assert!(!is_call(Some(b"\xff")));
    }

    #[test]
    fn a_method_has_two_segments_of_identifiers() {
        for (path, expected) in [
            ("/shop.v1.Cart/Add", Some("shop.v1.Cart/Add")),
            ("/Cart/Add_2", Some("Cart/Add_2")),
            ("/shop.Cart/Add?x=1", None),
            ("/shop.Cart/Add/", None),
            ("/shop.Cart/", None),
            ("//Add", None),
            ("/shop..Cart/Add", None),
            ("/.Cart/Add", None),
            ("/shop.Cart/1Add", None),
            ("/shop.Cart/Ädd", None),
            ("/shop.Cart/A.dd", None),
            ("/shop.Cart", None),
            ("shop.Cart/Add", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(parse(path.as_bytes()), expected, "{path}");
        }
        let longest = format!("/{}/Add", "a".repeat(bounds::GRPC_METHOD - 4));
        assert!(parse(longest.as_bytes()).is_some());
        assert!(parse(format!("{longest}d").as_bytes()).is_none());
    }

    fn late<'a>(call: &HttpFacts<'a>) -> HttpFacts<'a> {
        HttpFacts {
            grpc_status: GrpcStatus::from_code(4),
            code_details: Some(b"response_timeout"),
            response_flags: ResponseFlags::UPSTREAM_TIMEOUT,
            ..*call
        }
    }

    #[test]
    fn a_method_is_known_only_by_its_answer() {
        let call = HttpFacts {
            path: Some(b"/shop.Cart/Add"),
            status_code: Some(200),
            grpc_answer: true,
            ..HttpFacts::default()
        };
        let status = |code| GrpcStatus::from_code(code);
        let upstream = Some(&b"via_upstream"[..]);
        let reset = Some(&b"upstream_reset_after_response_started{protocol_error}"[..]);
        for (facts, known) in [
            (HttpFacts { grpc_status: status(0), code_details: upstream, ..call }, true),
            (HttpFacts { grpc_status: status(13), code_details: upstream, ..call }, true),
            (HttpFacts { grpc_status: status(12), code_details: upstream, ..call }, false),
            (HttpFacts { grpc_status: status(0), ..call }, true),
            (HttpFacts { status_code: Some(404), code_details: upstream, ..call }, false),
            // A server of HTTP, whatever it puts into a header.
            (HttpFacts { grpc_answer: false, code_details: upstream, ..call }, false),
            (HttpFacts { grpc_answer: false, grpc_status: status(0), code_details: upstream, ..call }, false),
            // Envoy's own answers: no healthy host, connect failure, refused by policy.
            (
                HttpFacts {
                    grpc_status: status(14),
                    code_details: Some(b"no_healthy_upstream"),
                    response_flags: ResponseFlags::from_bits(0x2),
                    ..call
                },
                false,
            ),
            (HttpFacts { grpc_status: status(14), response_flags: ResponseFlags::from_bits(0x8020), ..call }, false),
            (HttpFacts { grpc_status: status(7), code_details: Some(b"rbac_access_denied"), ..call }, false),
            // The upstream was too slow, perhaps for a time that the caller chose; it broke off an answer.
            (HttpFacts { grpc_method_seen: true, ..late(&call) }, true),
            (late(&call), false),
            (HttpFacts { code_details: reset, response_flags: ResponseFlags::from_bits(0x80_0000), ..call }, true),
            // The client left: in the middle of a stream, and before any answer.
            (
                HttpFacts {
                    code_details: Some(b"downstream_remote_disconnect"),
                    response_flags: ResponseFlags::DOWNSTREAM_DISCONNECT,
                    ..call
                },
                true,
            ),
            (
                HttpFacts {
                    status_code: None,
                    code_details: Some(b"downstream_remote_disconnect"),
                    response_flags: ResponseFlags::DOWNSTREAM_DISCONNECT,
                    ..call
                },
                false,
            ),
        ] {
            let expected = if known { Method::Known("shop.Cart/Add") } else { Method::Claimed("shop.Cart/Add") };
            assert_eq!(method(&facts), expected, "{facts:?}");
        }
        assert_eq!(method(&HttpFacts::default()), Method::Malformed);
    }
}
