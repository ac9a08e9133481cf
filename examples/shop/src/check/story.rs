//! The verdict on a story: the rate followed, the bill stayed, and what went wrong is whole.

use super::{Check, Evidence};
use crate::options::Scenario;
use crate::plan::Fault;
use crate::reading::Reading;
use crate::scenario::TARGET;
use std::collections::BTreeSet;

/// Seconds in which a ratio may settle after a change of the traffic.
const SETTLING_S: f64 = 12.0;
/// Standard deviations that chance may be off.
const SIGMAS: f64 = 4.0;
/// Beyond chance: offered traces are a mean of the last seconds.
const LAG: f64 = 0.08;
/// Share of slow requests whose culprit must be known: each worker learns on a tick of its own what is usual.
const BLAMED: f64 = 0.9;

/// What a story must have shown.
pub fn all(evidence: &Evidence, scenario: Scenario, readings: &[Reading]) -> Vec<Check> {
    match scenario {
        Scenario::LoadStep => vec![bill(scenario, readings), ratio_follows(scenario, readings), thresholds(evidence)],
        Scenario::Outage => vec![boost(scenario, readings), thresholds(evidence)],
        Scenario::Slow => vec![culprits(evidence)],
    }
}

/// Readings of a part of the story, without its first seconds.
fn within(scenario: Scenario, readings: &[Reading], part: &str, settling: f64) -> Vec<Reading> {
    let (begins, ends) = scenario.span_of(part).unwrap_or_default();
    let fits = |reading: &&Reading| (begins + settling..ends).contains(&reading.at_s);
    readings.iter().filter(fits).copied().collect()
}

fn mean_ratio(readings: &[Reading]) -> f64 {
    readings.iter().map(|reading| reading.in_force).sum::<f64>() / (readings.len().max(1) as f64)
}

/// The traces kept a second are those of the target, whatever the load is; while the rate rises again they are fewer.
fn bill(scenario: Scenario, readings: &[Reading]) -> Check {
    let mut check = Check::new("what is kept stays at the target");
    let mut said = Vec::new();
    for (part, only_above) in [("calm", false), ("load", false), ("calm again", true)] {
        let window = within(scenario, readings, part, SETTLING_S);
        let (Some(first), Some(last)) = (window.first(), window.last()) else {
            check.case(false, || format!("{part}: no reading of the counters"));
            continue;
        };
        let (seconds, kept) = (last.at_s - first.at_s, last.since(first).kept);
        let bound = SIGMAS * (TARGET / seconds).sqrt() + LAG * TARGET;
        let right = kept < TARGET + bound && (only_above || TARGET - bound < kept);
        check.case(right, || format!("{part}: {kept:.2} a second, not {TARGET} ± {bound:.2} ({SIGMAS} sigma)"));
        said.push(format!("{part} {kept:.1} of {:.0}", last.since(first).offered));
    }
    check.detail(format!("{}; {TARGET} a second wanted", said.join(", ")))
}

/// The ratio falls as the load rises, and rises when it is gone; ratio times load leaves room for what is paid first, and no more.
fn ratio_follows(scenario: Scenario, readings: &[Reading]) -> Check {
    let mut check = Check::new("the ratio follows the load");
    let mean = |part| {
        let window = within(scenario, readings, part, SETTLING_S);
        let offered = window.first().zip(window.last()).map_or(0.0, |(first, last)| last.since(first).offered);
        (mean_ratio(&window), offered)
    };
    let ((calm, few), (load, many)) = (mean("calm"), mean("load"));
    check.case(2.0 * few < many, || format!("{many:.0} new traces a second are no load step from {few:.0}"));
    for (part, ratio, offered) in [("calm", calm, few), ("load", load, many)] {
        let steered = ratio * offered;
        let right = TARGET / 4.0 < steered && steered < TARGET * (1.0 + LAG);
        check.case(right, || format!("{part}: {ratio:.4} of {offered:.1} a second are {steered:.2}, of {TARGET}"));
    }
    check.case(load < calm / 2.0, || format!("{load:.4} under load, {calm:.4} before"));
    let again = within(scenario, readings, "calm again", 0.0).last().map_or(0.0, |last| last.in_force);
    check.case(load < again / 1.5, || format!("{again:.4} at the end, {load:.4} under load"));
    check.detail(format!("{:.1} %, {:.1} % under load, {:.1} % at the end", 100.0 * calm, 100.0 * load, 100.0 * again))
}

