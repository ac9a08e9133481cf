//! The loop: one virtual clock over all Envoys, one event after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::applications::Applications;
use super::bounds::Payer;
use super::call::{Call, CallId, Ending};
use super::collector::Collector;
use super::context::Context;
use super::digest::Digest;
use super::hop::{Hop, HopId, Step};
use super::lies::Liars;
use super::options::{Odds, Options};
use super::queue::Queue;
use super::recall::{Message, Messages};
use super::report::Report;
use super::serving::{Serving, ServingId};
use super::topology::{GATEWAY, PodId, RECALL, ServiceId, Topology};
use super::trouble::Weather;
use super::violation::Violations;
use crate::random::SeededRandom;
use crate::{Envoy, Headers, Module, StartError, VmId};

/// Index of a request from outside.
pub(crate) type RequestId = usize;

/// Between two Envoys.
const NETWORK: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(2));
/// After the last request is over: what waits is exported, what was held expires.
const DRAIN: Duration = Duration::from_secs(25);

/// What happens next to somebody.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client outside sends a request.
    Client,
    /// A call, or a further attempt at it, reaches a pod.
    Arrive { call: CallId, attempt: u32, pod: PodId },
    /// A pod refuses the connection.
    Refuse { call: CallId, attempt: u32 },
    /// An application has thought.
    Work { serving: ServingId },
    /// The headers of an answer reach the caller's Envoy; `ends` says that nothing follows.
    Head { call: CallId, attempt: u32, headers: Headers, ends: bool },
    /// The end of an answer reaches the caller's Envoy.
    End { call: CallId, attempt: u32, ending: Ending },
    /// An application has sent its whole answer.
    Finish { serving: ServingId },
    /// An application works on after its answer.
    After { pod: PodId, context: Context, service: ServiceId, depth: u32 },
    /// A route's timeout.
    Timeout { call: CallId },
    /// Who made a call waits no longer.
    Leave { call: CallId },
    /// A pod learns that its caller has left.
    Cancel { serving: ServingId },
    /// An Envoy has something to do by itself.
    Wake { pod: PodId },
    /// A worker's VM traps.
    Crash { pod: PodId, worker: usize },
    /// It is replaced.
    Reload { pod: PodId, worker: usize },
    /// The collector leaves, or comes back.
    Weather,
    /// A recall request reaches a pod.
    Recall { message: Box<Message> },
}

/// A request from outside, with everything that it set off.
#[derive(Debug, Default)]
pub(crate) struct ClientRequest {
    /// Events planned for it.
    live: usize,
    /// Its hops, oldest first.
    pub(crate) hops: Vec<HopId>,
}

/// A mesh in progress.
pub struct Mesh {
    pub(crate) options: Options,
    pub(crate) odds: Odds,
    pub(crate) random: SeededRandom,
    pub(crate) now: Duration,
    pub(crate) started: Duration,
    pub(crate) step: Step,
    queue: Queue<(Option<RequestId>, Event)>,
    /// Events planned for any request.
    live: usize,
    pub(crate) topology: Topology,
    pub(crate) collector: Arc<Mutex<Collector>>,
    pub(crate) weather: Weather,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pub(crate) servings: BTreeMap<ServingId, Serving>,
    pub(crate) next_id: u64,
    pub(crate) requests: Vec<ClientRequest>,
    pub(crate) hops: Vec<Hop>,
    /// How many streams of each VM were kept, by the access log.
    pub(crate) kept: BTreeMap<(PodId, VmId), u64>,
    /// Traces that a pod's Envoy was seen to have upgraded.
    pub(crate) upgraded: BTreeSet<(PodId, u128)>,
    /// Traces of which that is not certain.
    pub(crate) perhaps_upgraded: BTreeSet<(PodId, u128)>,
    /// Hops that did not believe what they were told, by pod.
    pub(crate) unbelieved: BTreeMap<PodId, u64>,
    /// When a pod kept what this paid for, in order.
    pub(crate) charges: BTreeMap<(PodId, Payer), Vec<Duration>>,
    pub(crate) liars: Liars,
    pub(crate) applications: Applications,
    /// Traces that an Envoy had a reason to upgrade.
    pub(crate) reasoned: BTreeSet<(PodId, u128)>,
    /// Hops that were kept because another request, with the same trace-id, had upgraded the trace in that Envoy.
    pub(crate) unexplained: Vec<HopId>,
    pub(crate) largest_memory: u64,
    /// When a pod's Envoy first knew that a trace is kept.
    pub(crate) learned: BTreeMap<(PodId, u128), Duration>,
    /// At which event a recall told it.
    pub(crate) recalled: BTreeMap<(PodId, u128), Step>,
    pub(crate) messages: Messages,
    /// Spans and bytes that Envoys held for a recall, summed over every look at one.
    pub(crate) held: (u64, u64),
    pub(crate) violations: Violations,
    pub(crate) digest: Digest,
}

impl Mesh {
    /// Starts every Envoy of a mesh.
    ///
    /// # Errors
    /// If the module refuses its configuration.
    pub fn start(options: Options, module: &Module) -> Result<Self, StartError> {
        Self::start_mixed(options, [module, module])
    }

