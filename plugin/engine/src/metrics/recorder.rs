//! What one worker has counted and not yet shared.

use std::collections::VecDeque;
use std::sync::Arc;

use super::dictionary::{self, Admission, Admitted, MAX_NAME};
use super::places::{self, Places};
use super::{Histogram, Instrument, Labels, Settings};

/// The route or the gRPC method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// Unknown.
    None,
    /// A template of [`Settings::routes`], by its place.
    Route(u16),
    /// A text; one that [`is_name`] refuses counts as unknown.
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
    pub pending: Histogram,
    /// Requests among them that had a name, for which there was no room.
    pub unnamed: u64,
}

/// Whether a text may name a series.
pub fn is_name(text: &[u8]) -> bool {
    text.len() <= MAX_NAME && text.iter().all(u8::is_ascii_graphic)
}

#[derive(Debug)]
struct Series {
    /// Its number in the dictionary.
    number: u16,
    pending: Histogram,
    changed: bool,
}

/// How many series are found at one look: a power of two.
const RECENT: usize = 16;
/// The key of none.
const NO_KEY: u64 = u64::MAX;

/// Counts of one worker, by label sets.
#[derive(Debug)]
pub struct Recorder {
    settings: Arc<Settings>,
    /// Names by their numbers in this worker, less 1. Templates first.
    names: Vec<Box<[u8]>>,
    /// The numbers of names.
    numbers: Places,
    /// Series by their keys, and those that were looked for last.
    places: Places,
    recent: [(u64, u32); RECENT],
    series: Vec<Series>,
    /// Series with counts that are not shared yet, in the order of the dictionary.
    changed: Vec<u32>,
    waiting: VecDeque<Waiting>,
    /// How many waited before those, so that a place stays one when others are taken away.
    waited: u32,
    /// Places in `waiting` after those, by key.
    waits: Places,
    /// Metrics that take no new names, as far as the worker has looked; and as the dictionary last said.
    full: [bool; Instrument::ALL.len()],
    said_full: [bool; Instrument::ALL.len()],
    /// How much of a dictionary that has become full is read.
    import: Option<Import>,
    overflowed: u64,
    served: bool,
}

/// The next label set of a dictionary, and its number.
#[derive(Clone, Copy, Debug, Default)]
struct Import {
    at: usize,
    number: u16,
}

impl Recorder {
    /// An empty recorder.
    pub fn new(settings: &Arc<Settings>) -> Self {
        let mut recorder = Self {
            settings: Arc::clone(settings),
            names: Vec::new(),
            numbers: Places::default(),
            places: Places::default(),
            recent: [(NO_KEY, 0); RECENT],
            series: Vec::new(),
            changed: Vec::new(),
            waiting: VecDeque::new(),
            waited: 0,
            waits: Places::default(),
            full: [false; Instrument::ALL.len()],
            said_full: [false; Instrument::ALL.len()],
            import: None,
            overflowed: 0,
            served: false,
        };
        for template in settings.routes.templates() {
            recorder.name(template.as_bytes());
        }
        recorder
    }

    /// Counts a request that took so long in a series that was looked for lately: one without a name or with that of a template. `false`
    /// where there is none such, and nothing was counted.
    #[inline(always)] // For every request that is counted.
    pub fn record_again(&mut self, labels: Labels, template: Option<u16>, nanos: u64) -> bool {
        let key = key(labels, template.map_or(0, |place| u32::from(place).wrapping_add(1)));
        match self.recent.get(recent(key)) {
            Some((known, place)) if *known == key => self.add_here(*place, nanos),
            _ => return false,
        }
        true
    }

    /// Counts a request that took so long and ended `at` (Unix nanoseconds).
    #[inline(never)] // For all the others.
    pub fn record(&mut self, labels: Labels, name: Name<'_>, nanos: u64, at: u64) {
        let key = self.number(name).map(|number| key(labels, number));
        let found = key.and_then(|key| Some((key, *self.places.get(&key)?)));
        let Some((key, place)) = found else { return self.record_new(labels, name, nanos, at) };
        if let Some(recent) = self.recent.get_mut(recent(key)) {
            *recent = (key, place);
        }
        self.add(place, nanos);
    }

    /// Whether a request with this name was counted here, or by any worker before the dictionary was full.
    pub fn knows(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.find(name).is_ok()
    }

    /// Whether any request was ever counted here.
    pub fn serves(&self) -> bool {
        self.served
    }

