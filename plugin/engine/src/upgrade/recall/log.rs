//! The upgrade log: how the VMs of a process learn which traces were upgraded, whoever learnt it first, and what the list for
//! applications is read from.
//!
//! One value of shared data, changed by compare-and-swap: a random epoch that tells this log from any other (8 bytes, never 0),
//! how many traces were ever written (8 bytes, both big-endian), then a ring of the last [`CAPACITY`] trace-ids, the n-th at n
//! modulo that. A reader that was away for longer than a ring knows how many it missed.

use crate::trace_context::TraceId;

/// Trace-ids in the log.
pub const CAPACITY: usize = 512;
/// The size of a full log.
pub const LOG_BYTES: usize = HEAD_BYTES + CAPACITY * ID_BYTES;

const HEAD_BYTES: usize = 16;
const ID_BYTES: usize = 16;

/// Where a reader stands. The default has read no log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// The log that was read; 0 for none.
    pub epoch: u64,
    /// How many of its traces were read.
    pub read: u64,
}

/// What is new since a reader last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// In the order in which they were upgraded.
    pub traces: Vec<TraceId>,
    /// Traces that were overwritten before they were read.
    pub missed: u64,
}

/// A log read apart.
#[derive(Clone, Copy, Debug)]
struct Log<'a> {
    epoch: u64,
    written: u64,
    ring: &'a [u8],
}

/// A log without a trace. `epoch` is a random number.
pub fn empty(epoch: u64) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    if let Some((place, _)) = bytes.split_first_chunk_mut() {
        *place = epoch.max(1).to_be_bytes();
    }
    bytes
}

/// Whether these bytes are a log.
pub fn is_log(bytes: &[u8]) -> bool {
    Log::parse(bytes).is_some()
}

/// The log with one more trace. Bytes that are not a log count as none: a new one begins, with this epoch.
pub fn append(bytes: &[u8], trace_id: TraceId, epoch: impl FnOnce() -> u64) -> Vec<u8> {
    let log = Log::parse(bytes).unwrap_or_else(|| Log { epoch: epoch().max(1), written: 0, ring: &[] });
    let at = HEAD_BYTES + place(log.written) * ID_BYTES;
    let mut bytes = Vec::with_capacity(LOG_BYTES.min(HEAD_BYTES + log.ring.len() + ID_BYTES));
    bytes.extend_from_slice(&log.epoch.to_be_bytes());
    bytes.extend_from_slice(&log.written.saturating_add(1).to_be_bytes());
    bytes.extend_from_slice(log.ring);
    bytes.resize(bytes.len().max(at + ID_BYTES), 0);
    if let Some(entry) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<ID_BYTES>()) {
        *entry = trace_id.to_bytes();
    }
    bytes
}

impl Reader {
    /// A reader who cares for nothing that was written before: it has held no span yet.
    pub fn at_end_of(bytes: &[u8]) -> Self {
        Log::parse(bytes).map_or_else(Self::default, |log| Self { epoch: log.epoch, read: log.written })
    }

    /// Whether it was this log that was read.
    pub fn knows(&self, bytes: &[u8]) -> bool {
        Log::parse(bytes).is_some_and(|log| self.has_read(&log))
    }

    fn has_read(&self, log: &Log<'_>) -> bool {
        self.epoch == log.epoch && self.read <= log.written
    }

    /// What the log has more than what was read.
    pub fn read(&mut self, bytes: &[u8]) -> News {
        self.read_some(bytes, CAPACITY)
    }

    /// The same, but at most so many traces; the reader stands behind the last of them. Another log than the one that was read
    /// is read from its oldest trace, and what was overwritten there counts as missed.
    pub fn read_some(&mut self, bytes: &[u8], most: usize) -> News {
        let Some(log) = Log::parse(bytes) else { return News::default() };
        if !self.has_read(&log) {
            *self = Self { epoch: log.epoch, read: 0 };
        }
        let oldest = log.written.saturating_sub(CAPACITY as u64).max(self.read);
        let end = log.written.min(oldest.saturating_add(most as u64));
        let missed = oldest.saturating_sub(self.read);
        self.read = end;
        News { traces: (oldest..end).filter_map(|sequence| log.entry(sequence)).collect(), missed }
    }
}

impl<'a> Log<'a> {
    /// Bytes whose length belies the count, or without an epoch, are not a log.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk()?;
        let (written, ring) = rest.split_first_chunk()?;
        let (epoch, written) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*written));
        let entries = written.min(CAPACITY as u64) as usize;
        (epoch != 0 && ring.len() == entries * ID_BYTES).then_some(Self { epoch, written, ring })
    }

    fn entry(&self, sequence: u64) -> Option<TraceId> {
        let bytes = self.ring.chunks_exact(ID_BYTES).nth(place(sequence))?.first_chunk::<ID_BYTES>()?;
        TraceId::from_u128(u128::from_be_bytes(*bytes))
    }
}

