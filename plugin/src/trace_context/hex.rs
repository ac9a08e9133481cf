//! Lowercase hex of fixed length: `from_str_radix` would take a sign and any length.
//!
//! Eight digits at a time: `traceparent` is read and written on every request, and has seven such groups.

/// Why a field of a header was refused; `at` counts bytes from the field's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The field has a length that its specification does not allow.
    Length {
        /// Bytes found.
        found: usize,
    },
    /// A byte other than `0-9a-f`.
    NotLowerHex {
        /// Offset from the field's start.
        at: usize,
        /// The byte found there.
        byte: u8,
    },
    /// All zero, which is no id.
    AllZero,
}

/// The byte `b` in each of eight lanes.
const fn lanes(b: u8) -> u64 {
    u64::from_ne_bytes([b; 8])
}

/// Reads up to 32 lowercase hex digits as one number; the caller has checked the length.
pub fn lower(field: &[u8]) -> Result<u128, FieldError> {
    let (groups, rest) = field.as_chunks::<8>();
    let mut value: u128 = 0;
    for group in groups {
        let Some(number) = read_eight(u64::from_le_bytes(*group)) else {
            return Err(first_error(field));
        };
        value = (value << 32) | u128::from(number);
    }
    for &byte in rest {
        let Some(digit) = digit(byte) else {
            return Err(first_error(field));
        };
        value = (value << 4) | u128::from(digit);
    }
    Ok(value)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The error of a field in which some byte is no digit.
#[cold]
fn first_error(field: &[u8]) -> FieldError {
    for (at, &byte) in field.iter().enumerate() {
        if digit(byte).is_none() {
            return FieldError::NotLowerHex { at, byte };
        }
    }
    FieldError::Length { found: field.len() } // Not reached: the caller found such a byte.
}

/// Eight digits, the first in the lowest byte; `None` when one is none.
const fn read_eight(text: u64) -> Option<u32> {
    // Bit 6 tells letters from digits. Whatever else the byte was shows when the digit is written back.
    let letters = (text >> 6) & lanes(1);
    let nibbles = (text & lanes(0x0f)).wrapping_add(letters.wrapping_mul(9));
    if nibbles & lanes(0xf0) != 0 || as_text(nibbles) != text {
        return None;
    }
    let bytes = ((nibbles << 4) | (nibbles >> 8)) & 0x00ff_00ff_00ff_00ff;
    let pairs = ((bytes << 8) | (bytes >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((pairs << 16) | (pairs >> 32)) as u32) // The upper half holds what was shifted out.
}

/// Eight nibbles, one a byte, as their digits.
const fn as_text(nibbles: u64) -> u64 {
    let letters = (nibbles.wrapping_add(lanes(6)) >> 4) & lanes(1);
    nibbles.wrapping_add(lanes(b'0')).wrapping_add(letters.wrapping_mul((b'a' - b'0' - 10) as u64))
}

/// Eight digits of one number, the most significant first.
const fn write8(number: u32) -> [u8; 8] {
    let bytes = number.swap_bytes() as u64;
    let pairs = (bytes | (bytes << 16)) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs | (pairs << 8)) & 0x00ff_00ff_00ff_00ff;
    let nibbles = ((bytes >> 4) & lanes(0x0f)) | ((bytes << 8) & 0x0f00_0f00_0f00_0f00);
    as_text(nibbles).to_le_bytes()
}

/// 2 lowercase digits.
pub const fn write2(number: u8) -> [u8; 2] {
    let [_, _, _, _, _, _, high, low] = write8(number as u32);
    [high, low]
}

/// 16 lowercase digits.
pub fn write16(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    let (groups, _) = text.as_chunks_mut::<8>();
    for (group, shift) in groups.iter_mut().zip([32, 0]) {
        *group = write8((number >> shift) as u32);
    }
    text
}

/// 32 lowercase digits.
pub fn write32(number: u128) -> [u8; 32] {
    let mut text = [0; 32];
    let (groups, _) = text.as_chunks_mut::<8>();
    for (group, shift) in groups.iter_mut().zip([96, 64, 32, 0]) {
        *group = write8((number >> shift) as u32);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_but_the_sixteen_digits_is_refused_at_every_place() {
        for at in 0..17 {
            for byte in 0..=255_u8 {
                let mut field = *b"0123456789abcdef7";
                field[at] = byte;
                let found = lower(&field);
                if matches!(byte, b'0'..=b'9' | b'a'..=b'f') {
                    let text = std::str::from_utf8(&field).unwrap();
                    assert_eq!(found, Ok(u128::from_str_radix(text, 16).unwrap()));
                } else {
                    assert_eq!(found, Err(FieldError::NotLowerHex { at, byte }));
                }
            }
        }
    }

    #[test]
    fn the_first_bad_byte_is_the_one_named() {
        assert_eq!(lower(b"00000000000000+0-"), Err(FieldError::NotLowerHex { at: 14, byte: b'+' }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_standard_library_writes_and_reads_back(number: u128) {
            let low = number as u64;
            prop_assert_eq!(write32(number).to_vec(), format!("{number:032x}").into_bytes());
            prop_assert_eq!(write16(low).to_vec(), format!("{low:016x}").into_bytes());
            prop_assert_eq!(write2(low as u8).to_vec(), format!("{:02x}", low as u8).into_bytes());
            prop_assert_eq!(lower(&write32(number)), Ok(number));
        }
    }
}
