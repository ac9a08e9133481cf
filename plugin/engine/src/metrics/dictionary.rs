//! The label sets that a process has admitted, in the order of their admission: the numbers of the slots. It only grows, so
//! that a number means the same for ever, and has one limit for all workers.
//!
//! A full dictionary gives up names first. A quarter of the series is kept for label sets without one, which are few whatever
//! clients send; only what does not fit there either is counted in the overflow series of its metric.

use super::places::{self, Places};
use super::{Instrument, Labels, Waiting};

/// Largest dictionary in bytes, for any limit of series.
const MAX_BYTES: usize = 64 * 1024;
/// Longest name in bytes.
pub const MAX_NAME: usize = 256;

/// One label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// All but the name.
    pub labels: Labels,
    /// The route or the gRPC method; empty for none.
    pub name: &'a [u8],
    /// Unix nanoseconds of the first measurement that was admitted.
    pub since: u64,
}

/// In which series a label set is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Its own series.
    Whole(u16),
    /// The series without the name.
    Unnamed(u16),
    /// The overflow series.
    Overflow(u16),
}

/// What [`admit`] makes of label sets.
#[derive(Debug, Default)]
pub struct Admission {
    /// The dictionary as it should be now; `None`: as it is.
    pub dictionary: Option<Vec<u8>>,
    /// Where each of the label sets is counted, in their order.
    pub places: Vec<Admitted>,
    /// Metrics that take no new names, by [`Instrument`].
    pub full: [bool; Instrument::ALL.len()],
}

/// An empty dictionary; `now` is Unix nanoseconds.
pub fn new(now: u64) -> Vec<u8> {
    now.to_le_bytes().to_vec()
}

/// When it was made, Unix nanoseconds.
pub fn opened(dictionary: &[u8]) -> u64 {
    dictionary.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Its label sets, in the order of their numbers.
pub fn entries(dictionary: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = dictionary.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (entry, after) = split(rest)?;
        rest = after;
        Some(entry)
    })
}

/// The label set that is so many bytes behind the first one, and where the next one is.
pub fn entry_at(dictionary: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let rest = dictionary.get(8..).unwrap_or_default();
    let (entry, after) = split(rest.get(at..)?)?;
    Some((entry, rest.len().saturating_sub(after.len())))
}

fn split(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (labels, after) = bytes.split_first_chunk::<4>()?;
    let (since, after) = after.split_first_chunk::<8>()?;
    let (len, after) = after.split_first_chunk::<2>()?;
    let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let labels = Labels::from_bits(u32::from_le_bytes(*labels));
    Some((Entry { labels, since: u64::from_le_bytes(*since), name }, after))
}

/// Finds a place for each label set; `max_series` is the limit for a metric.
pub fn admit(dictionary: &[u8], waiting: &[Waiting], max_series: usize, now: u64) -> Admission {
    let base = if dictionary.len() < 8 { &new(now) } else { dictionary };
    let mut book = Book::read(base, waiting, max_series);
    let places = waiting.iter().map(|waiting| book.place(waiting)).collect();
    let full = std::array::from_fn(|at| book.is_full(at));
    Admission { dictionary: (book.bytes.len() != dictionary.len()).then_some(book.bytes), places, full }
}

/// What a dictionary says of the label sets that wait. Of the others it is only counted that they are there, since there are hundreds
/// of them, and a request may be waiting.
struct Book<'a> {
    bytes: Vec<u8>,
    /// Label sets that are looked for, each once.
    wanted: Vec<Wanted<'a>>,
    /// Places in `wanted`, by label set and name.
    places: Places,
    /// Entries.
    len: usize,
    /// Series of a metric, with and without a name; not its overflow series.
    counts: [(usize, usize); Instrument::ALL.len()],
    max_series: usize,
}

struct Wanted<'a> {
    labels: Labels,
    name: &'a [u8],
    /// `None`: the dictionary does not have it.
    number: Option<u16>,
}

impl<'a> Book<'a> {
    fn read(bytes: &[u8], waiting: &'a [Waiting], max_series: usize) -> Self {
        let room = waiting.len().saturating_mul(2);
        let (wanted, places) = (Vec::with_capacity(room), Places::with_capacity_and_hasher(room, Default::default()));
        let mut book = Self { bytes: bytes.to_vec(), wanted, places, len: 0, counts: Default::default(), max_series };
        for waiting in waiting {
            book.want(waiting.labels, &waiting.name);
            book.want(waiting.labels, &[]);
            book.want(Labels::overflow(waiting.labels.instrument()), &[]);
        }
        for entry in entries(bytes) {
            if let Ok(place) = book.find(entry.labels, entry.name) {
                book.number(place);
            }
            book.count(entry.labels, entry.name);
        }
        book
    }

    fn want(&mut self, labels: Labels, name: &'a [u8]) {
        if let Err(key) = self.find(labels, name) {
            self.places.insert(key, u32::try_from(self.wanted.len()).unwrap_or(u32::MAX));
            self.wanted.push(Wanted { labels, name, number: None });
        }
    }

