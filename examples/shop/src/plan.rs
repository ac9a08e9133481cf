//! What each request is about, and what goes wrong with it: a pure function of the seed and the request's number, so that
//! the services and the load generator know the same without telling each other.

use serde::Serialize;
use tracelift_envoy::Random;

/// What a visitor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// storefront → catalog.
    Browse,
    /// storefront → cart → catalog.
    Cart,
    /// storefront → cart → catalog, then storefront → payment → bank (outside the mesh).
    Checkout,
    /// A checkout that the bank declines with 402: an answer, not a failure.
    Declined,
    /// A health probe of the storefront.
    Probe,
}

/// What goes wrong, where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Fault {
    /// The catalog answers 500, and everyone above fails with it.
    CatalogCrash,
    /// The catalog answers 500; the cart swallows that and answers 200, and the storefront continues with the payment.
    Swallowed,
    /// The catalog asks a warehouse where nothing listens: connection refused, seen by Envoy alone.
    WarehouseDown,
    /// The bank answers 500.
    BankError,
    /// The bank does not answer before Envoy's time limit.
    BankTimeout,
    /// The storefront gives up waiting for the payment and hangs up.
    Impatience,
    /// An exception in the cart, caught and answered with 200: only the application knows of it.
    StalePrices,
    /// A health probe answers 503; the rule for probes says not to upgrade.
    ProbeUnready,
    /// The catalog takes far longer than it usually does, and all is well otherwise.
    SlowCatalog,
}

impl Fault {
    /// Those that a proxy can see, and last the one that only an application makes known.
    const OF_APPLICATIONS: [Self; 7] = [
        Self::CatalogCrash,
        Self::Swallowed,
        Self::WarehouseDown,
        Self::BankError,
        Self::BankTimeout,
        Self::Impatience,
        Self::StalePrices,
    ];
    /// Those that a proxy can see.
    const OF_PROXIES: &[Self] = Self::OF_APPLICATIONS.split_at(6).0;

    /// One line for the views.
    pub fn label(self) -> &'static str {
        match self {
            Self::CatalogCrash => "catalog answers 500",
            Self::Swallowed => "catalog answers 500, cart swallows it",
            Self::WarehouseDown => "connection to the warehouse refused",
            Self::BankError => "bank answers 500",
            Self::BankTimeout => "bank is too slow, Envoy times out",
            Self::Impatience => "storefront hangs up on a slow payment",
            Self::StalePrices => "exception in the cart, swallowed",
            Self::ProbeUnready => "probe answers 503",
            Self::SlowCatalog => "catalog is far slower than usual",
        }
    }

    fn operation(self) -> Operation {
        match self {
            Self::CatalogCrash | Self::SlowCatalog => Operation::Cart,
            Self::WarehouseDown => Operation::Browse,
            Self::Swallowed | Self::BankError | Self::BankTimeout | Self::Impatience | Self::StalePrices => {
                Operation::Checkout
            }
            Self::ProbeUnready => Operation::Probe,
        }
    }
}

/// Trace context that a client outside the mesh brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientContext {
    /// Not zero; its low 56 bits are random.
    pub trace_id: u128,
    /// Not zero.
    pub span_id: u64,
    /// The client says that it sampled, which the edge must not believe.
    pub sampled: bool,
}

impl ClientContext {
    /// The header, level 2: the random flag is set.
    pub fn traceparent(&self) -> String {
        let flags = if self.sampled { 3 } else { 2 };
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// One request as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Counts from 0.
    pub number: u64,
    /// What is asked for.
    pub operation: Operation,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// What the client knows of tracing; two in five know something.
    pub context: Option<ClientContext>,
}

/// All requests of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Chooses.
    pub seed: u64,
    /// Share of requests with a fault, probes aside.
    pub failures: f64,
    /// Share of requests for which the catalog is slow, probes aside; with `failures` 1 at most.
    pub slow: f64,
    /// The cart reports failures to its sidecar that are visible nowhere else.
    pub applications: bool,
}

impl Plan {
    fn faults(&self) -> &'static [Fault] {
        if self.applications { &Fault::OF_APPLICATIONS } else { Fault::OF_PROXIES }
    }

    /// The request with that number.
    pub fn visit(&self, number: u64) -> Visit {
        let mut random = Random(self.seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f));
        let chance = random.unit();
        let is_slow = || chance < self.failures + self.slow;
        let fault = if chance < self.failures {
            let all = self.faults();
            Some(all[random.below(all.len() as u64) as usize])
        } else {
            is_slow().then_some(Fault::SlowCatalog)
        };
        let context = context(&mut random);
        // Every tenth request is a probe, and every fourth of those finds the storefront not ready.
        if number % 10 == 9 {
            let fault = (number % 40 == 39).then_some(Fault::ProbeUnready);
            return Visit { number, operation: Operation::Probe, fault, context };
        }
        let operation = match (fault, random.below(10)) {
            (Some(fault), _) => fault.operation(),
            (None, 0..=4) => Operation::Browse,
            (None, 5 | 6) => Operation::Cart,
            (None, 7 | 8) => Operation::Checkout,
            (None, _) => Operation::Declined,
        };
        Visit { number, operation, fault, context }
    }
}

