//! Which worker sums and exports: a lease in shared data. A worker that serves requests lets those go first that serve none, as
//! the main thread's does: adding up takes longer than a request should wait.

/// How long the lease holds without being renewed, milliseconds.
const HOLD_MS: u64 = 10_000;
/// How long a worker that serves requests leaves a vacant lease to others, milliseconds.
const COURTESY_MS: u64 = 3_000;

/// Who holds it, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// A random number of the holder; 0 without one.
    holder: u64,
    /// Unix milliseconds.
    until: u64,
}

impl Lease {
    /// Reads it; anything that cannot be read has no holder.
    pub fn read(bytes: &[u8]) -> Self {
        let read = || {
            let (holder, rest) = bytes.split_first_chunk::<8>()?;
            let until = rest.first_chunk::<8>()?;
            Some(Self { holder: u64::from_be_bytes(*holder), until: u64::from_be_bytes(*until) })
        };
        read().unwrap_or_default()
    }

    /// The form in shared data.
    pub fn to_bytes(self) -> Vec<u8> {
        [self.holder.to_be_bytes(), self.until.to_be_bytes()].concat()
    }

    /// Whether `me` holds it at `now`, Unix milliseconds.
    pub fn is_held_by(self, me: u64, now: u64) -> bool {
        self.holder == me && self.left(now) != 0
    }

    /// The lease that `me` should write now: a renewed one, or a vacant one that it takes. `since` is when it could have been
    /// taken at the earliest as far as `me` knows, Unix milliseconds.
    pub fn next(self, me: u64, now: u64, serves: bool, since: u64) -> Option<Self> {
        let left = self.left(now);
        let courtesy = if serves { COURTESY_MS } else { 0 };
        let vacant_for = now.saturating_sub(since.max(if now < self.until { 0 } else { self.until }));
        let wanted = match (self.holder == me, left) {
            (true, 1..) => left < HOLD_MS / 2,
            (false, 1..) => false,
            (_, 0) => courtesy <= vacant_for,
        };
        wanted.then(|| Self { holder: me, until: now.saturating_add(HOLD_MS) })
    }

    /// The same lease without a holder.
    pub fn given_up(self) -> Self {
        Self::default()
    }

    /// Milliseconds. A lease that ends later than any could comes from a clock that was set back, and has ended.
    fn left(self, now: u64) -> u64 {
        let left = self.until.saturating_sub(now);
        if self.holder == 0 || HOLD_MS < left { 0 } else { left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_225_600_000;

    #[test]
    fn who_serves_no_request_takes_a_vacant_lease_at_once_and_others_later() {
        let vacant = Lease::default();
        assert!(vacant.next(1, NOW, false, NOW).is_some());
        assert_eq!(vacant.next(1, NOW, true, NOW), None);
        assert_eq!(vacant.next(1, NOW + COURTESY_MS - 1, true, NOW), None);
        let held = vacant.next(1, NOW + COURTESY_MS, true, NOW).expect("vacant for long enough");
        assert!(held.is_held_by(1, NOW + COURTESY_MS) && !held.is_held_by(2, NOW + COURTESY_MS));
    }

    #[test]
    fn a_lease_is_renewed_by_its_holder_and_taken_over_when_it_ends() {
        let held = Lease::default().next(1, NOW, false, NOW).expect("vacant");
        assert_eq!(held.next(1, NOW + 1, false, NOW), None, "it is young");
        assert!(held.next(1, NOW + HOLD_MS / 2 + 1, false, NOW).is_some());
        assert_eq!(held.next(2, NOW + HOLD_MS - 1, false, NOW), None);
        assert!(held.next(2, NOW + HOLD_MS, false, NOW).is_some());
        assert_eq!(held.next(2, NOW + HOLD_MS, true, NOW), None);
        assert!(held.next(2, NOW + HOLD_MS + COURTESY_MS, true, NOW).is_some());
        assert!(held.next(2, NOW - 60_000, false, NOW - 60_000).is_some(), "the clock was set back");
        assert_eq!(Lease::read(&held.to_bytes()), held);
        assert_eq!(Lease::read(&[1; 15]), Lease::default());
        assert!(held.given_up().next(2, NOW, false, NOW).is_some());
    }
}