    fn find(&self, labels: Labels, name: &[u8]) -> Result<u32, u64> {
        places::find(&self.places, labels.bits(), name, |place| {
            let wanted = self.wanted.get(place as usize);
            wanted.is_some_and(|wanted| wanted.labels == labels && wanted.name == name)
        })
    }

    /// The next entry is this label set.
    fn number(&mut self, place: u32) -> Option<u16> {
        let wanted = self.wanted.get_mut(place as usize)?;
        // The first counts, if there should be two.
        wanted.number = wanted.number.or_else(|| u16::try_from(self.len).ok());
        wanted.number
    }

    fn count(&mut self, labels: Labels, name: &[u8]) {
        self.len = self.len.saturating_add(1);
        if let Some((named, bare)) = self.counts.get_mut(labels.instrument() as usize)
            && !labels.is_overflow()
        {
            let count = if name.is_empty() { bare } else { named };
            *count = count.saturating_add(1);
        }
    }

    /// The overflow series takes one of the limit.
    fn has_room(&self, labels: Labels, name: &[u8]) -> bool {
        let (named, bare) = self.counts.get(labels.instrument() as usize).copied().unwrap_or_default();
        let (limit, total) = (self.max_series.saturating_sub(1), named.saturating_add(bare));
        let len = self.bytes.len().saturating_add(name.len());
        if name.is_empty() {
            total < limit && len < MAX_BYTES
        } else {
            total < limit && named < limit - limit / 4 && len < MAX_BYTES - MAX_BYTES / 4
        }
    }

    fn is_full(&self, at: usize) -> bool {
        let instrument = Instrument::ALL.get(at).copied().unwrap_or(Instrument::HttpServer);
        !self.has_room(Labels::new(instrument), &[0; MAX_NAME])
    }

    fn place(&mut self, waiting: &Waiting) -> Admitted {
        let (labels, name) = (waiting.labels, &*waiting.name);
        if let Some(number) = self.admitted(labels, name, waiting.since) {
            return Admitted::Whole(number);
        }
        if !name.is_empty()
            && let Some(number) = self.admitted(labels, &[], waiting.since)
        {
            return Admitted::Unnamed(number);
        }
        Admitted::Overflow(self.admitted(Labels::overflow(labels.instrument()), &[], waiting.since).unwrap_or_default())
    }

    /// The number of a wanted series that is there or has room.
    fn admitted(&mut self, labels: Labels, name: &[u8], since: u64) -> Option<u16> {
        let place = self.find(labels, name).ok()?;
        let known = self.wanted.get(place as usize)?.number;
        if known.is_some() || (!labels.is_overflow() && !self.has_room(labels, name)) {
            return known;
        }
        let number = self.number(place);
        self.append(Entry { labels, name, since });
        number
    }

    fn append(&mut self, entry: Entry<'_>) {
        self.bytes.extend_from_slice(&entry.labels.bits().to_le_bytes());
        self.bytes.extend_from_slice(&entry.since.to_le_bytes());
        self.bytes.extend_from_slice(&u16::try_from(entry.name.len()).unwrap_or_default().to_le_bytes());
        self.bytes.extend_from_slice(entry.name);
        self.count(entry.labels, entry.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    fn waiting(status: u16, name: &str) -> Waiting {
        let labels = Labels::new(Instrument::HttpServer).method(Some(0)).status(Some(status));
        Waiting { labels, name: name.as_bytes().into(), since: 5, pending: Histogram::default(), unnamed: 0 }
    }

    #[test]
    fn a_label_set_keeps_its_number() {
        let first = admit(&[], &[waiting(200, "/a"), waiting(200, "/b"), waiting(200, "/a")], 10, 3);
        assert_eq!(first.places, [Admitted::Whole(0), Admitted::Whole(1), Admitted::Whole(0)]);
        let dictionary = first.dictionary.expect("a new one");
        assert_eq!(opened(&dictionary), 3);
        let second = admit(&dictionary, &[waiting(500, "/b"), waiting(200, "/b")], 10, 9);
        assert_eq!(second.places, [Admitted::Whole(2), Admitted::Whole(1)]);
        assert_eq!(admit(&second.dictionary.expect("one more"), &[waiting(500, "/b")], 10, 9).dictionary, None);
    }

    #[test]
    fn the_name_goes_first_and_then_the_rest() {
        let named: Vec<_> = (0..10).map(|number| waiting(200, &format!("/{number}"))).collect();
        let Admission { dictionary, places, full } = admit(&[], &named, 10, 3);
        assert_eq!(places.iter().filter(|place| matches!(place, Admitted::Whole(_))).count(), 7);
        assert_eq!(places[7..], [Admitted::Unnamed(7); 3]);
        assert_eq!(full, [true, false, false, false]);
        let bare: Vec<_> = (300..305).map(|status| waiting(status, "")).collect();
        let dictionary = dictionary.expect("a new one");
        let Admission { dictionary, places, .. } = admit(&dictionary, &bare, 10, 3);
        assert_eq!(places[..2], [Admitted::Whole(8), Admitted::Overflow(9)]);
        assert_eq!(entries(&dictionary.expect("more")).count(), 10, "no more than the limit");
    }
}
