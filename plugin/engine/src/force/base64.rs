//! Base64 with the alphabet for URLs and without padding. RFC 4648, section 5.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for three in bytes.chunks(3) {
        let (mut bits, mut shift) = (0_u32, 16_u32);
        for byte in three {
            bits |= u32::from(*byte) << shift;
            shift = shift.saturating_sub(8);
        }
        for digit in 0..=three.len() as u32 {
            let place = bits >> 18_u32.saturating_sub(digit.saturating_mul(6)) & 0x3f;
            text.extend(ALPHABET.get(place as usize));
        }
    }
    text
}

/// The bytes of this text; `None` where it is not what [`encode`] would have made of them.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut known) = (0_u32, 0_u32);
    for byte in text {
        let value = ALPHABET.iter().position(|letter| letter == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        known = known.saturating_add(6);
        if 8 <= known {
            known = known.saturating_sub(8);
            bytes.push((bits >> known & 0xff) as u8);
            bits &= (1_u32 << known).wrapping_sub(1);
        }
    }
    (known < 6 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648, section 10, without the padding, and the two letters that differ.
    #[test]
    fn published_vectors_come_out() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"fooba", "Zm9vYmE"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff\xbf", "-_-_"),
        ] {
            assert_eq!(encode(bytes), text.as_bytes());
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for text in ["Z", "Zh", "Zm9", "Zg==", "Zm 9v", "+/+/", "Zm9vY"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
