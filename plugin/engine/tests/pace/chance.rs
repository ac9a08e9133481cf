//! Chance with a seed.

/// SplitMix64.
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Above 0, up to 1.
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / 2f64.powi(53)
    }

    /// Mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// How many of rare things happen.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        if 50.0 < mean {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
        while limit < product {
            product *= self.uniform();
            count += 1;
        }
        count
    }

    /// How many of `count` things happen, each with that probability.
    pub fn binomial(&mut self, count: u32, probability: f64) -> u32 {
        let mean = f64::from(count) * probability;
        if 0.5 < probability {
            return count - self.binomial(count, 1.0 - probability);
        }
        if 50.0 < mean {
            let deviation = (mean * (1.0 - probability)).sqrt();
            return (mean + deviation * self.normal()).round().clamp(0.0, f64::from(count)) as u32;
        }
        if probability <= 0.0 {
            return 0;
        }
        // From one success to the next.
        let (mut at, mut successes) = (0.0, 0);
        loop {
            at += (self.uniform().ln() / (1.0 - probability).ln()).floor() + 1.0;
            if f64::from(count) < at {
                return successes;
            }
            successes += 1;
        }
    }
}
