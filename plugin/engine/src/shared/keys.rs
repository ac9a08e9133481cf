//! Keys of shared values that are one of many, and the clock that they expire by.

use crate::door::Host;

/// `prefix` and the number's last three hexadecimal digits. `N` is the length of the prefix and 3.
pub fn numbered<const PREFIX: usize, const N: usize>(prefix: &[u8; PREFIX], number: u32) -> [u8; N] {
    let mut key = [b'0'; N];
    // Every dropped request makes one: a copy and three digits, no loop over bytes.
    if let Some((start, digits)) = key.split_first_chunk_mut() {
        *start = *prefix;
        for (digit, shift) in digits.iter_mut().zip([8, 4, 0]) {
            *digit = b"0123456789abcdef".get((number >> shift & 0xf) as usize).copied().unwrap_or(b'0');
        }
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
        assert_eq!(&numbered::<3, 6>(b"ab.", 0x5fe), b"ab.5fe");
        assert_eq!(&numbered::<3, 6>(b"ab.", 0), b"ab.000");
    }
}
