//! Requests in the order in which they came, decided by the filter's own rates, with one Envoy a service that ticks once a second.

use std::cell::RefCell;
use std::rc::Rc;

use super::adaptive::{Adaptive, Point, step_s};
use crate::recorder::{Ids, RecorderHost, SharedValues};
use tracelift::door::Host;
use tracelift::sampling::pace::Settings;
use tracelift::sampling::{Audit, Randomness};
use tracelift::shared::{Rates, Steering};
use tracelift::trace_context::TraceId;

const SECOND: u64 = 1_000_000_000;
/// Beyond this many seconds without a request, nothing is left to change: time jumps to the next one.
const IDLE_S: u64 = 900;
/// The most traces that a record of a sampled dump stands for here.
const MOST: f64 = 100_000.0;

/// A trace begins, and the rate decides.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    /// Unix nanoseconds.
    pub(super) at: u64,
    pub(super) service: usize,
    /// Of the traces given.
    pub(super) trace: usize,
    pub(super) trace_id: TraceId,
    pub(super) rate: u16,
    /// How many it stands for.
    pub(super) weight: f64,
}

/// A request has ended.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// Unix nanoseconds.
    pub(super) at: u64,
    pub(super) service: usize,
    pub(super) trace: usize,
    pub(super) failed: bool,
    pub(super) paid: Paid,
    pub(super) weight: f64,
}

/// Whether the target pays for it first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Paid {
    No,
    /// A trace begins with it, and a rule's ratio keeps it.
    First,
    /// An upgrade keeps it, unless the head has.
    IfDropped,
}

/// All that happened.
pub(super) struct Happened<'a> {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) endings: Vec<Ending>,
    pub(super) services: &'a [String],
    pub(super) traces: usize,
    /// Unix nanoseconds of the first and the last moment.
    pub(super) range: (u64, u64),
}

/// One Envoy where traces begin.
struct EnvoyOf {
    service: usize,
    host: RecorderHost,
    steering: Steering,
}

/// A point while it is counted, in numbers of traces.
#[derive(Default)]
struct Counted {
    offered: f64,
    expected: f64,
    kept: f64,
    paid_first: f64,
    ratio: f64,
    boosted: bool,
    changed_by: Vec<&'static str>,
}

struct Run {
    envoys: Vec<EnvoyOf>,
    /// What the rate has decided, by trace.
    sampled: Vec<Option<bool>>,
    first: u64,
    step: u64,
    counted: Vec<Counted>,
    adaptive: Adaptive,
}

/// Decides each trace that the rate decides, and reports how the rate changed.
pub(super) fn steer(settings: &Settings, mut happened: Happened<'_>) -> (Vec<Option<bool>>, Adaptive) {
    happened.arrivals.sort_unstable_by_key(|arrival| (arrival.at, arrival.trace));
    happened.endings.sort_unstable_by_key(|ending| (ending.at, ending.trace));
    let (first, last) = happened.range;
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    let mut run = Run::new(settings, &happened, step_s(seconds));
    let (mut arrivals, mut endings) = (happened.arrivals.iter().peekable(), happened.endings.iter().peekable());
    let (mut now, mut idle) = (first, 0);
    loop {
        let tick = now.saturating_add(SECOND);
        let mut is_idle = true;
        loop {
            let arrival = arrivals.peek().filter(|arrival| arrival.at < tick);
            let ending = endings.peek().filter(|ending| ending.at < tick);
            match (arrival, ending) {
                (Some(arrival), ending) if ending.is_none_or(|ending| arrival.at <= ending.at) => {
                    run.arrive(arrival);
                    arrivals.next();
                }
                (_, Some(ending)) => {
                    run.end(ending);
                    endings.next();
                }
                _ => break,
            }
            is_idle = false;
        }
        run.tick(tick, happened.services);
        let next = arrivals.peek().map(|next| next.at).into_iter().chain(endings.peek().map(|next| next.at)).min();
        let Some(next) = next else { break };
        idle = if is_idle { idle + 1 } else { 0 };
        now = if IDLE_S < idle { next.max(tick) } else { tick };
    }
    run.finish(settings, seconds)
}

impl Run {
    fn new(settings: &Settings, happened: &Happened<'_>, step_s: f64) -> Self {
        let (first, last) = happened.range;
        let mut services: Vec<_> = happened.arrivals.iter().map(|arrival| arrival.service).collect();
        services.sort_unstable();
        services.dedup();
        let envoy = |service| {
            let host = RecorderHost::new(first, Rc::new(RefCell::new(Ids::new(1))), SharedValues::default());
            let live = Some(Rates::new(&host, "tracelift", *settings));
            EnvoyOf { service, host, steering: Steering::new(live, None) }
        };
        let step = (step_s * 1e9) as u64;
        // The last one has from half a step to one and a half.
        let points = (last.saturating_sub(first).saturating_add(step / 2) / step).max(1);
        let counted = (0..points).map(|_| Counted::default()).collect();
        let envoys: Vec<_> = services.into_iter().map(envoy).collect();
        let adaptive = Adaptive { envoys: envoys.len(), step_s, ..Adaptive::default() };
        Self { envoys, sampled: vec![None; happened.traces], first, step, counted, adaptive }
    }

