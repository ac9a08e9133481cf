//! Which spans must exist if a thing happened: the bridge from [`crate::truth`] to what the collector holds.

use crate::mesh::GATEWAY;
use crate::services::BANK;
use crate::span::{Kind, Span};
use crate::truth::{Answered, Arrival, Call};

/// One pass of a request through one Envoy, which becomes one span if it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The trace.
    pub trace_id: u128,
    /// Which request of the plan it belongs to.
    pub visit: u64,
    /// Where it was.
    pub place: Place,
    /// It failed for who was there.
    pub failed: bool,
    /// The head had sampled the trace.
    pub sampled: bool,
}

/// How to find the span of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// SERVER span of a sidecar; its application saw the id.
    Inbound {
        /// Whose sidecar.
        service: &'static str,
        /// The span.
        span_id: u64,
    },
    /// CLIENT span of a sidecar; its application knows the parent.
    Outbound {
        /// Whose sidecar.
        service: &'static str,
        /// The Host of the call.
        peer: &'static str,
        /// The span's parent.
        parent_id: u64,
    },
    /// One of the gateway's two spans.
    Gateway(Kind),
}

impl Hop {
    /// The SERVER span before an application; none for the bank, which has no sidecar.
    pub fn of_arrival(arrival: &Arrival) -> Option<Self> {
        let Arrival { visit, service, context, outcome } = arrival;
        (*service != BANK).then(|| Self {
            trace_id: context.trace_id,
            visit: *visit,
            place: Place::Inbound { service, span_id: context.span_id },
            failed: outcome.failed(),
            sampled: context.sampled,
        })
    }

    /// The CLIENT span of a call.
    pub fn of_call(call: &Call) -> Self {
        let Call { visit, service, peer, trace_id, parent_id, sampled, outcome } = call;
        Self {
            trace_id: *trace_id,
            visit: *visit,
            place: Place::Outbound { service, peer, parent_id: *parent_id },
            failed: outcome.failed(),
            sampled: *sampled,
        }
    }

    /// The gateway's two spans. The client does not know what the trace became; the storefront's arrival tells.
    pub fn of_answer(answered: &Answered, trace_id: u128, sampled: bool) -> [Self; 2] {
        let failed = answered.status.as_ref().map_or(true, |status| 500 <= *status);
        [Kind::Server, Kind::Client].map(|kind| Self {
            trace_id,
            visit: answered.visit.number,
            place: Place::Gateway(kind),
            failed,
            sampled,
        })
    }

    /// Whether a span is this hop's. The trace is compared, too.
    pub fn is(&self, span: &Span) -> bool {
        self.trace_id == span.trace_id
            && match &self.place {
                Place::Inbound { service, span_id } => {
                    span.kind == Kind::Server && span.service == *service && span.span_id == *span_id
                }
                Place::Outbound { service, peer, parent_id } => {
                    span.kind == Kind::Client
                        && span.service == *service
                        && span.parent_id == Some(*parent_id)
                        && span.peer.as_deref() == Some(peer)
                }
                Place::Gateway(kind) => span.kind == *kind && span.service == GATEWAY,
            }
    }

    /// For reports.
    pub fn describe(&self) -> String {
        let (visit, trace_id) = (self.visit, self.trace_id);
        let place = match &self.place {
            Place::Inbound { service, span_id } => format!("{service} SERVER {span_id:016x}"),
            Place::Outbound { service, peer, parent_id } => {
                format!("{service} CLIENT to {peer} below {parent_id:016x}")
            }
            Place::Gateway(kind) => format!("{GATEWAY} {}", kind.name()),
        };
        format!("request {visit}, trace {trace_id:032x}: {place}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{arrival, call, span};
    use crate::truth::Outcome;

    #[test]
    fn a_call_is_found_by_its_parent_and_its_peer() {
        let hop = Hop::of_call(&call("cart", "catalog", 1, 7, Outcome::Status(500)));
        let found = span("cart", Kind::Client, 1, 9, Some(7)).peer("catalog").build();
        assert!(hop.is(&found) && hop.failed);
        for other in [
            span("cart", Kind::Client, 2, 9, Some(7)).peer("catalog").build(),
            span("cart", Kind::Client, 1, 9, Some(8)).peer("catalog").build(),
            span("cart", Kind::Client, 1, 9, Some(7)).peer("bank").build(),
            span("cart", Kind::Server, 1, 9, Some(7)).peer("catalog").build(),
            span("catalog", Kind::Client, 1, 9, Some(7)).peer("catalog").build(),
        ] {
            assert!(!hop.is(&other), "{other:?}");
        }
    }

    #[test]
    fn an_arrival_is_found_by_the_id_that_the_application_saw_and_the_bank_has_none() {
        let hop = Hop::of_arrival(&arrival("cart", 1, 7, Outcome::Abandoned)).unwrap();
        assert!(hop.is(&span("cart", Kind::Server, 1, 7, Some(3)).build()) && hop.failed);
        assert!(!hop.is(&span("cart", Kind::Server, 1, 8, Some(3)).build()));
        assert_eq!(Hop::of_arrival(&arrival(BANK, 1, 7, Outcome::Status(200))), None);
    }
}
