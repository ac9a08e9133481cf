//! Recall in this worker: what it holds, what it learns from the upgrade log, and whom it asks.
//!
//! The worker's, not a root's: the two listeners of a pod hold different sides of one trace. Whichever root ticks does the work.

use std::sync::Arc;

use crate::door::{Host, Level, Refused};
use crate::request::Held;
use crate::shared::{CallAnswer, Tokens};
use crate::telemetry::{Metric, Metrics};
use crate::trace_context::TraceId;
use crate::upgrade::recall::log::News;
use crate::upgrade::recall::wire::{self, Reply};
use crate::upgrade::recall::{Ask, Asks, Fate, Pending, PendingCounts, RecentTraces, Shown};
use crate::upgrade::{Calls, RecallPolicy, Trigger};

const MILLISECOND: u64 = 1_000_000;
/// A tick is no rarer than this while recall is on: each hop of a recall waits for one.
const TICK_MS: std::ops::RangeInclusive<u64> = 100..=250;

/// All of it. Empty, and free of charge, while recall is off.
#[derive(Default)]
pub(super) struct Recall {
    pending: Pending<Box<Held>>,
    recent: RecentTraces,
    shown: Shown,
    asks: Asks<Box<Held>>,
    /// Requests whose answer is awaited.
    calls: Tokens<u64>,
    /// A problem was logged, and no request has succeeded since.
    failing: bool,
    published: PendingCounts,
    published_spans: i64,
    published_bytes: i64,
}

/// Takes a span with its ledger. Not generic: one copy of all this in the module.
pub(super) type Offer<'a> = dyn FnMut(Box<Held>, Option<Calls>) + 'a;

impl Recall {
    /// How often the root ticks, in milliseconds: a quarter of the hold time, within bounds.
    pub(super) fn tick_ms(policy: &RecallPolicy) -> u64 {
        (policy.hold_ms / 4).clamp(*TICK_MS.start(), *TICK_MS.end())
    }

    /// Whether the trace was upgraded in this process a moment ago.
    pub(super) fn is_recent(&self, trace_id: TraceId) -> bool {
        self.recent.contains(trace_id)
    }

    /// Holds a dropped stream.
    pub(super) fn hold(&mut self, mut held: Box<Held>) {
        held.compact();
        self.learn(&held);
        let policy = &held.policy.upgrade.recall;
        let expires = held.ended().saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        let room = policy.max_bytes.saturating_sub(self.asks.bytes());
        let bytes = held.bytes();
        self.pending.hold(held.trace_id(), held, bytes, expires, room);
    }

    /// Remembers the instance of a call whose answer bore our mark.
    fn learn(&mut self, held: &Held) {
        if held.is_marked()
            && held.policy.upgrade.recall.enabled
            && let Some(address) = held.destination()
        {
            self.shown.insert(address, held.ended());
        }
    }

    /// The instance of a call, if it may be asked: it has shown the filter or its cluster is listed, and there is a cluster to
    /// ask through over the transport that the call used. What is not asked is counted.
    fn whom_to_ask(&self, held: &Held, now: u64, metrics: &mut Metrics) -> Option<Arc<str>> {
        let policy = &held.policy.upgrade.recall;
        if !policy.enabled {
            return None;
        }
        let Some(address) = held.destination() else {
            metrics.count(Metric::CallsUnasked);
            return None;
        };
        let known = self.shown.contains(address, now) || policy.lists(held.cluster());
        if !known || policy.through.cluster(held.is_tls()).is_none() {
            metrics.count(Metric::RecallWithheld);
            return None;
        }
        Some(Arc::from(address))
    }

