//! Every limit of a span in one place. A segment of X-Ray holds 64 kB, so a span with everything must stay far below.

use std::borrow::Cow;

/// Bytes of an attribute's text.
pub const TEXT: usize = 1024;
/// Bytes of a URL, its path or its query.
pub const URL: usize = 2048;
/// Bytes of a host name (RFC 1035 allows 253) or an address.
pub const HOST: usize = 255;
/// Bytes of a name that the proxy's configuration gave: route, cluster, rule.
pub const CONFIGURED: usize = 256;
/// Bytes of the upstream service's name: X-Ray makes a node of it, and refuses longer ones.
pub const PEER: usize = 200;
/// Bytes of a gRPC method with its service; longer ones are no method.
pub const GRPC_METHOD: usize = 255;
/// Bytes of an unknown HTTP method.
pub const METHOD: usize = 64;
/// Bytes of the status description.
pub const DESCRIPTION: usize = 512;
/// Bytes of all recorded headers of a span together, counted by [`in_json`]. The last one may go beyond.
pub const HEADERS_TOTAL: usize = 8192;
/// Lines recorded of one header.
pub const HEADER_VALUES: usize = 8;
/// Headers recorded of a request, and of a response.
pub const HEADERS: usize = 32;
/// Bytes of a `tracestate`; a longer one is left out, since a part of it is not one.
pub const TRACESTATE: usize = 8192;
/// Bytes of an attribute's key.
pub const KEY: usize = 256;
/// Attributes of the resource.
pub const RESOURCE: usize = 128;

/// Text of at most `max` bytes. What is no UTF-8 becomes U+FFFD, and no character is cut in half.
pub fn text(bytes: &[u8], max: usize) -> Cow<'_, str> {
    let cut = bytes.get(..floor(bytes, max)).unwrap_or(bytes);
    if let Ok(whole) = std::str::from_utf8(cut) {
        return Cow::Borrowed(whole); // What nearly all are, and checked eight bytes at a time.
    }
    let mut text = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        if !push(&mut text, chunk.valid(), max) || (!chunk.invalid().is_empty() && !push(&mut text, "\u{fffd}", max)) {
            break;
        }
    }
    Cow::Owned(text)
}

/// Bytes of a text in the JSON that Go makes of it: six of `<`, `>`, `&` and control characters, two of
/// others that JSON escapes (encoding/json). The X-Ray exporter's segments are that, and their size is limited.
pub fn in_json(text: &str) -> usize {
    text.bytes().fold(0, |sum: usize, byte| {
        sum.saturating_add(match byte {
            b'"' | b'\\' | b'\t' => 2,
            b'<' | b'>' | b'&' | ..b' ' => 6,
            _ => 1,
        })
    })
}

/// Adds what fits into `max` bytes in all; `false` when something did not.
pub fn push(text: &mut String, more: &str, max: usize) -> bool {
    let room = max.saturating_sub(text.len());
    let end = more.floor_char_boundary(room);
    text.push_str(more.get(..end).unwrap_or_default());
    end == more.len()
}

/// The last place at or before `max` that does not split a UTF-8 character.
fn floor(bytes: &[u8], max: usize) -> usize {
    if bytes.len() <= max {
        return bytes.len();
    }
    let splits = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    // A character has at most three continuation bytes; more of them are no UTF-8 anyway.
    (max.saturating_sub(3)..=max).rev().find(|&at| !splits(at)).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_between_characters() {
        for (bytes, max, expected) in [
            (&b"plain"[..], 10, "plain"),
            (b"plain", 5, "plain"),
            (b"plain", 4, "plai"),
            (b"plain", 0, ""),
            ("aé".as_bytes(), 2, "a"),
            ("aé".as_bytes(), 3, "aé"),
            ("a€b".as_bytes(), 3, "a"),
            ("a😀b".as_bytes(), 4, "a"),
            ("a😀b".as_bytes(), 5, "a😀"),
            (b"\xff\xfe", 10, "\u{fffd}\u{fffd}"),
            (b"\xff\xfe", 5, "\u{fffd}"),
            (b"\xff\xfe", 2, ""),
            (b"a\x80\x80\x80\x80\x80", 4, "a\u{fffd}"),
            (b"\0\r\n", 3, "\0\r\n"),
        ] {
            assert_eq!(text(bytes, max), expected, "{bytes:?} in {max}");
        }
    }

    #[test]
    fn what_go_escapes_counts_as_what_it_becomes() {
        for (text, bytes) in [("", 0), ("plain", 5), ("a&b", 8), ("<>\x01", 18), ("\"\\\t", 6), ("é", 2)] {
            assert_eq!(in_json(text), bytes, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_become_text_within_the_bound(bytes in proptest::collection::vec(any::<u8>(), 0..200), max in 0_usize..210) {
            let text = text(&bytes, max);
            prop_assert!(text.len() <= max);
            if let Ok(whole) = std::str::from_utf8(&bytes) {
                prop_assert!(whole.starts_with(&*text));
                prop_assert!(whole.len() <= max || max.saturating_sub(3) <= text.len());
            }
        }
    }
}