impl Visit {
    /// The path at the gateway.
    pub fn path(&self) -> String {
        let number = self.number;
        match self.operation {
            Operation::Browse => format!("/browse/{number}"),
            Operation::Cart => format!("/cart/{number}"),
            Operation::Checkout | Operation::Declined => format!("/checkout/{number}"),
            Operation::Probe => "/healthz".to_owned(),
        }
    }

    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", if self.is_post() { "POST" } else { "GET" }, self.path())
    }

    /// Whether it is a POST.
    pub fn is_post(&self) -> bool {
        matches!(self.operation, Operation::Checkout | Operation::Declined)
    }

    /// The status that the client must get: anything else is a request that failed and shouldn't have.
    pub fn expected_status(&self) -> u16 {
        match (self.fault, self.operation) {
            (Some(Fault::ProbeUnready), _) => 503,
            (Some(Fault::Impatience), _) => 504,
            (Some(Fault::Swallowed | Fault::StalePrices | Fault::SlowCatalog), _) => 200,
            (Some(_), _) => 502,
            (None, Operation::Declined) => 402,
            (None, _) => 200,
        }
    }

    /// A header of others, which must arrive unchanged.
    pub fn amazon_header(&self) -> String {
        format!("Root=1-67891233-{:024x};Lineage=1:a87bd80c:0;CalledFrom=app", self.number)
    }

    /// Another vendor's list-member, sent along with the client's context.
    pub fn vendor_member(&self) -> String {
        format!("vendor=visit-{}", self.number)
    }
}

/// What a client brings: nothing, a sampled context or a dropped one.
fn context(random: &mut Random) -> Option<ClientContext> {
    let kind = random.below(5);
    let trace_id = (u128::from(random.next()) << 64 | u128::from(random.next())).max(1);
    let span_id = random.next().max(1);
    (kind < 2).then_some(ClientContext { trace_id, span_id, sampled: kind == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PLAN: Plan = Plan { seed: 1, failures: 0.05, slow: 0.0, applications: true };

    #[test]
    fn the_same_seed_and_number_give_the_same_visit() {
        for number in 0..100 {
            assert_eq!(PLAN.visit(number), PLAN.visit(number));
        }
        assert_ne!((0..50).map(|n| PLAN.visit(n)).collect::<Vec<_>>(), {
            let other = Plan { seed: 2, ..PLAN };
            (0..50).map(|n| other.visit(n)).collect::<Vec<_>>()
        });
    }

    #[test]
    fn two_thousand_requests_meet_every_fault_in_about_the_share_asked_for() {
        let visits: Vec<_> = (0..2000).map(|n| PLAN.visit(n)).collect();
        let faults: BTreeSet<_> = visits.iter().filter_map(|visit| visit.fault).collect();
        assert_eq!(faults.len(), Fault::OF_APPLICATIONS.len() + 1);
        let shop = visits.iter().filter(|visit| visit.operation != Operation::Probe);
        let failing = shop.clone().filter(|visit| visit.fault.is_some()).count();
        assert_eq!(shop.count(), 1800);
        assert!((50..=130).contains(&failing), "{failing}"); // 90 expected, 4 standard deviations of 9.2.
    }

    #[test]
    fn without_an_application_that_says_so_nothing_fails_that_a_proxy_cannot_see() {
        let copying = Plan { applications: false, ..PLAN };
        let faults: BTreeSet<_> = (0..2000).filter_map(|n| copying.visit(n).fault).collect();
        assert_eq!(faults.len(), Fault::OF_PROXIES.len() + 1);
        assert!(!faults.contains(&Fault::StalePrices));
    }

    #[test]
    fn a_slow_catalog_changes_nothing_else_of_the_plan() {
        let slow = Plan { slow: 0.2, ..PLAN };
        let visits = (0..1000).map(|n| (PLAN.visit(n), slow.visit(n)));
        let (same, other): (Vec<_>, Vec<_>) = visits.partition(|(before, after)| before == after);
        assert!((130..250).contains(&other.len()), "{}", other.len()); // 180 expected, 4 standard deviations of 12.
        assert!(same.iter().all(|(_, after)| after.fault != Some(Fault::SlowCatalog)));
        assert!(other.iter().all(|(before, after)| before.fault.is_none()
            && after.fault == Some(Fault::SlowCatalog)
            && after.expected_status() == 200));
    }

    #[test]
    fn nothing_fails_when_no_failures_are_asked_for_but_probes() {
        let calm = Plan { failures: 0.0, ..PLAN };
        assert!((0..500).map(|n| calm.visit(n)).all(|visit| matches!(visit.fault, None | Some(Fault::ProbeUnready))));
    }

    #[test]
    fn a_clients_traceparent_has_the_w3c_form() {
        let context = ClientContext { trace_id: 0xab, span_id: 7, sampled: true };
        assert_eq!(context.traceparent(), "00-000000000000000000000000000000ab-0000000000000007-03");
    }
}