    fn arrive(&mut self, arrival: &Arrival) {
        let place = self.place(arrival.at);
        let envoy = self.envoys.iter_mut().find(|envoy| envoy.service == arrival.service);
        let rates = envoy.and_then(|envoy| envoy.steering.live.as_mut());
        let Some((rates, counted)) = rates.zip(self.counted.get_mut(place)) else { return };
        let number = usize::from(arrival.rate);
        let rate = rates.rate(number);
        let randomness = Randomness::from_trace_id(arrival.trace_id);
        let kept = rate.threshold().is_some_and(|threshold| threshold.keeps(randomness));
        (0..times(arrival.weight)).for_each(|_| rates.offered(number));
        counted.offered += arrival.weight;
        counted.expected += arrival.weight * rate.share();
        counted.kept += if kept { arrival.weight } else { 0.0 };
        if let Some(sampled) = self.sampled.get_mut(arrival.trace) {
            *sampled = Some(kept);
        }
    }

    fn end(&mut self, ending: &Ending) {
        let place = self.place(ending.at);
        let sampled = self.sampled.get(ending.trace).copied().flatten();
        let Some(envoy) = self.envoys.iter_mut().find(|envoy| envoy.service == ending.service) else { return };
        let is_paid = ending.paid == Paid::First || ending.paid == Paid::IfDropped && sampled != Some(true);
        for _ in 0..times(ending.weight) {
            envoy.steering.ended(ending.failed);
            envoy.steering.live.iter_mut().filter(|_| is_paid).for_each(Rates::other);
        }
        if let Some(counted) = self.counted.get_mut(place).filter(|_| is_paid) {
            counted.paid_first += ending.weight;
        }
    }

    fn tick(&mut self, now: u64, services: &[String]) {
        let place = self.place(now.saturating_sub(1));
        let several = 1 < self.envoys.len();
        let at_s = now.saturating_sub(self.first) as f64 / 1e9;
        for envoy in &mut self.envoys {
            envoy.host.advance(now.saturating_sub(envoy.host.now()));
            envoy.steering.settle(&Audit::default());
            let Some((rates, counted)) = envoy.steering.live.as_mut().zip(self.counted.get_mut(place)) else {
                continue;
            };
            let step = rates.tick(&envoy.host, now);
            envoy.host.take_accesses();
            counted.ratio = rates.pace().share(rates.settings());
            counted.boosted |= rates.pace().is_boosted();
            if let Some(step) = step {
                let service = services.get(envoy.service).map(String::as_str).filter(|_| several);
                self.adaptive.note(&step, at_s, service, &mut counted.changed_by);
            }
        }
    }

    fn place(&self, at: u64) -> usize {
        let place = usize::try_from(at.saturating_sub(self.first) / self.step).unwrap_or(usize::MAX);
        place.min(self.counted.len().saturating_sub(1))
    }

    fn finish(self, settings: &Settings, seconds: f64) -> (Vec<Option<bool>>, Adaptive) {
        let Self { sampled, counted, mut adaptive, envoys, .. } = self;
        let mut ratio = 0.0;
        let last = counted.len().saturating_sub(1);
        for (index, counted) in counted.into_iter().enumerate() {
            let at_s = index as f64 * adaptive.step_s;
            let lasts = if index == last { seconds - at_s } else { adaptive.step_s };
            // Where time has jumped, nothing has changed the ratio.
            ratio = match counted {
                Counted { offered, expected, .. } if 0.0 < offered => expected / offered,
                Counted { ratio, .. } if 0.0 < ratio => ratio,
                _ => ratio,
            };
            adaptive.kept_per_second += counted.kept / seconds;
            adaptive.paid_first_per_second += counted.paid_first / seconds;
            let [offered, kept, paid_first] =
                [counted.offered, counted.kept, counted.paid_first].map(|count| count / lasts);
            let Counted { boosted, changed_by, .. } = counted;
            adaptive.points.push(Point { at_s, seconds: lasts, offered, kept, paid_first, ratio, boosted, changed_by });
        }
        adaptive.target_per_second = settings.target.map(|target| target.per_second * envoys.len() as f64);
        (sampled, adaptive)
    }
}

fn times(weight: f64) -> u32 {
    weight.round().clamp(1.0, MOST) as u32
}
