//! One request as a tree of hops: who called whom, who failed, who was told, and what was called when that was known.
//!
//! Services call one peer after the other, so every call either began after an upgrade was known in its pod or was over
//! before; and each service is called at most once a request.

use crate::hops::{Failure, Head, Hop, Place};
use crate::plan::{Fault, Operation};
use crate::services::{BANK, CART};
use crate::span::Kind;
use crate::truth::{Answered, Arrival, Call, Outcome};

/// What was noted of one request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// At the client.
    pub answered: &'a Answered,
    /// At the applications.
    pub arrivals: &'a [Arrival],
    /// From the applications.
    pub calls: &'a [Call],
}

impl Request<'_> {
    /// Every pass through an Envoy, with what must follow from it. None for a probe: its rule never records.
    pub fn hops(&self) -> Vec<Hop> {
        let mut hops = Vec::new();
        let front = self.arrivals.iter().find(|arrival| arrival.service == "storefront");
        let Some(front) = front.filter(|_| self.answered.visit.operation != Operation::Probe) else { return hops };
        // The gateway decides, and the storefront is the first to see what.
        let head = if front.context.sampled { Head::Sampled } else { Head::Dropped };
        let below = self.arrival(front, head, &mut hops);
        let failed = self.answered.status.as_ref().map_or(true, |status| 500 <= *status);
        hops.extend([Kind::Server, Kind::Client].map(|kind| Hop {
            trace_id: front.context.trace_id,
            visit: self.answered.visit.number,
            place: Place::Gateway(kind),
            failure: failed.then_some(Failure::Status),
            told: below && !failed,
            recalled: false,
            head,
        }));
        let upgraded = hops.iter().any(Hop::upgraded);
        for hop in hops.iter_mut().filter(|hop| !hop.upgraded() && hop.head == Head::Dropped) {
            hop.recalled = upgraded;
        }
        hops
    }

    /// An arrival and all below it; whether its caller is told of an upgrade.
    fn arrival(&self, arrival: &Arrival, head: Head, hops: &mut Vec<Hop>) -> bool {
        let Arrival { visit, service, context, outcome } = arrival;
        // An SDK passes on a span-id of its own, so the calls are found by who made them.
        let own = |call: &&Call| call.service == *service && call.trace_id == context.trace_id;
        // An exception that only the application knows of: it tells so, and samples what it calls from then on.
        let fault = self.answered.visit.fault;
        let said = head == Head::Dropped && *service == CART && fault == Some(Fault::StalePrices);
        // When this pod learned of an upgrade; noted when the application had the answer, which is a little later.
        let mut known: Vec<u64> = Vec::new();
        let mut told = said;
        let mut calls: Vec<&Call> = self.calls.iter().filter(own).collect();
        calls.sort_by_key(|call| call.began);
        for call in calls {
            let later = head == Head::Dropped && known.iter().any(|moment| *moment < call.began);
            let head = if said {
                Head::BelowLater
            } else if later {
                Head::Later
            } else {
                head
            };
            let upgraded = self.call(call, head, hops);
            if upgraded {
                known.push(call.ended);
            }
            told |= upgraded;
        }
        let failure = self.failure(*outcome, None);
        let hop = Hop {
            trace_id: context.trace_id,
            visit: *visit,
            place: Place::Inbound { service, span_id: context.span_id },
            failure,
            told: told && failure.is_none(),
            recalled: false,
            head,
        };
        let upgraded = hop.upgraded();
        hops.push(hop);
        upgraded
    }

    /// A call and all below it; whether its pod knows of an upgrade when it is over.
    fn call(&self, call: &Call, head: Head, hops: &mut Vec<Hop>) -> bool {
        let Call { visit, service, peer, trace_id, parent_id, outcome, .. } = call;
        let mut told = false;
        // The bank has no Envoy, and so no hop.
        for callee in self.arrivals.iter().filter(|arrival| arrival.service == *peer && *peer != BANK) {
            told |= self.arrival(callee, head.below(), hops);
        }
        let failure = self.failure(*outcome, Some(peer));
        let place = Place::Outbound { service, peer, parent_id: *parent_id };
        let told = told && failure.is_none();
        let hop = Hop { trace_id: *trace_id, visit: *visit, place, failure, told, recalled: false, head };
        let upgraded = hop.upgraded();
        hops.push(hop);
        upgraded
    }

    /// Failed as the mesh's default policy understands it, and whose word for it there is.
    fn failure(&self, outcome: Outcome, peer: Option<&str>) -> Option<Failure> {
        outcome.failed().then_some(match (outcome, self.answered.visit.fault, peer) {
            (Outcome::Abandoned, ..) => Failure::Flag("DC"),
            (_, Some(Fault::WarehouseDown), Some("warehouse")) => Failure::Flag("UF"),
            (_, Some(Fault::BankTimeout), Some(BANK)) => Failure::Flag("UT"),
            _ => Failure::Status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Visit;
    use crate::testing::{arrival, call};

    /// storefront (3) → cart (5) → catalog (7), then storefront → payment (9) → bank, one after the other.
    fn checkout(
        fault: Fault,
        catalog: Outcome,
        cart: Outcome,
        payment: Outcome,
        storefront: u16,
    ) -> (Answered, Vec<Arrival>, Vec<Call>) {
        let visit = Visit { number: 0, operation: Operation::Checkout, fault: Some(fault), context: None };
        let arrivals = [("storefront", 3, Outcome::Status(storefront)), ("cart", 5, cart), ("catalog", 7, catalog)]
            .into_iter()
            .chain([("payment", 9, payment), (BANK, 11, payment)])
            .map(|(service, id, outcome)| arrival(service, 1, id, outcome));
        let calls = [
            ("cart", "catalog", 5, catalog, 2, 3),
            ("storefront", "cart", 3, cart, 1, 4),
            ("payment", BANK, 9, payment, 6, 7),
            ("storefront", "payment", 3, payment, 5, 8),
        ]
        .map(|(service, peer, parent, outcome, began, ended)| Call {
            began,
            ended,
            ..call(service, peer, 1, parent, outcome)
        });
        (Answered { visit, status: Ok(storefront), signal: None }, arrivals.collect(), calls.into())
    }

    fn outline((answered, arrivals, calls): &(Answered, Vec<Arrival>, Vec<Call>)) -> Vec<String> {
        let hops = Request { answered, arrivals, calls }.hops();
        hops.iter()
            .map(|hop| {
                let place = match hop.place {
                    Place::Inbound { service, .. } => format!("> {service}"),
                    Place::Outbound { service, peer, .. } => format!("{service} > {peer}"),
                    Place::Gateway(kind) => format!("gateway {}", kind.name()),
                };
                format!("{place}: {:?} {}", hop.head, hop.trigger().unwrap_or("-"))
            })
            .collect()
    }

    const OK: Outcome = Outcome::Status(200);

    #[test]
    fn of_a_swallowed_failure_all_above_are_told_and_what_is_called_later_is_sampled() {
        let run = checkout(Fault::Swallowed, Outcome::Status(500), OK, OK, 200);
        assert_eq!(
            outline(&run),
            [
                "> catalog: Dropped http_status",
                "cart > catalog: Dropped http_status",
                "> cart: Dropped signal",
                "storefront > cart: Dropped signal",
                "payment > bank: BelowLater -",
                "> payment: BelowLater -",
                "storefront > payment: Later -",
                "> storefront: Dropped signal",
                "gateway SERVER: Dropped signal",
                "gateway CLIENT: Dropped signal",
            ]
        );
    }

    #[test]
    fn of_an_exception_that_an_application_swallowed_all_above_are_told_and_what_it_called_is_sampled() {
        let run = checkout(Fault::StalePrices, OK, OK, OK, 200);
        assert_eq!(
            outline(&run),
            [
                "> catalog: BelowLater -",
                "cart > catalog: BelowLater -",
                "> cart: Dropped signal",
                "storefront > cart: Dropped signal",
                "payment > bank: BelowLater -",
                "> payment: BelowLater -",
                "storefront > payment: Later -",
                "> storefront: Dropped signal",
                "gateway SERVER: Dropped signal",
                "gateway CLIENT: Dropped signal",
            ]
        );
    }

    #[test]
    fn calls_of_an_sdk_are_found_though_it_passes_on_span_ids_of_its_own() {
        let mut run = checkout(Fault::BankError, OK, OK, Outcome::Status(502), 502);
        for call in run.2.iter_mut().filter(|call| call.service == "cart") {
            call.parent_id = 77;
        }
        assert!(outline(&run).contains(&"cart > catalog: Dropped recall".to_owned()), "{:?}", outline(&run));
    }

    #[test]
    fn siblings_that_had_answered_before_the_failure_are_recalled() {
        let run = checkout(Fault::BankTimeout, OK, OK, Outcome::Status(504), 502);
        let (well, failed): (Vec<_>, Vec<_>) = outline(&run).into_iter().partition(|line| line.ends_with("recall"));
        assert_eq!(
            well,
            [
                "> catalog: Dropped recall",
                "cart > catalog: Dropped recall",
                "> cart: Dropped recall",
                "storefront > cart: Dropped recall",
            ]
        );
        assert_eq!(failed[0], "payment > bank: Dropped response_flags");
        assert_eq!(failed.len(), 6);
    }

    #[test]
    fn a_caller_that_hung_up_has_its_own_evidence_at_every_hop_that_it_left() {
        let run = checkout(Fault::Impatience, OK, OK, Outcome::Abandoned, 504);
        let lines = outline(&run);
        assert_eq!(lines.iter().filter(|line| line.ends_with("response_flags")).count(), 3, "{lines:?}");
    }

    #[test]
    fn a_probe_is_nobodys_hop() {
        let (mut answered, arrivals, calls) = checkout(Fault::ProbeUnready, OK, OK, OK, 503);
        answered.visit.operation = Operation::Probe;
        assert_eq!(Request { answered: &answered, arrivals: &arrivals, calls: &calls }.hops(), []);
    }
}
