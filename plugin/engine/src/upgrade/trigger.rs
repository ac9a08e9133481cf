//! What upgrades a trace.

use super::Slow;
use crate::http::{GrpcStatus, ResponseFlags};
use crate::telemetry::Metric;

/// Makes the enum of triggers, with the name and the counter of each.
macro_rules! triggers {
    ($($(#[$about:meta])* $variant:ident $(($value:ty))? $name:literal $metric:ident)*) => {
        /// What upgrades a trace. One trigger is kept for a stream, the first that was seen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Trigger {
            $($(#[$about])* $variant $(($value))?,)*
        }

        impl Trigger {
            /// Every name, for the counters `tracelift.upgrades.<trigger>`.
            pub const NAMES: [&'static str; [$($name),*].len()] = [$($name),*];

            /// The name in counters and on spans.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }

            /// The counter of the traces that it upgraded.
            pub const fn metric(self) -> Metric {
                match self {
                    $(Self::$variant { .. } => Metric::$metric,)*
                }
            }
        }
    };
}

triggers! {
    /// An HTTP status that the policy lists.
    HttpStatus(u16) "http_status" UpgradedByHttpStatus
    /// A gRPC status that the policy lists.
    GrpcStatus(GrpcStatus) "grpc_status" UpgradedByGrpcStatus
    /// Envoy gave up: no answer, or none that was whole.
    ResponseFlags(ResponseFlags) "response_flags" UpgradedByResponseFlags
    /// The stream ended before its answer was whole, and no flag says why.
    Reset "reset" UpgradedByReset
    /// The stream took longer than the policy allows.
    Latency "latency" UpgradedByLatency
    /// The answer took longer than is usual for its route and method, and nothing below had said so.
    Slow(Slow) "slow" UpgradedBySlow
    /// A response header by which the application marks what is worth keeping.
    ResponseHeader "response_header" UpgradedByResponseHeader
    /// One of the first of its kind.
    Coverage "coverage" UpgradedByCoverage
    /// The upstream's answer said that it had kept this trace.
    Signal "signal" UpgradedBySignal
    /// The trace was upgraded elsewhere after this stream had ended well, or while it was in progress.
    Recall "recall" UpgradedByRecall
}

impl Trigger {
    /// The failure, if it is one, was seen elsewhere: this hop charges nothing for it.
    pub const fn is_from_elsewhere(self) -> bool {
        matches!(self, Self::Signal | Self::Recall)
    }

    /// Something failed, or took too long.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::ResponseHeader | Self::Coverage | Self::Signal | Self::Recall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trigger_has_its_own_name() {
        let all = [
            Trigger::HttpStatus(500),
            Trigger::GrpcStatus(GrpcStatus::UNKNOWN),
            Trigger::ResponseFlags(ResponseFlags::default()),
            Trigger::Reset,
            Trigger::Latency,
            Trigger::Slow(Slow { baseline_ms: 1, excess_ms: 1 }),
            Trigger::ResponseHeader,
            Trigger::Coverage,
            Trigger::Signal,
            Trigger::Recall,
        ];
        assert_eq!(all.map(Trigger::name), Trigger::NAMES);
    }
}
