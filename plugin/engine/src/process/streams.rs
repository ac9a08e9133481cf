//! The streams of a worker, by the number that the host gave each. A request is looked for at each of its callbacks, so that a lookup is a
//! few instructions; and its state stays where it is, from its first callback to its last, since to copy it costs as much as the rest.

use crate::request::RequestContext;

/// A place of the index that has no stream.
const FREE: u32 = u32::MAX;
/// Places of an index that is not empty: a power of two, as always.
const FIRST: usize = 16;

/// All streams of a worker.
#[derive(Default)]
pub(super) struct Streams {
    /// Where streams are: each at the place of its number, or behind it if others were first. At least half of the places are free.
    index: Vec<Place>,
    slots: Vec<Slot>,
    /// Slots that have no stream.
    unused: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Place {
    id: u32,
    /// Or [`FREE`].
    slot: u32,
}

struct Slot {
    id: Option<u32>,
    context: RequestContext,
}

impl Streams {
    /// A stream begins, under this root. One of the same number is forgotten.
    pub(super) fn insert(&mut self, id: u32, root: u32) {
        if let Some(known) = self.get_mut(id) {
            *known = RequestContext::new(root);
            return;
        }
        let slot = match self.unused.pop() {
            Some(slot) => slot,
            None => {
                let Ok(slot) = u32::try_from(self.slots.len()) else { return };
                self.slots.push(Slot { id: None, context: RequestContext::new(root) });
                slot
            }
        };
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.id = Some(id);
            slot.context.set_root(root);
        }
        let used = self.slots.len().saturating_sub(self.unused.len());
        if self.index.len() < used.saturating_mul(2) {
            self.grow();
        } else {
            self.place(Place { id, slot });
        }
    }

    #[inline(always)] // For every callback of every request.
    pub(super) fn get(&self, id: u32) -> Option<&RequestContext> {
        let (_, slot) = self.find(id)?;
        Some(&self.slots.get(slot as usize)?.context)
    }

    #[inline(always)] // As above.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut RequestContext> {
        let (_, slot) = self.find(id)?;
        Some(&mut self.slots.get_mut(slot as usize)?.context)
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.find(id).is_some()
    }

    /// A stream has ended. Nothing of it is kept.
    pub(super) fn remove(&mut self, id: u32) {
        let Some((at, slot)) = self.find(id) else { return };
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.id = None;
            slot.context = RequestContext::new(0);
        }
        self.unused.push(slot);
        self.vacate(at);
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &RequestContext> {
        self.slots.iter().filter(|slot| slot.id.is_some()).map(|slot| &slot.context)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut RequestContext)> {
        self.slots.iter_mut().filter_map(|Slot { id, context }| Some(((*id)?, context)))
    }

    /// The place of a number, where no other stream was first. Numbers count up: to multiply them spreads them evenly.
    #[inline(always)] // As above.
    fn home(&self, id: u32) -> usize {
        (id.wrapping_mul(0x9e37_79b9) >> 8) as usize & self.index.len().wrapping_sub(1)
    }

    fn after(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.index.len().wrapping_sub(1)
    }

    /// The place and the slot of a stream. Ends at a free place.
    #[inline(always)] // As above.
    fn find(&self, id: u32) -> Option<(usize, u32)> {
        let mut at = self.home(id);
        loop {
            let place = self.index.get(at)?;
            if place.slot == FREE {
                return None;
            }
            if place.id == id {
                return Some((at, place.slot));
            }
            at = self.after(at);
        }
    }

    /// Puts a stream that is in no place yet into the next free one.
    fn place(&mut self, new: Place) {
        let mut at = self.home(new.id);
        while let Some(place) = self.index.get_mut(at) {
            if place.slot == FREE {
                *place = new;
                return;
            }
            at = self.after(at);
        }
    }

    /// Doubles the index, and finds every stream its place.
    #[inline(never)] // Seldom.
    fn grow(&mut self) {
        let places = self.index.len().saturating_mul(2).max(FIRST);
        self.index.clear();
        self.index.resize(places, Place { id: 0, slot: FREE });
        for slot in 0..self.slots.len() {
            let id = self.slots.get(slot).and_then(|slot| slot.id);
            if let (Some(id), Ok(slot)) = (id, u32::try_from(slot)) {
                self.place(Place { id, slot });
            }
        }
    }

    /// Frees a place. Those behind it that had no room at theirs move up, so that they are found.
    fn vacate(&mut self, at: usize) {
        let (mut hole, mut next) = (at, self.after(at));
        while let Some(&place) = self.index.get(next).filter(|place| place.slot != FREE) {
            let mask = self.index.len().wrapping_sub(1);
            let behind_home = next.wrapping_sub(self.home(place.id)) & mask;
            if next.wrapping_sub(hole) & mask <= behind_home {
                if let Some(free) = self.index.get_mut(hole) {
                    *free = place;
                }
                hole = next;
            }
            next = self.after(next);
        }
        if let Some(place) = self.index.get_mut(hole) {
            place.slot = FREE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// SplitMix64.
    fn next(state: &mut u64) -> u32 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) as u32
    }

    fn roots(streams: &Streams) -> Vec<u32> {
        let mut roots: Vec<_> = streams.values().map(RequestContext::root).collect();
        roots.sort_unstable();
        roots
    }

    #[test]
    fn every_stream_is_found_until_it_ends_whatever_the_numbers_are() {
        let mut random = 7;
        for spread in [1, 2, 16, 0x9e37_79b9, 0x0100_0000] {
            let (mut streams, mut model) = (Streams::default(), BTreeMap::new());
            for step in 0..4_000_u32 {
                let id = (next(&mut random) % 300).wrapping_mul(spread);
                if next(&mut random) % 5 < 2 {
                    streams.insert(id, step);
                    model.insert(id, step);
                } else {
                    streams.remove(id);
                    model.remove(&id);
                }
                assert_eq!(streams.contains(id), model.contains_key(&id));
                if step % 50 == 0 {
                    for id in (0..300_u32).map(|id| id.wrapping_mul(spread)) {
                        let found = streams.get(id).map(RequestContext::root);
                        assert_eq!(found, model.get(&id).copied(), "{id} of spread {spread}, step {step}");
                    }
                    let mut known: Vec<_> = model.values().copied().collect();
                    known.sort_unstable();
                    assert_eq!(roots(&streams), known);
                    let mut ids: Vec<_> = streams.iter_mut().map(|(id, _)| id).collect();
                    ids.sort_unstable();
                    assert!(ids.iter().eq(model.keys()), "{ids:?}");
                }
            }
        }
    }

    #[test]
    fn what_ends_leaves_its_room_to_others() {
        let mut streams = Streams::default();
        for id in 0..100_000 {
            streams.insert(id, 1);
            if let Some(ended) = id.checked_sub(10) {
                streams.remove(ended);
            }
        }
        assert_eq!((streams.index.len(), streams.slots.len()), (32, 11));
        assert!((99_990..100_000).all(|id| streams.contains(id)) && !streams.contains(99_989));
        streams.insert(99_999, 2);
        assert_eq!(streams.get(99_999).map(RequestContext::root), Some(2));
        assert_eq!(streams.values().count(), 10);
    }
}
