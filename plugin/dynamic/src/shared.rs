//! What the workers share: plain memory in shards. It outlives configurations, and is the process's as proxy-wasm's shared data is.

use tracelift::door::Update;

use super::shard::{Class, Shard};

/// Enough that two workers seldom meet: verdicts have 4,096 keys, which spread over all shards and classes.
const SHARDS: usize = 64;

static ALL: [Shard; SHARDS] = [const { Shard::new() }; SHARDS];

/// Where a key is.
fn place(key: &[u8]) -> Option<(&'static Shard, Class)> {
    // Eight bytes at a time, for each dropped request: keys are few and of our own making, and differ in their last bytes.
    let mix = |hash: u64, word: [u8; 8]| {
        let hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 32)
    };
    let (words, rest) = key.as_chunks::<8>();
    let hash = words.iter().copied().fold(key.len() as u64, mix);
    let hash = rest.iter().fold(hash, |hash, byte| mix(hash, [*byte; 8]));
    let hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((ALL.get((hash >> 58) as usize % SHARDS)?, Class((hash >> 52) as u8)))
}

/// A value and its mark.
pub fn get(key: &[u8]) -> Option<(Vec<u8>, u32)> {
    let (shard, class) = place(key)?;
    shard.get(class, key)
}

/// Changes a value if its mark is still this one; mark 0 changes it in any case.
pub fn swap(key: &[u8], value: &[u8], mark: u32) -> bool {
    place(key).is_some_and(|(shard, class)| shard.swap(class, key, value, mark))
}

/// Changes a value in one go.
pub fn update<V: AsRef<[u8]>>(key: &[u8], change: impl FnOnce(Option<&[u8]>) -> Option<V>) -> Update {
    place(key).map_or(Update::Failed, |(shard, class)| shard.update(class, key, change))
}
