//! Shows whether what was kept stands for what there was.

use super::root::Root;
use crate::door::Host;
use crate::sampling::{Audit, Sums};
use crate::shared::audit;
use crate::telemetry::{Metric, Metrics};

impl Root {
    /// Adds what was counted since the last time to the process's sums, and shows both.
    pub(super) fn publish_audit(&mut self, host: &impl Host, metrics: &mut Metrics) {
        let news = std::mem::take(&mut self.scope.audit).settled();
        if news == Audit::default() {
            return;
        }
        let Some(all) = audit::add(host, &self.plugin, &news) else {
            self.scope.audit = news;
            return;
        };
        metrics.record(host, Metric::AuditZ, all.z_centi());
        self.audited.add(&news);
        let Audit { ok, failed, .. } = &mut self.audited;
        show(ok, [Metric::AuditOk, Metric::AuditEstimatedOk, Metric::AuditVarianceOk], metrics);
        show(failed, [Metric::AuditFailed, Metric::AuditEstimatedFailed, Metric::AuditVarianceFailed], metrics);
    }
}

/// Adds whole numbers to the counters; fractions stay for the next time.
fn show(sums: &mut Sums, of: [Metric; 3], metrics: &mut Metrics) {
    for (number, metric) in [&mut sums.requests, &mut sums.estimated, &mut sums.variance].into_iter().zip(of) {
        let whole = number.trunc();
        metrics.add(metric, whole as i64);
        *number -= whole;
    }
}