    /// Requests that were counted without their name, or in the overflow series, since the last call.
    pub fn take_overflowed(&mut self) -> u64 {
        std::mem::take(&mut self.overflowed)
    }

    /// The label sets that wait for a number.
    pub fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    /// The first of them, at most so many, taken away. [`Self::settle`] or [`Self::put_back`] follows.
    pub fn take_waiting(&mut self, most: usize) -> Vec<Waiting> {
        let taken: Vec<_> = self.waiting.drain(..most.min(self.waiting.len())).collect();
        for waiting in &taken {
            let number = self.known_number(&waiting.name).unwrap_or_default();
            self.waits.remove(&key(waiting.labels, number));
            self.waited = self.waited.wrapping_add(1);
        }
        taken
    }

    /// They were not admitted now.
    pub fn put_back(&mut self, waiting: Vec<Waiting>) {
        for waiting in waiting.into_iter().rev() {
            let number = self.known_number(&waiting.name).unwrap_or_default();
            self.waited = self.waited.wrapping_sub(1);
            self.waits.insert(key(waiting.labels, number), self.waited);
            self.waiting.push_front(waiting);
        }
    }

    /// They were admitted, whole or not.
    pub fn settle(&mut self, waiting: Vec<Waiting>, admission: &Admission) {
        let was_full = std::mem::replace(&mut self.said_full, admission.full);
        for (waiting, admitted) in waiting.into_iter().zip(&admission.places) {
            let instrument = waiting.labels.instrument();
            let (labels, place, number) = match admitted {
                Admitted::Whole(place) => (waiting.labels, place, self.known_number(&waiting.name).unwrap_or_default()),
                Admitted::Unnamed(place) => (waiting.labels, place, 0),
                Admitted::Overflow(place) => (Labels::overflow(instrument), place, 0),
            };
            let is_whole = matches!(admitted, Admitted::Whole(_)) && !waiting.labels.is_overflow();
            let overflowed = if is_whole { waiting.unnamed } else { waiting.pending.count() };
            self.overflowed = self.overflowed.saturating_add(overflowed);
            let place = self.place(key(labels, number), *place);
            if let Some(series) = self.series.get_mut(place as usize) {
                series.pending.merge(&waiting.pending);
            }
            self.mark(place);
        }
        if admission.full.iter().zip(was_full).any(|(full, was)| *full && !was) {
            self.import = Some(Import::default());
        }
    }

    /// Whether a dictionary that has become full is to be read.
    pub fn is_importing(&self) -> bool {
        self.import.is_some()
    }

    /// Reads some more of it, at most so many label sets. A full dictionary does not change: what it lacks, no worker will find in it
    /// later, so that once it is read whole, no new name needs to wait for an answer.
    pub fn import(&mut self, dictionary: &[u8], most: usize) {
        let Some(Import { mut at, mut number }) = self.import else { return };
        for _ in 0..most {
            let Some((entry, next)) = dictionary::entry_at(dictionary, at) else {
                (self.import, self.full) = (None, self.said_full);
                return;
            };
            let name = if entry.name.is_empty() { 0 } else { self.name(entry.name) };
            self.place(key(entry.labels, name), number);
            (at, number) = (next, number.saturating_add(1));
        }
        self.import = Some(Import { at, number });
    }

    /// Series with counts that are not shared yet, at most so many, in the order of the dictionary.
    pub fn changed(&self, most: usize) -> Vec<u32> {
        self.changed.iter().copied().take(most).collect()
    }

    /// Their counts, by the numbers of the dictionary.
    pub fn pending(&self, changed: &[u32]) -> impl Iterator<Item = (u16, &Histogram)> {
        let series = changed.iter().filter_map(|place| self.series.get(*place as usize));
        series.map(|series| (series.number, &series.pending))
    }

    /// Their counts are shared.
    pub fn shared(&mut self, changed: &[u32]) {
        self.changed.drain(..changed.len().min(self.changed.len()));
        for place in changed {
            if let Some(series) = self.series.get_mut(*place as usize) {
                series.pending = Histogram::default();
                series.changed = false;
            }
        }
    }

    /// Something is not shared yet.
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    #[inline(never)] // One copy for all but the usual way.
    fn add(&mut self, place: u32, nanos: u64) {
        self.add_here(place, nanos);
    }

