//! Requests that points show, each with a span that the collector has: for each series and each doubling of the latency the
//! latest one, or the latest that an upgrade keeps.

use super::places::Places;
use super::{dictionary, series};
use crate::otlp::Exemplar;
use crate::trace_context::{SpanId, TraceId};

/// Most exemplars of one worker, or of the workers that share a slot.
const MOST: usize = 64;
/// Most exemplars of one point.
const A_POINT: usize = 8;
/// A series that the dictionary does not have.
const NOWHERE: u32 = u32::MAX;
/// Numbers of 64 bits that one is in shared data.
const WORDS: usize = 7;

/// Exemplars, at most a fixed number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplars {
    list: Vec<Exemplar>,
    most: usize,
}

impl Default for Exemplars {
    fn default() -> Self {
        Self::with_room(MOST)
    }
}

impl Exemplars {
    /// An empty set with this limit.
    pub fn with_room(most: usize) -> Self {
        Self { list: Vec::new(), most }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes all of them out.
    pub fn take(&mut self) -> Vec<Exemplar> {
        std::mem::take(&mut self.list)
    }

    /// Adds one; where the set is full, it replaces one that is preferred less.
    pub fn offer(&mut self, new: &Exemplar) {
        let same = |known: &&mut Exemplar| known.series == new.series && octave(known) == octave(new);
        let replaced = match self.list.iter_mut().find(same) {
            Some(known) => known,
            None => {
                let of_point = self.list.iter().filter(|known| known.series == new.series).count();
                if of_point < A_POINT && self.list.len() < self.most {
                    return self.list.push(*new);
                }
                let rivals = self.list.iter_mut().filter(|known| of_point < A_POINT || known.series == new.series);
                let Some(least) = rivals.min_by_key(|known| rank(known)) else { return };
                least
            }
        };
        if rank(replaced) <= rank(new) {
            *replaced = *new;
        }
    }

    /// The form in shared data.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.list.iter().flat_map(words).flat_map(u64::to_le_bytes).collect()
    }

    /// Adds those of that form; what cannot be read is left out.
    pub fn offer_bytes(&mut self, bytes: &[u8]) {
        for record in bytes.chunks_exact(WORDS * 8) {
            let mut words = [0; WORDS];
            for (word, bytes) in words.iter_mut().zip(record.chunks_exact(8)) {
                *word = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            }
            if let Some(exemplar) = read(words) {
                self.offer(&exemplar);
            }
        }
    }

    /// Takes all of them out, each with the number of its series in the dictionary, or of the one that counts it without its name:
    /// in the order of these numbers. One that has neither is left out.
    pub fn by_number(&mut self, dictionary: &[u8]) -> Vec<(u16, Exemplar)> {
        let all = self.take();
        if all.is_empty() {
            return Vec::new();
        }
        let (mut own, mut unnamed) = (Places::default(), Places::default());
        for exemplar in &all {
            own.insert(exemplar.series, NOWHERE);
        }
        for (number, entry) in (0..).zip(dictionary::entries(dictionary)) {
            if let Some(place) = own.get_mut(&series(entry.labels, entry.name)) {
                *place = number;
            }
            if entry.name.is_empty() {
                unnamed.insert(u64::from(entry.labels.bits()), number);
            }
        }
        let number = |exemplar: &Exemplar| {
            let own = own.get(&exemplar.series).filter(|number| **number != NOWHERE);
            let number = own.or_else(|| unnamed.get(&u64::from(exemplar.labels)))?;
            u16::try_from(*number).ok()
        };
        let mut placed: Vec<_> = all.into_iter().filter_map(|exemplar| Some((number(&exemplar)?, exemplar))).collect();
        placed.sort_by_key(|(number, _)| *number);
        placed
    }
}

/// Those that the point of series `number` shows, which begins at `start` and ends at `end` (Unix nanoseconds): the first of `placed`
/// that are not of smaller numbers. What they follow is left out, and so is one that is older than its point's beginning.
pub fn of_point(placed: &mut &[(u16, Exemplar)], number: u16, (start, end): (u64, u64)) -> Vec<Exemplar> {
    let mut shown = Vec::new();
    while let Some(((of, exemplar), rest)) = placed.split_first()
        && *of <= number
    {
        *placed = rest;
        if *of == number && (start..=end).contains(&exemplar.time) && shown.len() < A_POINT {
            shown.push(*exemplar);
        }
    }
    shown
}

/// The doubling of the latency that it is in.
fn octave(exemplar: &Exemplar) -> u32 {
    exemplar.nanos.checked_ilog2().map_or(0, |octave| octave.saturating_add(1))
}

/// Which of two is shown: an upgraded one, then the later.
fn rank(exemplar: &Exemplar) -> (bool, u64) {
    (exemplar.upgraded, exemplar.time)
}

