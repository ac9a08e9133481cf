//! Protobuf fields, appended to a buffer. <https://protobuf.dev/programming-guides/encoding/>
//!
//! `prost` would do it, but builds messages of owned texts first and measures each of them twice.

/// A message that grows. Tags are below 2^11, lengths below 2^32.
pub struct Writer(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

impl Writer {
    /// Bytes of a `fixed64` or `double` field with a tag below 16.
    pub const FIXED64_LEN: usize = 1 + 8;

    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Continues behind what is there.
    pub fn behind(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Fields that are encoded already.
    pub fn append(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A `bytes` or `string` field, also when it is empty.
    pub fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        self.message(tag, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// The key of a `bytes`, `string` or message field with a tag below 16.
    pub const fn delimited_key(tag: u32) -> u8 {
        (tag << 3) as u8 | LENGTH_DELIMITED as u8
    }

    /// Opens a field whose `len` bytes follow.
    pub fn message(&mut self, tag: u32, len: usize) {
        if let (0..16, Ok(short @ 0..0x80)) = (tag, u8::try_from(len)) {
            // Nearly all of them: two bytes in one step.
            return self.0.extend_from_slice(&[Self::delimited_key(tag), short]);
        }
        self.raw(u64::from(tag) << 3 | LENGTH_DELIMITED);
        self.raw(len as u64);
    }

    /// An `int64`, `bool` or `enum` field.
    pub fn varint(&mut self, tag: u32, value: u64) {
        self.raw(u64::from(tag) << 3 | VARINT);
        self.raw(value);
    }

    /// A `fixed64` or `double` field.
    pub fn fixed64(&mut self, tag: u32, value: u64) {
        self.raw(u64::from(tag) << 3 | FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `fixed32` field.
    pub fn fixed32(&mut self, tag: u32, value: u32) {
        self.raw(u64::from(tag) << 3 | FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes of a length-delimited field with so much in it.
    pub fn bytes_len(tag: u32, len: usize) -> usize {
        size(u64::from(tag) << 3).saturating_add(size(len as u64)).saturating_add(len)
    }

    /// Bytes of an `int64`, `bool` or `enum` field.
    pub fn varint_len(tag: u32, value: u64) -> usize {
        size(u64::from(tag) << 3).saturating_add(size(value))
    }

    /// A varint without a key, as packed fields have it.
    pub fn raw(&mut self, mut value: u64) {
        while 0x80 <= value {
            self.0.push(value as u8 | 0x80); // The low seven bits, and that more follow.
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Bytes of a varint: one for each seven bits.
fn size(value: u64) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => (64_usize.saturating_sub(value.leading_zeros() as usize)).div_ceil(7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::encoding::{encode_varint, encoded_len_varint};

    proptest! {
        #[test]
        fn a_varint_is_as_the_library_writes_it(shift in 0_u32..64, value: u64) {
            let value = value >> shift;
            let mut writer = Writer::with_capacity(0);
            writer.raw(value);
            let mut expected = Vec::new();
            encode_varint(value, &mut expected);
            prop_assert_eq!(writer.into_bytes(), expected);
            prop_assert_eq!(size(value), encoded_len_varint(value));
        }
    }
}
