//! `sampling.target` and `sampling.boost`: one target, bounds in their order, and a boost that can raise something.

use super::Findings;
use crate::config::error::{self, Problem};
use crate::config::raw;
use crate::json::Named;
use crate::sampling::Mode;
use crate::sampling::pace::{BoostSettings, By, Settings, TargetSettings, decimal, percent};

const TARGET: &str = "sampling.target";
const PER_SECOND: &str = "sampling.target.traces_per_second";
const PER_MONTH: &str = "sampling.target.spans_per_month";
const MIN: &str = "sampling.target.min_ratio";
const MAX: &str = "sampling.target.max_ratio";
const BOOST: &str = "sampling.boost.max_ratio";
const REPLICAS: &str = "sampling.target.replicas";
/// Traces a second below which sessions are kept too seldom.
const FEW: f64 = 5.0;
/// Traces a second below which nearly nothing is left to steer: one an hour.
const NEXT_TO_NONE: f64 = 1.0 / 3_600.0;

/// Reads both; `None` where neither is on. `routes`: how many templates there are.
#[inline(never)] // For the live policy and its shadow.
pub fn settings(sampling: &raw::Sampling, routes: usize, findings: &mut Findings) -> Option<Settings> {
    let target = target(sampling, findings);
    let boost = boost(sampling, target.as_ref(), findings);
    if target.is_none() && boost.is_none() {
        return None;
    }
    if sampling.algorithm != raw::Algorithm::Consistent {
        let key = findings.named("sampling.algorithm");
        let found = [&key, " = ", &error::quoted(sampling.algorithm.name()), ", whose ratio is fixed"].concat();
        let path = if target.is_some() { TARGET } else { "sampling.boost" };
        findings.refuse(path, &found, &[&key, " = \"consistent\" beside it"].concat());
    }
    warn_of_rules(sampling, target.is_some(), findings);
    let by_route = target.is_some() && sampling.target.by == By::Route;
    if by_route && routes == 0 {
        let oddity = "is \"route\" without `metrics.routes`, so that there is one rate: the name in `metrics.route_header` comes with the \
                      answer, too late for a decision";
        findings.warn("sampling.target.by", oddity);
    }
    let rates = if by_route { routes.saturating_add(1) } else { 1 };
    Some(Settings { ratio: sampling.ratio.0, target, boost, rates })
}

fn target(sampling: &raw::Sampling, findings: &mut Findings) -> Option<TargetSettings> {
    let raw = &sampling.target;
    let replicas = raw.replicas.get() as f64;
    let (per_second, carries) = match (raw.traces_per_second, raw.spans_per_month) {
        (Some(rate), None) => (rate.0 / replicas, false),
        (None, Some(spans)) => (TargetSettings::of_month(spans.get() as f64) / raw.spans_per_trace.0 / replicas, true),
        (Some(_), Some(_)) => {
            let found = ["both ", &findings.named(PER_SECOND), " and ", &findings.named(PER_MONTH)].concat();
            findings.problems.push(Problem::new(TARGET, found, "one of the two").advise("Set one of the two."));
            return None;
        }
        (None, None) => {
            if *raw != raw::Target::default() {
                findings.warn(
                    TARGET,
                    "has neither `traces_per_second` nor `spans_per_month`, so that its other keys have no effect",
                );
            }
            return None;
        }
    };
    if !carries && raw.spans_per_trace.0 != 1.0 {
        let oddity = "has no effect on `traces_per_second`: it is what a trace costs of `spans_per_month`";
        findings.warn("sampling.target.spans_per_trace", oddity);
    }
    let (min_ratio, max_ratio) = (raw.min_ratio.0, raw.max_ratio.0);
    if max_ratio < min_ratio {
        let found = [&percent(min_ratio), ", above ", &findings.named(MAX), " = ", &percent(max_ratio)].concat();
        findings.refuse(MIN, &found, "a ratio up to that");
    }
    if min_ratio == max_ratio {
        let oddity = "has no effect: `min_ratio` and `max_ratio` are the same, which makes a fixed ratio";
        findings.warn(TARGET, oddity);
    }
    warn_of_ratio(sampling, findings);
    warn_of_little(&sampling.target, per_second, findings);
    if per_second < FEW && sampling.session.is_some() {
        let oddity = "comes to less than 5 traces a second in one Envoy, and a session is kept with all of its traces: what is kept says \
                      little of the rest";
        findings.warn(TARGET, oddity);
    }
    if sampling.xray.enabled {
        let oddity = "steers only what no rule of X-Ray decides, since ";
        findings.warn(TARGET, &[oddity, &findings.named("sampling.xray.enabled"), " is true"].concat());
    }
    if sampling.mode == Mode::Independent {
        let oddity = "with `mode` = \"independent\" every hop steers by its own traffic: a trace is whole only as far as the lowest of \
                      their ratios takes it";
        findings.warn(TARGET, oddity);
    }
    Some(TargetSettings { per_second, carries, min_ratio, max_ratio })
}

