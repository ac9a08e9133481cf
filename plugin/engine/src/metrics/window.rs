//! Counts of neighbouring buckets: the part of an endless row of them that anything fell into.

/// Buckets of a histogram at most. OpenTelemetry SDK, "Base2 Exponential Bucket Histogram Aggregation", `MaxSize`.
pub const MAX_BUCKETS: usize = 160;

/// A count of one bucket.
pub trait Count: Copy + Default {
    /// The number, or the largest that there is.
    fn of(count: u64) -> Self;

    /// The number.
    fn get(self) -> u64;

    /// The sum, which stays at the largest number.
    fn plus(self, other: Self) -> Self {
        Self::of(self.get().saturating_add(other.get()))
    }
}

impl Count for u32 {
    fn of(count: u64) -> Self {
        Self::try_from(count).unwrap_or(Self::MAX)
    }

    fn get(self) -> u64 {
        self.into()
    }
}

impl Count for u64 {
    fn of(count: u64) -> Self {
        count
    }

    fn get(self) -> u64 {
        self
    }
}

/// Counts from bucket `first` on; empty where nothing was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window<N> {
    first: i32,
    counts: Vec<N>,
}

impl<N: Count> Window<N> {
    /// Counts of the buckets from `first` on, at most [`MAX_BUCKETS`].
    pub fn new(first: i32, counts: Vec<N>) -> Self {
        Self { first, counts }
    }

    /// The index of the first bucket.
    pub fn first(&self) -> i32 {
        self.first
    }

    /// The counts, in the order of the buckets.
    pub fn counts(&self) -> &[N] {
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
    pub fn add(&mut self, bucket: i32, count: N) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = usize::try_from(i64::from(self.first) - i64::from(bucket)).unwrap_or_default();
            self.counts.splice(0..0, std::iter::repeat_n(N::default(), missing.min(MAX_BUCKETS)));
            self.first = bucket;
        }
        let place = usize::try_from(i64::from(bucket) - i64::from(self.first)).unwrap_or(usize::MAX);
        if self.counts.len() <= place && place < MAX_BUCKETS {
            self.counts.resize(place.saturating_add(1), N::default());
        }
        if let Some(known) = self.counts.get_mut(place) {
            *known = known.plus(count);
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
    pub fn buckets(&self) -> impl Iterator<Item = (i32, N)> {
        (self.first..).zip(self.counts.iter().copied())
    }

    /// Nothing is counted any more; the memory is kept.
    pub fn clear(&mut self) {
        self.counts.clear();
    }
}

fn last(first: i32, len: usize) -> i32 {
    first.saturating_add(i32::try_from(len).unwrap_or(i32::MAX).saturating_sub(1))
}
