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
    let mut value: u128 = 0;
    for &byte in field {
        match digit(byte) {
            Some(digit) => value = (value << 4) | u128::from(digit),
            None => return Err(first_error(field)),
        }
    }
    Ok(value)
}

/// Reads 16 lowercase hex digits.
pub fn lower16(field: &[u8; 16]) -> Result<u64, FieldError> {
    if let ([high, low], _) = field.as_chunks::<8>()
        && let Some(high) = read_eight(u64::from_le_bytes(*high))
        && let Some(low) = read_eight(u64::from_le_bytes(*low))
    {
        return Ok((u64::from(high) << 32) | u64::from(low));
    }
    Err(first_error(field))
}

/// Reads 32 lowercase hex digits.
pub fn lower32(field: &[u8; 32]) -> Result<u128, FieldError> {
    if let ([high, low], _) = field.as_chunks::<16>()
        && let (Ok(high), Ok(low)) = (lower16(high), lower16(low))
    {
        return Ok((u128::from(high) << 64) | u128::from(low));
    }
    Err(first_error(field))
}

/// Reads two lowercase hex digits.
pub fn lower_byte([high, low]: [u8; 2]) -> Result<u8, FieldError> {
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok((high << 4) | low),
        _ => Err(first_error(&[high, low])),
    }
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
#[inline(always)] // As a call it would hand its `Option` over in memory.
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
    if let ([high, low], _) = text.as_chunks_mut::<8>() {
        *high = write8((number >> 32) as u32);
        *low = write8(number as u32);
    }
    text
}

/// 32 lowercase digits.
pub fn write32(number: u128) -> [u8; 32] {
    let mut text = [0; 32];
    if let ([high, low], _) = text.as_chunks_mut::<16>() {
        *high = write16((number >> 64) as u64);
        *low = write16(number as u64);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the judge of ours, of whole fields")]
    fn every_byte_but_the_sixteen_digits_is_refused_at_every_place() {
        for at in 0..32 {
            for byte in 0..=255_u8 {
                let mut field = *b"0123456789abcdef7f6e5d4c3b2a1908";
                field[at] = byte;
                let expected = if matches!(byte, b'0'..=b'9' | b'a'..=b'f') {
                    Ok(u128::from_str_radix(std::str::from_utf8(&field).unwrap(), 16).unwrap())
                } else {
                    Err(FieldError::NotLowerHex { at, byte })
                };
                assert_eq!(lower(&field), expected);
                assert_eq!(lower32(&field), expected);
                if at < 16 {
                    let half = field.first_chunk::<16>().unwrap();
                    assert_eq!(lower16(half), expected.map(|number| (number >> 64) as u64));
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
            prop_assert_eq!(lower32(&write32(number)), Ok(number));
            prop_assert_eq!(lower16(&write16(low)), Ok(low));
        }
    }
}
