//! Byte classes and the loops over them that every header of this room shares.
//!
//! A `tracestate` of 512 bytes is read on many requests, so these loops are the dearest code on the request path.

/// `a-z 0-9 _ - * / @`: a list-member's key after its first byte.
pub(super) const KEY: u8 = 1;
/// `a-z`.
pub(super) const LETTER: u8 = 2;
/// `0-9`.
pub(super) const DIGIT: u8 = 4;
/// `A-Z . _ -`: with letters and digits, a value inside the `ot` list-member.
pub(super) const OT: u8 = 8;
/// Printable ASCII without `,` and `=`: a list-member's value.
pub(super) const VALUE: u8 = 16;
/// Space, tab and `,`: what stands between list-members, empty ones included.
pub(super) const SEPARATOR: u8 = 32;

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' => KEY | LETTER | VALUE,
            b'0'..=b'9' => KEY | DIGIT | VALUE,
            b'_' | b'-' => KEY | OT | VALUE,
            b'*' | b'/' | b'@' => KEY | VALUE,
            b'A'..=b'Z' | b'.' => OT | VALUE,
            b' ' => SEPARATOR | VALUE,
            b'\t' | b',' => SEPARATOR,
            b'=' => 0,
            b'!'..=b'~' => VALUE,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Whether the byte is in one of these classes.
#[allow(clippy::indexing_slicing, reason = "256 entries: a byte is never out of range")]
pub(super) const fn is(byte: u8, classes: u8) -> bool {
    CLASSES[byte as usize] & classes != 0
}

/// Splits off the longest start whose bytes are all in one of these classes.
pub(super) fn span(bytes: &[u8], classes: u8) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| !is(byte, classes)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Where the longest run from `at` on ends that could be a list-member's value: printable ASCII without `,` and `=`.
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(text) = eight(bytes, at) {
        let bad = not_in_value(text);
        if bad != 0 {
            return at + first_lane(bad);
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at)
        && is(byte, VALUE)
    {
        at += 1;
    }
    at
}

/// Where the longest run from `at` on ends that could be a list-member's key, `a-z 0-9 _ - * / @`, and whether it has
/// an `@`.
pub(super) fn key_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut at_signs = 0;
    while let Some(text) = eight(bytes, at) {
        let (bad, at_sign) = not_in_key(text);
        if bad != 0 {
            let below = (bad & bad.wrapping_neg()).wrapping_sub(1);
            return (at + first_lane(bad), at_signs | (at_sign & below) != 0);
        }
        at_signs |= at_sign;
        at += 8;
    }
    while let Some(&byte) = bytes.get(at)
        && is(byte, KEY)
    {
        at_signs |= u64::from(byte == b'@');
        at += 1;
    }
    (at, at_signs != 0)
}

/// The eight bytes from there on, the first in the lowest lane; `None` when fewer are left.
fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|text| u64::from_le_bytes(*text))
}

const fn lanes(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The lowest lane whose top bit is set: the first byte, since the text was read with the first byte lowest.
const fn first_lane(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Marks the lanes that no value may have. The lowest mark is always a true one: a borrow or carry only comes from a bad
/// byte below.
const fn not_in_value(text: u64) -> u64 {
    let control = text.wrapping_sub(lanes(b' '));
    let delete_or_high = text | text.wrapping_add(lanes(1));
    let comma = (text ^ lanes(b',')).wrapping_sub(lanes(1));
    let equals = (text ^ lanes(b'=')).wrapping_sub(lanes(1));
    (control | delete_or_high | comma | equals) & lanes(0x80)
}

/// Marks the lanes that no key may have, and those of `@`, each exactly: without their top bits, no sum leaves its lane.
const fn not_in_key(text: u64) -> (u64, u64) {
    let low = text & lanes(0x7f);
    let not_at = differs(low, b'@');
    let letter = at_least(low, b'a') & !at_least(low, b'z' + 1);
    let dash_to_nine = at_least(low, b'-') & !at_least(low, b'9' + 1) & differs(low, b'.');
    let other = !(differs(low, b'_') & differs(low, b'*') & not_at);
    let bad = (text | !(letter | dash_to_nine | other)) & lanes(0x80);
    (bad, !not_at & lanes(0x80))
}

const fn at_least(low: u64, byte: u8) -> u64 {
    low.wrapping_add(lanes(0x80 - byte))
}

const fn differs(low: u64, byte: u8) -> u64 {
    (low ^ lanes(byte)).wrapping_add(lanes(0x7f))
}

/// Cuts the optional white space off both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_start(trim_end(bytes))
}

/// Cuts the optional white space off the start.
pub(super) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Cuts the optional white space off the end.
pub(super) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_value(byte: u8) -> bool {
        matches!(byte, b' '..=b'~') && byte != b',' && byte != b'='
    }

    fn in_key(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte)
    }

    fn end(bytes: &[u8], fits: fn(u8) -> bool) -> usize {
        bytes.iter().position(|&byte| !fits(byte)).unwrap_or(bytes.len())
    }

    proptest! {
        #[test]
        fn keys_and_values_end_at_their_first_bad_byte(
            bytes in proptest::collection::vec(prop_oneof![20 => b'a'..=b'z', 1 => Just(b'@'), 4 => b' '..=b'~', 1 => 0..=255_u8], 0..70),
        ) {
            prop_assert_eq!(value_end(&bytes, 0), end(&bytes, in_value));
            let key = end(&bytes, in_key);
            prop_assert_eq!(key_end(&bytes, 0), (key, bytes[..key].contains(&b'@')));
        }
    }

    #[test]
    fn every_byte_is_judged_alike_in_a_group_and_behind_it_whatever_its_neighbours() {
        for byte in 0..=255_u8 {
            for neighbour in 0..=255_u8 {
                for text in [&[b'a', byte, neighbour, b'a', b'a', b'a', b'a', neighbour][..], &[byte, neighbour]] {
                    assert_eq!(value_end(text, 0), end(text, in_value), "{text:?}");
                    assert_eq!(key_end(text, 0).0, end(text, in_key), "{text:?}");
                }
            }
        }
    }
}
