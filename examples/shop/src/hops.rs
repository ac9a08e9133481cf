//! Which spans must exist if a thing happened: the bridge from [`crate::truth`] to what the collector holds.

use crate::mesh::GATEWAY;
use crate::span::{Kind, Span};

/// One pass of a request through one Envoy, which becomes one span if it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The trace.
    pub trace_id: u128,
    /// Which request of the plan it belongs to.
    pub visit: u64,
    /// Where it was.
    pub place: Place,
    /// It failed for who was there, and how Envoy tells that.
    pub failure: Option<Failure>,
    /// It did not fail, but what failed below it was answered up to here.
    pub told: bool,
    /// It went well and nothing below it failed, but its trace was upgraded elsewhere.
    pub recalled: bool,
    /// What was decided before anything could fail at this hop.
    pub head: Head,
}

/// A hop's own evidence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An answer from beyond the Envoy: its status tells.
    Status,
    /// Only Envoy knows why; the response flag that it sets.
    Flag(&'static str),
}

/// The decision with which a request came to a hop, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nobody sampled it.
    Dropped,
    /// The gateway did.
    Sampled,
    /// The gateway had not, but this call began when its pod knew that the trace was upgraded.
    Later,
    /// Below such a call; or below an application that sampled it, since its trace had failed there before.
    BelowLater,
}

impl Head {
    /// The decision with which callees are called.
    pub fn below(self) -> Self {
        if self == Self::Later { Self::BelowLater } else { self }
    }
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
    /// CLIENT span of a sidecar; its application knows the parent. One that is hung elsewhere still says which it was.
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
    /// It saw the failure or is above one that did, and could be told.
    pub fn upgraded(&self) -> bool {
        self.failure.is_some() || self.told
    }

    /// Its span must be at the collector. Every other hop must leave none.
    pub fn must_be_kept(&self) -> bool {
        self.upgraded() || self.recalled || self.head != Head::Dropped
    }

    /// `tracelift.upgrade.trigger` of its span. What was sampled anyway needs no signal.
    pub fn trigger(&self) -> Option<&'static str> {
        match (self.failure, self.told, self.head) {
            (Some(Failure::Status), ..) => Some("http_status"),
            (Some(Failure::Flag(_)), ..) => Some("response_flags"),
            (None, true, Head::Dropped) => Some("signal"),
            (None, false, Head::Dropped) if self.recalled => Some("recall"),
            _ => None,
        }
    }

    /// Whose Envoy it passed.
    pub fn envoy(&self) -> &'static str {
        match self.place {
            Place::Inbound { service, .. } | Place::Outbound { service, .. } => service,
            Place::Gateway(_) => GATEWAY,
        }
    }

    /// One for each request that an Envoy counts: the gateway makes two spans of one.
    pub fn is_counted(&self) -> bool {
        self.place != Place::Gateway(Kind::Client)
    }

    /// Whether a span is this hop's. The trace is compared, too.
    pub fn is(&self, span: &Span) -> bool {
        !span.application
            && self.trace_id == span.trace_id
            && match &self.place {
                Place::Inbound { service, span_id } => {
                    span.kind == Kind::Server && span.service == *service && span.span_id == *span_id
                }
                Place::Outbound { service, peer, parent_id } => {
                    span.kind == Kind::Client
                        && span.service == *service
                        && [span.parent_id, span.unrecorded_parent_id].contains(&Some(*parent_id))
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
    use crate::testing::span;

    fn hop(place: Place) -> Hop {
        Hop { trace_id: 1, visit: 0, place, failure: None, told: false, recalled: false, head: Head::Dropped }
    }

    #[test]
    fn a_call_is_found_by_its_parent_and_its_peer() {
        let hop = hop(Place::Outbound { service: "cart", peer: "catalog", parent_id: 7 });
        assert!(hop.is(&span("cart", Kind::Client, 1, 9, Some(7)).peer("catalog").build()));
        for other in [
            span("cart", Kind::Client, 2, 9, Some(7)).peer("catalog").build(),
            span("cart", Kind::Client, 1, 9, Some(8)).peer("catalog").build(),
            span("cart", Kind::Client, 1, 9, Some(7)).peer("bank").build(),
            span("cart", Kind::Server, 1, 9, Some(7)).peer("catalog").build(),
            span("catalog", Kind::Client, 1, 9, Some(7)).peer("catalog").build(),
            span("cart", Kind::Client, 1, 9, Some(7)).peer("catalog").of_application("GET").build(),
        ] {
            assert!(!hop.is(&other), "{other:?}");
        }
        let mut moved = span("cart", Kind::Client, 1, 9, Some(3)).peer("catalog").build();
        moved.unrecorded_parent_id = Some(7);
        assert!(hop.is(&moved));
    }

    #[test]
    fn an_arrival_is_found_by_the_id_that_the_application_saw() {
        let hop = hop(Place::Inbound { service: "cart", span_id: 7 });
        assert!(hop.is(&span("cart", Kind::Server, 1, 7, Some(3)).build()));
        assert!(!hop.is(&span("cart", Kind::Server, 1, 8, Some(3)).build()));
    }

    #[test]
    fn the_own_evidence_names_the_trigger_and_the_signal_only_where_there_is_no_other_reason() {
        let base = hop(Place::Gateway(Kind::Server));
        let hop = |failure, told, head| Hop { failure, told, head, ..base.clone() };
        let recalled = Hop { recalled: true, ..base.clone() };
        assert_eq!((recalled.trigger(), recalled.must_be_kept()), (Some("recall"), true));
        for (hop, trigger, kept) in [
            (hop(None, false, Head::Dropped), None, false),
            (hop(None, true, Head::Dropped), Some("signal"), true),
            (hop(None, true, Head::Sampled), None, true),
            (hop(None, false, Head::Later), None, true),
            (hop(Some(Failure::Status), false, Head::Dropped), Some("http_status"), true),
            (hop(Some(Failure::Flag("UF")), false, Head::Sampled), Some("response_flags"), true),
        ] {
            assert_eq!((hop.trigger(), hop.must_be_kept()), (trigger, kept), "{hop:?}");
        }
    }
}
