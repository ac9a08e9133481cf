//! Late parenting: calls whose caller did not record itself wait for a moment, until it is known which inbound stream they belong below.
//!
//! The worker's, not a root's: the two listeners of a pod hold the two sides, often in different workers. Nothing is asked, written or
//! held for a request that stays dropped, or that its caller had sampled.

use super::root::Root;
use crate::door::{Attribute, Host};
use crate::request::{Held, RequestContext};
use crate::shared::{parents, polls};
use crate::span::{KindSetting, Kinds, ListenerDirection, SpanKind};
use crate::telemetry::{Metric, Metrics};
use crate::upgrade::Calls;
use crate::upgrade::parents::{HOLD_SECONDS, Inbound, Judged, Orphan};
use crate::upgrade::recall::RecentTraces;
use crate::upgrade::recall::log::News;

/// How long a call waits where no inbound stream is known, in nanoseconds after its end.
const WAIT_NANOS: u64 = 5_000_000_000;
/// How long a trace counts as upgraded a moment ago, in nanoseconds: as long as its inbound streams are remembered.
const HOLD_NANOS: u64 = HOLD_SECONDS as u64 * 1_000_000_000;
/// Bytes of all calls that wait. What finds no room goes out as it is.
const MAX_BYTES: usize = 1 << 20;

/// Takes a span with its ledger. Not generic: one copy of what calls it in the module.
pub(super) type Queue<'a> = dyn FnMut(&Held, Option<Calls>) + 'a;

/// What the roots of a worker are to each other. All workers of a process have the same ones.
#[derive(Clone, Copy, Default)]
pub(super) struct Pod {
    /// Some listener leads to an application, and hears of upgrades behind it.
    inbound: bool,
    /// Some listener may be that of an application's calls.
    outbound: bool,
    /// Nanoseconds after which every root of every worker has ticked.
    tick_nanos: u64,
}

impl Pod {
    /// By the configurations in use.
    pub(super) fn of(roots: &[Root]) -> Self {
        let mut pod = Self::default();
        for (root, policy) in roots.iter().filter_map(|root| Some((root, root.policy()?))) {
            let kind = policy.span_kind;
            pod.inbound |= kind != KindSetting::Client && policy.upgrade.joins();
            pod.outbound |= matches!(kind, KindSetting::Client | KindSetting::Auto);
            pod.tick_nanos = pod.tick_nanos.max(root.tick_nanos);
        }
        pod
    }

    /// Whether an application is between its listeners.
    pub(super) fn has_application(self) -> bool {
        self.inbound && self.outbound
    }
}

struct Waiting {
    held: Box<Held>,
    calls: Option<Calls>,
    call: Orphan,
    bytes: usize,
    /// By then every worker has shown what runs in it, and a single candidate is the only one. Unix nanoseconds.
    ready_at: u64,
    /// Unix nanoseconds.
    give_up_at: u64,
}

/// Calls that wait, oldest first, and the traces that they may be of.
#[derive(Default)]
pub(super) struct Parents {
    waiting: Vec<Waiting>,
    bytes: usize,
    recent: RecentTraces,
}

