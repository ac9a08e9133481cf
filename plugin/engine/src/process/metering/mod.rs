//! Request metrics of one root: label sets admitted, counts shared, and, where this root holds the lease, summed and exported.

mod draft;
mod export;
mod retired;
mod trouble;

use std::sync::Arc;

use export::Export;
pub(super) use retired::Retired;

use crate::door::{Host, Update};
use crate::json::Named;
use crate::metrics::{self, Exemplars, Recorder, slot};
use crate::otlp::{self, Envelope};
use crate::shared::measurements::{self, Shared};
use crate::shared::{CallAnswer, Entropy};
use crate::span::Resource;
use crate::telemetry::{Metric, Metrics};

const MILLISECOND: u64 = 1_000_000;
/// Counts are shared at least this often, in milliseconds: what a VM that dies takes along.
const SHARE_MS: u64 = 10_000;
/// Parts of an export's interval after which counts are shared.
const SHARES: u64 = 6;
/// Series that are admitted, and whose counts are added to the shared ones, in one tick: a request may be waiting.
const SERIES_AT_ONCE: usize = 32;
/// Writes at the end of a root at most.
const LAST_WRITES: usize = 256;

/// What a tick does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meter {
    /// Counts are shared; another worker of the process exports them.
    Share,
    /// The same, and they are exported by the root that holds the lease.
    ShareAndExport,
}

/// Why everything is shared and sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The process may end; the root stays.
    Farewell,
    /// The root ends, and another one of its worker works on.
    Replaced,
    /// The root ends, and none works on.
    Last,
}

/// The metrics of one root.
pub(super) struct Metering {
    settings: Arc<metrics::Settings>,
    identity: u64,
    shared: Shared,
    export: Export,
    /// Names this root in the lease, and says which slot is its own; never 0.
    me: u64,
    /// Unix milliseconds of its beginning.
    began: u64,
    /// Unix milliseconds of the last time that nothing was left to share.
    shared_at: u64,
    /// Something was shared: before that, each tick looks, so that the first export need not wait.
    has_shared: bool,
    leads: bool,
}

impl Metering {
    /// Opens what the process shares; the main thread does so before any worker.
    pub(super) fn open(
        host: &impl Host,
        (settings, export): (&Arc<metrics::Settings>, &otlp::Settings),
        resource: &Resource,
        keeps_instance: bool,
        entropy: &mut Entropy,
    ) -> Self {
        let identity = identity(settings, export, &Envelope::new(resource));
        let now = host.now();
        let shared = Shared::open(host, identity, now);
        let resource = match keeps_instance {
            true => resource.clone(),
            false => resource.clone().with_instance(&measurements::instance(host, identity, entropy)),
        };
        Self {
            export: Export::new(Arc::clone(settings), export.clone(), &resource),
            identity,
            settings: Arc::clone(settings),
            shared,
            me: entropy.next_u64(host) | 1,
            began: now / MILLISECOND,
            shared_at: 0,
            has_shared: false,
            leads: false,
        }
    }

    /// Whether a new configuration counts the same into the same.
    pub(super) fn is_for(
        &self,
        (settings, export): (&Arc<metrics::Settings>, &otlp::Settings),
        resource: &Resource,
    ) -> bool {
        self.identity == identity(settings, export, &Envelope::new(resource))
    }

    /// Does what is due.
    pub(super) fn tick(
        &mut self,
        host: &impl Host,
        what: Meter,
        (recorder, exemplars): (&mut Recorder, &mut Exemplars),
        metrics: &mut Metrics,
    ) {
        let now = host.now() / MILLISECOND;
        self.admit(host, recorder, SERIES_AT_ONCE, metrics);
        if recorder.is_importing() {
            recorder.import(&self.shared.dictionary(host), SERIES_AT_ONCE);
        }
        let apart = (self.settings.interval_ms / SHARES).min(SHARE_MS);
        let waited = now.checked_sub(self.shared_at).is_none_or(|waited| apart <= waited);
        if waited {
            self.has_shared |= self.share(host, recorder);
            if self.has_shared && !recorder.has_changes() {
                self.shared_at = now;
            }
            self.show(host, exemplars);
        }
        if what == Meter::ShareAndExport {
            self.lead(host, recorder.serves(), now, metrics);
        }
    }

    /// Has new label sets admitted, so many at most; until then their counts stay here.
    fn admit(&mut self, host: &impl Host, recorder: &mut Recorder, most: usize, metrics: &mut Metrics) {
        let waiting = recorder.take_waiting(most);
        if !waiting.is_empty() {
            match self.shared.admit(host, &waiting, self.settings.max_series) {
                Some(admission) => recorder.settle(waiting, &admission),
                None => recorder.put_back(waiting),
            }
        }
        metrics.add_count(Metric::MetricsOverflowed, recorder.take_overflowed());
    }

