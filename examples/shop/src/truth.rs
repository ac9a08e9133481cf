//! The ground truth: what the services and the load generator saw themselves, told by nobody's tracing.

use crate::plan::Visit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How a hop ended for who was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with that status.
    Status(u16),
    /// The caller hung up before there was an answer.
    Abandoned,
}

impl Outcome {
    /// Failed as the mesh's default policy understands it: 5xx, or no answer.
    pub fn failed(self) -> bool {
        match self {
            Self::Status(status) => 500 <= status,
            Self::Abandoned => true,
        }
    }
}

/// Trace context as an application found it in its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenContext {
    /// The trace.
    pub trace_id: u128,
    /// The parent-id: the span id of the Envoy right before.
    pub span_id: u64,
    /// The sampled flag.
    pub sampled: bool,
    /// `tracestate`, empty without one.
    pub tracestate: String,
    /// `x-amzn-trace-id`, empty without one.
    pub amazon: String,
}

impl SeenContext {
    /// Reads `traceparent` of version 00; none when it is anything else.
    pub fn parse(traceparent: &str, tracestate: &str, amazon: &str) -> Option<Self> {
        let mut fields = traceparent.split('-');
        let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        if version != "00" || trace_id.len() != 32 || span_id.len() != 16 || flags.len() != 2 || fields.next().is_some()
        {
            return None;
        }
        Some(Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
            tracestate: tracestate.to_owned(),
            amazon: amazon.to_owned(),
        })
    }
}

/// A request that reached an application. Its `context.span_id` is that of its sidecar's SERVER span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which request of the plan it belongs to.
    pub visit: u64,
    /// Where it arrived.
    pub service: &'static str,
    /// What the application was given.
    pub context: SeenContext,
    /// What it answered.
    pub outcome: Outcome,
}

/// A call that an application made through its sidecar, whose CLIENT span must have `parent_id` as its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which request of the plan it belongs to.
    pub visit: u64,
    /// Who called.
    pub service: &'static str,
    /// Whom.
    pub peer: &'static str,
    /// The trace.
    pub trace_id: u128,
    /// The parent-id that the application passed on.
    pub parent_id: u64,
    /// The sampled flag that it passed on.
    pub sampled: bool,
    /// What it got.
    pub outcome: Outcome,
    /// When it began.
    pub began: Moment,
    /// When it was over.
    pub ended: Moment,
}

/// A place in the order of all that happened; no clock.
pub type Moment = u64;

/// What a client got from the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was asked.
    pub visit: Visit,
    /// The status, or why there is none.
    pub status: Result<u16, String>,
    /// The mesh's own signal, if it reached the client: it must not.
    pub signal: Option<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// At an application.
    Arrival(Arrival),
    /// From an application.
    Call(Call),
    /// At the client.
    Answered(Answered),
}

/// Where services and load generator write down what they saw. Clones share the book.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    events: Arc<Mutex<Vec<Event>>>,
    moments: Arc<AtomicU64>,
}

impl Truth {
    /// Writes it down.
    pub fn note(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Now, later than every moment before.
    pub fn moment(&self) -> Moment {
        self.moments.fetch_add(1, Ordering::Relaxed)
    }

    /// Everything since the last call, in the order in which it was noted.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_or_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let seen = SeenContext::parse(good, "a=b", "").unwrap();
        assert_eq!((seen.trace_id, seen.span_id), (0x0af7651916cd43dd8448eb211c80319c, 0xb7ad6b7169203331));
        assert!(seen.sampled);
        for bad in ["", "00", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", "00-0af7-b7ad-01"] {
            assert_eq!(SeenContext::parse(bad, "", ""), None, "{bad}");
        }
    }

    #[test]
    fn only_server_errors_and_hung_up_calls_are_failures() {
        assert!(!Outcome::Status(200).failed() && !Outcome::Status(402).failed());
        assert!(Outcome::Status(500).failed() && Outcome::Abandoned.failed());
    }
}
