//! What a policy keeps, summed up.

use super::record::Role;
use super::row::Kept;
use super::trace::{Seen, root};

/// Sums over all traces under one policy.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    traces: f64,
    spans: f64,
    bytes: f64,
    /// Failed traces.
    pub(super) failed: f64,
    complete: f64,
    failed_spans: f64,
    failed_kept: f64,
}

impl Sums {
    /// Adds a trace. `keeps` says whether the policy keeps a span at this place that is part of the chain or not.
    pub(super) fn add(&mut self, spans: &[Seen], chain: &[bool], keeps: impl Fn(usize, bool) -> bool) {
        let weight = root(spans).map_or(1.0, |root| root.weight);
        let failed = chain.contains(&true);
        let (mut any, mut whole) = (false, true);
        for (at, (span, &in_chain)) in spans.iter().zip(chain).enumerate() {
            let kept = keeps(at, in_chain && span.role == Role::Hop);
            if kept {
                any = true;
                self.spans += span.weight * span.spans;
                self.bytes += span.weight * span.bytes;
            }
            if failed {
                self.failed_spans += span.weight * span.spans;
                self.failed_kept += if kept { span.weight * span.spans } else { 0.0 };
                whole &= kept || !in_chain || span.role == Role::Follower;
            }
        }
        self.traces += if any { weight } else { 0.0 };
        if failed {
            self.failed += weight;
            self.complete += if whole { weight } else { 0.0 };
        }
    }

    pub(super) fn kept(&self, seconds: f64) -> Kept {
        let share = |part: f64, whole: f64| (0.0 < whole).then(|| part / whole);
        Kept {
            traces: self.traces / seconds,
            spans: self.spans / seconds,
            bytes: self.bytes / seconds,
            chains_complete: share(self.complete, self.failed),
            failed_spans_kept: share(self.failed_kept, self.failed_spans),
        }
    }
}
