//! Exports of request metrics, by the one root of a process that holds the lease.
//!
//! Cumulative points heal what was lost: nothing is sent twice. Delta points are noted as sent before they are: where it is not
//! known whether the collector has them, they are lost and counted; where it said that it has not, they are part of the next.

use std::sync::Arc;

use super::draft::{Draft, Ready};
use super::trouble::Trouble;
use crate::door::{Host, Refused};
use crate::export::{Answer, Problem, Verdict};
use crate::metrics::{self, Exemplars};
use crate::otlp::{self, EncodedSpan, Envelope, Exemplar};
use crate::shared::CallAnswer;
use crate::shared::measurements::Shared;
use crate::span::Resource;
use crate::telemetry::{Metric, Metrics};

const MILLISECOND: u64 = 1_000_000;
/// How long after its timeout a request counts as lost when the host has not called back, milliseconds.
const CALLBACK_SLACK_MS: u64 = 5_000;

/// Exemplars of one export at most.
const SHOWN: usize = 256;
/// Bytes of slots that are added up, or of points that are made, in one tick where a request may be waiting.
const BYTES_AT_ONCE: usize = 6 * 1024;
/// The first export is due when there is something to export, looked for at this interval, milliseconds: it opens the connection
/// over which the last one goes, and shows what is wrong with the collector while someone watches.
const FIRST_MS: u64 = 5_000;

/// What is exported, where, and how far that has come.
pub(super) struct Export {
    settings: Arc<metrics::Settings>,
    export: otlp::Settings,
    headers: Vec<(String, String)>,
    envelope: Envelope,
    /// Unix nanoseconds of the next one.
    due: u64,
    /// The one that is being made.
    draft: Option<Box<Draft>>,
    /// What the next points may show.
    exemplars: Exemplars,
    sent: Option<Sent>,
    trouble: Trouble,
    /// Nothing was exported yet.
    is_first: bool,
    /// Series that the gauge counts for this stream.
    series: i64,
    /// Requests in the last export, unless it failed.
    said: Option<u64>,
    /// The process may end, or the settings were replaced: what was sent before is not sent again.
    only_news: bool,
}

/// An export whose answer is awaited.
struct Sent {
    token: u32,
    /// Unix nanoseconds as of which it was made.
    time: u64,
    points: u64,
    /// What the points show.
    exemplars: Vec<Exemplar>,
    /// Unix nanoseconds from which on nothing comes any more.
    lost_at: u64,
    /// What had been sent before, for delta temporality.
    before: Option<(u64, Vec<u8>)>,
}

/// What is known of an export that failed.
enum Failure {
    /// The collector does not have it.
    Refused,
    /// It may have it.
    Unknown,
}

impl Export {
    pub(super) fn new(settings: Arc<metrics::Settings>, export: otlp::Settings, resource: &Resource) -> Self {
        Self {
            headers: otlp::metrics_headers(&export, &settings.path),
            envelope: Envelope::new(resource),
            settings,
            export,
            due: 0,
            draft: None,
            exemplars: Exemplars::with_room(SHOWN),
            sent: None,
            trouble: Trouble::default(),
            is_first: true,
            series: 0,
            said: None,
            only_news: false,
        }
    }

    /// The lease is held from now on (Unix nanoseconds).
    pub(super) fn begin(&mut self, now: u64) {
        self.due = if self.only_news { now } else { now.saturating_add(self.interval()) };
    }

    /// Its settings were replaced.
    pub(super) fn retire(&mut self) {
        self.only_news = true;
    }

    /// The lease is lost. An answer may still come.
    pub(super) fn stop(&mut self, metrics: &mut Metrics) {
        self.draft = None;
        self.count(0, metrics);
    }

    /// The gauge is the sum over all streams of the process.
    fn count(&mut self, series: usize, metrics: &mut Metrics) {
        let series = i64::try_from(series).unwrap_or(i64::MAX);
        metrics.add(Metric::MetricsSeries, series.saturating_sub(std::mem::replace(&mut self.series, series)));
    }

    fn interval(&self) -> u64 {
        let most = if self.is_first { FIRST_MS } else { u64::MAX };
        self.settings.interval_ms.min(most).saturating_mul(MILLISECOND)
    }

    /// Does the next part of what is due: a part of the sum where requests are served, everything where none are.
    pub(super) fn step(&mut self, host: &impl Host, shared: &Shared, serves: bool, metrics: &mut Metrics) {
        let now = host.now();
        if self.sent.as_ref().is_some_and(|sent| sent.lost_at <= now || now.saturating_add(self.interval()) < self.due)
        {
            self.fail(host, shared, (&Problem::NoCallback, ""), Failure::Unknown, metrics);
        }
        if self.sent.is_some() {
            return;
        }
        if self.due.saturating_sub(now) > self.interval() {
            self.due = now; // The clock was set back.
        }
        if self.draft.is_none() && self.due <= now {
            let next = self.due.saturating_add(self.interval());
            self.due = if next <= now { now.saturating_add(self.interval()) } else { next };
            self.draft = Some(Box::default());
        }
        let most = if serves { BYTES_AT_ONCE } else { usize::MAX };
        let of = (self.settings.histogram, self.settings.temporality);
        if let Some(draft) = &mut self.draft
            && draft.step((host, shared), of, &mut self.exemplars, most)
            && let Some(ready) = self.draft.take().and_then(|draft| draft.ready())
        {
            self.send(host, shared, ready, metrics);
        }
    }

