//! How long requests took, sorted into buckets.

use super::Aggregation;
use super::varint::{put, take, unzigzag, zigzag};
use super::window::{MAX_BUCKETS, Window};

/// The finest resolution: sixteen buckets for each doubling, an error of at most 2.2 %.
const MAX_SCALE: i32 = 4;
/// The coarsest that a clock of 64 bits can ask for.
const MIN_SCALE: i32 = -10;
const NANOS_PER_SECOND: f64 = 1e9;

/// Upper bounds in nanoseconds. OTel semantic conventions, `http.server.request.duration` and the other durations.
pub const BOUNDS_NANOS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// The mantissas of 2^(1/16) to 2^(15/16), cut to 52 bits: none of them is a double, so that cutting decides nothing wrongly.
const SIXTEENTHS: [u64; 15] = [
    0x0_b558_6cf9_890f,
    0x1_72b8_3c7d_517a,
    0x2_387a_6e75_6238,
    0x3_06fe_0a31_b715,
    0x3_dea6_4c12_3422,
    0x4_bfda_d536_2a27,
    0x5_ab07_dd48_5429,
    0x6_a09e_667f_3bcc,
    0x7_a114_73eb_0186,
    0x8_ace5_422a_a0db,
    0x9_c491_82a3_f090,
    0xa_e89f_995a_d3ad,
    0xc_199b_dd85_529c,
    0xd_5818_dcfb_a487,
    0xe_a4af_a2a4_90d9,
];

/// How many of them are below all mantissas that begin with these five bits. At most one begins with the same.
const BELOW: [u8; 32] =
    [0, 0, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15, 15];

/// Counts of one series. In exponential buckets at scale `s`, bucket `i` holds what is above 2^(i/2^s) and at most
/// 2^((i+1)/2^s) seconds; explicit buckets are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    scale: i32,
    /// Zeros and all of the window.
    count: u64,
    zeros: u64,
    sum_nanos: u128,
    window: Window,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { scale: MAX_SCALE, count: 0, zeros: 0, sum_nanos: 0, window: Window::default() }
    }
}

impl Histogram {
    /// Counts one request.
    #[inline(never)] // One copy for all that are not counted by a glance.
    pub fn record(&mut self, aggregation: Aggregation, nanos: u64) {
        self.record_here(aggregation, nanos);
    }

    /// The same in place.
    #[inline(always)] // For every request that is counted.
    pub fn record_here(&mut self, aggregation: Aggregation, nanos: u64) {
        // No number of requests that anybody lives to see comes near to what these hold.
        self.count = self.count.wrapping_add(1);
        self.sum_nanos = self.sum_nanos.wrapping_add(u128::from(nanos));
        let bucket = match aggregation {
            Aggregation::Explicit => explicit(nanos),
            Aggregation::Exponential if nanos == 0 => return self.zeros = self.zeros.saturating_add(1),
            Aggregation::Exponential => exponential(nanos) >> ((MAX_SCALE - self.scale) & 31),
        };
        if !self.window.count(bucket) {
            self.widen(bucket);
        }
    }

    /// Counts one request in a bucket beside those that there are, of the resolution that there is: it may become coarser. The row of
    /// explicit buckets is short enough for all of them.
    #[inline(never)] // Seldom: the first requests after the counts were shared.
    fn widen(&mut self, bucket: i32) {
        let excess = self.window.excess(bucket, bucket);
        self.coarsen(excess);
        self.window.add(bucket >> excess.min(31), 1);
    }
}

