//! What workers have counted, by the numbers of the dictionary: bytes that only grow in what they say.
//!
//! For each series its number, the length of its histogram, and that. A series that nobody adds to is copied unread.

use std::collections::BTreeMap;

use super::varint::{put, take};
use super::window::Count;
use super::{Histogram, Sum};

/// Sums by the dictionary's numbers.
pub type Sums = BTreeMap<u16, Sum>;

/// The slot with these histograms added, which are in the order of their numbers, none twice. What cannot be read is left out.
pub fn add<'a, N: Count + 'a>(old: &[u8], changed: impl IntoIterator<Item = (u16, &'a Histogram<N>)>) -> Vec<u8> {
    let mut slot = Vec::with_capacity(old.len().saturating_add(256));
    let mut known = Records(old).peekable();
    for (number, histogram) in changed {
        while let Some((before, bytes)) = known.next_if(|(known, _)| *known < number) {
            append(&mut slot, before, bytes);
        }
        let mut sum = Sum::default();
        if let Some((_, mut bytes)) = known.next_if(|(known, _)| *known == number)
            && let Some(read) = Sum::take(&mut bytes)
        {
            sum = read;
        }
        sum.merge(histogram);
        let mut bytes = Vec::with_capacity(64);
        sum.put(&mut bytes);
        append(&mut slot, number, &bytes);
    }
    known.for_each(|(number, bytes)| append(&mut slot, number, bytes));
    slot
}

/// Adds what a slot says to `sums`.
pub fn read(slot: &[u8], sums: &mut Sums) {
    for (number, mut bytes) in Records(slot) {
        if let Some(read) = Sum::take(&mut bytes) {
            sums.entry(number).or_default().merge(&read);
        }
    }
}

/// A slot that says just this.
pub fn write(sums: &Sums) -> Vec<u8> {
    add(&[], sums.iter().map(|(number, sum)| (*number, sum)))
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
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{Aggregation, Pending};

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
                    let mut pending = Pending::default();
                    pending.record(Aggregation::Exponential, *nanos);
                    let known = expected.entry(*number).or_default();
                    *known = (known.0 + 1, known.1 + *nanos as f64 / 1e9);
                    (*number, pending)
                }).collect();
                slot = add(&slot, changed.iter().map(|(number, pending)| (*number, pending)));
            }
            let mut sums = Sums::new();
            read(&slot, &mut sums);
            prop_assert_eq!(sums.len(), expected.len());
            for (number, (count, seconds)) in expected {
                prop_assert_eq!(sums[&number].count(), count);
                prop_assert!((sums[&number].sum_seconds() - seconds).abs() < 1e-6);
            }
            prop_assert_eq!(&write(&sums), &slot);
            read(&junk, &mut sums);
            add(&junk, [(3, &Pending::default())]);
        }
    }
}
