//! Recall in this VM: what it holds, what it learns from the upgrade log, and whom it asks.
//!
//! The VM's, not a root's: the two listeners of a pod hold different sides of one trace. Whichever root ticks does the work.

use std::rc::Rc;

use super::abi::{Level, Map};
use super::facts::Facts;
use super::host;
use super::metrics::Metrics;
use super::pairs::{self, Pairs};
use super::root::Active;
use crate::stream::Keep;
use crate::telemetry::Metric;
use crate::trace_context::TraceId;
use crate::upgrade::recall::log::{self, Reader};
use crate::upgrade::recall::wire::{self, Reply};
use crate::upgrade::recall::{Ask, Asks, Fate, Pending, PendingCounts, RecentTraces};
use crate::upgrade::{CallFacts, Calls, RecallPolicy};

/// The number is the version of the layout: another layout is another key.
const LOG: &[u8] = b"tracelift.upgrades.1";
/// Attempts against other workers.
const TRIES: usize = 16;
const MILLISECOND: u64 = 1_000_000;
/// The roots of a VM tick together; one look at the log does for all of them.
const LOOK_APART_NANOS: u64 = 50 * MILLISECOND;
/// A tick is no rarer than this while recall is on: each hop of a recall waits for one.
const TICK_MS: std::ops::RangeInclusive<u64> = 100..=250;

/// A stream that has ended, with all that its span will say.
pub struct Held {
    /// The root that it ran under.
    pub root: u32,
    pub active: Rc<Active>,
    pub keep: Keep,
    pub facts: Facts,
}

impl Held {
    /// What the stream saw of its own call; `None` for the side that was called.
    fn call(&self) -> Option<CallFacts> {
        self.facts.is_call().then(|| self.facts.call(&self.keep))
    }

    /// With the box, and its place in a ring or a list.
    fn bytes(&self) -> usize {
        const PLACE: usize = 64;
        std::mem::size_of::<Self>().saturating_add(PLACE).saturating_add(self.facts.bytes())
    }
}

/// All of it. Empty, and free of charge, while recall is off.
#[derive(Default)]
pub struct Recall {
    pending: Pending<Box<Held>>,
    recent: RecentTraces,
    reader: Option<Reader>,
    looked_at: u64,
    asks: Asks<Box<Held>>,
    /// Requests whose answer is awaited, by the host's token.
    calls: Vec<(u32, u64)>,
    /// A problem was logged, and no request has succeeded since.
    failing: bool,
    published: PendingCounts,
    published_spans: i64,
    published_bytes: i64,
}

/// Takes a span with its ledger. Not generic: one copy of all this in the module.
pub type Offer<'a> = dyn FnMut(&Held, Option<Calls>) + 'a;

impl Recall {
    /// How often the root ticks, in milliseconds: a quarter of the hold time, within bounds.
    pub fn tick_ms(policy: &RecallPolicy) -> u64 {
        (policy.hold_ms / 4).clamp(*TICK_MS.start(), *TICK_MS.end())
    }

    /// A configuration with recall was taken up. The log exists from now on, so that its first writers meet by
    /// compare-and-swap; the main thread comes before any worker.
    pub fn start(&mut self) {
        if self.reader.is_none()
            && let Ok(log) = host::shared(LOG)
        {
            let log = log.map(|(log, _)| log);
            if log.is_none() {
                let _ = host::set_shared(LOG, &0_u64.to_be_bytes(), 0);
            }
            self.reader = Some(Reader::at_end_of(&log.unwrap_or_default()));
        }
    }

    /// Whether the trace was upgraded in this process a moment ago.
    pub fn is_recent(&self, trace_id: TraceId) -> bool {
        self.recent.contains(trace_id)
    }

    /// Holds a dropped stream.
    pub fn hold(&mut self, mut held: Box<Held>) {
        held.facts.compact(&held.active);
        let policy = &held.active.policy.upgrade.recall;
        let expires = held.facts.ended().saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        let room = policy.max_bytes.saturating_sub(self.asks.bytes());
        let bytes = held.bytes();
        self.pending.hold(held.keep.trace_id, held, bytes, expires, room);
    }

