//! The rates in force in this worker, and what it has counted for them and not yet shared: [`crate::sampling::pace`] over the door.

use crate::door::{Host, Update};
use crate::sampling::pace::{Pace, Settings, Step, Sums};
use crate::sampling::{Audit, Rate};

/// Attempts against other workers, which tick at the same time.
const TRIES: usize = 16;
/// Ticks in vain after which a worker goes by what it sees itself.
const PATIENCE: u8 = 3;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &str = "tracelift.pace.2.";

/// The rates of the live policy and of its shadow; at least one of both.
#[derive(Default)]
pub struct Steering {
    /// What is in force for live requests until the next tick: the first rate, and how many it has decided. Nearly always it is the only
    /// one.
    first: Option<Rate>,
    offered: u32,
    /// The live policy's.
    pub live: Option<Rates>,
    /// The shadow's.
    pub shadow: Option<Rates>,
    /// Requests that have ended since the last tick, and those of them that failed; without those that the audit counts.
    ended: (u32, u32),
    /// The same of those, as far as they were passed on.
    audited: (f64, f64),
}

impl Steering {
    /// Both of them.
    pub fn new(live: Option<Rates>, shadow: Option<Rates>) -> Self {
        let mut steering = Self { live, shadow, ..Self::default() };
        steering.obey();
        steering
    }

    /// What is in force for live requests that have no rate of a route.
    #[inline(always)] // For every request.
    pub fn first(&self) -> Option<Rate> {
        self.first
    }

    /// Counts a live request that a rate has decided, sampled or not.
    #[inline(always)] // As above.
    pub fn offered(&mut self, number: usize) {
        if number == 0 {
            self.offered = self.offered.wrapping_add(1);
        } else if let Some(rates) = &mut self.live {
            rates.offered(number);
        }
    }

    /// Counts a request that has ended, and that the audit does not count.
    #[inline(always)] // As above.
    pub fn ended(&mut self, failed: bool) {
        let (requests, failures) = &mut self.ended;
        *requests = requests.wrapping_add(1);
        *failures = failures.wrapping_add(u32::from(failed));
    }

    /// Passes on what was counted for the live rates and what has ended. A tick begins, or the audit begins anew.
    pub fn settle(&mut self, audit: &Audit) {
        let (requests, failed) = (audit.ok.requests + audit.failed.requests, audit.failed.requests);
        let (known, known_failed) = std::mem::replace(&mut self.audited, (requests, failed));
        let (ended, ended_failed) = std::mem::take(&mut self.ended);
        let requests = ended.saturating_add((requests - known) as u32);
        let failed = ended_failed.saturating_add((failed - known_failed) as u32);
        if let Some(live) = &mut self.live {
            live.offered = live.offered.saturating_add(std::mem::take(&mut self.offered));
        }
        for rates in [&mut self.live, &mut self.shadow].into_iter().flatten() {
            rates.sums.requests = rates.sums.requests.saturating_add(requests);
            rates.sums.failed = rates.sums.failed.saturating_add(failed);
        }
    }

    /// The audit, which was settled, has begun anew.
    pub fn audit_begins(&mut self) {
        self.audited = (0.0, 0.0);
    }

    /// Live requests go by what the live rates say now. A tick ends.
    pub fn obey(&mut self) {
        self.first = self.live.as_ref().map(|live| live.rate(0));
    }
}

/// The rates of one filter. Filters of the same name and settings share them in a process; others do not mix.
pub struct Rates {
    settings: Settings,
    key: Vec<u8>,
    /// As of the last tick.
    pace: Pace,
    /// In force until the next one: the first rate, and how many it has decided.
    first: Rate,
    offered: u32,
    /// The others.
    rest: Vec<Rate>,
    sums: Sums,
    /// Ticks running at which nothing could be shared.
    missed: u8,
}

