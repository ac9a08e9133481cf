//! From a span to bytes on their way to a collector: queue, batch, retry, OTLP. Never reads the policy.

mod adopt;
mod answer;
mod backoff;
mod batch;
mod clock;
mod counts;
mod episode;
mod event;
mod exporter;
mod queue;
mod room;

pub use answer::{Answer, MAX_ANSWER, Verdict};
pub use counts::{Counts, DiscardReason};
pub use event::{Event, Problem};
pub use exporter::{ExportRequest, Exporter, RequestId};

/// How long a batch may be retried, counted from its first attempt, milliseconds. Spans that wait for a first attempt
/// have no such limit: they are bounded by number and bytes.
const GIVE_UP_AFTER_MS: u64 = 5 * 60 * 1_000;
