//! What one worker has counted and not yet shared.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::dictionary::{self, Admission, Admitted, MAX_NAME};
use super::{Aggregation, Instrument, Labels, Pending, Settings};

/// The route or the gRPC method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// Unknown.
    None,
    /// A template of [`Settings::routes`], by its place.
    Route(u16),
    /// A text; one of more than 256 bytes, or that is not ASCII, counts as unknown.
    Text(&'a [u8]),
}

/// A label set that the process has not admitted yet, and what was counted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// All but the name.
    pub labels: Labels,
    /// The route or the gRPC method; empty for none.
    pub name: Box<[u8]>,
    /// Unix nanoseconds of the first request that is counted.
    pub since: u64,
    /// The counts.
    pub pending: Pending,
}

#[derive(Debug)]
struct Series {
    /// By the dictionary.
    number: u16,
    pending: Pending,
    changed: bool,
}

type Places<T> = HashMap<u64, T, BuildHasherDefault<KeyHasher>>;

/// Counts of one worker, by label sets.
#[derive(Debug)]
pub struct Recorder {
    aggregation: Aggregation,
    max_series: usize,
    templates: Vec<String>,
    /// Names and their numbers in this worker, from 1 on. Templates first.
    names: HashMap<Box<[u8]>, u32>,
    next_name: u32,
    places: Places<u32>,
    series: Vec<Series>,
    changed: Vec<u32>,
    waiting: Places<Waiting>,
    full: [bool; Instrument::ALL.len()],
    overflowed: u64,
    served: bool,
}

impl Recorder {
    /// Nothing is counted yet.
    pub fn new(settings: &Settings) -> Self {
        let templates = settings.routes.templates().to_vec();
        let names = (1..).zip(&templates).map(|(number, template)| (template.as_bytes().into(), number)).collect();
        Self {
            aggregation: settings.histogram,
            max_series: settings.max_series,
            next_name: u32::try_from(templates.len()).unwrap_or_default().saturating_add(1),
            templates,
            names,
            places: Places::default(),
            series: Vec::new(),
            changed: Vec::new(),
            waiting: Places::default(),
            full: [false; Instrument::ALL.len()],
            overflowed: 0,
            served: false,
        }
    }

    /// Counts a request that took so long and ended `at` (Unix nanoseconds).
    pub fn record(&mut self, labels: Labels, name: Name<'_>, nanos: u64, at: u64) {
        let place = self.number(name).and_then(|number| self.places.get(&key(labels, number)));
        match place {
            Some(place) => self.add(*place, nanos),
            None => self.record_new(labels, name, nanos, at),
        }
    }

    /// Whether any request was ever counted here.
    pub fn serves(&self) -> bool {
        self.served
    }

    /// Requests that were counted without their name, or in the overflow series, since the last call.
    pub fn take_overflowed(&mut self) -> u64 {
        std::mem::take(&mut self.overflowed)
    }

