//! `google.rpc.Status` as collectors send it: the body of an HTTP error, and `grpc-status-details-bin`.

use prost::Message;

/// `google.rpc.Status`. Its strings are read as bytes, so that one bad byte does not hide the rest.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(bytes = "vec", tag = "2")]
    /// `message`, for a developer to read.
    pub message: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(bytes = "vec", tag = "1")]
    type_url: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Longest `grpc-status-details-bin` that is read, bytes.
const MAX_DETAILS: usize = 16 * 1024;

/// The wait, in milliseconds, that `grpc-status-details-bin` asks for by a `google.rpc.RetryInfo`. `Some(0)` when it
/// is there without a time: the collector says that a retry may succeed, and not when.
pub fn retry_info_ms(details_bin: &[u8]) -> Option<u64> {
    if MAX_DETAILS < details_bin.len() {
        return None;
    }
    let status = RpcStatus::decode(base64(details_bin)?.as_slice()).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with(b"/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay;
    Some(delay.map_or(0, |delay| {
        let millis = u64::try_from(delay.nanos).unwrap_or(0) / 1_000_000;
        u64::try_from(delay.seconds).unwrap_or(0).saturating_mul(1_000).saturating_add(millis)
    }))
}

/// RFC 4648 section 4, padded or not: gRPC takes both. A list joined by `,` has its first value read.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.split(|byte| *byte == b',').next()?.trim_ascii();
    let unpadded = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let (digits, padding) = text.split_at_checked(unpadded)?;
    if 2 < padding.len() {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let mut bits = 0_u32;
    for chunk in digits.chunks(4) {
        for digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit.wrapping_sub(b'A'),
                b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
                b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let [_, first, second, third] = match chunk.len() {
            4 => bits,
            3 => bits << 6,
            2 => bits << 12,
            _ => return None,
        }
        .to_be_bytes();
        bytes.extend([first, second, third].iter().take(chunk.len() - 1));
        bits = 0;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        let table: [(&str, Option<&str>); 15] = [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm8", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYg==", Some("foob")),
            ("Zm9vYmE=", Some("fooba")),
            ("Zm9vYmFy", Some("foobar")),
            (" Zm9v , YmFy", Some("foo")),
            ("Z", None),
            ("Zm9vY", None),
            ("Zm-v", None),
            ("Zg===", None),
            ("Z=g=", None),
        ];
        for (text, bytes) in table {
            assert_eq!(base64(text.as_bytes()), bytes.map(|bytes| bytes.as_bytes().to_vec()), "{text:?}");
        }
        assert_eq!(base64(b"+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn retry_info_is_found_among_other_details() {
        // Written by hand, not by our encoder: code 8, "slow down", details [google.rpc.Help {}, google.rpc.RetryInfo {2.5 s}].
        let details = "CAgSCXNsb3cgZG93bholCiN0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuSGVscBo2Cih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZvEgoKCAgCEIDKte4B";
        assert_eq!(retry_info_ms(details.as_bytes()), Some(2_500));
        let without_time = "CAgaKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbw==";
        assert_eq!(retry_info_ms(without_time.as_bytes()), Some(0));
        assert_eq!(retry_info_ms(b"CAgSCXNsb3cgZG93bg"), None);
        assert_eq!(retry_info_ms(b"not base64!"), None);
        assert_eq!(retry_info_ms(b"////"), None);
        assert_eq!(retry_info_ms(&[b'A'; 40_000]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            retry_info_ms(&bytes);
        }
    }
}
