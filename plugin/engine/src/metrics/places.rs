//! Numbers by 64-bit keys: one kind of map for all that is looked up here, so that the module has it once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The map.
pub type Places = HashMap<u64, u32, BuildHasherDefault<KeyHasher>>;

/// Keys are spread by one multiplication: an attacker can make keys collide only among label sets that were admitted.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, key: u64) {
        let mixed = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// Looks for a text: the keys after `seed` are tried until `is_it` finds the text under one, or none is there. Returns its number,
/// or the key that is free for it.
pub fn find(places: &Places, seed: u32, text: &[u8], is_it: impl Fn(u32) -> bool) -> Result<u32, u64> {
    let mut key = hash(seed, text);
    loop {
        match places.get(&key) {
            Some(number) if is_it(*number) => return Ok(*number),
            Some(_) => key = key.wrapping_add(1),
            None => return Err(key),
        }
    }
}

/// A text after a seed: as FNV-1a, but eight bytes at a time, whose upper half is mixed into the lower one.
pub fn hash(seed: u32, text: &[u8]) -> u64 {
    let add = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 32
    };
    let (words, rest) = text.as_chunks::<8>();
    let hash =
        words.iter().fold(u64::from(seed) ^ 0xcbf2_9ce4_8422_2325, |hash, word| add(hash, u64::from_le_bytes(*word)));
    // A last word of fewer bytes has their number above them, so that none is the beginning of another.
    let last = rest.iter().rev().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte));
    add(hash, last)
}
