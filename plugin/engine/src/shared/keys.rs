//! Keys of shared values that are one of many, and the clock that they expire by.

use crate::door::Host;

/// `prefix` and the number's last three hexadecimal digits. `N` is the length of the prefix and 3.
pub fn numbered<const N: usize>(prefix: &[u8], number: u32) -> [u8; N] {
    let mut key = [b'0'; N];
    let digits =
        [8, 4, 0].map(|shift| b"0123456789abcdef".get((number >> shift & 0xf) as usize).copied().unwrap_or(b'0'));
    for (place, byte) in key.iter_mut().zip(prefix.iter().chain(&digits)) {
        *place = *byte;
    }
    key
}

/// Unix seconds.
pub fn seconds(host: &impl Host) -> u32 {
    u32::try_from(host.now() / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_with_three_digits() {
        assert_eq!(&numbered::<6>(b"ab.", 0x5fe), b"ab.5fe");
        assert_eq!(&numbered::<6>(b"ab.", 0), b"ab.000");
    }
}