fn place(sequence: u64) -> usize {
    (sequence % CAPACITY as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(id: u64) -> TraceId {
        TraceId::from_u128(u128::from(id) + 1).expect("above zero")
    }

    const EPOCH: u64 = 7;

    fn and_then(log: &[u8], id: u64) -> Vec<u8> {
        append(log, trace(id), || EPOCH)
    }

    fn written(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
        ids.into_iter().fold(empty(EPOCH).to_vec(), |log, id| and_then(&log, id))
    }

    #[test]
    fn a_reader_gets_each_trace_once_and_in_order() {
        let mut log = written(0..3);
        let mut reader = Reader::default();
        assert_eq!(reader.read(&log).traces, [trace(0), trace(1), trace(2)]);
        assert_eq!(reader.read(&log), News::default());
        log = and_then(&log, 9);
        assert_eq!(reader.read(&log).traces, [trace(9)]);
        assert_eq!(Reader::at_end_of(&log).read(&log), News::default());
    }

    #[test]
    fn a_reader_that_fell_behind_knows_how_many_it_missed() {
        let log = written(0..CAPACITY as u64 + 10);
        assert_eq!(log.len(), LOG_BYTES);
        let news = Reader::default().read(&log);
        assert_eq!((news.missed, news.traces.len()), (10, CAPACITY));
        assert_eq!((news.traces[0], news.traces[CAPACITY - 1]), (trace(10), trace(CAPACITY as u64 + 9)));
    }

    #[test]
    fn a_log_whose_length_belies_its_count_counts_as_none() {
        let log = written(0..3);
        for cut in [1, ID_BYTES, log.len() - 4, log.len()] {
            assert_eq!(Reader::default().read(&log[..log.len() - cut]), News::default());
        }
        assert_eq!(and_then(&log[..20], 1).len(), HEAD_BYTES + ID_BYTES);
    }

    #[test]
    fn the_layout_of_the_previous_version_counts_as_no_log() {
        let mut previous = 3_u64.to_be_bytes().to_vec();
        (0..3).for_each(|id| previous.extend(trace(id).to_bytes()));
        assert!(!is_log(&previous) && !is_log(&0_u64.to_be_bytes()) && !is_log(&[0; 16]));
        assert!(is_log(&empty(0)) && is_log(&written(0..3)));
    }

    #[test]
    fn a_log_that_began_anew_is_read_from_its_beginning() {
        let mut reader = Reader::at_end_of(&written(0..20));
        assert!(reader.knows(&written(0..20)) && !reader.knows(&written(0..19)));
        assert_eq!(reader.read(&written(30..32)).traces, [trace(30), trace(31)]);
    }

    #[test]
    fn the_log_of_another_epoch_is_read_from_its_oldest_trace() {
        let mut reader = Reader::at_end_of(&written(0..2));
        let other = (0..5).fold(Vec::new(), |log, id| append(&log, trace(id), || EPOCH + 1));
        assert!(!reader.knows(&other));
        let news = reader.read(&other);
        assert_eq!((news.traces.len(), news.missed), (5, 0));
        assert_eq!(reader, Reader { epoch: EPOCH + 1, read: 5 });
    }

    #[test]
    fn a_reader_that_takes_some_stands_behind_the_last_of_them() {
        let log = written(0..CAPACITY as u64 + 10);
        let mut reader = Reader { epoch: EPOCH, read: 4 };
        let news = reader.read_some(&log, 128);
        assert_eq!((news.missed, news.traces.len(), news.traces[0]), (6, 128, trace(10)));
        assert_eq!(reader.read, 138);
        assert_eq!(reader.read_some(&log, 1), News { traces: vec![trace(138)], missed: 0 });
        assert_eq!(reader.read_some(&log, 0), News::default());
        assert_eq!(reader.read(&log).traces.len(), 383);
    }

    proptest! {
        #[test]
        fn readers_lose_nothing_that_still_was_there(batches in proptest::collection::vec(0_u64..700, 1..12)) {
            let (mut log, mut reader, mut next, mut seen) = (empty(EPOCH).to_vec(), Reader::default(), 0, 0);
            for batch in batches {
                for _ in 0..batch {
                    log = and_then(&log, next);
                    next += 1;
                }
                let news = reader.read(&log);
                seen += news.missed + news.traces.len() as u64;
                prop_assert_eq!(seen, next);
                prop_assert_eq!(news.missed, batch.saturating_sub(CAPACITY as u64));
                prop_assert!(news.traces.iter().rev().zip((0..next).rev()).all(|(found, id)| *found == trace(id)));
            }
            prop_assert!(log.len() <= LOG_BYTES);
        }

        #[test]
        fn any_bytes_are_read_and_written_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::default();
            let news = reader.read(&bytes);
            prop_assert!(news.traces.len() <= CAPACITY);
            prop_assert!(and_then(&bytes, 1).len() <= LOG_BYTES);
        }
    }
}
