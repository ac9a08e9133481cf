//! What a run of the simulation is told.

use std::fmt;
use std::time::Duration;

/// How a mesh is made and what happens to it. The same options give the same run, event for event.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Of every choice that is made.
    pub seed: u64,
    /// Sidecars; the gateway comes on top.
    pub pods: usize,
    /// Requests from outside.
    pub requests: usize,
    /// Share of the traces that the head samples.
    pub ratio: f64,
    /// `upgrade.traces_per_second` of every Envoy.
    pub budget: u32,
    /// What goes wrong.
    pub trouble: Trouble,
    /// Whether pods ask those that they called for their pending spans.
    pub recall: bool,
    /// Share of the clients, and of the applications, that lie.
    pub liars: f64,
    /// Filters differ from pod to pod, as while a mesh is changed: a third is wrapped in a matcher and reads one header, and a third runs the
    /// other module of [`super::Mesh::start_mixed`].
    pub mixed: bool,
    /// A fault of the filter or of the mesh, put in to see that it is found.
    pub sabotage: Option<Sabotage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            pods: 40,
            requests: 2000,
            ratio: 0.01,
            budget: 1000,
            trouble: Trouble::Everyday,
            recall: false,
            liars: 0.0,
            mixed: false,
            sabotage: None,
        }
    }
}

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Requests fail, and applications swallow some failures; every pod has the filter and nothing else breaks.
    Calm,
    /// As a mesh lives: pods without the filter, applications that carry no context on, timeouts and late answers, answers
    /// that break off, retries, clients that leave, work after the answer, VMs that trap, collectors that are away.
    Everyday,
    /// All that, and services that fail whole for a while, far beyond the budget.
    Storm,
}

impl Trouble {
    /// Every kind, with the word for it.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Calm, "calm"), (Self::Everyday, "everyday"), (Self::Storm, "storm")];

    /// The kind that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(trouble, _)| *trouble)
    }

    /// The word.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    pub(crate) fn odds(self) -> Odds {
        let calm = Odds { fails: 0.004, swallows: 0.5, sdks: 0.3, contracts: 0.3, ..Odds::default() };
        match self {
            Self::Calm => calm,
            Self::Everyday | Self::Storm => Odds {
                without_filter: 0.15,
                deaf: 0.1,
                refused: 0.003,
                slow: 0.004,
                breaks_off: 0.002,
                impatient: 0.003,
                leaves: 0.005,
                envoy_retries: 0.3,
                application_retries: 0.2,
                after_answer: 0.05,
                crashes: 0.01,
                lost_messages: 0.1,
                outages: true,
                storms: self == Self::Storm,
                ..calm
            },
        }
    }
}

/// A fault that the checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The signal is lost between callee and caller.
    SignalEaten,
    /// The listeners of a pod do not find each other's verdicts.
    TableForgets,
    /// Applications set `sampled` on what they pass on, as no head decided.
    SampledForged,
    /// A collector acknowledges spans and loses some.
    SpansStolen,
    /// A filter counts what it discards as nothing.
    BooksCooked,
    /// Envoys admit ten times the budget that was agreed.
    BudgetIgnored,
    /// Queues take fifty times what was agreed while the collector is away.
    MemoryUnbounded,
    /// Recall requests are acknowledged and go nowhere.
    RecallIgnored,
    /// Recall requests are answered as if nobody had the filter.
    RecallDisowned,
    /// The gateway takes whoever is outside for a part of the mesh.
    EdgeOpen,
    /// What SDKs write of a trace is taken for a signal, as filters of the first version wrote it.
    SdkBelieved,
    /// SDKs send on the span-ids of requests that are long over.
    StaleParents,
}

impl Sabotage {
    /// Every kind, with the word for it.
    pub const NAMES: [(Self, &'static str); 12] = [
        (Self::SignalEaten, "signal-eaten"),
        (Self::TableForgets, "table-forgets"),
        (Self::SampledForged, "sampled-forged"),
        (Self::SpansStolen, "spans-stolen"),
        (Self::BooksCooked, "books-cooked"),
        (Self::BudgetIgnored, "budget-ignored"),
        (Self::MemoryUnbounded, "memory-unbounded"),
        (Self::RecallIgnored, "recall-ignored"),
        (Self::RecallDisowned, "recall-disowned"),
        (Self::EdgeOpen, "edge-open"),
        (Self::SdkBelieved, "sdk-believed"),
        (Self::StaleParents, "stale-parents"),
    ];

    /// The kind that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(sabotage, _)| *sabotage)
    }

    /// The word.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

/// Probabilities of what goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Odds {
    /// A pod's Envoy has no filter.
    pub(crate) without_filter: f64,
    /// A pod's application does not carry context on.
    pub(crate) deaf: f64,
    /// An application that is not deaf has an SDK.
    pub(crate) sdks: f64,
    /// Of the others: one has an SDK that follows the contract.
    pub(crate) contracts: f64,
    /// An application fails by itself.
    pub(crate) fails: f64,
    /// An application answers well although a call failed.
    pub(crate) swallows: f64,
    /// A connection to a callee is refused.
    pub(crate) refused: f64,
    /// An application takes longer than the route's timeout.
    pub(crate) slow: f64,
    /// An answer breaks off after its headers.
    pub(crate) breaks_off: f64,
    /// An application gives a call up before Envoy does.
    pub(crate) impatient: f64,
    /// A client outside leaves before its answer.
    pub(crate) leaves: f64,
    /// A route has retries.
    pub(crate) envoy_retries: f64,
    /// An application tries a failed call again.
    pub(crate) application_retries: f64,
    /// An application works on after its answer.
    pub(crate) after_answer: f64,
    /// A worker's VM traps, per pod and second.
    pub(crate) crashes: f64,
    /// A recall request or its answer is lost.
    pub(crate) lost_messages: f64,
    /// Collectors are away now and then.
    pub(crate) outages: bool,
    /// Services fail whole for a while.
    pub(crate) storms: bool,
}

/// Requests from outside a second, for each pod.
const RATE_A_POD: usize = 4;

impl Options {
    /// The time from one request from outside to the next, on average.
    pub(crate) fn pause(&self) -> Duration {
        Duration::from_secs(1) / (self.pods * RATE_A_POD).max(1) as u32
    }

    /// How long requests come in.
    pub(crate) fn span(&self) -> Duration {
        self.pause() * self.requests as u32
    }
}

impl fmt::Display for Options {
    /// The command that repeats the run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, pods, requests, ratio, budget, trouble, recall, liars, mixed, sabotage } = self;
        write!(f, "cargo xtask mesh --seed {seed} --pods {pods} --requests {requests} --ratio {ratio}")?;
        write!(f, " --budget {budget} --trouble {}", trouble.name())?;
        if *recall {
            write!(f, " --recall")?;
        }
        if 0.0 < *liars {
            write!(f, " --liars {liars}")?;
        }
        if *mixed {
            write!(f, " --mixed")?;
        }
        sabotage.map_or(Ok(()), |sabotage| write!(f, " --sabotage {}", sabotage.name()))
    }
}