    /// Exports a kept stream: at once, or, where only recall can tell what became of its call, when that is known.
    pub(super) fn keep(&mut self, host: &impl Host, mut held: Box<Held>, metrics: &mut Metrics, offer: &mut Offer<'_>) {
        let Some(call) = held.call() else { return offer(held, None) };
        self.learn(&held);
        if let Some(calls) = Calls::of_call(call) {
            return offer(held, Some(calls));
        }
        let now = host.now();
        let Some(destination) = self.whom_to_ask(&held, now, metrics) else {
            return offer(held, Some(Calls::decided(Fate::Lost)));
        };
        let policy = Arc::clone(&held.policy);
        let policy = &policy.upgrade.recall;
        held.compact();
        let bytes = held.bytes();
        let room = policy.max_bytes.saturating_sub(self.asks.bytes());
        let hold = policy.hold_ms.saturating_mul(MILLISECOND);
        let fits = bytes <= room;
        let mut ask = Ask {
            trace_id: held.trace_id(),
            destination,
            tls: held.is_tls(),
            give_up_at: now.saturating_add(hold),
            bytes: 0,
            item: None,
        };
        if fits {
            self.pending.shrink(room.saturating_sub(bytes));
            (ask.bytes, ask.item) = (bytes, Some(held));
        } else {
            offer(held, Some(Calls::decided(Fate::Lost)));
        }
        if let Err(Ask { item, .. }) = self.asks.add(ask) {
            metrics.count(Metric::CallsUnasked);
            if let Some(held) = item {
                offer(held, Some(Calls::decided(Fate::Lost)));
            }
        }
    }

    /// Lets go of what was held for long enough, and asks whom it must. The ticking root's context is in effect.
    pub(super) fn tick(
        &mut self,
        host: &impl Host,
        policy: &RecallPolicy,
        now: u64,
        metrics: &mut Metrics,
        offer: &mut Offer<'_>,
    ) {
        if self.is_idle(policy) {
            return;
        }
        self.pending.expire(now);
        self.recent.expire(now);
        // What would be held for too long by the next tick is not held until then.
        let next_tick = now.saturating_add(Self::tick_ms(policy).saturating_mul(MILLISECOND));
        self.asks.expire(now, next_tick, &mut |held, fate| decided(held, fate, metrics, offer));
        if policy.enabled {
            self.ask(host, policy, now, metrics);
        }
        self.publish(metrics);
    }

    /// Nothing is held, and nothing will be.
    fn is_idle(&self, policy: &RecallPolicy) -> bool {
        !policy.enabled && self.published_bytes == 0
    }

    /// Nothing waits for a time of before the clock was set back.
    pub(super) fn set_back(&mut self, policy: &RecallPolicy, now: u64, metrics: &mut Metrics) {
        if self.is_idle(policy) {
            return;
        }
        metrics.count(Metric::RecallClockSetBack);
        let latest = now.saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        self.pending.set_back(latest);
        self.recent.set_back(latest);
        self.shown.set_back(now);
        self.asks.set_back(now, latest);
    }

    /// Gives up what the log has named since the last look.
    pub(super) fn release(
        &mut self,
        host: &impl Host,
        (policy, news): (&RecallPolicy, &News),
        now: u64,
        metrics: &mut Metrics,
        offer: &mut Offer<'_>,
    ) {
        if !policy.enabled {
            return;
        }
        metrics.add_count(Metric::RecallMissed, news.missed);
        if news.traces.is_empty() {
            return;
        }
        let expires = now.saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        for trace_id in &news.traces {
            self.recent.insert(*trace_id, expires);
        }
        let recent = &self.recent;
        for held in self.pending.take(|trace_id| recent.contains(trace_id)) {
            metrics.count(Trigger::Recall.metric());
            self.keep(host, held, metrics, offer);
        }
    }

