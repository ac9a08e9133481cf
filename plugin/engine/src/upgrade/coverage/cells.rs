//! Kinds that need no more examples in their window, as one worker knows them: an exact table of a fixed size. What does not fit
//! is forgotten and counts as new, which the budget bounds.

use super::Kind;

/// Kinds that a worker remembers.
const CELLS: usize = 1024;
/// Places that a kind may be at.
const WAYS: usize = 2;

/// One kind. Zeros are an empty cell: its window has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    fingerprint: u32,
    /// Unix seconds from which on it may have examples again.
    until: u32,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Cells(Vec<[Cell; WAYS]>);

impl Default for Cells {
    fn default() -> Self {
        Self(vec![[Cell::default(); WAYS]; CELLS / WAYS])
    }
}

impl Cells {
    /// Whether a kind has had its examples; `now` in Unix seconds.
    #[inline(always)] // For every request.
    pub fn has(&self, kind: Kind, now: u32) -> bool {
        let (set, fingerprint) = place(kind);
        let mut cells = self.0.get(set).into_iter().flatten();
        cells.any(|cell| cell.fingerprint == fingerprint && now < cell.until)
    }

    /// A kind has had its examples until then. `true`: another one had to make room before its time.
    pub fn close(&mut self, kind: Kind, now: u32, until: u32) -> bool {
        let (set, fingerprint) = place(kind);
        let Some(cells) = self.0.get_mut(set) else { return false };
        let own = |cell: &&mut Cell| cell.fingerprint == fingerprint;
        let cell = match cells.iter_mut().find(own) {
            Some(cell) => cell,
            None => match cells.iter_mut().min_by_key(|cell| cell.until) {
                Some(cell) => cell,
                None => return false,
            },
        };
        let evicted = cell.fingerprint != fingerprint && now < cell.until;
        *cell = Cell { fingerprint, until };
        evicted
    }
}

fn place(kind: Kind) -> (usize, u32) {
    let bits = kind.bits();
    ((bits >> 32) as usize % (CELLS / WAYS), bits as u32) // The low half: truncation is meant.
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(number: u64) -> Kind {
        Kind::of(b"inbound").with(number)
    }

    #[test]
    fn a_kind_is_closed_until_its_window_ends() {
        let mut cells = Cells::default();
        assert!(!cells.has(kind(1), 1000));
        assert!(!cells.close(kind(1), 1000, 1300));
        assert!(cells.has(kind(1), 1299) && !cells.has(kind(1), 1300) && !cells.has(kind(2), 1000));
        assert!(!cells.close(kind(1), 1300, 1600), "its own cell is its own");
        assert!(cells.has(kind(1), 1400));
    }

    #[test]
    fn more_kinds_than_there_are_cells_push_each_other_out_and_none_is_known_that_was_not_there() {
        let mut cells = Cells::default();
        let evicted = (0..2000).filter(|number| cells.close(kind(*number), 1000, 1300)).count();
        let known = (0..2000).filter(|number| cells.has(kind(*number), 1000)).count();
        assert_eq!(known + evicted, 2000);
        assert!((900..=CELLS).contains(&known), "{known}");
        assert_eq!((2000..100_000).filter(|number| cells.has(kind(*number), 1000)).count(), 0);
    }
}
