//! Every metric the filter shows, in one table: its name under `tracelift.`, its kind, and what it says.

mod counters;

use crate::door::Description;
pub use crate::door::Kind;
pub use counters::Metrics;

macro_rules! metrics {
    ($($metric:ident $kind:ident $name:literal $help:literal)*) => {
        /// A metric, as an index into [`TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(
                #[doc = $help]
                $metric,
            )*
        }

        /// All metrics, in the order of [`Metric`].
        pub const TABLE: [Description; [$($name),*].len()] = [
            $(Description { name: concat!("tracelift.", $name), kind: Kind::$kind },)*
        ];

        /// One sentence on each for the reference, in the same order. Apart, so that the module does without them.
        pub const HELP: [&str; TABLE.len()] = [$($help),*];

        /// All metrics.
        pub const ALL: [Metric; TABLE.len()] = [$(Metric::$metric),*];
    };
}

metrics! {
    SampledByParent Counter "decisions.sampled.parent" "Requests whose caller had sampled the trace."
    SampledByRule Counter "decisions.sampled.rule" "Requests that a rule's ratio sampled."
    SampledByRatio Counter "decisions.sampled.ratio" "Requests that the general ratio sampled."
    SampledByXRay Counter "decisions.sampled.xray" "Requests that a sampling rule of AWS X-Ray sampled."
    SampledByUpgrade Counter "decisions.sampled.upgraded" "Later calls of a trace that a failure had upgraded in this Envoy."
    SampledByForce Counter "decisions.sampled.forced" "Requests that a token had recorded (force)."
    SampledByRate Counter "decisions.sampled.adaptive" "Requests that the rate in force sampled (sampling.target, sampling.boost)."
    DroppedByParent Counter "decisions.dropped.parent" "Requests whose caller had dropped the trace."
    DroppedByRule Counter "decisions.dropped.rule" "Requests that a rule's ratio dropped."
    DroppedByRatio Counter "decisions.dropped.ratio" "Requests that the general ratio dropped."
    DroppedByXRay Counter "decisions.dropped.xray" "Requests that a sampling rule of AWS X-Ray dropped."
    DroppedByRate Counter "decisions.dropped.adaptive" "Requests that the rate in force dropped."
    AdaptiveRatio Gauge "adaptive.ratio_ppm" "The ratio in force of sampling.target and sampling.boost, in millionths, of all routes together; 0 where neither is on."
    AdaptiveTarget Gauge "adaptive.target_milli" "Traces a second that sampling.target allows this Envoy, in thousandths; 0 where there is none."
    AdaptiveBound Gauge "adaptive.bound" "The bound of sampling.target that wins over it: 1 for min_ratio (more is kept), 2 for max_ratio (less is), else 0."
    AdaptiveBoosted Gauge "adaptive.boosted" "1 while sampling.boost raises the rate, else 0."
    AdaptiveOffered Counter "adaptive.offered" "Traces that begin here and that the rate in force decided, sampled or not."
    AdaptiveLoad Counter "adaptive.changes.load" "Times that the rate fell notably because more traces were offered."
    AdaptiveCalm Counter "adaptive.changes.calm" "Times that the rate rose notably because fewer traces were offered."
    AdaptiveBudget Counter "adaptive.changes.budget" "Times that the rate changed notably because upgrades, or what was spent before, left less of the target or more."
    AdaptiveBoost Counter "adaptive.changes.boost" "Times that the rate was raised because of failures or slow answers, and steps in which that was taken back."
    RulesOverBudget Counter "rules.over_budget" "Requests for which a rule was not looked at to its end because matching had cost 100,000 steps; it counts as not matching."
    Inconsistent Counter "decisions.inconsistent" "Sampled callers whose th contradicts the trace's randomness; th was erased."
    Restarted Counter "context.restarted" "Requests with an invalid trace context header, which was ignored; without another one a new trace was started."
    Replaced Counter "context.replaced" "Requests at the edge that started a new trace, since their caller's trace-id would have decided."
    TracestateDiscarded Counter "context.tracestate_discarded" "Requests with an invalid tracestate; only that header was discarded."
    AnswersUnseen Counter "answers.unseen" "Answers that Envoy sent past the filter although it was to see them: `envoy.answers` and the matcher around the filter do not agree. They are judged at their end, too late to signal their caller."
    UpgradedByHttpStatus Counter "upgrades.http_status" "Dropped traces kept for their HTTP status."
    UpgradedByGrpcStatus Counter "upgrades.grpc_status" "Dropped traces kept for their gRPC status."
    UpgradedByResponseFlags Counter "upgrades.response_flags" "Dropped traces kept because Envoy gave up on the request or lost a side of it."
    UpgradedByReset Counter "upgrades.reset" "Dropped traces kept because the answer broke off and no flag says why."
    UpgradedByLatency Counter "upgrades.latency" "Dropped traces kept because they were slow."
    UpgradedBySlow Counter "upgrades.slow" "Dropped traces kept because their answer took longer than is usual for its route and method (upgrade.slow)."
    UpgradedByResponseHeader Counter "upgrades.response_header" "Dropped traces kept because the application marked its answer (upgrade.response_headers)."
    UpgradedByCoverage Counter "upgrades.coverage" "Dropped traces kept as one of the first of their kind (upgrade.coverage)."
    UpgradedBySignal Counter "upgrades.signal" "Dropped traces kept because the upstream had kept them."
    UpgradedByRecall Counter "upgrades.recall" "Dropped traces kept because an instance that had called or been called failed."
    UpgradesShed Counter "upgrades.shed" "Dropped traces with a trigger that the budget did not admit."
    CoverageKept Counter "coverage.kept" "Requests kept whole as one of the first of their kind, whatever the head had decided."
    CoverageRefused Counter "coverage.refused" "Requests of a kind without an example that coverage.traces_per_minute did not admit."
    CoverageEvicted Counter "coverage.evicted" "Kinds that were forgotten before their window ended, to make room for others: there are more than 1,024."
    SlowCulprits Counter "slow.culprits" "Requests that were slower than usual and heard of no slow call below, whatever the head had decided: each is named the culprit on its span."
    SlowRoutes Gauge "slow.routes" "Routes and methods whose usual duration is known, summed over workers."
    SlowLearning Gauge "slow.learning" "Routes and methods that a worker serves and whose usual duration is still learned, summed over workers."
    SlowEvicted Counter "slow.evicted" "Routes and methods whose usual duration was forgotten to make room for others: there are too many."
    SignalsRefused Counter "upgrades.signals_refused" "Upgrade signals of upstreams beyond ten times the budget; not believed."
    JoinsRefused Counter "joins.refused" "Requests of traces that this Envoy had upgraded already, beyond ten times the budget; not kept for that reason."
    JoinsForgotten Counter "joins.forgotten" "Verdicts on traces that this Envoy forgot before their time, to make room for others."
    RecallHeld Counter "recall.held" "Spans of dropped requests that were held for a recall."
    RecallEvicted Counter "recall.evicted" "Held spans that had to make room for newer ones; recall.max_bytes is too small for hold_ms."
    RecallExpired Counter "recall.expired" "Held spans that were not recalled in time."
    RecallReleased Counter "recall.released" "Held spans released to a recall."
    RecallGivenUp Counter "recall.given_up" "The former name of `tracelift.recall.released`, for one version."
    RecallSpans Gauge "recall.spans" "Spans that are held for a recall."
    RecallBytes Gauge "recall.bytes" "Their bytes, and those of calls whose instance is being asked."
    RecallMissed Counter "recall.missed" "Upgrades of this Envoy that a worker learnt too late, or that could not be shared with the other workers."
    RecallClockSetBack Counter "recall.clock_set_back" "Times that a worker found its clock set back, and went on by the new time."
    RecallWithheld Counter "recall.withheld" "Calls whose instance was not asked: no answer had shown the filter there and recall.clusters does not list it, or there is no cluster for the call's transport."
    RecallSent Counter "recall.requests.sent" "Recall requests to other instances, repetitions included."
    RecallAnswered Counter "recall.requests.answered" "Recall requests of other instances that were followed."
    RecallRefused Counter "recall.requests.refused" "Recall requests of a version or a form that is not understood."
    RecallDenied Counter "recall.requests.denied" "Recall requests without a MAC of the mesh for this instance and minute, or of a peer that is not listed."
    RecallBusy Counter "recall.requests.busy" "Recall requests beyond ten times the budget; their senders ask again."
    RecallOutside Counter "recall.requests.outside" "Recall requests that show an outside origin (x-forwarded-for, x-envoy-external-address); treated as any other request."
    CallsAnswered Counter "recall.calls.answered" "Calls whose instance was asked and gives up what it holds."
    CallsOutside Counter "recall.calls.outside" "Calls whose instance was asked and has no filter that would."
    CallsLost Counter "recall.calls.lost" "Calls whose instance could not be asked in time, or refused."
    CallsUnasked Counter "recall.calls.unasked" "Calls of kept traces that could not be asked for: their instance has no address, or too many wait."
    PollsAnswered Counter "applications.polls.answered" "Requests of the own application for the list of upgrades that were answered."
    PollsRefused Counter "applications.polls.refused" "The same of a version or a form that is not understood."
    PollsDenied Counter "applications.polls.denied" "The same without a MAC of the application for this minute."
    PollsBusy Counter "applications.polls.busy" "The same beyond 100 a second in one Envoy."
    UpgradesListed Counter "applications.upgrades.listed" "Upgrades listed to the own application in these answers, repetitions included."
    UpgradesMissed Counter "applications.upgrades.missed" "Upgrades that were overwritten before an application asked for them."
    ParentsFound Counter "parents.found" "Calls whose caller had not recorded itself, and whose span hangs below the inbound span instead."
    ParentsAmbiguous Counter "parents.ambiguous" "Calls whose caller had not recorded itself, and that may belong below several inbound spans; their parent-id is as it came."
    ParentsUnknown Counter "parents.unknown" "Calls whose caller had not recorded itself, and for which no inbound span was found in time; their parent-id is as it came."
    ForceAccepted Counter "force.accepted" "Requests with a token that was good and had room in force.traces_per_second."
    ForceExpired Counter "force.expired" "Requests with a token that had been good once; treated like those without one."
    ForceInvalid Counter "force.invalid" "Requests with a token of no key or another audience, for other requests, or good for longer than force.max_ttl_s; treated likewise."
    ForceOverBudget Counter "force.over_budget" "Requests with a good token beyond force.traces_per_second; treated likewise."
    SpansOffered Counter "spans.offered" "Spans made and offered to the queue."
    SpansExported Counter "spans.exported" "Spans that a collector acknowledged."
    DiscardedQueueFull Counter "spans.discarded.queue_full" "Spans lost because max_queue_size was reached: ordinary ones at three quarters of it."
    DiscardedQueueBytes Counter "spans.discarded.queue_bytes" "Spans lost because max_queue_bytes was reached: ordinary ones at three quarters of it."
    DiscardedTooLarge Counter "spans.discarded.too_large" "Spans lost because they are too large for a request, or the collector said so."
    DiscardedRejected Counter "spans.discarded.rejected" "Spans that the collector refused in a partial success."
    DiscardedNonRetryable Counter "spans.discarded.non_retryable" "Spans lost to an answer that OTLP forbids to retry."
    DiscardedRetriesExhausted Counter "spans.discarded.retries_exhausted" "Spans lost because retries took too long."
    DiscardedShutdown Counter "spans.discarded.shutdown" "Spans whose answer could not be awaited when the VM ended."
    UpgradedDiscarded Counter "spans.upgraded_discarded" "Discarded spans, whatever the reason, that an upgrade had kept; a quarter of the queue is reserved for these."
    ExportsSucceeded Counter "exports.succeeded" "Export requests that were acknowledged."
    ExportsRetried Counter "exports.retried" "Export requests that failed and are sent again."
    ExportsFailed Counter "exports.failed" "Export requests that failed for good."
    ExportDuration Histogram "exports.duration_ms" "Time from an export request to its answer, in milliseconds."
    QueueSpans Gauge "queue.spans" "Spans that wait for a batch or for a retry."
    QueueBytes Gauge "queue.bytes" "Their encoded bytes."
    InFlightSpans Gauge "exports.in_flight_spans" "Spans that are with the collector, unanswered."
    PendingSpans Gauge "pending.spans" "Requests in progress that were dropped so far and may still be upgraded."
    CentralReservoir Counter "central.reservoir" "Requests sampled from the quota of an X-Ray rule."
    CentralBorrowed Counter "central.borrowed" "Requests sampled from the reservoir of an X-Ray rule while there was no quota."
    CentralFallback Counter "central.fallback" "Requests that the configuration had to decide because no X-Ray rule was available or none matched."
    CentralPollsSucceeded Counter "central.polls.succeeded" "Calls to X-Ray for rules and targets that were answered."
    CentralPollsFailed Counter "central.polls.failed" "Calls to X-Ray for rules and targets that failed."
    CentralRules Gauge "central.rules" "X-Ray rules for this service, as fetched last."
    CentralRulesRefused Counter "central.rules_refused" "X-Ray rules that were fetched and are not looked at: unreadable, of an unknown version, or too many."
    CentralStatisticsLost Counter "central.statistics_lost" "Requests whose statistics X-Ray may not have received."
    CentralLeads Counter "central.leads" "Times that a VM began to ask X-Ray on behalf of its process."
    ShadowSampled Counter "shadow.decisions.sampled" "Requests that the head of the shadow policy would sample."
    ShadowDropped Counter "shadow.decisions.dropped" "Requests that the head of the shadow policy would drop."
    ShadowUpgraded Counter "shadow.upgrades" "Dropped requests that the shadow policy would upgrade."
    ShadowShed Counter "shadow.upgrades_shed" "Dropped requests with a trigger that the shadow policy's budget would not admit."
    ShadowAlone Counter "shadow.disagreements.kept" "Requests that the shadow policy would keep and the live one does not."
    ShadowWithout Counter "shadow.disagreements.dropped" "Requests that the live policy keeps and the shadow one would not."
    ShadowSpans Counter "shadow.spans" "Spans that the shadow policy would export."
    ShadowBytes Counter "shadow.bytes" "Their encoded bytes, by the mean size of the spans that this worker really made."
    ShadowRatio Gauge "shadow.adaptive.ratio_ppm" "The ratio that would be in force under the shadow policy's sampling.target and sampling.boost, in millionths."
    AuditOk Counter "audit.requests.ok" "Requests without a failure whose trace was decided here by a ratio."
    AuditFailed Counter "audit.requests.failed" "The same that failed or were slow."
    AuditEstimatedOk Counter "audit.estimated.ok" "How many they are by their spans: the sum of the adjusted counts of those that were offered for export."
    AuditEstimatedFailed Counter "audit.estimated.failed" "The same of those that failed or were slow."
    AuditVarianceOk Counter "audit.variance.ok" "The variance of that estimate: (1 - p) / p of each request that was kept by chance."
    AuditVarianceFailed Counter "audit.variance.failed" "The same of those that failed or were slow."
    AuditZ Gauge "audit.z_centi" "How far estimate and number are apart since the process began, in hundredths of a standard deviation; the larger one of both classes. Above 400 something is wrong."
    MetricsSeries Gauge "metrics.series" "Series of request metrics that this process exports, of all its streams, as of their last exports."
    MetricsOverflowed Counter "metrics.overflowed" "Requests that were counted without their route or gRPC method, or in the overflow series, because metrics.max_series was reached."
    MetricsClockBack Counter "metrics.clock_back" "Requests that ended before they began by the clock, which was set back; counted with a duration of 0."
    MetricsExported Counter "metrics.exports.succeeded" "Exports of request metrics that a collector acknowledged."
    MetricsExportFailed Counter "metrics.exports.failed" "Exports of request metrics that failed; with cumulative temporality the next one makes up for it."
    MetricsPointsLost Counter "metrics.points_lost" "Points of request metrics that the collector refused, or may not have received (delta temporality)."
    HeadersNotSet Counter "errors.headers_not_set" "Requests whose trace headers the host would not let us write; they went on without."
    HostcallFailed Counter "errors.hostcall" "Hostcalls that failed and cost at most a detail of a span."
    ConfigAccepted Counter "config.accepted" "Configurations taken into use, counted in each worker."
    ConfigRefused Counter "config.refused" "Configurations refused, counted in each worker."
    ConfigRatio Gauge "config.ratio_ppm" "The general ratio in use, sampling.ratio, in millionths: the one that a worker took up last."
    ConfigPassThrough Counter "config.pass_through" "Configurations refused while TRACELIFT_ON_INVALID_CONFIG=pass_through: the filter does nothing."
}

impl Metric {
    /// The row of this metric.
    #[allow(clippy::indexing_slicing, reason = "one macro makes the metrics and their rows")]
    pub fn describe(self) -> Description {
        TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::DiscardReason;
    use crate::upgrade::Trigger;

    #[test]
    fn the_table_and_the_enum_have_one_order_and_no_name_twice() {
        for (index, metric) in ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, index);
            let name = metric.describe().name;
            assert_eq!(TABLE.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_discard_reason_and_every_trigger_has_its_counter() {
        let has = |name: String| TABLE.iter().any(|row| row.name == name && row.kind == Kind::Counter);
        for reason in DiscardReason::ALL {
            assert!(has(format!("tracelift.spans.discarded.{}", reason.as_str())), "{reason:?}");
        }
        for trigger in Trigger::NAMES {
            assert!(has(format!("tracelift.upgrades.{trigger}")), "{trigger}");
        }
    }
}