impl Histogram {
    /// Requests.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Seconds in all.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / NANOS_PER_SECOND
    }

    /// Halvings of the bucket width, at most 4.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// Requests with a duration of 0 nanoseconds.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The duration that this share of the requests does not exceed, in nanoseconds, by the upper bound of its exponential bucket; 0
    /// where nothing was counted.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.count() as f64).ceil() as u64).max(1);
        let mut below = self.zeros;
        if rank <= below {
            return 0;
        }
        let reached = self.window.buckets().find(|(_, count)| {
            below = below.saturating_add(*count);
            rank <= below
        });
        reached.map_or(0, |(bucket, _)| self.bound_nanos(bucket))
    }

    /// The upper bound of an exponential bucket.
    fn bound_nanos(&self, bucket: i32) -> u64 {
        let sixteenths = i64::from(bucket).saturating_add(1) << MAX_SCALE.abs_diff(self.scale);
        let exponent = u64::try_from(sixteenths.div_euclid(16).saturating_add(1023)).unwrap_or_default().min(2046);
        let mantissa = usize::try_from(sixteenths.rem_euclid(16)).ok().and_then(|place| place.checked_sub(1));
        let mantissa = mantissa.and_then(|place| SIXTEENTHS.get(place)).map_or(0, |below| below.saturating_add(1));
        (f64::from_bits(exponent << 52 | mantissa) * NANOS_PER_SECOND) as u64
    }

    /// Index of the first bucket with a count.
    pub fn first(&self) -> i32 {
        self.window.first()
    }

    /// The counts from there on.
    pub fn counts(&self) -> &[u64] {
        self.window.counts()
    }

    /// Counts of the buckets from 0 to `last`.
    pub fn from_zero(&self, last: usize) -> Vec<u64> {
        let mut counts = vec![0; last.saturating_add(1)];
        for (bucket, count) in self.window.buckets() {
            let place = usize::try_from(bucket).ok().and_then(|place| counts.get_mut(place));
            if let Some(place) = place {
                *place = count;
            }
        }
        counts
    }

    /// Appends it as [`Self::take`] reads it.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        put(bytes, zigzag(self.scale));
        put(bytes, self.zeros);
        put(bytes, self.sum_nanos as u64); // The low half, and the high one.
        put(bytes, (self.sum_nanos >> 64) as u64);
        put(bytes, zigzag(self.window.first()));
        put(bytes, self.window.counts().len() as u64);
        for count in self.window.counts() {
            put(bytes, *count);
        }
    }
}

impl Histogram {
    /// Reads what [`Self::put`] wrote; `None` for anything else.
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut read = Self::default();
        read.retake(bytes).then_some(read)
    }

    /// The same in place of what this counted, whose memory it takes; `false` leaves it without meaning.
    pub fn retake(&mut self, bytes: &mut &[u8]) -> bool {
        self.read(bytes).is_some()
    }

    fn read(&mut self, bytes: &mut &[u8]) -> Option<()> {
        self.scale = unzigzag(take(bytes)?);
        self.zeros = take(bytes)?;
        let (low, high) = (take(bytes)?, take(bytes)?);
        self.sum_nanos = u128::from(high) << 64 | u128::from(low);
        let first = unzigzag(take(bytes)?);
        let len = usize::try_from(take(bytes)?).ok().filter(|len| *len <= MAX_BUCKETS)?;
        let legal = (MIN_SCALE..=MAX_SCALE).contains(&self.scale) && first.unsigned_abs() <= 1 << 20;
        self.count = self.zeros;
        self.window.refill(first, legal.then_some(len)?, || {
            let count = take(bytes)?;
            self.count = self.count.saturating_add(count);
            Some(count)
        })
    }

    /// What came since `before`, which this has grown from.
    pub fn since(&self, before: &Self) -> Self {
        let mut before = before.clone();
        before.coarsen(halvings(before.scale, self.scale));
        let counted = |bucket: i32| {
            let place = usize::try_from(i64::from(bucket) - i64::from(before.window.first())).ok();
            place.and_then(|place| before.window.counts().get(place)).copied().unwrap_or_default()
        };
        let zeros = self.zeros.saturating_sub(before.zeros);
        let (mut window, mut all) = (Window::default(), zeros);
        for (bucket, count) in self.window.buckets() {
            let new = count.saturating_sub(counted(bucket));
            if new != 0 {
                window.add(bucket, new);
                all = all.saturating_add(new);
            }
        }
        Self {
            scale: self.scale,
            count: all,
            zeros,
            sum_nanos: self.sum_nanos.saturating_sub(before.sum_nanos),
            window,
        }
    }
}

impl Histogram {
    /// Adds what another counted; the coarser resolution of the two remains.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
        self.coarsen(halvings(self.scale, other.scale));
        let finer = halvings(other.scale, self.scale);
        if let Some((low, high)) = other.window.ends() {
            let excess = self.window.excess(low >> finer, high >> finer);
            self.coarsen(excess);
            self.window.add_all(&other.window, finer.saturating_add(excess));
        }
    }

    fn coarsen(&mut self, times: u32) {
        self.window.halve(times);
        self.scale -= times.cast_signed();
    }
}

/// From one scale to another that is not above it.
fn halvings(from: i32, to: i32) -> u32 {
    u32::try_from(from.saturating_sub(to)).unwrap_or_default().min(31)
}

/// The bucket at [`MAX_SCALE`], from the bits of the seconds as a double: exponent and mantissa of a normal number above 0.
#[inline(always)] // Likewise.
fn exponential(nanos: u64) -> i32 {
    let bits = (nanos as f64 / NANOS_PER_SECOND).to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    let mantissa = bits & ((1 << 52) - 1);
    // A bucket holds its upper bound: a power of two belongs to the bucket below.
    (exponent << MAX_SCALE) + sixteenth(mantissa) as i32 + i32::from(0 < mantissa) - 1
}

