//! Sampling decisions: the head's, and everybody's agreement with it.

use super::{Check, Evidence};
use crate::hops::{Head, Place};
use crate::services::BANK;
use crate::span::threshold;
use std::collections::HashMap;

/// 2^56: as many as there are values of R.
const ALL: f64 = (1u64 << 56) as f64;
/// How far T may be from the exact ratio, relative to it: `th` has four significant digits.
const ROUNDING: f64 = 1e-3;
/// Standard deviations that chance may be off; once in 1.7 million runs it is more.
const SIGMAS: f64 = 5.0;

/// R against T for every single request: consistent sampling leaves no freedom. A flag that a stranger set counts nothing.
pub fn head(evidence: &Evidence) -> Check {
    let mut check = Check::new("the head samples iff R >= T");
    let ideal = (1.0 - evidence.ratio) * ALL;
    let tolerance = evidence.ratio * ALL * ROUNDING;
    let threshold = evidence.threshold();
    if let Some(t) = threshold {
        let right = (t as f64 - ideal).abs() <= tolerance;
        check.case(right, || format!("T is {t:014x}, which is not a ratio of {}", evidence.ratio));
    }
    let (mut sampled, mut strangers) = (0, 0);
    for head in evidence.heads() {
        let r = head.randomness();
        let (least, most) = threshold.map_or((ideal - tolerance, ideal + tolerance), |t| (t as f64, t as f64));
        let is = head.arrival.context.sampled;
        sampled += u64::from(is);
        strangers += u64::from(head.visit.context.is_some_and(|context| context.sampled));
        let right = match (head.is_probe(), is) {
            (true, sampled) => !sampled,
            (false, true) => least <= r as f64,
            (false, false) => (r as f64) < most,
        };
        check
            .case(right, || format!("request {}: R is {r:014x}, T {threshold:014x?}, sampled {is}", head.visit.number));
    }
    let t = threshold.map_or("unseen".to_owned(), |t| format!("{t:014x}"));
    let heads = check.cases - u64::from(threshold.is_some());
    check.detail(format!("T = {t}; {sampled} of {heads} sampled, {strangers} clients claimed to have sampled"))
}

/// Every application receives the head's decision, and the `th` that belongs to it; what is called after an upgrade was known
/// leaves sampled, without a `th`: how probable that was is not known.
pub fn agreement(evidence: &Evidence) -> Check {
    let mut check = Check::new("all hops agree with the head");
    let mut decided: HashMap<(u64, &str), Head> = HashMap::new();
    for hop in evidence.hops() {
        match hop.place {
            Place::Inbound { service, .. } => decided.insert((hop.visit, service), hop.head),
            Place::Outbound { peer: BANK, .. } => decided.insert((hop.visit, BANK), hop.head.below()),
            _ => None,
        };
    }
    let t = evidence.threshold();
    let mut later = 0;
    for arrival in &evidence.arrivals {
        let (visit, service, context) = (arrival.visit, arrival.service, &arrival.context);
        // No hop hears of a probe: it is dropped.
        let head = decided.get(&(visit, service)).copied().unwrap_or(Head::Dropped);
        later += u64::from(head == Head::BelowLater);
        let received = threshold(&context.tracestate);
        let right = context.sampled == (head != Head::Dropped) && received == t.filter(|_| head == Head::Sampled);
        check.case(right, || {
            format!(
                "request {visit} at {service}: sampled {}, tracestate {:?}; should be {head:?}",
                context.sampled, context.tracestate
            )
        });
    }
    let cases = check.cases;
    check.detail(format!("{cases} arrivals, {later} of them sampled because an upgrade was known before the call"))
}

/// Requests that went well reach the collector at the ratio, as far as chance allows.
pub fn ratio(evidence: &Evidence) -> Check {
    let mut check = Check::new("the realised ratio is the ratio");
    let traces = evidence.by_trace();
    let well = evidence.heads().filter(|head| !head.is_probe() && head.visit.fault.is_none());
    let (mut all, mut kept) = (0u64, 0u64);
    for head in well {
        all += 1;
        kept += u64::from(traces.contains_key(&head.arrival.context.trace_id));
    }
    let (n, p) = (all as f64, evidence.ratio);
    let (mean, bound) = (n * p, SIGMAS * (n * p * (1.0 - p)).sqrt());
    // Few cases: the normal approximation says nothing below about one expected trace.
    let bound = bound.max(SIGMAS);
    if 0 < all {
        check.case((kept as f64 - mean).abs() <= bound, || {
            format!("{kept} of {all} are not within {bound:.1} of {mean:.1}")
        });
    }
    check.detail(format!("{kept} of {all} that went well; {mean:.1} ± {bound:.1} expected (5 sigma)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::evidence::tests::a_run;

    #[test]
    fn a_ratio_that_is_not_kept_is_found() {
        let mut evidence = a_run();
        let one = (evidence.answered[0].clone(), evidence.arrivals[0].clone());
        // A hundred more requests that went well, and none of them is recorded.
        for number in 1000..1100 {
            let (mut answered, mut arrival) = one.clone();
            (answered.visit.number, arrival.visit) = (number, number);
            arrival.context.trace_id = u128::from(number);
            evidence.answered.push(answered);
            evidence.arrivals.push(arrival);
        }
        assert!(!ratio(&evidence).passed());
        assert!(ratio(&a_run()).passed());
    }

    #[test]
    fn a_threshold_of_another_ratio_is_found() {
        let evidence = Evidence { ratio: 0.4, ..a_run() };
        assert!(!head(&evidence).passed());
    }
}