    /// The label sets that wait for a number. [`Self::settle`] or [`Self::put_back`] follows.
    pub fn take_waiting(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// They could not be admitted now.
    pub fn put_back(&mut self, waiting: Vec<Waiting>) {
        for waiting in waiting {
            if let Some(number) = self.known_number(&waiting.name) {
                self.waiting.insert(key(waiting.labels, number), waiting);
            }
        }
    }

    /// They were admitted, whole or not; `dictionary` is what they are in now.
    pub fn settle(&mut self, waiting: Vec<Waiting>, admission: &Admission, dictionary: &[u8]) {
        let was_full = std::mem::replace(&mut self.full, admission.full);
        for (waiting, admitted) in waiting.into_iter().zip(&admission.places) {
            let instrument = waiting.labels.instrument();
            let (labels, place, number) = match admitted {
                Admitted::Whole(place) => (waiting.labels, place, self.known_number(&waiting.name).unwrap_or_default()),
                Admitted::Unnamed(place) => (waiting.labels, place, 0),
                Admitted::Overflow(place) => (Labels::overflow(instrument), place, 0),
            };
            if !matches!(admitted, Admitted::Whole(_)) && !waiting.labels.is_overflow() {
                self.overflowed = self.overflowed.saturating_add(waiting.pending.count());
                self.forget(&waiting.name);
            }
            let place = self.place(key(labels, number), *place);
            if let Some(series) = self.series.get_mut(place as usize) {
                series.pending.merge(&waiting.pending);
            }
            self.mark(place);
        }
        // From now on what is not known here is not known to any worker.
        if admission.full.iter().zip(was_full).any(|(full, was)| *full && !was) {
            self.import(dictionary);
        }
    }

    /// Series with counts that are not shared yet, at most so many, in the order of the dictionary.
    pub fn changed(&mut self, most: usize) -> Vec<u32> {
        let number = |place: &u32| self.series.get(*place as usize).map(|series| series.number);
        self.changed.sort_unstable_by_key(number);
        self.changed.iter().copied().take(most).collect()
    }

    /// Their counts, by the numbers of the dictionary.
    pub fn pending(&self, changed: &[u32]) -> impl Iterator<Item = (u16, &Pending)> {
        let series = changed.iter().filter_map(|place| self.series.get(*place as usize));
        series.map(|series| (series.number, &series.pending))
    }

    /// Their counts are shared.
    pub fn shared(&mut self, changed: &[u32]) {
        self.changed.drain(..changed.len().min(self.changed.len()));
        for place in changed {
            if let Some(series) = self.series.get_mut(*place as usize) {
                series.pending.clear();
                series.changed = false;
            }
        }
    }

    /// Something is not shared yet.
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    fn add(&mut self, place: u32, nanos: u64) {
        let Some(series) = self.series.get_mut(place as usize) else { return };
        series.pending.record(self.aggregation, nanos);
        if !series.changed {
            self.mark(place);
        }
    }

    fn mark(&mut self, place: u32) {
        if let Some(series) = self.series.get_mut(place as usize)
            && !std::mem::replace(&mut series.changed, true)
        {
            self.changed.push(place);
        }
    }

    #[inline(never)] // Seldom, but under attack.
    fn record_new(&mut self, labels: Labels, name: Name<'_>, nanos: u64, at: u64) {
        self.served = true;
        let full = self.full.get(labels.instrument() as usize).copied().unwrap_or_default();
        let text = self.text(name);
        if !text.is_empty() {
            let number = self.known_number(&text).unwrap_or(self.next_name);
            if self.waits(labels, (number, &text), nanos, at, if full { 0 } else { self.max_series }) {
                if number == self.next_name {
                    self.names.insert(text, number);
                    self.next_name = number.saturating_add(1);
                }
                return;
            }
        }
        let was_named = name != Name::None;
        let bare = self.places.get(&key(labels, 0)).copied();
        if let Some(place) = bare {
            self.overflowed = self.overflowed.saturating_add(u64::from(was_named));
            return self.add(place, nanos);
        }
        if self.waits(labels, (0, &[]), nanos, at, self.max_series.saturating_mul(2)) {
            self.overflowed = self.overflowed.saturating_add(u64::from(was_named));
            return;
        }
        self.overflowed = self.overflowed.saturating_add(1);
        let overflow = Labels::overflow(labels.instrument());
        match self.places.get(&key(overflow, 0)).copied() {
            Some(place) => self.add(place, nanos),
            None => {
                self.waits(overflow, (0, &[]), nanos, at, usize::MAX);
            }
        }
    }

    /// Counts for a label set without a number; `false` if that would make more than `most` of them.
    fn waits(&mut self, labels: Labels, (number, name): (u32, &[u8]), nanos: u64, at: u64, most: usize) -> bool {
        let key = key(labels, number);
        let has_room = self.waiting.len() < most;
        if !has_room && !self.waiting.contains_key(&key) {
            return false;
        }
        let new = || Waiting { labels, name: name.into(), since: at, pending: Pending::default() };
        let waiting = self.waiting.entry(key).or_insert_with(new);
        waiting.since = waiting.since.min(at);
        waiting.pending.record(self.aggregation, nanos);
        true
    }

    fn number(&self, name: Name<'_>) -> Option<u32> {
        match name {
            Name::None => Some(0),
            Name::Route(place) => Some(u32::from(place).saturating_add(1)),
            Name::Text(text) => self.known_number(text),
        }
    }

    fn known_number(&self, name: &[u8]) -> Option<u32> {
        if name.is_empty() { Some(0) } else { self.names.get(name).copied() }
    }

    fn text(&self, name: Name<'_>) -> Box<[u8]> {
        let text = match name {
            Name::None => &[],
            Name::Route(place) => self.templates.get(usize::from(place)).map(String::as_bytes).unwrap_or_default(),
            Name::Text(text) if text.len() <= MAX_NAME && text.iter().all(u8::is_ascii_graphic) => text,
            Name::Text(_) => &[],
        };
        text.into()
    }

    /// A name that has no series: templates keep their numbers.
    fn forget(&mut self, name: &[u8]) {
        let templates = u32::try_from(self.templates.len()).unwrap_or_default();
        let Some(number) = self.known_number(name).filter(|number| templates < *number) else { return };
        if !self.places.keys().any(|key| key >> 32 == u64::from(number)) {
            self.names.remove(name);
        }
    }

    /// The series of this key, with this number.
    fn place(&mut self, key: u64, number: u16) -> u32 {
        let next = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.series.push(Series { number, pending: Pending::default(), changed: false });
        }
        place
    }

    fn import(&mut self, dictionary: &[u8]) {
        for (number, entry) in (0..=u16::MAX).zip(dictionary::entries(dictionary)) {
            let name = self.known_number(entry.name).unwrap_or_else(|| {
                let name = self.next_name;
                self.next_name = name.saturating_add(1);
                self.names.insert(entry.name.into(), name);
                name
            });
            self.place(key(entry.labels, name), number);
        }
    }
}

fn key(labels: Labels, name: u32) -> u64 {
    u64::from(name) << 32 | u64::from(labels.bits())
}

/// Keys are spread by one multiplication: whoever makes them collide may choose only among what was admitted.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, key: u64) {
        let mixed = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