/// How many of [`SIXTEENTHS`] are below a mantissa of 52 bits.
#[inline(always)] // For every request that is counted.
fn sixteenth(mantissa: u64) -> usize {
    let below = usize::from(BELOW.get((mantissa >> 47) as usize).copied().unwrap_or_default());
    below + usize::from(SIXTEENTHS.get(below).is_some_and(|bound| *bound < mantissa))
}

/// The bucket among the conventions' bounds, each of which is in the bucket that it ends.
fn explicit(nanos: u64) -> i32 {
    i32::try_from(BOUNDS_NANOS.partition_point(|bound| *bound < nanos)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(aggregation: Aggregation, all: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        all.iter().for_each(|nanos| histogram.record(aggregation, *nanos));
        histogram
    }

    fn sum_of(all: &[u64]) -> Histogram {
        let mut sum = Histogram::default();
        sum.merge(&of(Aggregation::Exponential, all));
        sum
    }

    #[test]
    fn a_mantissa_is_compared_with_the_one_bound_that_begins_like_it() {
        for (cell, below) in BELOW.into_iter().enumerate() {
            let like = |order| SIXTEENTHS.iter().filter(|bound| ((*bound >> 47) as usize).cmp(&cell) == order).count();
            assert_eq!(like(std::cmp::Ordering::Less), usize::from(below), "{cell}");
            assert!(like(std::cmp::Ordering::Equal) <= 1, "{cell}");
        }
        let bucket_of = |bits: u64| SIXTEENTHS.partition_point(|bound| *bound < bits);
        for bound in SIXTEENTHS {
            for mantissa in [bound - 1, bound, bound + 1] {
                assert_eq!(sixteenth(mantissa), bucket_of(mantissa), "{mantissa:x}");
            }
        }
    }

    #[test]
    fn powers_of_two_end_their_bucket() {
        for (nanos, bucket) in [(1_000_000_000, -1), (1_000_000_001, 0), (2_000_000_000, 15), (500_000_000, -17)] {
            assert_eq!(exponential(nanos), bucket, "{nanos}");
        }
    }

    #[test]
    fn the_bounds_of_the_conventions_end_their_buckets() {
        for (nanos, bucket) in [(0, 0), (5_000_000, 0), (5_000_001, 1), (10_000_000_000, 13), (u64::MAX, 14)] {
            assert_eq!(explicit(nanos), bucket, "{nanos}");
        }
    }

    #[test]
    fn what_spans_more_than_ten_doublings_is_kept_at_a_coarser_scale() {
        let histogram = of(Aggregation::Exponential, &[1_000, 60_000_000_000, 0]);
        assert_eq!((histogram.count(), histogram.zeros(), histogram.scale()), (3, 1, 2));
        assert!(histogram.counts().len() <= MAX_BUCKETS);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_the_logarithm_says(nanos in 1_u64..1 << 50) {
            let exact = (nanos as f64 / 1e9).log2() * 16.0;
            let found = f64::from(exponential(nanos));
            prop_assert!(found - 1e-6 < exact && exact < found + 1.0 + 1e-6, "{nanos}: {exact} {found}");
        }

        #[test]
        fn merging_is_counting_together(
            ours in prop::collection::vec(0_u64..1 << 45, 0..40),
            theirs in prop::collection::vec(0_u64..1 << 45, 0..40),
        ) {
            let mut merged = sum_of(&ours);
            merged.merge(&of(Aggregation::Exponential, &theirs));
            let together = sum_of(&[ours.clone(), theirs.clone()].concat());
            prop_assert_eq!(&merged, &together);
            prop_assert_eq!(merged.count(), (ours.len() + theirs.len()) as u64);
            let since = merged.since(&sum_of(&ours));
            prop_assert_eq!(since.count(), theirs.len() as u64);
            prop_assert_eq!(since.sum_nanos, sum_of(&theirs).sum_nanos);
            let mut again = sum_of(&ours);
            again.merge(&since);
            prop_assert_eq!(again.count(), merged.count());
        }

        #[test]
        fn a_histogram_comes_back_from_its_bytes_and_no_bytes_are_fatal(
            nanos in prop::collection::vec(0_u64..1 << 45, 0..40),
            junk in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let sum = sum_of(&nanos);
            let mut bytes = Vec::new();
            sum.put(&mut bytes);
            prop_assert_eq!(Histogram::take(&mut bytes.as_slice()), Some(sum.clone()));
            if let Some(odd) = Histogram::take(&mut junk.as_slice()) {
                let mut merged = sum;
                merged.merge(&odd);
                let _ = merged.since(&odd);
            }
        }
    }
}
