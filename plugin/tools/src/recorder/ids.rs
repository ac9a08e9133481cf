//! Where the ids of a recorder come from.

use tracelift::trace_context::TraceId;

/// Ids that are the same for the same seed, so that a record can be repeated: SplitMix64.
#[derive(Clone, Debug)]
pub struct Ids {
    seed: u64,
    /// What comes first, the last one first.
    given: Vec<u64>,
    /// Unix seconds that the given trace-id begins with, if it is one of X-Ray.
    seconds: Option<u32>,
}

impl Ids {
    /// Ids of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, given: Vec::new(), seconds: None }
    }

    /// Ids of this seed behind this trace-id, for a trace that begins.
    pub fn of_trace(trace_id: TraceId, seed: u64) -> Self {
        let id = trace_id.get();
        // Parts, each truncated on purpose.
        Self { seed, given: vec![id as u64, (id >> 64) as u64], seconds: Some((id >> 96) as u32) }
    }

    /// The same with these behind what was given.
    pub fn then(mut self, ids: &[u64]) -> Self {
        self.given.splice(0..0, ids.iter().rev().copied());
        self
    }

    /// When a trace with the given id began, were it one of X-Ray: Unix seconds.
    pub fn seconds(&self) -> Option<u32> {
        self.seconds
    }

    /// Fills `bytes`, eight for an id.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for place in bytes.chunks_mut(8) {
            let id = self.next().to_ne_bytes();
            for (byte, random) in place.iter_mut().zip(id) {
                *byte = random;
            }
        }
    }

    /// The next id.
    fn next(&mut self) -> u64 {
        if let Some(given) = self.given.pop() {
            return given;
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
