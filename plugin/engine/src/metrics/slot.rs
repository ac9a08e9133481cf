//! What workers have counted, by the numbers of the dictionary: bytes that only grow in what they say.
//!
//! For each series its number, the length of its histogram, and that. A series to which nothing is added is copied unread.

use super::Histogram;
use super::varint::{put, take};

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
    let mut slot = Vec::with_capacity(old.len().saturating_add(256));
    let mut rest = Records(old);
    let mut known = rest.next();
    for (number, histogram) in changed {
        let mut sum = histogram.clone();
        while let Some((before, mut bytes)) = known.filter(|(known, _)| *known <= number) {
            if before < number {
                append(&mut slot, before, bytes);
            } else if let Some(read) = Histogram::take(&mut bytes) {
                sum.merge(&read);
            }
            known = rest.next();
        }
        let mut bytes = Vec::with_capacity(64);
        sum.put(&mut bytes);
        append(&mut slot, number, &bytes);
    }
    while let Some((number, bytes)) = known {
        append(&mut slot, number, bytes);
        known = rest.next();
    }
    slot
}

/// Adds what a slot says to `sums`.
pub fn read(slot: &[u8], sums: &mut Sums) {
    for (number, mut bytes) in Records(slot) {
        if let Some(read) = Histogram::take(&mut bytes) {
            sums.add(number, &read);
        }
    }
}

/// A slot that says just this.
pub fn write(sums: &Sums) -> Vec<u8> {
    add(&[], (0..=u16::MAX).zip(&sums.0).filter(|(_, sum)| sum.count() != 0))
}

fn append(slot: &mut Vec<u8>, number: u16, bytes: &[u8]) {
    put(slot, number.into());
    put(slot, bytes.len() as u64);
    slot.extend_from_slice(bytes);
}

/// Numbers and their bytes, in rising order of the numbers: what is out of order ends them.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let number = take(&mut self.0).and_then(|number| u16::try_from(number).ok())?;
        let len = take(&mut self.0).and_then(|len| usize::try_from(len).ok())?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
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
            read(&slot, &mut sums);
            let known: Vec<u16> = (0..40).filter(|number| sums.get(*number).is_some()).collect();
            prop_assert_eq!(known, expected.keys().copied().collect::<Vec<_>>());
            for (number, (count, seconds)) in expected {
                let sum = sums.get(number).expect("counted");
                prop_assert_eq!(sum.count(), count);
                prop_assert!((sum.sum_seconds() - seconds).abs() < 1e-6);
            }
            prop_assert_eq!(&write(&sums), &slot);
            read(&junk, &mut sums);
            add(&junk, [(3, &Histogram::default())]);
        }
    }
}