    #[inline(always)] // For every request that is counted.
    fn add_here(&mut self, place: u32, nanos: u64) {
        let Some(series) = self.series.get_mut(place as usize) else { return };
        series.pending.record_here(self.settings.histogram, nanos);
        if !series.changed {
            self.mark(place);
        }
    }

    #[inline(never)] // Once between two ticks.
    fn mark(&mut self, place: u32) {
        if let Some(series) = self.series.get_mut(place as usize)
            && !std::mem::replace(&mut series.changed, true)
        {
            let number = series.number;
            let before = |place: &u32| self.series.get(*place as usize).is_some_and(|other| other.number < number);
            let at = self.changed.partition_point(before);
            self.changed.insert(at, place);
        }
    }

    #[inline(never)] // Seldom, but under attack.
    fn record_new(&mut self, labels: Labels, name: Name<'_>, nanos: u64, at: u64) {
        self.served = true;
        let max_series = self.settings.max_series;
        let full = self.full.get(labels.instrument() as usize).copied().unwrap_or_default();
        let settings = Arc::clone(&self.settings);
        let text = match name {
            Name::None => &[],
            Name::Route(place) => settings.routes.template(place).as_bytes(),
            Name::Text(text) if is_name(text) => text,
            Name::Text(_) => &[],
        };
        let named = if full { 0 } else { max_series };
        if !text.is_empty() && (self.waiting.len() < named || self.known_number(text).is_some()) {
            let number = self.name(text);
            if self.waits((labels, number, text), nanos, at, (named, false)) {
                return;
            }
        }
        let was_named = !text.is_empty();
        if let Some(place) = self.places.get(&key(labels, 0)).copied() {
            self.overflowed = self.overflowed.saturating_add(was_named.into());
            return self.add(place, nanos);
        }
        // Whether it overflows is decided when it is admitted, and is counted then, once.
        if self.waits((labels, 0, &[]), nanos, at, (max_series.saturating_mul(2), was_named)) {
            return;
        }
        let overflow = Labels::overflow(labels.instrument());
        match self.places.get(&key(overflow, 0)).copied() {
            Some(place) => {
                self.overflowed = self.overflowed.saturating_add(1);
                self.add(place, nanos);
            }
            None => {
                self.waits((overflow, 0, &[]), nanos, at, (usize::MAX, was_named));
            }
        }
    }

    /// Counts for a label set without a number, a request that may have lost its name; `false` if that would make more than `most`
    /// of them.
    fn waits(
        &mut self,
        (labels, number, name): (Labels, u32, &[u8]),
        nanos: u64,
        at: u64,
        (most, was_named): (usize, bool),
    ) -> bool {
        let key = key(labels, number);
        let place = match self.waits.get(&key) {
            Some(place) => place.wrapping_sub(self.waited) as usize,
            None if most <= self.waiting.len() => return false,
            None => {
                let place = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
                self.waits.insert(key, self.waited.wrapping_add(place));
                let pending = Histogram::default();
                self.waiting.push_back(Waiting { labels, name: name.into(), since: at, pending, unnamed: 0 });
                self.waiting.len().saturating_sub(1)
            }
        };
        if let Some(waiting) = self.waiting.get_mut(place) {
            waiting.since = waiting.since.min(at);
            waiting.pending.record(self.settings.histogram, nanos);
            waiting.unnamed = waiting.unnamed.saturating_add(was_named.into());
        }
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
        if name.is_empty() { Some(0) } else { self.find(name).ok() }
    }

    fn find(&self, name: &[u8]) -> Result<u32, u64> {
        places::find(&self.numbers, 0, name, |number| {
            let known = (number as usize).checked_sub(1).and_then(|place| self.names.get(place));
            known.is_some_and(|known| **known == *name)
        })
    }

    /// The number of a name, from now on.
    fn name(&mut self, name: &[u8]) -> u32 {
        self.find(name).unwrap_or_else(|key| {
            self.names.push(name.into());
            let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.numbers.insert(key, number);
            number
        })
    }

    /// The series of this key, with this number.
    fn place(&mut self, key: u64, number: u16) -> u32 {
        let next = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.series.push(Series { number, pending: Histogram::default(), changed: false });
        }
        place
    }
}

fn key(labels: Labels, name: u32) -> u64 {
    u64::from(name) << 32 | u64::from(labels.bits())
}

/// Where a series is among those that were looked for last.
fn recent(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % RECENT
}