    /// Adds counts to those that are shared; `false` if there were none, or if that was not possible.
    fn share(&mut self, host: &impl Host, recorder: &mut Recorder) -> bool {
        let changed = recorder.changed(SERIES_AT_ONCE);
        if changed.is_empty() {
            return false;
        }
        let update = self.shared.add(host, self.me, |slot| slot::add(slot, recorder.pending(&changed)));
        if update == Update::Changed {
            recorder.shared(&changed);
        }
        update == Update::Changed
    }

    /// Passes on what points may show.
    fn show(&self, host: &impl Host, exemplars: &mut Exemplars) {
        if !exemplars.is_empty() && self.shared.show(host, self.me, exemplars) {
            exemplars.take();
        }
    }

    fn lead(&mut self, host: &impl Host, serves: bool, now: u64, metrics: &mut Metrics) {
        if self.holds_lease(host, serves, now, metrics) {
            self.export.step(host, &self.shared, serves, metrics);
        }
    }

    /// Whether this root is the one that exports; it takes a lease that it may take.
    fn holds_lease(&mut self, host: &impl Host, serves: bool, now: u64, metrics: &mut Metrics) -> bool {
        let Some((lease, mark)) = self.shared.lease(host) else { return false };
        let holds = match lease.next(self.me, now, serves, self.began) {
            Some(next) => self.shared.hold(host, next, mark),
            None => lease.is_held_by(self.me, now),
        };
        match (holds, std::mem::replace(&mut self.leads, holds)) {
            (true, false) => self.export.begin(host.now()),
            (false, _) => self.export.stop(metrics),
            (true, true) => {}
        }
        holds
    }

    /// Whether this is the token of our call.
    pub(super) fn awaits(&self, token: u32) -> bool {
        self.export.awaits(token)
    }

    /// Whether an answer is awaited.
    pub(super) fn is_awaiting(&self) -> bool {
        self.export.is_awaiting()
    }

    /// The answer to our call came, or its absence.
    pub(super) fn answered(&mut self, host: &impl Host, answer: &CallAnswer, metrics: &mut Metrics) {
        self.export.answered(host, &self.shared, answer, metrics);
    }

    /// Shares everything, and sends it where this root is the one that does.
    pub(super) fn flush(
        &mut self,
        host: &impl Host,
        occasion: Occasion,
        (recorder, exemplars): (&mut Recorder, &mut Exemplars),
        metrics: &mut Metrics,
    ) {
        self.admit(host, recorder, usize::MAX, metrics);
        let mut has_news = false;
        for _ in 0..LAST_WRITES {
            if !self.share(host, recorder) {
                break;
            }
            has_news = true;
        }
        self.show(host, exemplars);
        let may_lead = match occasion {
            Occasion::Farewell => !recorder.serves(),
            Occasion::Replaced => false,
            Occasion::Last => !recorder.serves() || has_news, // Nobody else may export it.
        };
        if self.leads || may_lead {
            self.finish(host, occasion, metrics);
        }
    }

    /// Sends everything that is shared, where the lease can be had. If the root ends, another may have it from now on.
    fn finish(&mut self, host: &impl Host, occasion: Occasion, metrics: &mut Metrics) {
        let now = host.now() / MILLISECOND;
        if !self.holds_lease(host, false, now, metrics) {
            return;
        }
        self.export.finish(host, &self.shared, metrics);
        if occasion == Occasion::Farewell {
            return;
        }
        self.export.stop(metrics);
        self.leads = false;
        let lease = self.shared.lease(host).filter(|(lease, _)| lease.is_held_by(self.me, now));
        if let Some((lease, mark)) = lease {
            self.shared.hold(host, lease.given_up(), mark);
        }
    }
}

/// What tells one set of metrics from another: roots with the same count together. It is configuration, not what a client chose.
fn identity(settings: &metrics::Settings, export: &otlp::Settings, envelope: &Envelope) -> u64 {
    let texts = [
        settings.temporality.name(),
        settings.histogram.name(),
        &settings.namespace,
        &settings.path,
        settings.route_header.as_deref().unwrap_or_default(),
        export.protocol.name(),
        &export.cluster,
        &export.authority,
    ];
    let mut identity = measurements::hash(settings.interval_ms, envelope.resource());
    identity = measurements::hash(identity, &(settings.max_series as u64).to_le_bytes());
    for text in texts.into_iter().chain(settings.routes.templates().iter().map(String::as_str)) {
        identity = measurements::hash(identity, text.as_bytes());
    }
    identity
}
