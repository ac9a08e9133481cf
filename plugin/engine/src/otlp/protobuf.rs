//! Protobuf fields, appended to a buffer. <https://protobuf.dev/programming-guides/encoding/>
//!
//! `prost` would do it, but builds messages of owned texts first and measures each of them twice.

use crate::http::copy;

/// A message that grows. Tags are below 2^11, lengths below 2^32.
#[derive(Debug, Default)]
pub struct Writer {
    /// The message, and behind it room that was asked for already: to look for room at each of some hundred fields of a span, as a `Vec`
    /// does that grows by itself, is a fourteenth of the work on a sampled request.
    buffer: Vec<u8>,
    len: usize,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

impl Writer {
    /// Bytes of a `fixed64` or `double` field with a tag below 16.
    pub const FIXED64_LEN: usize = 1 + 8;

    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), len: 0 }
    }

    /// Begins anew, in the same memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes that it takes, with its room.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Room for so many bytes more.
    #[inline(always)] // For each field.
    pub fn room(&mut self, size: usize) -> &mut [u8] {
        let start = self.len;
        let end = start.saturating_add(size);
        if self.buffer.len() < end {
            self.grow(end);
        }
        self.len = end;
        self.buffer.get_mut(start..end).unwrap_or_default()
    }

    #[inline(never)] // Seldom.
    fn grow(&mut self, end: usize) {
        self.buffer.reserve(end.saturating_sub(self.buffer.len()));
        self.buffer.resize(self.buffer.capacity(), 0);
    }

    /// Fields that are encoded already.
    pub fn append(&mut self, fields: &[u8]) {
        copy(self.room(fields.len()), fields);
    }

    /// A few bytes, of a length that is known here.
    #[inline(always)] // A few instructions.
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.room(N).first_chunk_mut() {
            *place = bytes;
        }
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// The same, to write a length that is known last.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.len).unwrap_or_default()
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        self.buffer.truncate(self.len);
        self.buffer
    }

    /// A `bytes` or `string` field, also when it is empty.
    pub fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        if let (0..16, Ok(short @ 0..0x80)) = (tag, u8::try_from(bytes.len())) {
            // Nearly all of them.
            if let Some((head, text)) = self.room(bytes.len().saturating_add(2)).split_first_chunk_mut() {
                *head = [Self::delimited_key(tag), short];
                copy(text, bytes);
            }
            return;
        }
        self.message(tag, bytes.len());
        self.append(bytes);
    }

    /// The key of a `bytes`, `string` or message field with a tag below 16.
    pub const fn delimited_key(tag: u32) -> u8 {
        (tag << 3) as u8 | LENGTH_DELIMITED as u8
    }

    /// The key of an `int64` field with a tag below 16.
    pub const fn varint_key(tag: u32) -> u8 {
        (tag << 3) as u8 | VARINT as u8
    }

    /// Opens a field whose `len` bytes follow.
    pub fn message(&mut self, tag: u32, len: usize) {
        if let (0..16, Ok(short @ 0..0x80)) = (tag, u8::try_from(len)) {
            return self.put([Self::delimited_key(tag), short]); // Nearly all of them: two bytes in one step.
        }
        self.raw(u64::from(tag) << 3 | LENGTH_DELIMITED);
        self.raw(len as u64);
    }

    /// An `int64`, `bool` or `enum` field.
    pub fn varint(&mut self, tag: u32, value: u64) {
        if let (0..16, Ok(short @ 0..0x80)) = (tag, u8::try_from(value)) {
            return self.put([Self::varint_key(tag), short]);
        }
        self.raw(u64::from(tag) << 3 | VARINT);
        self.raw(value);
    }

    /// A `fixed64` or `double` field.
    pub fn fixed64(&mut self, tag: u32, value: u64) {
        if tag < 16 {
            self.put([(tag << 3) as u8 | FIXED64 as u8]);
        } else {
            self.raw(u64::from(tag) << 3 | FIXED64);
        }
        self.put(value.to_le_bytes());
    }

    /// A `fixed32` field.
    pub fn fixed32(&mut self, tag: u32, value: u32) {
        self.raw(u64::from(tag) << 3 | FIXED32);
        self.put(value.to_le_bytes());
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
            self.put([value as u8 | 0x80]); // The low seven bits, and that more follow.
            value >>= 7;
        }
        self.put([value as u8]);
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

    #[test]
    fn a_text_of_any_length_is_copied_whole() {
        for length in 0..200 {
            let text: Vec<u8> = (1..=length).collect();
            let mut writer = Writer::with_capacity(usize::from(length) / 2);
            writer.append(b"before");
            writer.append(&text);
            assert_eq!(writer.as_bytes(), [b"before", &text[..]].concat());
            writer.clear();
            writer.bytes(1, &text);
            let mut expected = Vec::new();
            prost::encoding::bytes::encode(1, &text, &mut expected);
            assert_eq!(writer.into_bytes(), expected);
        }
    }

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
