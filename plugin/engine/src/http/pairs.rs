//! A header map in one block of bytes: a count, the sizes of each key and value, then both with a NUL behind. All numbers are
//! 32-bit little-endian. It is the encoding of proxy-wasm ABI 0.2.1, "Serialized map", so that what its host wrote is kept as it
//! is.

use super::{NameEnd, copy};

/// A map in this encoding.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(pub &'a [u8]);

/// Borrowed entries of a map that the host serialised, in wire order, duplicates apart.
pub struct Pairs<'a> {
    sizes: &'a [u8],
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads the count and finds the data. Whatever does not fit ends the iteration early; nothing panics.
    pub fn new(bytes: &'a [u8]) -> Self {
        let empty = Self { sizes: &[], data: &[] };
        let Some((count, rest)) = number(bytes) else { return empty };
        let Some((sizes, data)) = count.checked_mul(8).and_then(|size| rest.split_at_checked(size)) else {
            return empty;
        };
        Self { sizes, data }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (both, rest) = self.sizes.split_first_chunk::<8>()?;
        let both = u64::from_le_bytes(*both);
        let (key_size, value_size) = (both as u32 as usize, (both >> 32) as usize);
        let (key, data) = self.data.split_at_checked(key_size)?;
        let (value, data) = data.get(1..)?.split_at_checked(value_size)?;
        self.sizes = rest;
        self.data = data.get(1..).unwrap_or_default();
        Some((key, value))
    }
}

impl<'a> Pairs<'a> {
    /// The values of one name, in order. Steps over other names by their sizes alone: that is most of what is done here for a
    /// request that is not recorded.
    pub fn values_of(self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let Self { mut sizes, data } = self;
        let mut next = 0_usize;
        std::iter::from_fn(move || {
            while let Some((both, rest)) = sizes.split_first_chunk::<8>() {
                sizes = rest;
                let both = u64::from_le_bytes(*both);
                let (key_size, value_size) = (both as u32 as usize, (both >> 32) as usize);
                let start = next;
                // Sizes that are lies lead out of the data, or to a name that is not there.
                next = start.wrapping_add(key_size).wrapping_add(value_size).wrapping_add(2);
                if key_size == name.len()
                    && let Some((key, value)) = data.get(start..)?.split_at_checked(key_size)
                    && key == name
                {
                    return value.get(1..)?.get(..value_size);
                }
            }
            None
        })
    }

    /// Shows the entries whose names have one of these lengths (bits of `lengths`, so below 64), in order. Steps over others by
    /// their sizes alone.
    pub fn of_lengths(self, lengths: u64, mut take: impl FnMut(&'a [u8], &'a [u8])) {
        let Self { mut sizes, data } = self;
        let mut next = 0_usize;
        while let Some((both, rest)) = sizes.split_first_chunk::<8>() {
            sizes = rest;
            let both = u64::from_le_bytes(*both);
            let (key_size, value_size) = (both as u32 as usize, (both >> 32) as usize);
            let start = next;
            let end = start.wrapping_add(key_size).wrapping_add(value_size).wrapping_add(1);
            next = end.wrapping_add(1);
            if key_size < 64
                && lengths >> key_size & 1 != 0
                && let Some((key, rest)) = data.get(start..end).and_then(|entry| entry.split_at_checked(key_size))
                && let Some((_, value)) = rest.split_first()
            {
                take(key, value);
            }
        }
    }

    /// The same, and whether there is an entry whose name has that other length and ends so. Nothing is made of names that end otherwise.
    #[inline(always)] // It has one caller.
    pub fn of_lengths_and(self, lengths: u64, end: &NameEnd, mut take: impl FnMut(&'a [u8], &'a [u8])) -> bool {
        let Self { mut sizes, data } = self;
        let (wanted, length, byte) = (lengths | end.bit, end.length, end.byte);
        let (mut next, mut found) = (0_usize, false);
        while let Some((both, rest)) = sizes.split_first_chunk::<8>() {
            sizes = rest;
            let both = u64::from_le_bytes(*both);
            let (key_size, value_size) = (both as u32 as usize, (both >> 32) as usize);
            let start = next;
            let until = start.wrapping_add(key_size).wrapping_add(value_size).wrapping_add(1);
            next = until.wrapping_add(1);
            if key_size < 64 && wanted >> key_size & 1 != 0 {
                if key_size == length {
                    let last = start.wrapping_add(key_size).wrapping_sub(1);
                    if data.get(last) == Some(&byte) {
                        found |= end.is_of(data.get(..=last).unwrap_or_default());
                    }
                } else if let Some((key, rest)) =
                    data.get(start..until).and_then(|entry| entry.split_at_checked(key_size))
                    && let Some((_, value)) = rest.split_first()
                {
                    take(key, value);
                }
            }
        }
        found
    }

    /// All entries, in one allocation.
    pub fn all(bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
        let pairs = Self::new(bytes);
        let mut entries = Vec::with_capacity(pairs.sizes.len() / 8);
        entries.extend(pairs);
        entries
    }
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

/// Serialises entries for the host. No header is longer than 32 bits can say.
pub fn encode(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let size = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let entry = |sum: usize, (key, value): &(&[u8], &[u8])| {
        sum.saturating_add(10).saturating_add(key.len()).saturating_add(value.len()) // Two sizes, two NULs.
    };
    let mut bytes = vec![0; pairs.iter().fold(4, entry)];
    let mut sizes = &mut bytes[..];
    let mut data = sizes.split_off_mut(pairs.len().saturating_mul(8).saturating_add(4)..).unwrap_or_default();
    if let Some(count) = sizes.split_off_mut(..4).and_then(<[u8]>::first_chunk_mut) {
        *count = u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes();
    }
    for (key, value) in pairs {
        if let Some(place) = sizes.split_off_mut(..8).and_then(<[u8]>::first_chunk_mut) {
            *place = (u64::from(size(key)) | u64::from(size(value)) << 32).to_le_bytes();
        }
        for text in [key, value] {
            copy(data.split_off_mut(..text.len()).unwrap_or_default(), text);
            data.split_off_first_mut(); // NUL.
        }
    }
    bytes
}