impl Rates {
    /// Goes by what is known of these settings in the process, or by the fixed ratio.
    pub fn new(host: &impl Host, plugin: &str, settings: Settings) -> Self {
        let mark = (settings.fingerprint() as u8).to_string();
        let key = [PREFIX, plugin, "\0", &mark].concat().into_bytes(); // No name has a NUL.
        let known = host.shared(&key).ok().flatten().and_then(|(bytes, _)| Pace::read(&settings, &bytes));
        let pace = known.unwrap_or_else(|| Pace::new(&settings, host.now()));
        let sums = Sums { offered: vec![0; settings.rates], ..Sums::default() };
        let first = Rate::new(settings.ratio);
        let mut rates = Self { settings, key, pace, first, offered: 0, rest: Vec::new(), sums, missed: 0 };
        rates.obey();
        rates
    }

    /// Whether it goes by these settings, under that name.
    pub fn is_for(&self, plugin: &str, settings: &Settings) -> bool {
        let named = self.key.strip_prefix(PREFIX.as_bytes()).and_then(|key| key.strip_prefix(plugin.as_bytes()));
        self.settings == *settings && named.is_some_and(|rest| rest.starts_with(b"\0"))
    }

    /// What is in force for requests of a rate: 0, or one more than the place of their route.
    pub fn rate(&self, number: usize) -> Rate {
        number.checked_sub(1).and_then(|place| self.rest.get(place)).copied().unwrap_or(self.first)
    }

    /// Counts a request that a rate has decided, sampled or not.
    pub fn offered(&mut self, rate: usize) {
        // The other policy may have more of them than this one.
        let of_route = if rate == 0 { None } else { self.sums.offered.get_mut(rate) };
        let count = of_route.unwrap_or(&mut self.offered);
        *count = count.wrapping_add(1);
    }

    /// Counts a trace that something else keeps, and that the target pays.
    pub fn other(&mut self) {
        self.sums.others = self.sums.others.saturating_add(1);
    }

    /// Counts requests that were timed, and those of them that took longer than usual.
    pub fn timed(&mut self, (timed, slow): (u32, u32)) {
        self.sums.timed = self.sums.timed.saturating_add(timed);
        self.sums.slow = self.sums.slow.saturating_add(slow);
    }

    /// Requests that the rates have decided since the last tick.
    pub fn offers(&self) -> u64 {
        let of_routes = self.sums.offered.iter().skip(1).map(|count| u64::from(*count));
        of_routes.sum::<u64>().saturating_add(self.offered.into())
    }

    /// Shares what was counted, takes the step if the interval is over and no other worker has, and goes by what is in force now.
    pub fn tick(&mut self, host: &impl Host, now: u64) -> Option<Step> {
        let Self { settings, key, pace, first, offered, rest, sums, missed } = self;
        if let Some(count) = sums.offered.first_mut() {
            *count = *offered;
        }
        let each = sums.offered.iter().zip(std::iter::once(&*first).chain(&*rest));
        sums.expected = each.map(|(count, rate)| f64::from(*count) * rate.share()).sum();
        let mut took = None;
        let update = host.update(key, TRIES, |bytes| {
            let bytes = bytes.unwrap_or_default();
            let mut next = match Pace::read(settings, bytes) {
                Some(pace) => pace,
                None if Pace::is_in_use(bytes, now) => return None,
                None => pace.clone(),
            };
            next.add(sums);
            let step = next.step(settings, now);
            let changes = step.is_some() || !sums.is_empty() || bytes.is_empty();
            let bytes = changes.then(|| next.write(settings));
            took = Some((next, step));
            bytes
        });
        let step = match took {
            Some((next, step)) if update != Update::Failed => {
                (*pace, *missed) = (next, 0);
                step
            }
            Some(_) if *missed < PATIENCE => {
                *missed = missed.saturating_add(1);
                return None; // Others were always faster: another time.
            }
            // Without shared values, or where other settings have this place, a worker goes by what it sees itself.
            _ => {
                pace.add(sums);
                pace.step(settings, now)
            }
        };
        *offered = 0;
        let counts = std::mem::take(&mut sums.offered);
        *sums = Sums { offered: counts, ..Sums::default() };
        sums.offered.fill(0);
        self.obey();
        step
    }

    /// The state as of the last tick.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// What it goes by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn obey(&mut self) {
        let Self { settings, pace, first, rest, .. } = self;
        let mut rates = (0..settings.rates).map(|number| Rate::new(pace.ratio(settings, number)));
        *first = rates.next().unwrap_or(*first);
        rest.clear();
        rest.extend(rates);
    }
}
