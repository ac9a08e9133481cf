//! Byte classes and the loops over them that every header of this room shares.
//!
//! A `tracestate` of 512 bytes is read on many requests, so these loops are the dearest code on the request path.

/// `a-z 0-9 _ - * /`: a list-member's key after its first byte, `@` aside.
pub(super) const KEY: u8 = 1;
/// `@`, which Level 1 gives a meaning.
pub(super) const AT: u8 = 2;
/// `a-z`.
pub(super) const LETTER: u8 = 4;
/// `0-9`.
pub(super) const DIGIT: u8 = 8;
/// Space and tab: optional white space, RFC 9110 "OWS".
pub(super) const SPACE: u8 = 16;
/// `,`.
pub(super) const COMMA: u8 = 32;
/// `A-Z . _ -`: with letters and digits, a value inside the `ot` list-member.
pub(super) const OT: u8 = 64;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' => KEY | LETTER,
            b'0'..=b'9' => KEY | DIGIT,
            b'_' | b'-' => KEY | OT,
            b'*' | b'/' => KEY,
            b'@' => AT,
            b' ' | b'\t' => SPACE,
            b',' => COMMA,
            b'A'..=b'Z' | b'.' => OT,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Whether the byte is in one of these classes.
pub(super) const fn is(byte: u8, classes: u8) -> bool {
    CLASSES[byte as usize] & classes != 0 // 256 entries: never out of range.
}

/// Splits off the longest start whose bytes are all in one of these classes.
pub(super) fn span(bytes: &[u8], classes: u8) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| !is(byte, classes)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Splits off the longest start that could be a list-member's value: printable ASCII without `,` and `=`.
pub(super) fn value(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = value_len(bytes);
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// Eight bytes at a time. Of the lanes with a bad byte the lowest is always marked truly: a borrow or carry only comes
/// from a bad byte below.
fn value_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (groups, rest) = bytes.as_chunks::<8>();
    let mut len = 0_usize;
    for group in groups {
        let text = u64::from_le_bytes(*group);
        let control = text.wrapping_sub(ONES * 0x20);
        let delete_or_high = text | text.wrapping_add(ONES);
        let comma = (text ^ (ONES * b',' as u64)).wrapping_sub(ONES);
        let equals = (text ^ (ONES * b'=' as u64)).wrapping_sub(ONES);
        let bad = (control | delete_or_high | comma | equals) & (ONES * 0x80);
        if bad != 0 {
            return len.saturating_add((bad.trailing_zeros() / 8) as usize);
        }
        len = len.saturating_add(8);
    }
    let clean = rest.iter().position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b',' | b'='));
    len.saturating_add(clean.unwrap_or(rest.len()))
}

/// Cuts the optional white space off both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_end(bytes);
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

    proptest! {
        #[test]
        fn a_value_ends_at_its_first_bad_byte(bytes in proptest::collection::vec(prop_oneof![9 => b' '..=b'~', 1 => 0..=255_u8], 0..70)) {
            let expected = bytes.iter().position(|&b| !(b' '..=b'~').contains(&b) || b == b',' || b == b'=');
            prop_assert_eq!(value(&bytes).0.len(), expected.unwrap_or(bytes.len()));
        }
    }

    #[test]
    fn every_single_byte_is_judged_alike_in_a_group_and_after_it() {
        for byte in 0..=255_u8 {
            let fits = (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
            assert_eq!(value_len(&[b'a', b'a', byte, b'a', b'a', b'a', b'a', b'a']), if fits { 8 } else { 2 });
            assert_eq!(value_len(&[b'a', byte]), if fits { 2 } else { 1 });
        }
    }
}