impl Parents {
    /// Takes a kept stream. It is queued at once unless it is a call that has to wait; one that came in is shown to all workers.
    #[inline(never)] // One copy in the module.
    pub(super) fn keep(
        &mut self,
        host: &impl Host,
        pod: Pod,
        (mut held, calls): (Box<Held>, Option<Calls>),
        metrics: &mut Metrics,
        queue: &mut Queue<'_>,
    ) {
        if !pod.has_application() {
            return queue(&held, calls);
        }
        if let Some(stream) = held.inbound() {
            parents::note(host, stream);
        }
        let Some(call) = held.orphan() else { return queue(&held, calls) };
        let now = host.now();
        if polls::are_coming(host, now) {
            return queue(&held, calls); // The application holds its spans, so that the parent will come.
        }
        held.compact();
        let bytes = held.bytes();
        if MAX_BYTES < self.bytes.saturating_add(bytes) {
            metrics.count(Metric::ParentsUnknown);
            return queue(&held, calls);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let (ready_at, give_up_at) = times(now, pod);
        self.waiting.push(Waiting { held, calls, call, bytes, ready_at, give_up_at });
    }

    /// These traces were upgraded in this process: whatever runs in them is shown from now on.
    pub(super) fn learn(&mut self, news: &News, now: u64) {
        for trace_id in &news.traces {
            self.recent.insert(*trace_id, now.saturating_add(HOLD_NANOS));
        }
    }

    /// Shows to all workers which inbound streams of this one run in traces that were upgraded, each once, also those that began
    /// later. `ticking` is the root in effect.
    pub(super) fn show_running<'a>(
        &mut self,
        host: &impl Host,
        (ticking, now): (u32, u64),
        roots: &[Root],
        streams: impl Iterator<Item = (u32, &'a mut RequestContext)>,
    ) {
        self.recent.expire(now);
        if self.recent.is_empty() {
            return;
        }
        for (id, context) in streams.filter(|(_, context)| !context.is_shown()) {
            let Some(trace_id) = context.trace_id().filter(|trace_id| self.recent.contains(*trace_id)) else {
                continue;
            };
            let Some(policy) = roots.iter().find(|root| root.id() == context.root()).and_then(Root::policy) else {
                continue;
            };
            let Some(span_id) = context.span_id_if_kept(policy.rules()) else { continue };
            context.set_shown();
            if is_inbound(host, (ticking, id), policy.span_kind)
                && let Some(began) = began(host, (ticking, id))
            {
                parents::note(host, Inbound { trace_id, span_id, began, ended: u64::MAX });
            }
        }
    }

    /// Queues the calls whose place is known by now, or that would wait for too long by the next tick.
    pub(super) fn tick(&mut self, host: &impl Host, pod: Pod, now: u64, metrics: &mut Metrics, queue: &mut Queue<'_>) {
        if self.waiting.is_empty() {
            return;
        }
        let next_tick = now.saturating_add(pod.tick_nanos).max(now.saturating_add(1));
        let mut at = 0;
        while let Some(Waiting { call, ready_at, give_up_at, .. }) = self.waiting.get(at) {
            let (is_ready, is_last) = (*ready_at < now, *give_up_at < next_tick);
            let judged = parents::judge(host, call);
            let decided = match judged {
                Judged::Only(_) => is_ready || is_last,
                Judged::Several => true,
                Judged::Unknown => is_last,
            };
            if decided {
                let waiting = self.waiting.remove(at);
                self.bytes = self.bytes.saturating_sub(waiting.bytes);
                settle(waiting, judged, metrics, queue);
            } else {
                at = at.saturating_add(1);
            }
        }
    }

    /// The clock was set back, to `now`: nothing waits for a time of before.
    pub(super) fn set_back(&mut self, pod: Pod, now: u64) {
        let (ready_at, give_up_at) = times(now, pod);
        self.recent.set_back(now.saturating_add(HOLD_NANOS));
        for waiting in &mut self.waiting {
            waiting.ready_at = waiting.ready_at.min(ready_at);
            waiting.give_up_at = waiting.give_up_at.min(give_up_at);
        }
    }

    /// The last root of this VM ends: what waits goes out with the parent that it has.
    pub(super) fn close(&mut self, metrics: &mut Metrics, queue: &mut Queue<'_>) {
        self.bytes = 0;
        while let Some(waiting) = self.waiting.pop() {
            settle(waiting, Judged::Unknown, metrics, queue);
        }
    }
}

/// Queues a call with the parent that it turned out to have.
#[inline(never)] // As above.
fn settle(mut waiting: Waiting, judged: Judged, metrics: &mut Metrics, queue: &mut Queue<'_>) {
    match judged {
        Judged::Only(ancestor) if ancestor == waiting.call.parent_id => {}
        Judged::Only(ancestor) => {
            waiting.held.move_below(ancestor);
            metrics.count(Metric::ParentsFound);
        }
        Judged::Several => metrics.count(Metric::ParentsAmbiguous),
        Judged::Unknown => metrics.count(Metric::ParentsUnknown),
    }
    queue(&waiting.held, waiting.calls);
}

/// From when on one candidate is enough, and when none is expected any more.
fn times(now: u64, pod: Pod) -> (u64, u64) {
    (now.saturating_add(pod.tick_nanos), now.saturating_add(WAIT_NANOS))
}

fn is_inbound(host: &impl Host, (ticking, stream): (u32, u32), kind: KindSetting) -> bool {
    let direction = match kind {
        KindSetting::Auto => host.number_of(ticking, stream, Attribute::ListenerDirection),
        KindSetting::Server | KindSetting::Client | KindSetting::Both => None,
    };
    let direction = direction.map_or(ListenerDirection::Unspecified, ListenerDirection::from_property);
    kind.kinds(direction) != Kinds::One(SpanKind::Client)
}

/// Unix nanoseconds.
fn began(host: &impl Host, (ticking, stream): (u32, u32)) -> Option<u64> {
    u64::try_from(host.number_of(ticking, stream, Attribute::StartTime)?).ok()
}
