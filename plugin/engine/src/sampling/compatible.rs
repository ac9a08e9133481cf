//! The decisions of other samplers, bit for bit, for fleets that mix them with this filter. None of them reads R, so what
//! they keep has no `th`.

use crate::trace_context::TraceId;

/// `TraceIdRatioBased` of the Go and Rust SDKs (`sdk/trace/sampling.go`, `opentelemetry-sdk/src/trace/sampler.rs`): bytes
/// 8 to 15 without their lowest bit, below `bound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceIdRatio {
    bound: u64,
}

impl TraceIdRatio {
    /// `ratio` from 0 to 1.
    pub(super) fn new(ratio: f64) -> Self {
        Self { bound: (ratio * (1u64 << 63) as f64) as u64 } // Truncates; 1 is 2^63, above every 63-bit number.
    }

    /// The share of random trace-ids that is kept, 0 to 1.
    pub(super) fn share(self) -> f64 {
        self.bound as f64 / (1u64 << 63) as f64
    }

    pub(super) const fn keeps(self, id: TraceId) -> bool {
        (id.get() as u64) >> 1 < self.bound
    }
}

/// The home-made processors' `trace_id % 100 < int(ratio * 100)`. The product is a float and truncated: 0.29 keeps 28 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modulo {
    bound: u64,
}

impl Modulo {
    /// `ratio` from 0 to 1.
    pub(super) fn new(ratio: f64) -> Self {
        Self { bound: (ratio * 100.0) as u64 }
    }

    /// The share of random trace-ids that is kept, 0 to 1.
    pub(super) fn share(self) -> f64 {
        self.bound as f64 / 100.0
    }

    pub(super) const fn keeps(self, id: TraceId) -> bool {
        // 2^64 mod 100 is 16. A 128-bit division would be a library call in wasm.
        let (high, low) = ((id.get() >> 64) as u64, id.get() as u64);
        ((high % 100) * 16 + low % 100) % 100 < self.bound
    }
}

/// The collector's `probabilistic_sampler` in `hash_seed` mode (`tracesprocessor.go`, `fnvhasher.go`): FNV-1a of seed and
/// trace-id, its low 14 bits below `bound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HashSeed {
    /// FNV-1a state after the seed's four bytes, which every trace-id shares.
    seeded: u32,
    bound: u32,
}

impl HashSeed {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;

    /// `ratio` from 0 to 1; becomes a float32 percentage, as the collector's `sampling_percentage` is, and is scaled as one.
    pub(super) fn new(seed: u32, ratio: f64) -> Self {
        let percentage = (ratio * 100.0) as f32;
        let bound = (percentage * 163.84_f32) as u32; // 2^14 / 100; the product is a float32 and truncated.
        Self { seeded: Self::fnv1a(Self::OFFSET, seed.to_le_bytes()), bound }
    }

    /// The share of random trace-ids that is kept, 0 to 1.
    pub(super) fn share(self) -> f64 {
        (f64::from(self.bound) / 16384.0).min(1.0)
    }

    pub(super) fn keeps(self, id: TraceId) -> bool {
        Self::fnv1a(self.seeded, id.to_bytes()) & 0x3fff < self.bound
    }

    fn fnv1a<const N: usize>(state: u32, bytes: [u8; N]) -> u32 {
        bytes.into_iter().fold(state, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(Self::PRIME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modulo_truncates_the_float_product() {
        for (ratio, wanted) in
            [(0.0, 0), (0.009, 0), (0.01, 1), (0.28, 28), (0.29, 28), (0.57, 56), (0.58, 57), (1.0, 100)]
        {
            assert_eq!(Modulo::new(ratio).bound, wanted, "{ratio}");
        }
    }

    #[test]
    fn the_modulo_of_both_halves_is_the_modulo_of_the_number() {
        let mut number: u128 = 1;
        for _ in 0..10_000 {
            number = number.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
            let id = TraceId::from_u128(number | 1).unwrap();
            for percent in [1u64, 50, 99] {
                let wanted = id.get() % 100 < u128::from(percent);
                assert_eq!(Modulo { bound: percent }.keeps(id), wanted, "{id} at {percent} %");
            }
        }
    }

    #[test]
    fn the_hash_scales_its_percentage_in_float32() {
        for (ratio, wanted) in
            [(0.0, 0), (0.0003, 4), (0.033, 540), (0.1, 1638), (0.5, 8192), (0.9, 14745), (1.0, 16384)]
        {
            assert_eq!(HashSeed::new(0, ratio).bound, wanted, "{ratio}");
        }
    }
}
