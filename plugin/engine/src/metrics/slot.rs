//! What workers have counted, by the numbers of the dictionary: bytes that only grow in what they say.
//!
//! For each series its number, the length of its histogram, and that. A series to which nothing is added is copied unread.

use super::Histogram;
use super::varint::{put, take};

/// Bytes that a slot is expected to grow by.
const GROWTH: usize = 1024;

/// Sums by the dictionary's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(Vec<Histogram>);

impl Sums {
    /// The sum of that number; `None` where nothing was counted.
    pub fn get(&self, number: u16) -> Option<&Histogram> {
        self.0.get(usize::from(number)).filter(|sum| sum.count() != 0)
    }

    /// All that was counted.
    pub fn total(&self) -> u64 {
        self.0.iter().map(Histogram::count).fold(0, u64::saturating_add)
    }

    fn add(&mut self, number: u16, histogram: &Histogram) {
        let number = usize::from(number);
        if self.0.len() <= number {
            self.0.resize_with(number.saturating_add(1), Histogram::default);
        }
        if let Some(sum) = self.0.get_mut(number) {
            sum.merge(histogram);
        }
    }
}

/// The slot with these histograms added, which are in the order of their numbers, none twice. What cannot be read is left out.
pub fn add<'a>(old: &[u8], changed: impl IntoIterator<Item = (u16, &'a Histogram)>) -> Vec<u8> {
    let mut slot = Vec::with_capacity(old.len().saturating_add(GROWTH));
    let mut rest = Records(old);
    let (mut sum, mut bytes) = (Histogram::default(), Vec::new());
    for (number, histogram) in changed {
        slot.extend_from_slice(rest.below(number));
        let known = rest.of(number).is_some_and(|mut known| sum.retake(&mut known));
        let sum = if known {
            sum.merge(histogram);
            &sum
        } else {
            histogram
        };
        bytes.clear();
        sum.put(&mut bytes);
        append(&mut slot, number, &bytes);
    }
    slot.extend_from_slice(rest.0);
    slot
}

/// Adds what the records at the front of a slot say to `sums`, of some `most` bytes; what is left.
pub fn read<'a>(slot: &'a [u8], most: usize, sums: &mut Sums) -> &'a [u8] {
    let (mut rest, mut histogram) = (Records(slot), Histogram::default());
    while slot.len().saturating_sub(rest.0.len()) < most {
        let Some((number, mut bytes)) = rest.next() else { return &[] };
        if histogram.retake(&mut bytes) {
            sums.add(number, &histogram);
        }
    }
    rest.0
}

/// Appends what is said of a number to a slot that says nothing of it and of those above it.
pub fn push(slot: &mut Vec<u8>, number: u16, sum: &Histogram) {
    let mut bytes = Vec::with_capacity(64);
    sum.put(&mut bytes);
    append(slot, number, &bytes);
}

fn append(slot: &mut Vec<u8>, number: u16, bytes: &[u8]) {
    put(slot, number.into());
    put(slot, bytes.len() as u64);
    slot.extend_from_slice(bytes);
}

/// Numbers and their bytes, in rising order of the numbers.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    /// The next record, and what follows it.
    fn peek(&self) -> Option<(u16, &'a [u8], &'a [u8])> {
        let mut rest = self.0;
        let number = take(&mut rest).and_then(|number| u16::try_from(number).ok())?;
        let len = take(&mut rest).and_then(|len| usize::try_from(len).ok())?;
        let (bytes, rest) = rest.split_at_checked(len)?;
        Some((number, bytes, rest))
    }

    /// The records of smaller numbers, which are passed over, as they are.
    fn below(&mut self, number: u16) -> &'a [u8] {
        let all = self.0;
        while let Some((next, _, rest)) = self.peek()
            && next < number
        {
            self.0 = rest;
        }
        all.get(..all.len().saturating_sub(self.0.len())).unwrap_or_default()
    }

    /// What stands under this number, if it is the next.
    fn of(&mut self, number: u16) -> Option<&'a [u8]> {
        let (_, bytes, rest) = self.peek().filter(|(next, ..)| *next == number)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, bytes, rest) = self.peek()?;
        self.0 = rest;
        Some((number, bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::metrics::Aggregation;

    proptest! {
        #[test]
        fn a_slot_says_the_sum_of_all_that_was_added(
            writes in prop::collection::vec(prop::collection::btree_map(0_u16..40, 1_u64..1 << 40, 0..10), 0..20),
            junk in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut slot = Vec::new();
            let mut expected = BTreeMap::<u16, (u64, f64)>::new();
            for write in &writes {
                let changed: Vec<_> = write.iter().map(|(number, nanos)| {
                    let mut pending = Histogram::default();
                    pending.record(Aggregation::Exponential, *nanos);
                    let known = expected.entry(*number).or_default();
                    *known = (known.0 + 1, known.1 + *nanos as f64 / 1e9);
                    (*number, pending)
                }).collect();
                slot = add(&slot, changed.iter().map(|(number, pending)| (*number, pending)));
            }
            let mut sums = Sums::default();
            let mut rest = slot.as_slice();
            while !rest.is_empty() {
                rest = read(rest, 20, &mut sums);
            }
            let known: Vec<u16> = (0..40).filter(|number| sums.get(*number).is_some()).collect();
            prop_assert_eq!(known, expected.keys().copied().collect::<Vec<_>>());
            for (number, (count, seconds)) in expected {
                let sum = sums.get(number).expect("counted");
                prop_assert_eq!(sum.count(), count);
                prop_assert!((sum.sum_seconds() - seconds).abs() < 1e-6);
            }
            let mut written = Vec::new();
            for number in 0..40 {
                sums.get(number).into_iter().for_each(|sum| push(&mut written, number, sum));
            }
            prop_assert_eq!(&written, &slot);
            read(&junk, usize::MAX, &mut sums);
            add(&junk, [(3, &Histogram::default())]);
        }
    }
}
