//! Recall in this worker: what it holds, what it learns from the upgrade log, and whom it asks.
//!
//! The worker's, not a root's: the two listeners of a pod hold different sides of one trace. Whichever root ticks does the work.

use std::sync::Arc;

use crate::door::{Host, Level, Refused};
use crate::request::Held;
use crate::shared::{CallAnswer, Tokens, upgrade_log};
use crate::telemetry::{Metric, Metrics};
use crate::trace_context::TraceId;
use crate::upgrade::recall::log::Reader;
use crate::upgrade::recall::wire::{self, Reply};
use crate::upgrade::recall::{Ask, Asks, Fate, Pending, PendingCounts, RecentTraces};
use crate::upgrade::{Calls, RecallPolicy, Trigger};

const MILLISECOND: u64 = 1_000_000;
/// The roots of a VM tick together; one look at the log does for all of them.
const LOOK_APART_NANOS: u64 = 50 * MILLISECOND;
/// A tick is no rarer than this while recall is on: each hop of a recall waits for one.
const TICK_MS: std::ops::RangeInclusive<u64> = 100..=250;

/// All of it. Empty, and free of charge, while recall is off.
#[derive(Default)]
pub(super) struct Recall {
    pending: Pending<Box<Held>>,
    recent: RecentTraces,
    reader: Option<Reader>,
    looked_at: u64,
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
pub(super) type Offer<'a> = dyn FnMut(&Held, Option<Calls>) + 'a;

impl Recall {
    /// How often the root ticks, in milliseconds: a quarter of the hold time, within bounds.
    pub(super) fn tick_ms(policy: &RecallPolicy) -> u64 {
        (policy.hold_ms / 4).clamp(*TICK_MS.start(), *TICK_MS.end())
    }

    /// A configuration with recall was taken up.
    pub(super) fn start(&mut self, host: &impl Host) {
        if self.reader.is_none() {
            self.reader = upgrade_log::open(host);
        }
    }

    /// Whether the trace was upgraded in this process a moment ago.
    pub(super) fn is_recent(&self, trace_id: TraceId) -> bool {
        self.recent.contains(trace_id)
    }

    /// Holds a dropped stream.
    pub(super) fn hold(&mut self, mut held: Box<Held>) {
        held.compact();
        let policy = &held.policy.upgrade.recall;
        let expires = held.ended().saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        let room = policy.max_bytes.saturating_sub(self.asks.bytes());
        let bytes = held.bytes();
        self.pending.hold(held.trace_id(), held, bytes, expires, room);
    }

    /// Exports a kept stream: at once, or, where only recall can tell what became of its call, when that is known.
    pub(super) fn keep(&mut self, host: &impl Host, mut held: Box<Held>, offer: &mut Offer<'_>) {
        let Some(call) = held.call() else { return offer(&held, None) };
        if let Some(calls) = Calls::of_call(call) {
            return offer(&held, Some(calls));
        }
        let policy = Arc::clone(&held.policy);
        let policy = &policy.upgrade.recall;
        let Some(destination) = held.destination().filter(|_| policy.enabled) else {
            return offer(&held, Some(Calls::decided(Fate::Lost)));
        };
        held.compact();
        let bytes = held.bytes();
        let room = policy.max_bytes.saturating_sub(self.asks.bytes());
        let hold = policy.hold_ms.saturating_mul(MILLISECOND);
        let fits = bytes <= room;
        if fits {
            self.pending.shrink(room.saturating_sub(bytes));
        } else {
            offer(&held, Some(Calls::decided(Fate::Lost)));
        }
        let ask = Ask {
            trace_id: held.trace_id(),
            destination,
            give_up_at: host.now().saturating_add(hold),
            bytes: if fits { bytes } else { 0 },
            item: fits.then_some(held),
        };
        if let Err(Ask { item: Some(held), .. }) = self.asks.add(ask) {
            offer(&held, Some(Calls::decided(Fate::Lost)));
        }
    }

    /// Looks at the log, gives up what it names, asks whom it must. The ticking root's context is in effect.
    pub(super) fn tick(
        &mut self,
        host: &impl Host,
        policy: &RecallPolicy,
        now: u64,
        metrics: &mut Metrics,
        offer: &mut Offer<'_>,
    ) {
        if !policy.enabled && self.published_bytes == 0 {
            return; // Nothing is held, and nothing will be.
        }
        if policy.enabled && LOOK_APART_NANOS <= now.saturating_sub(self.looked_at) {
            self.looked_at = now;
            self.look(host, policy, now, metrics, offer);
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

    fn look(
        &mut self,
        host: &impl Host,
        policy: &RecallPolicy,
        now: u64,
        metrics: &mut Metrics,
        offer: &mut Offer<'_>,
    ) {
        let Some(news) = self.reader.as_mut().and_then(|reader| upgrade_log::read(host, reader)) else { return };
        metrics.add_count(Metric::RecallMissed, news.missed);
        if news.traces.is_empty() {
            return;
        }
        let expires = now.saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        for trace_id in news.traces {
            self.recent.insert(trace_id, expires);
        }
        let recent = &self.recent;
        for held in self.pending.take(|trace_id| recent.contains(trace_id)) {
            metrics.count(Trigger::Recall.metric());
            self.keep(host, held, offer);
        }
    }

    fn ask(&mut self, host: &impl Host, policy: &RecallPolicy, now: u64, metrics: &mut Metrics) {
        while let Some(request) = self.asks.poll(now) {
            let headers = wire::request(&request.destination, &policy.token, &request.traces);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            metrics.count(Metric::RecallSent);
            match host.call(&policy.cluster, &headers, &[], request.timeout_ms) {
                Ok(token) => self.calls.add(token, request.id),
                Err(Refused(status)) => {
                    // Nothing is decided by a request that is to be repeated.
                    self.asks.answered(request.id, Reply::Again, now, &mut |_, _| {});
                    let problem = format!(
                        "Envoy did not send it, status {status}. Check that it has an ORIGINAL_DST cluster of the name in \
                         upgrade.recall.cluster."
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
                    Some(403) => "the instance denies it. Check upgrade.recall.token and .peers on both sides.",
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
        offer(&held, Some(Calls::decided(fate)));
    }
}