    fn ask(&mut self, host: &impl Host, policy: &RecallPolicy, now: u64, metrics: &mut Metrics) {
        while let Some(request) = self.asks.poll(now) {
            // The root that ticks may have another configuration than the one that the call was made under.
            let Some(cluster) = policy.through.cluster(request.tls) else {
                self.asks.answered(request.id, Reply::Again, now, &mut |_, _| {});
                continue;
            };
            let headers = wire::request(&request.destination, policy.token(), &request.traces, now);
            let headers = headers.each_ref().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            metrics.count(Metric::RecallSent);
            match host.call(cluster, &headers, &[], request.timeout_ms) {
                Ok(token) => self.calls.add(token, request.id),
                Err(Refused(status)) => {
                    // Nothing is decided by a request that is to be repeated.
                    self.asks.answered(request.id, Reply::Again, now, &mut |_, _| {});
                    let problem = format!(
                        "Envoy did not send it, status {status}. Check that it has an ORIGINAL_DST cluster named {cluster}, as \
                         upgrade.recall.cluster or .tls_cluster says."
                    );
                    self.complain(host, &problem);
                }
            }
        }
    }

    /// Whether the token is that of one of our requests.
    pub(super) fn awaits(&self, token: u32) -> bool {
        self.calls.awaits(token)
    }

    /// The answer to one of our requests.
    pub(super) fn answered(
        &mut self,
        host: &impl Host,
        token: u32,
        answer: &CallAnswer,
        metrics: &mut Metrics,
        offer: &mut Offer<'_>,
    ) {
        let Some(id) = self.calls.take(token) else { return };
        let reply = Reply::read(answer.status, answer.header(wire::HEADER));
        match reply {
            Reply::Refused => {
                let problem = match answer.status {
                    Some(403) => {
                        "the instance denies it. Check upgrade.recall.token, .peers and .addresses on both sides, and that \
                         their clocks are less than a minute apart."
                    }
                    _ => {
                        "the instance speaks another version of recall. Spans there are lost until both are of one \
                         version."
                    }
                };
                self.complain(host, problem);
            }
            Reply::Done => self.failing = false,
            Reply::NoFilter | Reply::Again => {}
        }
        self.asks.answered(id, reply, host.now(), &mut |held, fate| decided(held, fate, metrics, offer));
    }

    /// The last root of this VM ends: nobody will be there for an answer.
    pub(super) fn close(&mut self, metrics: &mut Metrics, offer: &mut Offer<'_>) {
        self.asks.close(&mut |held, fate| decided(held, fate, metrics, offer));
        self.pending = Pending::default();
        self.publish(metrics);
    }

    /// Logs the first problem of an episode.
    fn complain(&mut self, host: &impl Host, problem: &str) {
        if !self.failing {
            self.failing = true;
            host.log(Level::Warn, &["tracelift: recall failed: ", problem].concat());
        }
    }

    fn publish(&mut self, metrics: &mut Metrics) {
        let (now, before) = (self.pending.counts(), self.published);
        for (metric, now, before) in [
            (Metric::RecallHeld, now.held, before.held),
            (Metric::RecallEvicted, now.evicted, before.evicted),
            (Metric::RecallExpired, now.expired, before.expired),
            (Metric::RecallReleased, now.taken, before.taken),
            (Metric::RecallGivenUp, now.taken, before.taken),
        ] {
            metrics.add_count(metric, now.saturating_sub(before));
        }
        self.published = now;
        let spans = i64::try_from(self.pending.len()).unwrap_or(i64::MAX);
        let bytes = i64::try_from(self.pending.bytes().saturating_add(self.asks.bytes())).unwrap_or(i64::MAX);
        metrics.add(Metric::RecallSpans, spans.saturating_sub(self.published_spans));
        metrics.add(Metric::RecallBytes, bytes.saturating_sub(self.published_bytes));
        (self.published_spans, self.published_bytes) = (spans, bytes);
    }
}

fn decided(held: Option<Box<Held>>, fate: Fate, metrics: &mut Metrics, offer: &mut Offer<'_>) {
    metrics.count(match fate {
        Fate::Answered => Metric::CallsAnswered,
        Fate::Outside => Metric::CallsOutside,
        Fate::Lost => Metric::CallsLost,
    });
    if let Some(held) = held {
        offer(held, Some(Calls::decided(fate)));
    }
}
