//! An export in the making: what the slots say is added up, and made into points, in parts that a request can wait for.

use crate::door::Host;
use crate::metrics::slot::{self, Sums};
use crate::metrics::{Aggregation, Encoder, Exemplars, Point, Temporality, dictionary, of_point};
use crate::otlp::Exemplar;
use crate::shared::measurements::Shared;

/// Bytes that looking at a series without a point counts for.
const LOOK: usize = 16;
/// Bytes that counts for what is done before the first point.
const BEGIN: usize = 2 * 1024;

/// What was read and written so far.
#[derive(Default)]
pub(super) struct Draft {
    /// The next slot to be read.
    place: usize,
    /// What is not yet added of the one before.
    rest: Part,
    sums: Sums,
    written: Option<Written>,
}

/// Bytes of which the first so many are read.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    at: usize,
}

/// Points of what was added up.
struct Written {
    dictionary: Vec<u8>,
    /// Where in it the next label set is.
    at: usize,
    /// Its number.
    number: u16,
    placed: Placed,
    before: Option<Before>,
    encoder: Encoder,
}

/// Exemplars by the numbers of their series.
struct Placed {
    all: Vec<(u16, Exemplar)>,
    /// How many of them belong to points that are made.
    passed: usize,
    shown: Vec<Exemplar>,
}

/// What the export before said, for delta temporality.
struct Before {
    /// Unix nanoseconds as of which it was made; 0: never.
    since: u64,
    rest: Part,
    sums: Sums,
    /// What this one says.
    next: Vec<u8>,
}

/// What is to be sent.
pub(super) struct Ready {
    pub(super) encoder: Encoder,
    /// Requests that it counts.
    pub(super) total: u64,
    /// Series of the dictionary.
    pub(super) series: usize,
    /// What the points show.
    pub(super) exemplars: Vec<Exemplar>,
    /// For delta temporality: when the export before was made and what it said, and what this one says.
    pub(super) delta: Option<(u64, Vec<u8>, Vec<u8>)>,
}

impl Draft {
    /// Does some more, of about so many bytes. `true`: all is done, and so little of it now that it may be sent.
    pub(super) fn step(
        &mut self,
        (host, shared): (&impl Host, &Shared),
        (histogram, temporality): (Aggregation, Temporality),
        exemplars: &mut Exemplars,
        most: usize,
    ) -> bool {
        let mut done = 0_usize;
        while done < most {
            let left = most.saturating_sub(done);
            let step = match &mut self.written {
                Some(written) => written.step(&self.sums, histogram, left),
                None => self.add(host, shared, exemplars, left),
            };
            match step {
                Some(bytes) => done = done.saturating_add(bytes),
                None if self.written.is_some() => return done <= most / 2,
                None => {
                    self.written = Some(Written::begin(host, shared, temporality, exemplars));
                    done = done.saturating_add(BEGIN);
                }
            }
        }
        false
    }

    /// Adds some of what the slots say, and returns how many bytes that was; `None` where all is added.
    fn add(&mut self, host: &impl Host, shared: &Shared, exemplars: &mut Exemplars, most: usize) -> Option<usize> {
        if self.rest.is_empty() {
            let bytes = shared.slot(host, self.place)?;
            shared.take_shown(host, self.place, exemplars);
            self.place = self.place.saturating_add(1);
            self.rest = Part { bytes, at: 0 };
        }
        Some(self.rest.add(most, &mut self.sums).saturating_add(LOOK))
    }

    /// What was made; `None` as long as [`Self::step`] has not said that it is.
    pub(super) fn ready(self) -> Option<Ready> {
        let Self { sums, written: Some(written), .. } = self else { return None };
        let delta = written.before.map(|before| (before.since, before.rest.bytes, before.next));
        let (total, series) = (sums.total(), usize::from(written.number));
        Some(Ready { encoder: written.encoder, total, series, exemplars: written.placed.shown, delta })
    }
}

impl Written {
    fn begin(host: &impl Host, shared: &Shared, temporality: Temporality, exemplars: &mut Exemplars) -> Self {
        let dictionary = shared.dictionary(host);
        let placed = Placed { all: exemplars.by_number(&dictionary), passed: 0, shown: Vec::new() };
        let before = (temporality == Temporality::Delta).then(|| {
            let (since, bytes) = shared.sent(host);
            Before { since, rest: Part { bytes, at: 0 }, sums: Sums::default(), next: Vec::new() }
        });
        let encoder = Encoder::new(host.now());
        Self { dictionary, at: 0, number: 0, placed, before, encoder }
    }

    /// Makes the next point, and returns how many bytes that was; `None` where all are made. Sums of numbers that the dictionary does not
    /// have are of another one.
    fn step(&mut self, sums: &Sums, histogram: Aggregation, most: usize) -> Option<usize> {
        if let Some(before) = self.before.as_mut().filter(|before| !before.rest.is_empty()) {
            return Some(before.rest.add(most, &mut before.sums).saturating_add(LOOK));
        }
        let (entry, next) = dictionary::entry_at(&self.dictionary, self.at)?;
        let number = self.number;
        (self.at, self.number) = (next, number.saturating_add(1));
        let Some(sum) = sums.get(number) else { return Some(LOOK) };
        let (mut bytes, mut start, mut new) = (LOOK, entry.since, None);
        if let Some(before) = &mut self.before {
            let said = before.next.len();
            slot::push(&mut before.next, number, sum);
            bytes = bytes.saturating_add(before.next.len().saturating_sub(said));
            start = if before.since == 0 { dictionary::opened(&self.dictionary) } else { before.since };
            new = before.sums.get(number).map(|before| sum.since(before));
        }
        let sum = new.as_ref().unwrap_or(sum);
        if sum.count() == 0 {
            return Some(bytes); // A delta of a series to which nothing came has no point.
        }
        let exemplars = self.placed.show(number, (start, self.encoder.time()));
        let point = Point { labels: entry.labels, name: entry.name, start, sum, exemplars };
        Some(bytes.saturating_add(self.encoder.append(histogram, &point)))
    }
}

impl Placed {
    /// Those that the point of this series shows, from its beginning to its end.
    fn show(&mut self, number: u16, interval: (u64, u64)) -> &[Exemplar] {
        let before = self.shown.len();
        let mut rest = self.all.get(self.passed..).unwrap_or_default();
        self.shown.extend(of_point(&mut rest, number, interval));
        self.passed = self.all.len().saturating_sub(rest.len());
        self.shown.get(before..).unwrap_or_default()
    }
}

impl Part {
    fn is_empty(&self) -> bool {
        self.bytes.len() <= self.at
    }

    /// Adds some more to `sums`, and returns how many bytes that was.
    fn add(&mut self, most: usize, sums: &mut Sums) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let left = slot::read(rest, most, sums).len();
        let read = rest.len().saturating_sub(left);
        self.at = self.at.saturating_add(read);
        read
    }
}
