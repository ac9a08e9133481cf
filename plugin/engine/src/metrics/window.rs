//! Counts of neighbouring buckets: the part of an endless row of them that anything fell into.

/// Buckets of a histogram at most. OpenTelemetry SDK, "Base2 Exponential Bucket Histogram Aggregation", `MaxSize`.
pub const MAX_BUCKETS: usize = 160;

/// Counts from bucket `first` on; empty where nothing was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    first: i32,
    counts: Vec<u64>,
}

impl Window {
    /// Counts of the buckets from `first` on, at most [`MAX_BUCKETS`].
    pub fn new(first: i32, counts: Vec<u64>) -> Self {
        Self { first, counts }
    }

    /// The index of the first bucket.
    pub fn first(&self) -> i32 {
        self.first
    }

    /// The counts, in the order of the buckets.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// By how many halvings of the resolution the buckets `low` to `high` fit in beside those that are there.
    pub fn excess(&self, low: i32, high: i32) -> u32 {
        let (mut low, mut high) = match self.counts.len() {
            0 => (low, high),
            len => (low.min(self.first), high.max(last(self.first, len))),
        };
        let mut halvings = 0;
        while MAX_BUCKETS as i64 <= i64::from(high) - i64::from(low) {
            (low, high) = (low >> 1, high >> 1);
            halvings += 1;
        }
        halvings
    }

    /// Adds to a bucket that [`Self::excess`] has found to fit in.
    pub fn add(&mut self, bucket: i32, count: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = usize::try_from(i64::from(self.first) - i64::from(bucket)).unwrap_or_default();
            let mut counts = vec![0; missing.min(MAX_BUCKETS)];
            counts.extend_from_slice(&self.counts);
            self.counts = counts;
            self.first = bucket;
        }
        let place = usize::try_from(i64::from(bucket) - i64::from(self.first)).unwrap_or(usize::MAX);
        if self.counts.len() <= place && place < MAX_BUCKETS {
            self.counts.resize(place.saturating_add(1), 0);
        }
        if let Some(known) = self.counts.get_mut(place) {
            *known = known.saturating_add(count);
        }
    }

    /// Joins neighbours: two buckets at this resolution are exactly one at half of it ("perfect subsetting").
    pub fn halve(&mut self, times: u32) {
        for _ in 0..times {
            let mut halved = Self::default();
            for (bucket, count) in self.buckets() {
                halved.add(bucket >> 1, count);
            }
            *self = halved;
        }
    }

    /// Each bucket with its count.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.first..).zip(self.counts.iter().copied())
    }
}

fn last(first: i32, len: usize) -> i32 {
    first.saturating_add(i32::try_from(len).unwrap_or(i32::MAX).saturating_sub(1))
}