    /// Everything at once, whatever is due: the process may end, or another root may do it from now on, and there is nothing to do for
    /// who reads the log. An export that says the same once more would only be cut off.
    pub(super) fn finish(&mut self, host: &impl Host, shared: &Shared, metrics: &mut Metrics) {
        self.trouble.is_over = true;
        let pending = self.sent.take();
        self.draft = Some(Box::default());
        self.due = host.now().saturating_add(self.interval());
        let was_retired = std::mem::replace(&mut self.only_news, true);
        self.step(host, shared, false, metrics);
        self.only_news = was_retired;
        self.sent = self.sent.take().or(pending);
    }

    /// Sends what was made.
    fn send(&mut self, host: &impl Host, shared: &Shared, ready: Ready, metrics: &mut Metrics) {
        let Ready { encoder, total, series, exemplars, delta } = ready;
        self.count(series, metrics);
        let (time, points) = (encoder.time(), encoder.points());
        if points == 0 || (self.only_news && self.said == Some(total)) {
            return;
        }
        self.said = Some(total);
        if std::mem::take(&mut self.is_first) {
            self.due = host.now().saturating_add(self.interval());
        }
        let mut before = None;
        if let Some((since, said, next)) = delta {
            if !shared.remember(host, time, &next) {
                return; // It would be counted twice.
            }
            before = Some((since, said));
        }
        let fields = EncodedSpan::from_field(encoder.finish(&self.settings));
        let size = fields.len();
        let body = otlp::body(&self.export, &self.envelope, &[fields], size);
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let timeout_ms = self.export.timeout_ms.max(1);
        let wait = u64::from(timeout_ms).saturating_add(CALLBACK_SLACK_MS).saturating_mul(MILLISECOND);
        let called = host.call(&self.export.cluster, &headers, &body, timeout_ms);
        let now = host.now();
        self.sent = Some(Sent {
            token: *called.as_ref().unwrap_or(&0),
            time,
            points,
            exemplars,
            lost_at: now.saturating_add(wait),
            before,
        });
        if let Err(Refused(status)) = called {
            self.fail(host, shared, (&Problem::NotDispatched { status }, ""), Failure::Refused, metrics);
        }
    }

    /// Whether this is the token of our call.
    pub(super) fn awaits(&self, token: u32) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.token == token)
    }

    /// Whether an answer is awaited.
    pub(super) fn is_awaiting(&self) -> bool {
        self.sent.is_some()
    }

    /// The answer to our call came, or its absence.
    pub(super) fn answered(&mut self, host: &impl Host, shared: &Shared, answer: &CallAnswer, metrics: &mut Metrics) {
        let (headers, trailers) = (answer.headers(), answer.trailers());
        let read = Answer { status: answer.status, headers: &headers, trailers: &trailers, body: &answer.body };
        let unknown = read.may_have_arrived();
        match read.verdict(self.export.protocol, host.now()) {
            Verdict::Accepted { rejected, detail, .. } => {
                let points = self.sent.take().map_or(0, |sent| sent.points);
                metrics.count(Metric::MetricsExported);
                metrics.add_count(Metric::MetricsPointsLost, rejected.min(points));
                self.trouble.took(host, [&self.export.cluster, path(&self.headers)], rejected, &detail);
            }
            Verdict::Retry { problem, detail, .. } | Verdict::Discard { problem, detail, .. } => {
                let unknown = unknown || problem == Problem::AnswerTooLarge;
                let failure = if unknown { Failure::Unknown } else { Failure::Refused };
                self.fail(host, shared, (&problem, &detail), failure, metrics);
            }
        }
    }

    fn fail(
        &mut self,
        host: &impl Host,
        shared: &Shared,
        (problem, detail): (&Problem, &str),
        failure: Failure,
        metrics: &mut Metrics,
    ) {
        let Some(sent) = self.sent.take() else { return };
        self.said = None;
        metrics.count(Metric::MetricsExportFailed);
        sent.exemplars.iter().for_each(|exemplar| self.exemplars.offer(exemplar));
        if let Some((since, slot)) = sent.before {
            // What another holder of the lease has sent since then counts from what is lost here.
            let is_next = matches!(failure, Failure::Refused) && shared.sent(host).0 == sent.time;
            if !(is_next && shared.remember(host, since, &slot)) {
                metrics.add_count(Metric::MetricsPointsLost, sent.points);
            }
        }
        let unknown = matches!(failure, Failure::Unknown);
        self.trouble.failed(host, [&self.export.cluster, path(&self.headers)], (problem, detail), unknown);
    }
}

fn path(headers: &[(String, String)]) -> &str {
    headers.iter().find(|(name, _)| name == ":path").map_or("", |(_, path)| path)
}
