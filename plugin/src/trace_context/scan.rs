//! Byte classes and the loops over them that every header of this room shares.

/// Cuts the optional white space (space and tab, RFC 9110 "OWS") off both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