fn words(exemplar: &Exemplar) -> [u64; WORDS] {
    let trace_id = exemplar.trace_id.get();
    let more = u64::from(exemplar.labels) | u64::from(exemplar.upgraded) << 32 | u64::from(exemplar.reason) << 40;
    let (high, low) = ((trace_id >> 64) as u64, trace_id as u64);
    [exemplar.series, more, exemplar.nanos, exemplar.time, high, low, exemplar.span_id.get()]
}

fn read([series, more, nanos, time, high, low, span_id]: [u64; WORDS]) -> Option<Exemplar> {
    Some(Exemplar {
        series,
        labels: more as u32,
        nanos,
        time,
        trace_id: TraceId::from_u128(u128::from(high) << 64 | u128::from(low))?,
        span_id: SpanId::from_u64(span_id)?,
        upgraded: more >> 32 & 1 != 0,
        reason: (more >> 40) as u8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Histogram, Labels, Waiting};
    use crate::sampling::Reason;

    const LABELS: Labels = Labels::from_bits(5 << 8);

    fn exemplar(name: &str, nanos: u64, time: u64, upgraded: bool) -> Exemplar {
        Exemplar {
            series: series(LABELS, name.as_bytes()),
            labels: LABELS.bits(),
            nanos,
            time,
            trace_id: TraceId::from_u128(u128::from(time) << 64 | 7).expect("an id"),
            span_id: SpanId::from_u64(time + 1).expect("an id"),
            upgraded,
            reason: Reason::Ratio.index(),
        }
    }

    fn times(exemplars: &[Exemplar]) -> Vec<u64> {
        exemplars.iter().map(|exemplar| exemplar.time).collect()
    }

    #[test]
    fn each_doubling_has_its_latest_and_an_upgraded_one_is_preferred() {
        let mut all = Exemplars::default();
        for new in [
            exemplar("/a", 1000, 1, false),
            exemplar("/a", 1023, 2, false),
            exemplar("/a", 1025, 3, true),
            exemplar("/a", 1030, 4, false),
            exemplar("/b", 1000, 5, false),
        ] {
            all.offer(&new);
        }
        assert_eq!(times(&all.take()), [2, 3, 5]);
    }

    #[test]
    fn there_is_no_more_than_there_is_room_for_and_what_is_upgraded_stays() {
        let mut all = Exemplars::default();
        for octave in 0..20 {
            all.offer(&exemplar("/a", 1 << octave, 100 + octave, octave == 3));
        }
        let mut kept = times(&all.clone().take());
        kept.sort_unstable();
        assert_eq!(kept, [103, 113, 114, 115, 116, 117, 118, 119]);
        for number in 0..1000 {
            all.offer(&exemplar(&format!("/{number}"), 1, 200 + number, false));
        }
        let kept = times(&all.take());
        assert_eq!((kept.len(), kept.contains(&103)), (MOST, true));
    }

    #[test]
    fn shared_ones_are_read_as_they_were_written() {
        let mut all = Exemplars::default();
        (0..7).for_each(|octave| all.offer(&exemplar("/a", 1 << octave, octave, octave % 2 == 0)));
        let mut read = Exemplars::default();
        read.offer_bytes(&all.to_bytes());
        assert_eq!(read, all);
        read.offer_bytes(&[0; 200]);
        read.offer_bytes(&[1; 55]);
        assert_eq!(read, all, "no id is zero, and no record is cut");
    }

    #[test]
    fn a_point_shows_what_it_counts() {
        let waiting = |name: &str| {
            let (name, pending) = (name.as_bytes().into(), Histogram::default());
            Waiting { labels: LABELS, name, since: 5, pending, unnamed: 0 }
        };
        let dictionary =
            |names: [&str; 3]| dictionary::admit(&[], &names.map(waiting), 100, 5).dictionary.expect("new label sets");
        let offered = || {
            let mut all = Exemplars::default();
            all.offer(&exemplar("/gone", 1, 11, false));
            all.offer(&exemplar("/b", 1, 4, false));
            all.offer(&exemplar("/a", 1, 10, false));
            (0..20).for_each(|octave| all.offer(&exemplar("/c", 1 << octave, 12, false)));
            all
        };
        let placed = offered().by_number(&dictionary(["/a", "", "/b"]));
        let mut rest = placed.as_slice();
        let shown = [0, 1, 2].map(|number| times(&of_point(&mut rest, number, (5, 12))));
        assert_eq!(shown, [vec![10], [vec![11], vec![12; 7]].concat(), vec![]], "eight at most, and none from before");
        let mut rest = placed.as_slice();
        assert_eq!(times(&of_point(&mut rest, 1, (5, 11))), [11], "those of a series without a point are left out");
        let placed = offered().by_number(&dictionary(["/a", "/d", "/e"]));
        assert_eq!(
            placed.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [0],
            "there is no series without a name"
        );
        assert!(Exemplars::default().by_number(&dictionary(["/a", "", "/b"])).is_empty());
    }
}