/// A boost begins in the outage and not before, raises the ratio, and is taken back.
fn boost(scenario: Scenario, readings: &[Reading]) -> Check {
    let mut check = Check::new("a boost raises the ratio while requests fail");
    let calm = within(scenario, readings, "calm", SETTLING_S);
    let outage = within(scenario, readings, "outage", 0.0);
    let again = within(scenario, readings, "calm again", 0.0);
    let boosts = |window: &[Reading]| window.last().map_or(0, |last| last.boosts);
    check.case(!calm.is_empty() && boosts(&calm) == 0, || format!("{} changes by a boost before", boosts(&calm)));
    let (before, highest) = (mean_ratio(&calm), outage.iter().map(|it| it.in_force).fold(0.0, f64::max));
    check.case(0 < boosts(&outage) && 2.0 * before < highest, || {
        format!("{highest:.4} at most in the outage, {before:.4} before, {} changes by a boost", boosts(&outage))
    });
    let last = again.last().map_or(1.0, |last| last.in_force);
    check.case(last < highest / 2.0, || format!("{last:.4} at the end, {highest:.4} in the outage"));
    check.detail(format!(
        "{:.1} %, {:.1} % in the outage, {:.1} % at the end",
        100.0 * before,
        100.0 * highest,
        100.0 * last
    ))
}

/// Each trace that the head sampled has a threshold that its randomness meets: the one that was in force.
fn thresholds(evidence: &Evidence) -> Check {
    let mut check = Check::new("each sampled trace has the threshold in force");
    let mut seen = BTreeSet::new();
    for head in evidence.heads().filter(|head| head.arrival.context.sampled) {
        let th = crate::span::threshold(&head.arrival.context.tracestate);
        seen.extend(th);
        let r = head.randomness();
        check.case(th.is_some_and(|th| th <= r), || {
            format!("request {}: R is {r:014x}, T {th:014x?}", head.visit.number)
        });
    }
    check.case(1 < seen.len(), || "it never changed".to_owned());
    check.detail(format!("{} thresholds", seen.len()))
}

