//! Lowercase hex of fixed length: `from_str_radix` would take a sign and any length.

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

/// Reads up to 32 lowercase hex digits as one number; the caller has checked the length.
pub fn lower(field: &[u8]) -> Result<u128, FieldError> {
    let mut value: u128 = 0;
    for (at, &byte) in field.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return Err(FieldError::NotLowerHex { at, byte }),
        };
        value = (value << 4) | u128::from(digit);
    }
    Ok(value)
}

/// Writes `N` bytes as `M` = 2 `N` lowercase digits.
pub fn write<const N: usize, const M: usize>(bytes: [u8; N]) -> [u8; M] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; M];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            *high = DIGITS[usize::from(byte >> 4)];
            *low = DIGITS[usize::from(byte & 0x0f)];
        }
    }
    text
}
