//! What the workers of a process have counted together: a dictionary of label sets, slots of counts, the lease of the one that
//! exports, and, for delta temporality, what was exported.
//!
//! Every worker adds to a slot by compare-and-swap, so that several may use one and none owns it: fewer writers meet where
//! there are more slots, and that is all that their number is for.

use super::Entropy;
use crate::door::{Host, Update};
use crate::metrics::dictionary::{self, Admission};
use crate::metrics::{Exemplars, Lease, Waiting};

/// The number is the version of all layouts: other layouts are other keys.
const PREFIX: &str = "tracelift.metrics.1.";
/// Slots of one set of metrics.
pub const SLOTS: u64 = 16;
/// Attempts against other workers.
const TRIES: usize = 16;

/// The keys of one set of metrics.
pub struct Shared {
    dictionary: Vec<u8>,
    lease: Vec<u8>,
    sent: Vec<u8>,
    slots: Vec<Vec<u8>>,
    /// What points may show, beside each slot.
    exemplars: Vec<Vec<u8>>,
}

impl Shared {
    /// Makes what is not there yet. `identity` names the set: whoever has the same counts into it. `now` is Unix nanoseconds.
    pub fn open(host: &impl Host, identity: u64, now: u64) -> Self {
        let scope = [PREFIX, &digits(identity), "."].concat();
        let key = |name: &str| [&scope, name].concat().into_bytes();
        let each = |name: &str| (0..SLOTS).map(|slot| key(&[name, &slot.to_string()].concat())).collect();
        let (slots, exemplars) = (each("slot."), each("exemplars."));
        let shared = Self { dictionary: key("dictionary"), lease: key("lease"), sent: key("sent"), slots, exemplars };
        shared.make(host, now);
        shared
    }

    /// Values that are changed by compare-and-swap must be there first.
    fn make(&self, host: &impl Host, now: u64) {
        let create = |key: &[u8], value: &[u8]| {
            if host.shared(key) == Ok(None) {
                let _ = host.swap(key, value, 0);
            }
        };
        create(&self.dictionary, &dictionary::new(now));
        create(&self.lease, &[]);
        self.slots.iter().chain(&self.exemplars).for_each(|key| create(key, &[]));
    }

    /// Finds a place for each label set; `None` where that is not possible now.
    pub fn admit(&self, host: &impl Host, waiting: &[Waiting], max_series: usize) -> Option<Admission> {
        let mut found = None;
        let update = host.update(&self.dictionary, TRIES, |known| {
            let known = known?;
            let mut admission = dictionary::admit(known, waiting, max_series, host.now());
            let next = admission.dictionary.take();
            found = Some(admission);
            next
        });
        match update {
            Update::Failed => None,
            Update::Changed | Update::Left => found,
        }
    }

    /// Changes the slot of a worker.
    pub fn add(&self, host: &impl Host, worker: u64, change: impl Fn(&[u8]) -> Vec<u8>) -> Update {
        let Some(key) = self.slots.get(place(worker)) else { return Update::Failed };
        host.update(key, TRIES, |slot| slot.map(&change))
    }

    /// Shows what a worker's points may show to whoever exports; `false` where that is not possible now.
    pub fn show(&self, host: &impl Host, worker: u64, exemplars: &Exemplars) -> bool {
        let Some(key) = self.exemplars.get(place(worker)) else { return false };
        let update = host.update(key, TRIES, |known| {
            let mut all = exemplars.clone();
            all.offer_bytes(known?);
            Some(all.to_bytes())
        });
        update == Update::Changed
    }

    /// Takes what is shown beside one slot.
    pub fn take_shown(&self, host: &impl Host, place: usize, exemplars: &mut Exemplars) {
        let Some(key) = self.exemplars.get(place) else { return };
        let mut taken = Vec::new();
        let update = host.update(key, TRIES, |known| {
            taken = known.filter(|known| !known.is_empty())?.to_vec();
            Some([])
        });
        if update == Update::Changed {
            exemplars.offer_bytes(&taken);
        }
    }

    /// What one slot says, which may be nothing; `None` where there is no such slot.
    pub fn slot(&self, host: &impl Host, place: usize) -> Option<Vec<u8>> {
        let found = host.shared(self.slots.get(place)?).ok().flatten();
        Some(found.map(|(bytes, _)| bytes).unwrap_or_default())
    }

    /// The dictionary.
    pub fn dictionary(&self, host: &impl Host) -> Vec<u8> {
        host.shared(&self.dictionary).ok().flatten().map(|(bytes, _)| bytes).unwrap_or_default()
    }

    /// The lease and the mark that guards a change of it; `None` where the host has no shared values.
    pub fn lease(&self, host: &impl Host) -> Option<(Lease, u32)> {
        let found = host.shared(&self.lease).ok()?;
        Some(found.map(|(bytes, mark)| (Lease::read(&bytes), mark)).unwrap_or_default())
    }

    /// Writes the lease; `false` if another worker was faster.
    pub fn hold(&self, host: &impl Host, lease: Lease, mark: u32) -> bool {
        host.swap(&self.lease, &lease.to_bytes(), mark) == Ok(true)
    }

    /// What was exported last, as of when (Unix nanoseconds).
    pub fn sent(&self, host: &impl Host) -> (u64, Vec<u8>) {
        let bytes = host.shared(&self.sent).ok().flatten().map(|(bytes, _)| bytes).unwrap_or_default();
        match bytes.split_first_chunk::<8>() {
            Some((time, slot)) => (u64::from_le_bytes(*time), slot.to_vec()),
            None => (0, Vec::new()),
        }
    }

    /// Remembers what is exported. Only the holder of the lease does.
    pub fn remember(&self, host: &impl Host, time: u64, slot: &[u8]) -> bool {
        host.swap(&self.sent, &[&time.to_le_bytes(), slot].concat(), 0) == Ok(true)
    }
}

/// The slot of a worker.
fn place(worker: u64) -> usize {
    usize::try_from(worker / 2 % SLOTS).unwrap_or_default()
}

/// `service.instance.id` of a set of metrics in this process: a UUID (version 4), made once. Each set has its own, because a back end
/// takes what has one identity for the points of one writer.
pub fn instance(host: &impl Host, identity: u64, entropy: &mut Entropy) -> String {
    let key = [PREFIX, &digits(identity), ".instance"].concat().into_bytes();
    let known = |host: &_| Host::shared(host, &key).ok().flatten().map(|(bytes, _)| bytes);
    let mut made = || {
        let [high, low] = [entropy.next_u64(host), entropy.next_u64(host)];
        let (high, low) = (high & !0xf000 | 0x4000, low & !(3 << 62) | 2 << 62);
        let text = [digits(high), digits(low)].concat();
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| text.get(part).unwrap_or_default());
        parts.join("-")
    };
    match known(host) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => {
            let made = made();
            let _ = host.swap(&key, made.as_bytes(), 0);
            known(host).map_or(made, |bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

fn digits(number: u64) -> String {
    let digit = |shift| char::from_digit((number >> shift & 0xf) as u32, 16).unwrap_or('0');
    (0..16_u32).rev().map(|place| digit(place * 4)).collect()
}

/// FNV-1a of a text and its length, after what was hashed before.
pub fn hash(before: u64, bytes: &[u8]) -> u64 {
    let add = |hash: u64, byte: u64| (hash ^ byte).wrapping_mul(0x0100_0000_01b3);
    let start = add(before ^ 0xcbf2_9ce4_8422_2325, bytes.len() as u64);
    bytes.iter().fold(start, |hash, byte| add(hash, u64::from(*byte)))
}
