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

    /// Adds one to a bucket; `false` where it is outside of the row that there is.
    #[inline(always)] // For every request that is counted.
    pub fn count(&mut self, bucket: i32) -> bool {
        let place = bucket.wrapping_sub(self.first).cast_unsigned() as usize;
        let Some(known) = self.counts.get_mut(place) else { return false };
        *known = known.wrapping_add(1); // As for all of them together.
        true
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

    /// Adds the counts of another window, whose buckets are halved so often, and then fit in as [`Self::excess`] has found.
    pub fn add_all(&mut self, finer: &Self, halvings: u32) {
        let Some((low, high)) = finer.ends() else { return };
        let halvings = halvings.min(31);
        self.add(low >> halvings, 0);
        self.add(high >> halvings, 0);
        let begin = usize::try_from(i64::from(low >> halvings) - i64::from(self.first)).unwrap_or(usize::MAX);
        let Some(known) = self.counts.get_mut(begin..) else { return };
        if halvings == 0 {
            for (known, count) in known.iter_mut().zip(&finer.counts) {
                *known = known.saturating_add(*count);
            }
            return;
        }
        for (bucket, count) in finer.buckets() {
            let place = usize::try_from((bucket >> halvings).saturating_sub(low >> halvings)).unwrap_or(usize::MAX);
            if let Some(known) = known.get_mut(place) {
                *known = known.saturating_add(count);
            }
        }
    }

    /// The first and the last bucket.
    pub fn ends(&self) -> Option<(i32, i32)> {
        (!self.counts.is_empty()).then(|| (self.first, last(self.first, self.counts.len())))
    }

    /// Forgets its counts and takes so many others, of the buckets from `first` on; `None` where `next` has not so many.
    pub fn refill(&mut self, first: i32, len: usize, mut next: impl FnMut() -> Option<u64>) -> Option<()> {
        self.first = first;
        self.counts.clear();
        self.counts.reserve(len);
        for _ in 0..len {
            self.counts.push(next()?);
        }
        Some(())
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
