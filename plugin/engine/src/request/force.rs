//! A token in a request: judged, charged and taken off. What is not good is counted, and shows nowhere else.

use super::Parts;
use crate::door::{Exchange, HeaderView, Host, Side};
use crate::force::Fault;
use crate::telemetry::Metric;

/// The key of a good token for which the budget has room. Which requests have one does not depend on R, nor does the budget, which is
/// charged whatever the head would decide: they are a class of their own.
#[inline(never)] // Without keys, a request pays for a test.
pub fn requested<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, headers: V) -> Option<u8> {
    let exchange = parts.exchange;
    let policy = parts.policy.force.as_ref()?;
    let mut values = headers.values(policy.header.as_str());
    let value = values.next()?;
    let is_alone = values.next().is_none();
    if exchange.remove(Side::Request, policy.header.as_str()).is_err() {
        parts.failed();
    }
    let host = exchange.host();
    let of = |name| headers.first(name).unwrap_or_default();
    let judged = if is_alone {
        policy.judge(value.trim_ascii(), host.now(), of(":authority"), of(":path"))
    } else {
        Err(Fault::Invalid)
    };
    let metrics = &mut *parts.metrics;
    match judged {
        Ok(admitted) => {
            let has_room = parts.scope.force.as_mut()?.admit(host, &policy.budget, &admitted);
            metrics.count(if has_room { Metric::ForceAccepted } else { Metric::ForceOverBudget });
            has_room.then_some(admitted.key)
        }
        Err(fault) => {
            metrics.count(match fault {
                Fault::Expired => Metric::ForceExpired,
                Fault::Invalid => Metric::ForceInvalid,
            });
            None
        }
    }
}
