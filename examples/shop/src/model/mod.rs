//! What the views show: fed with events, spans and counters; bounded, however long it runs.

pub mod bill;
mod completeness;
pub mod failed;
pub mod snapshot;
mod story;
mod stretch;
mod traces;
mod waterfall;
mod why;

use crate::mesh::Counted;
use crate::options::Scenario;
use crate::plan::{Operation, Visit};
use crate::scenario::Phase;
use crate::schedule::Schedule;
use crate::span::Span;
use crate::truth::Event;
use completeness::Completeness;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};
use story::Story;
use stretch::{Counts, Stretch};
use traces::Traces;

/// After a change: the gateway has taken it up, and the requests that began before are over.
const SETTLED: Duration = Duration::from_secs(2);
/// Requests whose trace is remembered, to name it when it shows up.
const REMEMBERED: usize = 20_000;

/// What was asked for on the command line, and on the page.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Settings {
    /// Share of traces that the head samples.
    pub ratio: f64,
    /// Requests per second.
    pub rate: f64,
    /// Share of requests with a fault.
    pub failures: f64,
    /// Of the plan.
    pub seed: u64,
    /// The cart is a Python application with an SDK.
    pub python: bool,
    /// The Envoys run the dynamic module; else the wasm module.
    pub dynamic_module: bool,
}

/// Answers, as the clients counted them.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Requests {
    /// All.
    pub answered: u64,
    /// Of these, health probes.
    pub probes: u64,
    /// Of those that are no probes: 5xx or no answer.
    pub failed: u64,
    /// With another status than planned: must stay 0.
    pub unplanned: u64,
}

impl Requests {
    /// What was answered after that.
    fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(before.answered),
            probes: self.probes.saturating_sub(before.probes),
            failed: self.failed.saturating_sub(before.failed),
            unplanned: self.unplanned.saturating_sub(before.unplanned),
        }
    }
}

/// A request as its trace is called.
#[derive(Clone, Copy, Debug)]
struct Known {
    visit: Visit,
    sampled: bool,
    ratio: f64,
    status: Option<u16>,
}

/// Everything that is known so far.
#[derive(Debug)]
pub struct Model {
    settings: Settings,
    started: Instant,
    stretch: Stretch,
    requests: Requests,
    traces: Traces,
    hops: Completeness,
    counted: BTreeMap<String, Counted>,
    known: HashMap<u128, Known>,
    trace_of: HashMap<u64, u128>,
    by_age: VecDeque<(u128, u64)>,
    schedule: Schedule,
    story: Option<Story>,
}

impl Model {
    /// Of a run that begins now.
    pub fn new(settings: Settings, schedule: Schedule, now: Instant) -> Self {
        Self {
            settings,
            started: now,
            stretch: Stretch::new(now, Counts::default()),
            requests: Requests::default(),
            traces: Traces::default(),
            hops: Completeness::default(),
            counted: BTreeMap::new(),
            known: HashMap::new(),
            trace_of: HashMap::new(),
            by_age: VecDeque::new(),
            schedule,
            story: None,
        }
    }

    /// The settings are others from now on, and figures begin anew.
    pub fn change(&mut self, now: Instant, ratio: f64, failures: f64) {
        self.schedule.set_faults(failures, 0.0);
        (self.settings.ratio, self.settings.failures) = (ratio, failures);
        self.story = None;
        self.hops.count_from(now + SETTLED);
        self.stretch = Stretch::new(now, self.counts());
    }

    /// A story begins, and figures begin anew.
    pub fn begin(&mut self, now: Instant, scenario: Scenario) {
        self.story = Some(Story::new(scenario, now));
        self.hops.count_from(now + SETTLED);
        self.stretch = Stretch::new(now, self.counts());
    }

    /// The traffic is that of another part of the story; or the story is over, and it is as it was.
    pub fn turn(&mut self, phase: Option<&'static Phase>, rate: f64, failures: f64) {
        (self.settings.rate, self.settings.failures) = (rate, failures);
        if let Some(story) = &mut self.story {
            story.turn(phase);
        }
    }

    /// Something happened.
    pub fn note(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Arrival(arrival) => {
                if arrival.service == "storefront" {
                    self.remember(arrival.context.trace_id, arrival.visit, arrival.context.sampled);
                }
                self.hops.arrival(arrival);
            }
            Event::Call(call) => self.hops.call(call),
            Event::Answered(answered) => {
                self.requests.answered += 1;
                self.requests.unplanned += u64::from(answered.status != Ok(answered.visit.expected_status()));
                self.hops.answered(now, answered);
                if answered.visit.operation == Operation::Probe {
                    self.requests.probes += 1;
                    return;
                }
                let failed = answered.status.as_ref().map_or(true, |status| 500 <= *status);
                self.requests.failed += u64::from(failed);
                let Some(trace_id) = self.trace_of.get(&answered.visit.number).copied() else { return };
                let Some(known) = self.known.get_mut(&trace_id) else { return };
                known.status = answered.status.as_ref().ok().copied();
            }
        }
    }

    /// Spans came in.
    pub fn receive(&mut self, now: Instant, spans: impl IntoIterator<Item = Span>) {
        for span in spans {
            self.traces.add(now, span);
        }
        self.hops.look(now, &self.traces);
    }

    /// A reading of all Envoys' counters.
    pub fn count(&mut self, now: Instant, counted: BTreeMap<String, Counted>) {
        if let Some(story) = &mut self.story {
            story.read(now, &counted);
            // The slider shows what is in force.
            self.settings.ratio = story.in_force().unwrap_or(self.settings.ratio);
        }
        self.counted = counted;
    }

    fn remember(&mut self, trace_id: u128, number: u64, sampled: bool) {
        let visit = self.schedule.visit(number);
        self.known.insert(trace_id, Known { visit, sampled, ratio: self.settings.ratio, status: None });
        self.trace_of.insert(number, trace_id);
        self.by_age.push_back((trace_id, number));
        while REMEMBERED < self.by_age.len() {
            if let Some((trace_id, number)) = self.by_age.pop_front() {
                self.known.remove(&trace_id);
                self.trace_of.remove(&number);
            }
        }
    }
}