    /// Exports a kept stream: at once, or, where only recall can tell what became of its call, when that is known.
    pub fn keep(&mut self, mut held: Box<Held>, offer: &mut Offer<'_>) {
        let Some(call) = held.call() else { return offer(&held, None) };
        if let Some(calls) = Calls::of_call(call) {
            return offer(&held, Some(calls));
        }
        let policy = &held.active.policy.upgrade.recall;
        let Some(destination) = held.facts.destination().filter(|_| policy.enabled) else {
            return offer(&held, Some(Calls::decided(Fate::Lost)));
        };
        held.facts.compact(&held.active);
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
            trace_id: held.keep.trace_id,
            destination,
            give_up_at: host::now().saturating_add(hold),
            bytes: if fits { bytes } else { 0 },
            item: fits.then_some(held),
        };
        if let Err(Ask { item: Some(held), .. }) = self.asks.add(ask) {
            offer(&held, Some(Calls::decided(Fate::Lost)));
        }
    }

    /// Looks at the log, gives up what it names, asks whom it must. The ticking root's context is in effect.
    pub fn tick(&mut self, active: &Active, now: u64, metrics: &mut Metrics, offer: &mut Offer<'_>) {
        let policy = &active.policy.upgrade.recall;
        if !policy.enabled && self.published_bytes == 0 {
            return; // Nothing is held, and nothing will be.
        }
        if policy.enabled && LOOK_APART_NANOS <= now.saturating_sub(self.looked_at) {
            self.looked_at = now;
            self.look(policy, now, metrics, offer);
        }
        self.pending.expire(now);
        self.recent.expire(now);
        self.asks.expire(now, &mut |held, fate| decided(held, fate, metrics, offer));
        if policy.enabled {
            self.ask(policy, now, metrics);
        }
        self.publish(metrics);
    }

    fn look(&mut self, policy: &RecallPolicy, now: u64, metrics: &mut Metrics, offer: &mut Offer<'_>) {
        let (Ok(Some((log, _))), Some(reader)) = (host::shared(LOG), &mut self.reader) else { return };
        let news = reader.read(&log);
        metrics.add(Metric::RecallMissed, i64::try_from(news.missed).unwrap_or(i64::MAX));
        if news.traces.is_empty() {
            return;
        }
        let expires = now.saturating_add(policy.hold_ms.saturating_mul(MILLISECOND));
        for trace_id in news.traces {
            self.recent.insert(trace_id, expires);
        }
        let recent = &self.recent;
        for held in self.pending.take(|trace_id| recent.contains(trace_id)) {
            metrics.count(Metric::UpgradedByRecall);
            self.keep(held, offer);
        }
    }

    fn ask(&mut self, policy: &RecallPolicy, now: u64, metrics: &mut Metrics) {
        while let Some(request) = self.asks.poll(now) {
            let headers = pairs::encode_texts(&wire::request(&request.destination, &policy.token, &request.traces));
            metrics.count(Metric::RecallSent);
            match host::http_call(&policy.cluster, &headers, &[], request.timeout_ms) {
                Ok(token) => self.calls.push((token, request.id)),
                Err(status) => {
                    // Nothing is decided by a request that is to be repeated.
                    self.asks.answered(request.id, Reply::Again, now, &mut |_, _| {});
                    self.complain(&format!(
                        "Envoy did not send it, status {}. Check that it has an ORIGINAL_DST cluster of the name in \
                         upgrade.recall.cluster.",
                        status.0
                    ));
                }
            }
        }
    }

    /// The answer to one of our requests; `false` when that token is none of them.
    pub fn answered(&mut self, token: u32, has_headers: bool, metrics: &mut Metrics, offer: &mut Offer<'_>) -> bool {
        let Some(call) = self.calls.iter().position(|(known, _)| *known == token) else { return false };
        let (_, id) = self.calls.swap_remove(call);
        let bytes = host::map_bytes(Map::CalloutHeaders).unwrap_or_default();
        let header = |name: &str| Pairs::new(&bytes).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value);
        let status = header(":status").filter(|_| has_headers).and_then(super::facts::decimal);
        let reply = Reply::read(status, header(wire::HEADER));
        match reply {
            Reply::Refused => self.complain(match status {
                Some(403) => "the instance denies it. Check upgrade.recall.token and .peers on both sides.",
                _ => {
                    "the instance speaks another version of recall. Spans there are lost until both are of one version."
                }
            }),
            Reply::Done => self.failing = false,
            Reply::NoFilter | Reply::Again => {}
        }
        self.asks.answered(id, reply, host::now(), &mut |held, fate| decided(held, fate, metrics, offer));
        true
    }

    /// The last root of this VM ends: nobody will be there for an answer.
    pub fn close(&mut self, metrics: &mut Metrics, offer: &mut Offer<'_>) {
        self.asks.close(&mut |held, fate| decided(held, fate, metrics, offer));
        self.pending = Pending::default();
        self.publish(metrics);
    }

    /// Logs the first problem of an episode.
    fn complain(&mut self, problem: &str) {
        if !self.failing {
            self.failing = true;
            host::log(Level::Warn, &["tracelift: recall failed: ", problem].concat());
        }
    }

    fn publish(&mut self, metrics: &mut Metrics) {
        let (now, before) = (self.pending.counts(), self.published);
        for (metric, now, before) in [
            (Metric::RecallHeld, now.held, before.held),
            (Metric::RecallEvicted, now.evicted, before.evicted),
            (Metric::RecallExpired, now.expired, before.expired),
            (Metric::RecallGivenUp, now.taken, before.taken),
        ] {
            metrics.add(metric, i64::try_from(now.saturating_sub(before)).unwrap_or(i64::MAX));
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

/// Tells every VM of this process that the trace was upgraded here for the first time.
pub fn announce(trace_id: TraceId, metrics: &mut Metrics) {
    for _ in 0..TRIES {
        let Ok(found) = host::shared(LOG) else { break };
        let (log, cas) = found.unwrap_or_default();
        match host::set_shared(LOG, &log::append(&log, trace_id), cas) {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => break,
        }
    }
    metrics.count(Metric::RecallMissed);
}
