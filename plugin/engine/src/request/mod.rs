//! The protocol of a request, one file a phase: in what order it is read, decided, written to, counted and kept.
//!
//! `head` -> `answer` -> `end`. Each may be missing and may come twice; a failure increments a counter and lets the request
//! continue.

mod answer;
mod applications;
mod asked;
mod attributes;
mod context;
mod coverage;
mod end;
mod facts;
mod force;
mod glance;
mod head;
mod headers;
mod held;
mod measure;
mod outline;
mod own;
mod rate;
mod recall;
mod shadow;
mod signal;
mod signs;
mod slow;
mod unseen;

use std::sync::Arc;

pub use answer::{Answered, answered};
pub use attributes::wanted;
pub use context::RequestContext;
pub use end::{Ended, ended};
pub use head::{requested, requested_by_one};
pub use held::Held;
pub use shadow::Outcome;
pub use unseen::{is_logged_request, settled};

use crate::central::Central;
use crate::door::{Exchange, HeaderView, Side};
use crate::metrics::Recorder;
use crate::policy::Policy;
use crate::sampling::Audit;
use crate::shared::{Coverage, Entropy, Force, Limits, SharedBudget, Slowness, Steering};
use crate::stream::Upgrade;
use crate::telemetry::{Metric, Metrics};
use crate::upgrade::Budget;
use crate::upgrade::signal::{SIGNAL, TRACERESPONSE};

/// What the requests of one root share.
#[derive(Default)]
pub struct Scope {
    /// The root.
    pub root: u32,
    /// How many traces a second are upgraded.
    pub budget: SharedBudget,
    /// The same of the shadow policy.
    pub shadow_budget: SharedBudget,
    /// Which kinds have had their examples, where that is wanted.
    pub coverage: Option<Box<Coverage>>,
    /// The same of the shadow policy.
    pub shadow_coverage: Option<Box<Coverage>>,
    /// How long requests usually take, where that is learned.
    pub slow: Option<Box<Slowness>>,
    /// The same of the shadow policy.
    pub shadow_slow: Option<Box<Slowness>>,
    /// The rates in force, where they steer themselves.
    pub steering: Option<Box<Steering>>,
    /// Whose tokens were used, where there are keys.
    pub force: Option<Box<Force>>,
    /// X-Ray's sampling rules, where they are to decide.
    pub central: Option<Box<Central>>,
    /// What is counted of every request, where that is wanted.
    pub recorder: Option<Box<Recorder>>,
    /// Requests decided here, beside the estimate of their number by their spans.
    pub audit: Audit,
    /// What others may have kept beyond that.
    pub limits: Limits,
    /// Whether all headers of a request are read where one may be enough.
    pub whole: Whole,
    /// An application is between listeners of this process: what becomes of its calls, an answer of its own may have to say.
    pub application: bool,
    /// It was logged that answers pass the filter by which it was to see.
    pub warned_unseen: bool,
    /// Mean size of the spans made so far, in bytes.
    pub mean_span_bytes: u64,
}

/// How often of late one header of a request was not enough, since it was sampled: to read that one alone at first is work for nothing then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole(u8);

impl Whole {
    /// More often than not.
    pub fn is_usual(self) -> bool {
        u8::MAX / 2 < self.0
    }

    /// An eighth of what is known is forgotten with each request.
    fn learn(&mut self, is_needed: bool) {
        let (known, new) = (u16::from(self.0), if is_needed { u16::from(u8::MAX) } else { 0 });
        self.0 = u8::try_from((7 * known + new) / 8).unwrap_or(u8::MAX);
    }
}

/// What a callback of one stream works with.
pub struct Parts<'a, X> {
    /// The request.
    pub exchange: &'a X,
    /// What it shares with others of its root.
    pub scope: &'a mut Scope,
    /// What it obeys.
    pub policy: &'a Arc<Policy>,
    /// Counts of this worker.
    pub metrics: &'a mut Metrics,
    /// Randomness of this worker.
    pub entropy: &'a mut Entropy,
}

impl<X: Exchange> Parts<'_, X> {
    /// A hostcall failed and cost at most a detail.
    fn failed(&mut self) {
        self.metrics.count(Metric::HostcallFailed);
    }

    /// Takes a header off, if it is there.
    #[inline(never)] // Several callers, none of which a dropped request inside the mesh meets.
    fn take_off<'a, V: HeaderView<'a>>(&mut self, side: Side, headers: V, name: &str) {
        if headers.first(name).is_some() && self.exchange.remove(side, name).is_err() {
            self.failed();
        }
    }

    /// What an answer has for the mesh alone does not leave it: the upgrade signal, and the headers in which the application marks its
    /// answer or names its route.
    #[inline(never)] // As above.
    fn leaves_mesh<'a, V: HeaderView<'a>>(&mut self, side: Side, headers: V) {
        signal::strip(self, side, headers);
        let policy = self.policy;
        for name in &policy.mesh_headers {
            self.take_off(side, headers, name);
        }
        if side == Side::Response && headers.first("trailer").is_some() {
            self.announces_fewer(headers);
        }
    }

    /// `trailer` does not name what is taken off the trailers. `Server-Timing` stays, since it may have entries of others.
    #[inline(never)] // Seldom.
    fn announces_fewer<'a, V: HeaderView<'a>>(&mut self, headers: V) {
        let is_ours = |name: &[u8]| {
            let is = |ours: &str| name.eq_ignore_ascii_case(ours.as_bytes());
            is(SIGNAL) || is(TRACERESPONSE) || self.policy.mesh_headers.iter().any(|ours| is(ours))
        };
        let named = headers.values("trailer").flat_map(|line| line.split(|byte| *byte == b','));
        let (ours, kept): (Vec<_>, Vec<_>) = named.map(<[u8]>::trim_ascii).partition(|name| is_ours(name));
        let changed = match (ours.is_empty(), kept.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => self.exchange.remove(Side::Response, "trailer"),
            (false, false) => self.exchange.replace(Side::Response, "trailer", &kept.join(&b", "[..])),
        };
        if changed.is_err() {
            self.failed();
        }
    }

    /// Charges a request that is kept because its trace was upgraded here before; `false` refuses it.
    fn joins(&mut self) -> bool {
        let admitted = self.scope.limits.joins.admit(&self.policy.upgrade.budget, self.exchange.host());
        if !admitted {
            self.metrics.count(Metric::JoinsRefused);
        }
        admitted
    }

    fn count_upgrade(&mut self, upgrade: Option<Upgrade>) {
        match upgrade {
            Some(Upgrade::Upgraded(trigger)) => self.metrics.count(trigger.metric()),
            Some(Upgrade::Shed) => self.metrics.count(Metric::UpgradesShed),
            Some(Upgrade::AlreadySampled) | None => {}
        }
    }
}

/// Charges the budget for a trigger.
fn admit<X: Exchange>(exchange: &X, budget: &mut SharedBudget, limit: &Budget) -> bool {
    budget.admit(limit, exchange.host())
}