/// Of each request for which the catalog was slow, the catalog is the culprit, alone, and the trace is whole up to the gateway.
fn culprits(evidence: &Evidence) -> Check {
    let mut check = Check::new("the slow service is the culprit");
    let traces = evidence.by_trace();
    let slow = evidence.heads().filter(|head| head.visit.fault == Some(Fault::SlowCatalog));
    let (mut all, mut blamed) = (0_u64, 0_u64);
    for head in slow {
        all += 1;
        let spans = traces.get(&head.arrival.context.trace_id).map_or(&[][..], Vec::as_slice);
        let culprits: Vec<_> =
            spans.iter().filter(|span| span.is_culprit()).map(|span| span.service.as_str()).collect();
        if culprits.is_empty() {
            continue;
        }
        blamed += 1;
        check.case(culprits == ["catalog"], || format!("request {}: the culprits are {culprits:?}", head.visit.number));
        let services: BTreeSet<_> = spans.iter().map(|span| span.service.as_str()).collect();
        check.case(["gateway", "storefront", "cart", "catalog"].iter().all(|name| services.contains(name)), || {
            format!("request {}: only {services:?} kept it", head.visit.number)
        });
    }
    check.case(0 < all && BLAMED * all as f64 <= blamed as f64, || format!("{blamed} of {all} have a culprit"));
    check.detail(format!("{blamed} of {all} slow requests"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::evidence::tests::a_run;

    /// A reading a second of a story in which so much is offered and kept, by so much a ratio.
    fn readings(scenario: Scenario, of: impl Fn(&str) -> (f64, f64, f64)) -> Vec<Reading> {
        let (mut readings, mut sums) = (Vec::new(), (0.0, 0.0));
        let mut at_s = 0.0;
        for phase in scenario.phases() {
            let (offered, kept, in_force) = of(phase.name);
            for _ in 0..phase.seconds {
                sums = (sums.0 + offered, sums.1 + kept);
                at_s += 1.0;
                let boosts = u64::from(phase.name != "calm");
                readings.push(Reading { at_s, offered: sums.0 as u64, kept: sums.1 as u64, in_force, boosts });
            }
        }
        readings
    }

    #[test]
    fn a_rate_that_follows_passes_and_one_that_stays_fails() {
        let scenario = Scenario::LoadStep;
        let followed = readings(scenario, |part| if part == "load" { (108.0, 6.0, 0.05) } else { (18.0, 6.0, 0.3) });
        assert!(bill(scenario, &followed).passed() && ratio_follows(scenario, &followed).passed());
        let stayed = readings(scenario, |part| if part == "load" { (108.0, 32.0, 0.3) } else { (18.0, 6.0, 0.3) });
        assert!(!bill(scenario, &stayed).passed() && !ratio_follows(scenario, &stayed).passed());
        assert!(!bill(scenario, &[]).passed());
    }

    #[test]
    fn a_boost_that_does_not_come_or_stays_for_ever_fails() {
        let scenario = Scenario::Outage;
        let of = |outage: f64, again: f64| {
            readings(scenario, move |part| {
                (
                    36.0,
                    6.0,
                    if part == "outage" {
                        outage
                    } else if part == "calm" {
                        0.15
                    } else {
                        again
                    },
                )
            })
        };
        assert!(boost(scenario, &of(0.5, 0.1)).passed());
        assert!(!boost(scenario, &of(0.1, 0.1)).passed());
        assert!(!boost(scenario, &of(0.5, 0.5)).passed());
    }

    #[test]
    fn a_trace_that_its_threshold_would_have_dropped_is_found() {
        let mut evidence = a_run();
        let sampled = evidence.arrivals.iter().position(|it| it.context.sampled && it.service == "storefront");
        let first = evidence.arrivals[sampled.unwrap()].clone();
        assert!(!thresholds(&evidence).passed(), "a single threshold has not changed");
        // Another trace, of another moment.
        let (mut answered, mut second) = (evidence.answered[0].clone(), first);
        (answered.visit.number, second.visit) = (99, 99);
        second.context.trace_id |= 0xff << 48;
        second.context.tracestate = "ot=th:f".to_owned();
        evidence.answered.push(answered);
        evidence.arrivals.push(second);
        assert!(thresholds(&evidence).passed(), "{:?}", thresholds(&evidence));
        evidence.arrivals.last_mut().unwrap().context.tracestate = "ot=th:fff8".to_owned();
        assert!(!thresholds(&evidence).passed());
    }

    #[test]
    fn a_slow_request_without_its_culprit_is_found() {
        let mut evidence = a_run();
        assert!(!culprits(&evidence).passed(), "no slow request is no success");
        evidence.answered[0].visit.fault = Some(Fault::SlowCatalog);
        assert!(!culprits(&evidence).passed());
        let blame = |evidence: &mut Evidence, service: &str| {
            let trace_id = evidence.arrivals[0].context.trace_id;
            let span = evidence.spans.iter_mut().find(|span| span.trace_id == trace_id && span.service == service);
            span.unwrap().attributes.push(("tracelift.slow.culprit".to_owned(), "true".to_owned()));
        };
        blame(&mut evidence, "catalog");
        assert!(culprits(&evidence).passed(), "{:?}", culprits(&evidence));
        blame(&mut evidence, "cart");
        assert!(!culprits(&evidence).passed());
    }
}
