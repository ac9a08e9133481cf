//! The upgrade log: how the VMs of a process learn which traces were upgraded, whoever learnt it first.
//!
//! One value of shared data, changed by compare-and-swap: how many traces were ever written (8 bytes, big-endian), then a
//! ring of the last [`CAPACITY`] trace-ids, the n-th at n modulo that. A reader that was away for longer than a ring knows
//! how many it missed.

use crate::trace_context::TraceId;

/// Trace-ids in the log.
pub const CAPACITY: usize = 512;
/// The size of a full log.
pub const LOG_BYTES: usize = HEAD_BYTES + CAPACITY * ID_BYTES;

const HEAD_BYTES: usize = 8;
const ID_BYTES: usize = 16;

/// Where a reader stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    read: u64,
}

/// What is new since a reader last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// In the order in which they were upgraded.
    pub traces: Vec<TraceId>,
    /// Traces that were overwritten before they were read.
    pub missed: u64,
}

/// The log with one more trace. Bytes that are no log count as an empty one.
pub fn append(log: &[u8], trace_id: TraceId) -> Vec<u8> {
    let (written, ring) = parts(log);
    let place = place(written);
    let mut bytes = Vec::with_capacity(LOG_BYTES.min(HEAD_BYTES + ring.len() + ID_BYTES));
    bytes.extend_from_slice(&written.saturating_add(1).to_be_bytes());
    bytes.extend_from_slice(ring);
    let at = HEAD_BYTES + place * ID_BYTES;
    bytes.resize(bytes.len().max(at + ID_BYTES), 0);
    if let Some(entry) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<ID_BYTES>()) {
        *entry = trace_id.to_bytes();
    }
    bytes
}

impl Reader {
    /// A reader who cares for nothing that was written before: it has held no span yet.
    pub fn at_end_of(log: &[u8]) -> Self {
        Self { read: parts(log).0 }
    }

    /// Whether the log has more than what was read.
    pub fn read(&mut self, log: &[u8]) -> News {
        let (written, ring) = parts(log);
        if written < self.read {
            self.read = 0; // Another log: begin anew.
        }
        let oldest = written.saturating_sub(CAPACITY as u64).max(self.read);
        let entry = |sequence: u64| {
            let bytes = ring.chunks_exact(ID_BYTES).nth(place(sequence))?.first_chunk::<ID_BYTES>()?;
            TraceId::from_u128(u128::from_be_bytes(*bytes))
        };
        let news = News { traces: (oldest..written).filter_map(entry).collect(), missed: oldest - self.read };
        self.read = written;
        news
    }
}

fn place(sequence: u64) -> usize {
    (sequence % CAPACITY as u64) as usize
}

/// How many were written, and the ring. A ring whose length belies the count is none.
fn parts(log: &[u8]) -> (u64, &[u8]) {
    let Some((written, ring)) = log.split_first_chunk::<HEAD_BYTES>() else { return (0, &[]) };
    let written = u64::from_be_bytes(*written);
    let entries = written.min(CAPACITY as u64) as usize;
    if ring.len() == entries * ID_BYTES { (written, ring) } else { (0, &[]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(id: u64) -> TraceId {
        TraceId::from_u128(u128::from(id) + 1).expect("above zero")
    }

    fn written(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
        ids.into_iter().fold(Vec::new(), |log, id| append(&log, trace(id)))
    }

    #[test]
    fn a_reader_gets_each_trace_once_and_in_order() {
        let mut log = written(0..3);
        let mut reader = Reader::default();
        assert_eq!(reader.read(&log).traces, [trace(0), trace(1), trace(2)]);
        assert_eq!(reader.read(&log), News::default());
        log = append(&log, trace(9));
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
        for cut in [1, ID_BYTES, log.len() - 4] {
            assert_eq!(Reader::default().read(&log[..log.len() - cut]), News::default());
        }
        assert_eq!(append(&log[..20], trace(1)).len(), HEAD_BYTES + ID_BYTES);
    }

    #[test]
    fn a_log_that_began_anew_is_read_from_its_beginning() {
        let mut reader = Reader::at_end_of(&written(0..20));
        assert_eq!(reader.read(&written(30..32)).traces, [trace(30), trace(31)]);
    }

    proptest! {
        #[test]
        fn readers_lose_nothing_that_still_was_there(batches in proptest::collection::vec(0_u64..700, 1..12)) {
            let (mut log, mut reader, mut next, mut seen) = (Vec::new(), Reader::default(), 0, 0);
            for batch in batches {
                for _ in 0..batch {
                    log = append(&log, trace(next));
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
            prop_assert!(append(&bytes, trace(1)).len() <= LOG_BYTES);
        }
    }
}
