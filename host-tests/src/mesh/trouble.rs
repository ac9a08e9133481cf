//! What befalls the mesh as a whole: VMs that trap, collectors that are away, services that fail whole.

use std::time::Duration;

use super::call::CallId;
use super::collector::Absence;
use super::hop::HopId;
use super::options::{Odds, Options, Sabotage};
use super::serving::ServingId;
use super::simulation::{Event, Mesh};
use super::topology::{PodId, ServiceId, Topology, WORKERS};
use crate::Request;
use crate::random::SeededRandom;

/// Envoy's backoff before it replaces a VM, with `base_interval: 0.1s`.
const RELOAD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));

/// When the collector is away and which services fail whole, decided before the run.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// From, until, how; one after the other.
    absences: Vec<(Duration, Duration, Absence)>,
    storms: Vec<(ServiceId, Duration, Duration)>,
}

impl Weather {
    pub(crate) fn forecast(
        options: &Options,
        odds: &Odds,
        topology: &Topology,
        now: Duration,
        random: &mut SeededRandom,
    ) -> Self {
        let span = options.span();
        let mut weather = Self::default();
        if options.sabotage == Some(Sabotage::MemoryUnbounded) {
            weather.absences.push((now, now + span, Absence::Silent));
        } else if odds.outages {
            let first = now + random.between(span / 5, span * 2 / 5);
            let second = now + random.between(span * 3 / 5, span * 4 / 5);
            weather.absences =
                vec![(first, first + span / 6, Absence::Busy), (second, second + span / 8, Absence::Silent)];
        }
        if odds.storms {
            for part in 0..3_u32 {
                let from = now + span / 3 * part + random.between(Duration::ZERO, span / 10);
                let service = random.below(topology.services.len());
                weather.storms.push((service, from, from + span / 5));
            }
        }
        weather
    }

    /// Whether a service fails whole.
    pub(crate) fn storms_in(&self, service: ServiceId, now: Duration) -> bool {
        self.storms.iter().any(|(of, from, until)| *of == service && (*from..*until).contains(&now))
    }

    fn absence(&self, now: Duration) -> Option<Absence> {
        let absent = self.absences.iter().find(|(from, until, _)| (*from..*until).contains(&now));
        absent.map(|(_, _, how)| *how)
    }
}

impl Mesh {
    pub(crate) fn plan_trouble(&mut self) {
        for (from, until, _) in self.weather.absences.clone() {
            for at in [from, until] {
                self.plan_aside(at - self.now, Event::Weather);
            }
        }
        let span = self.options.span();
        let crashes = self.odds.crashes * span.as_secs_f64();
        for pod in 0..self.topology.pods.len() {
            if self.topology.pods[pod].envoy.is_some() && self.random.chance(crashes) {
                let (worker, at) = (self.random.below(WORKERS), self.random.between(Duration::ZERO, span));
                self.plan_aside(at, Event::Crash { pod, worker });
            }
        }
    }

    pub(crate) fn change_weather(&mut self) {
        let away = self.weather.absence(self.now);
        self.collector.lock().expect("nobody panics while collecting").away = away;
    }

    /// A worker's VM traps, with every stream in it.
    pub(crate) fn crash(&mut self, pod: PodId, worker: usize) {
        self.with_envoy(pod, |envoy| envoy.crash(worker));
        self.topology.pods[pod].down[worker] = true;
        self.topology.pods[pod].generation[worker] += 1;
        let hops = &self.hops;
        let here = |stream: &Option<(HopId, Request)>| {
            stream.as_ref().is_some_and(|(hop, _)| (hops[*hop].pod, hops[*hop].worker) == (pod, worker))
        };
        let calls: Vec<CallId> = self.calls.iter().filter(|(_, call)| here(&call.stream)).map(|(id, _)| *id).collect();
        let servings = self.servings.iter().filter(|(_, serving)| here(&serving.stream));
        let servings: Vec<ServingId> = servings.map(|(id, _)| *id).collect();
        for call in calls {
            self.lose_call(call);
        }
        for serving in servings {
            self.lose_serving(serving);
        }
        let backoff = self.random.between(RELOAD.0, RELOAD.1);
        self.plan_aside(backoff, Event::Reload { pod, worker });
    }

    /// A stream whose VM has trapped is over.
    pub(crate) fn lose_stream(&mut self, pod: PodId, hop: HopId, stream: Request) {
        let finished = self.with_envoy(pod, |envoy| stream.end(envoy));
        self.hops[hop].lost = true;
        if let Some(finished) = finished {
            self.stream_ended(hop, &finished);
        }
    }

    pub(crate) fn reload(&mut self, pod: PodId, worker: usize) {
        let reloaded = self.with_envoy(pod, |envoy| envoy.reload(worker));
        if let Some(Err(refused)) = reloaded {
            let at = self.now - self.started;
            self.violations.add(at, "a VM did not take its configuration again", format!("pod {pod}: {refused}"));
        }
        self.topology.pods[pod].down[worker] = false;
    }
}
