//! Which VM asks X-Ray on behalf of the process: a lease in shared data. The main thread's VM may lead as well as a
//! worker's; it ticks and may call out like them.

/// How long the lead holds without being renewed, milliseconds. When its VM dies, another one takes over after that.
pub const HOLD_MS: u64 = 10_000;

/// Who leads, until when, and what all VMs must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// A random number of the leading root context; 0 for nobody.
    pub holder: u64,
    /// Unix milliseconds of the end of the lease.
    pub until: u64,
    /// Changes with each publication of rules and targets.
    pub version: u32,
    /// `ClientID`: the process, as X-Ray knows it. Stays when the lead changes.
    pub client: [u8; 12],
}

/// What a lease means to one who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The reader leads.
    Leading,
    /// The reader leads, and it is time to say so again.
    Renewing,
    /// Somebody else leads.
    Following,
    /// Nobody does.
    Vacant,
}

impl Lead {
    /// The first lease of a process.
    pub fn new(client: [u8; 12]) -> Self {
        Self { holder: 0, until: 0, version: 0, client }
    }

    /// What it means to `reader` at `now`, Unix milliseconds. A lease that ends later than any could comes from a clock
    /// that was set back, and counts as ended.
    pub fn standing(&self, reader: u64, now: u64) -> Standing {
        let left = self.until.saturating_sub(now);
        match (self.holder == reader, left) {
            (_, 0) => Standing::Vacant,
            (_, left) if HOLD_MS < left => Standing::Vacant,
            (true, left) if left < HOLD_MS / 2 => Standing::Renewing,
            (true, _) => Standing::Leading,
            (false, _) => Standing::Following,
        }
    }

    /// The same lease in the hands of `holder`, from `now` on.
    pub fn held_by(self, holder: u64, now: u64) -> Self {
        Self { holder, until: now.saturating_add(HOLD_MS), ..self }
    }

    /// The same lease without a holder.
    pub fn given_up(self) -> Self {
        Self { holder: 0, until: 0, ..self }
    }

    /// The form in shared data.
    pub fn to_bytes(&self) -> Vec<u8> {
        let times = [self.holder.to_be_bytes(), self.until.to_be_bytes()].concat();
        [&times[..], &self.version.to_be_bytes(), &self.client].concat()
    }

    /// Reads that form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (holder, rest) = bytes.split_first_chunk::<8>()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            holder: u64::from_be_bytes(*holder),
            until: u64::from_be_bytes(*until),
            version: u32::from_be_bytes(*version),
            client: <[u8; 12]>::try_from(rest).ok()?,
        })
    }

    /// `ClientID` as it is written: 24 hex digits.
    pub fn client_id(&self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        self.client.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_225_600_000;

    #[test]
    fn a_lease_is_renewed_by_its_holder_and_taken_over_when_it_ends() {
        let lease = Lead::new([7; 12]);
        assert_eq!(lease.standing(1, NOW), Standing::Vacant);
        let held = lease.held_by(1, NOW);
        assert_eq!(held.standing(1, NOW), Standing::Leading);
        assert_eq!(held.standing(1, NOW + HOLD_MS / 2 + 1), Standing::Renewing);
        assert_eq!(held.standing(2, NOW + HOLD_MS - 1), Standing::Following);
        assert_eq!(held.standing(2, NOW + HOLD_MS), Standing::Vacant);
        assert_eq!(held.standing(1, NOW + HOLD_MS), Standing::Vacant);
        assert_eq!(held.given_up().standing(2, NOW), Standing::Vacant);
        assert_eq!(held.standing(2, NOW - 60_000), Standing::Vacant, "the clock was set back");
    }

    #[test]
    fn a_lease_comes_back_from_shared_data() {
        let lease = Lead { version: 0x0102_0304, ..Lead::new(*b"abcdefghijkl").held_by(u64::MAX, NOW) };
        assert_eq!(Lead::from_bytes(&lease.to_bytes()), Some(lease));
        assert_eq!(lease.client_id(), "6162636465666768696a6b6c");
        assert_eq!(Lead::from_bytes(&[0; 31]), None);
        assert_eq!(Lead::from_bytes(&[0; 33]), None);
    }
}