/// A target of which next to nothing is left in one Envoy. 0 is what a configuration says that wants `min_ratio` alone.
fn warn_of_little(raw: &raw::Target, per_second: f64, findings: &mut Findings) {
    if per_second <= 0.0 || NEXT_TO_NONE <= per_second {
        return;
    }
    let path = match raw.spans_per_month {
        _ if NEXT_TO_NONE <= per_second * raw.replicas.get() as f64 => REPLICAS,
        Some(_) => PER_MONTH,
        None => PER_SECOND,
    };
    let min = raw.min_ratio.0;
    let bound = match min {
        0.0 => String::new(),
        min => {
            let from = decimal(per_second / min, 4);
            let named = findings.named(MIN);
            [": ", &named, " = ", &percent(min), " keeps more from ", &from, " new traces a second on"].concat()
        }
    };
    findings.warn(path, &["leaves one Envoy less than one trace an hour", &bound].concat());
}

/// A rule with a ratio of its own that matches every request leaves nothing to steer, or only what rules before it take.
fn warn_of_rules(sampling: &raw::Sampling, has_target: bool, findings: &mut Findings) {
    let is_all = |rule: &raw::Rule| rule.r#match == raw::Match::default();
    let Some((place, rule)) = sampling.rules.iter().enumerate().find(|(_, rule)| is_all(rule)) else { return };
    if rule.ratio.is_none() {
        return;
    }
    let effect = match sampling.rules.iter().take(place).any(|rule| rule.ratio.is_none()) {
        true => "steers only what rules without a ratio before it match, since ",
        false => "has no effect: ",
    };
    let rule = findings.named(&["sampling.rules[", &place.to_string(), "]"].concat());
    let path = if has_target { TARGET } else { "sampling.boost" };
    findings.warn(path, &[effect, &rule, " matches every request and has a ratio of its own"].concat());
}

/// A ratio outside the target's bounds is brought into them. Of the default, which may not have been written, nothing is said.
fn warn_of_ratio(sampling: &raw::Sampling, findings: &mut Findings) {
    let (ratio, target) = (sampling.ratio, &sampling.target);
    if ratio == raw::Sampling::default().ratio || target.max_ratio.0 < target.min_ratio.0 {
        return;
    }
    let (word, path, bound) = if target.max_ratio.0 < ratio.0 {
        ("above ", MAX, target.max_ratio)
    } else if ratio.0 < target.min_ratio.0 {
        ("below ", MIN, target.min_ratio)
    } else {
        return;
    };
    let oddity = ["is ", word, &findings.named(path), " = ", &percent(bound.0), ", which holds in its place"];
    findings.warn("sampling.ratio", &oddity.concat());
}

fn boost(sampling: &raw::Sampling, target: Option<&TargetSettings>, findings: &mut Findings) -> Option<BoostSettings> {
    let raw = &sampling.boost;
    let Some(max_ratio) = raw.max_ratio else {
        if *raw != raw::Boost::default() {
            findings.warn("sampling.boost", "has no `max_ratio`, so that its other keys have no effect");
        }
        return None;
    };
    // With a target, `ratio` holds for the first seconds alone.
    let (least, least_path) = target.map_or((sampling.ratio.0, "sampling.ratio"), |target| (target.min_ratio, MIN));
    let [least_name, most_name] = [least_path, MAX].map(|path| findings.named(path));
    let compared = |word: &str, name: &str, bound: f64| {
        [&percent(max_ratio.0), ", ", word, " ", name, " = ", &percent(bound)].concat()
    };
    match target {
        _ if max_ratio.0 < least => {
            findings.refuse(BOOST, &compared("below", &least_name, least), "a ratio of at least that");
        }
        Some(target) if target.max_ratio < max_ratio.0 => {
            findings.refuse(BOOST, &compared("above", &most_name, target.max_ratio), "a ratio up to that");
        }
        _ if max_ratio.0 == least => {
            findings.warn(BOOST, &["has no effect: ", &least_name, " is as high"].concat());
        }
        None if least == 0.0 => {
            findings.warn(BOOST, &["has no effect: ", &least_name, " is 0, and ten times 0 is 0"].concat());
        }
        _ => {}
    }
    Some(BoostSettings {
        max_ratio: max_ratio.0,
        hold_s: raw.hold_s.get() as f64,
        cooldown_s: raw.cooldown_s.get() as f64,
        min_requests: raw.min_requests.get() as f64,
    })
}