    /// The same with another module, such as an earlier release, in a third of the pods of a mesh that is mixed.
    ///
    /// # Errors
    /// If a module refuses its configuration.
    pub fn start_mixed(options: Options, modules: [&Module; 2]) -> Result<Self, StartError> {
        let odds = options.trouble.odds();
        let mut random = SeededRandom::new(options.seed, u64::MAX);
        let collector = Collector { sabotage: options.sabotage, ..Collector::default() };
        let collector = Arc::new(Mutex::new(collector));
        let topology = Topology::build(&options, &odds, modules, &collector, &mut random)?;
        let now = topology.pods[GATEWAY].envoy.as_ref().map(Envoy::now).unwrap_or_default();
        let weather = Weather::forecast(&options, &odds, &topology, now, &mut random);
        let mut mesh = Self {
            now,
            started: now,
            step: 0,
            queue: Queue::new(),
            live: 0,
            collector,
            weather,
            calls: BTreeMap::new(),
            servings: BTreeMap::new(),
            next_id: 0,
            requests: Vec::new(),
            hops: Vec::new(),
            kept: BTreeMap::new(),
            upgraded: BTreeSet::new(),
            perhaps_upgraded: BTreeSet::new(),
            unbelieved: BTreeMap::new(),
            charges: BTreeMap::new(),
            liars: Liars::choose(&options),
            applications: Applications::new(&options),
            reasoned: BTreeSet::new(),
            unexplained: Vec::new(),
            largest_memory: 0,
            learned: BTreeMap::new(),
            recalled: BTreeMap::new(),
            messages: Messages::default(),
            held: (0, 0),
            violations: Violations::new(&options),
            digest: Digest::default(),
            topology,
            random,
            odds,
            options,
        };
        mesh.queue.plan(now, (None, Event::Client));
        mesh.plan_trouble();
        for pod in 0..mesh.topology.pods.len() {
            mesh.with_envoy(pod, |_| ());
        }
        Ok(mesh)
    }

    /// Runs to the end. `progress` hears now and then how many requests have come in.
    pub fn run(mut self, mut progress: impl FnMut(usize)) -> Report {
        let mut end = None;
        while let Some((at, (request, event))) = self.queue.next() {
            if end.is_some_and(|end| end < at) {
                break;
            }
            self.now = at;
            self.step += 1;
            if matches!(event, Event::Client) && self.requests.len().is_multiple_of(256) {
                progress(self.requests.len());
            }
            self.happen(request, event);
            if let Some(request) = request {
                self.live -= 1;
                self.requests[request].live -= 1;
                if self.requests[request].live == 0 {
                    self.judge(request);
                }
            }
            if end.is_none() && self.live == 0 && self.requests.len() == self.options.requests {
                end = Some(self.now + DRAIN);
            }
        }
        self.finish()
    }

    /// Plans an event that belongs to a request from outside.
    pub(crate) fn plan(&mut self, after: Duration, request: RequestId, event: Event) {
        self.live += 1;
        self.requests[request].live += 1;
        self.queue.plan(self.now + after, (Some(request), event));
    }

    /// Plans an event that belongs to none.
    pub(crate) fn plan_aside(&mut self, after: Duration, event: Event) {
        self.queue.plan(self.now + after, (None, event));
    }

    /// Plans an event for when a message has crossed the network.
    pub(crate) fn send(&mut self, request: RequestId, event: Event) -> Duration {
        let latency = self.latency();
        self.plan(latency, request, event);
        latency
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Whether requests still come in.
    pub(crate) fn is_open(&self) -> bool {
        self.requests.len() < self.options.requests
    }

    /// Lets an Envoy catch up with the clock, does something with it, plans when it is to be woken, and checks it.
    ///
    /// # Panics
    /// If the pod has no filter.
    pub(crate) fn with_envoy<T>(&mut self, pod: PodId, act: impl FnOnce(&mut Envoy) -> T) -> Option<T> {
        let now = self.now;
        let envoy = self.topology.pods[pod].envoy.as_mut()?;
        envoy.advance(now.saturating_sub(envoy.now()));
        let result = act(envoy);
        let calls = envoy.take_calls(RECALL);
        let due = envoy.next_due();
        let wakes = &mut self.topology.pods[pod].wakes;
        if let Some(due) = due
            && wakes.is_none_or(|planned| due < planned)
        {
            *wakes = Some(due);
            self.queue.plan(due.max(now), (None, Event::Wake { pod }));
        }
        for call in calls {
            self.post(pod, call);
        }
        self.watch(pod);
        Some(result)
    }

    /// How long a message takes to another Envoy.
    pub(crate) fn latency(&mut self) -> Duration {
        self.random.between(NETWORK.0, NETWORK.1)
    }

    fn happen(&mut self, request: Option<RequestId>, event: Event) {
        match event {
            Event::Client => self.client(),
            Event::Arrive { call, attempt, pod } => self.arrive(call, attempt, pod),
            Event::Refuse { call, attempt } => self.refuse(call, attempt),
            Event::Work { serving } => self.work(serving),
            Event::Head { call, attempt, headers, ends } => self.head(call, attempt, headers, ends),
            Event::End { call, attempt, ending } => self.end(call, attempt, ending),
            Event::Finish { serving } => self.finish_answer(serving),
            Event::After { pod, context, service, depth } => {
                if let Some(request) = request {
                    self.call_after(request, pod, &context, service, depth);
                }
            }
            Event::Timeout { call } => self.time_out(call),
            Event::Leave { call } => self.leave(call),
            Event::Cancel { serving } => self.cancel(serving),
            Event::Wake { pod } => self.wake(pod),
            Event::Crash { pod, worker } => self.crash(pod, worker),
            Event::Reload { pod, worker } => self.reload(pod, worker),
            Event::Weather => self.change_weather(),
            Event::Recall { message } => self.deliver(&message),
        }
    }

    fn wake(&mut self, pod: PodId) {
        if self.topology.pods[pod].wakes.is_some_and(|due| due <= self.now) {
            self.topology.pods[pod].wakes = None;
            self.with_envoy(pod, Envoy::forget_callouts);
            self.weigh(pod);
        }
    }
}
