//! A forecast from rates alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::price::PriceTable;
use super::row::{Forecast, Kept, Row};
use crate::explain::{Answer, Hop, Ids, Pod, Request, Surroundings};
use tracelift::policy::Policy;
use tracelift::sampling;
use tracelift::sampling::pace::{Settings, TargetSettings};

/// Traffic in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Traces that begin, a second.
    pub traces_per_second: f64,
    /// Spans of proxies in one trace.
    pub spans_per_trace: f64,
    /// Share of the traces in which something triggers an upgrade, 0 to 1.
    pub failed_share: f64,
    /// Spans from the failure up to the root, on average; at most `spans_per_trace`.
    pub chain_spans: f64,
    /// Envoys among which the failures are spread; each has the configured budget.
    pub envoys: f64,
    /// Of the traces, the share (0 to 1) that each rule decides, by the rule's name. One that matches every request needs none.
    #[serde(default)]
    pub rule_shares: BTreeMap<String, f64>,
}

impl Default for Rates {
    /// 1,000 traces a second of 8 spans, one in a hundred of them failing in the middle, one Envoy.
    fn default() -> Self {
        Self {
            traces_per_second: 1000.0,
            spans_per_trace: 8.0,
            failed_share: 0.01,
            chain_spans: 4.0,
            envoys: 1.0,
            rule_shares: BTreeMap::new(),
        }
    }
}

impl Rates {
    /// `Err` says which number is none that traffic can have.
    pub fn checked(self) -> Result<Self, String> {
        let at_least = |name: &str, value: f64, least: f64| {
            let fine = value.is_finite() && least <= value;
            if fine { Ok(()) } else { Err(format!("{name}: found {value}; allowed is {least} or more")) }
        };
        at_least("traces a second", self.traces_per_second, 0.0)?;
        at_least("spans a trace", self.spans_per_trace, 1.0)?;
        at_least("spans from the failure to the root", self.chain_spans, 1.0)?;
        at_least("Envoys", self.envoys, 1.0)?;
        if !(0.0..=1.0).contains(&self.failed_share) {
            return Err(format!("share of failed traces: found {}; allowed is 0 to 1", self.failed_share));
        }
        Ok(Self { chain_spans: self.chain_spans.min(self.spans_per_trace), ..self })
    }
}

/// Bytes of a span of an ordinary request under this policy, as the filter would encode it.
pub(super) fn ordinary_span_bytes(policy: &Policy) -> f64 {
    let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03");
    let headers = [parent, ("tracestate", "ot=th:f333"), ("user-agent", "grpc-java-netty/1.68.0")];
    let request = Request {
        method: "GET".to_owned(),
        path: "/catalogue/items/4711".to_owned(),
        host: "catalogue.shop.svc.cluster.local".to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    // Sampled by its caller, whatever the ratio is.
    let sampling = sampling::Policy { mode: sampling::Mode::ParentBased, ..policy.sampling.clone() };
    let policy = Policy { sampling, edge: false, ..policy.clone() };
    let some = |text: &str| Some(text.to_owned());
    let surroundings = Surroundings {
        source: some("10.42.17.23:41234"),
        destination: some("10.42.17.99:8080"),
        upstream: some("10.42.17.99:8080"),
        route: some("default"),
        cluster: some("inbound|8080||catalogue.shop.svc.cluster.local"),
        ..Surroundings::default()
    };
    let hop = Hop::request(&policy, request, &Pod::new(Ids::new(1)));
    let explanation = hop.answer_among(&Answer::default(), surroundings).explanation;
    let spans = explanation.spans.len().max(1);
    explanation.spans.iter().map(|span| span.bytes).sum::<usize>() as f64 / spans as f64
}

/// Everything, head only and `policy`, at these rates. `Err` names what is missing or impossible; so it is where the policy
/// has rules and [`Rates::rule_shares`] does not say how many traces each of them decides.
pub fn forecast(policy: &Policy, rates: Rates, prices: &PriceTable) -> Result<Forecast, String> {
    let rates = rates.checked()?;
    let mut classes = classes(&policy.sampling, &rates.rule_shares)?;
    let bytes = ordinary_span_bytes(policy);
    let failed = rates.failed_share * rates.traces_per_second;
    let charged: f64 = classes.iter().filter(|class| class.upgrade).map(|class| failed * class.share).sum();
    let budget = policy.upgrade.budget.rate() * rates.envoys;
    let admitted = if charged > 0.0 { (budget / charged).min(1.0) } else { 1.0 };
    let settled = settle(policy, &mut classes, &rates, failed * admitted);
    let mean = |of: &dyn Fn(&Class) -> f64| classes.iter().map(|class| class.share * of(class)).sum::<f64>();
    let ratio = mean(&|class| class.ratio);
    // Of the failed traces, those that only an upgrade keeps.
    let upgraded = mean(&|class| if class.upgrade { admitted * (1.0 - class.ratio) } else { 0.0 });

    let some_failed = |share: f64| (failed > 0.0).then_some(share);
    let at_ratio = |ratio: f64| Kept {
        traces: ratio * rates.traces_per_second,
        spans: ratio * rates.traces_per_second * rates.spans_per_trace,
        bytes: ratio * rates.traces_per_second * rates.spans_per_trace * bytes,
        chains_complete: some_failed(ratio),
        failed_spans_kept: some_failed(ratio),
    };
    let head = at_ratio(ratio);
    let chain = rates.chain_spans / rates.spans_per_trace;
    let tracelift = Kept {
        traces: head.traces + failed * upgraded,
        spans: head.spans + failed * upgraded * rates.chain_spans,
        bytes: head.bytes + failed * upgraded * rates.chain_spans * bytes,
        chains_complete: some_failed(ratio + upgraded),
        failed_spans_kept: some_failed(ratio + upgraded * chain),
    };
    let mut notes = Vec::from_iter(settled);
    if let Some(coverage) = &policy.upgrade.coverage {
        notes.push(format!(
            "Coverage keeps at most {:.0} requests a minute beside that; which kinds, an access log (--from) knows.",
            coverage.budget.rate() * 60.0 * rates.envoys
        ));
    }
    if admitted < 1.0 {
        notes.push(format!(
            "{charged:.1} failures a second are more than the budget of {budget:.1}: {:.1} % of them are shed.",
            (1.0 - admitted) * 100.0
        ));
    }
    if 1 < classes.len() && failed > 0.0 {
        notes.push(
            "Failures are taken to be as frequent under every rule; an access log (--from) knows better.".to_owned(),
        );
    }
    Ok(Forecast {
        basis: format!(
            "{} traces a second of {} spans, {:.3} % failed with {} spans up to the root; ratio {:.4} %{}; {bytes:.0} bytes a span",
            rates.traces_per_second,
            rates.spans_per_trace,
            rates.failed_share * 100.0,
            rates.chain_spans,
            ratio * 100.0,
            if 1 < classes.len() { " over all rules" } else { "" },
        ),
        rows: vec![
            Row::new("keep everything", at_ratio(1.0), prices),
            Row::new("head only", head, prices),
            Row::new("tracelift", tracelift, prices),
        ],
        prices: prices.clone(),
        kinds: None,
        adaptive: None,
        notes,
    })
}

/// Traces that one rule, or none, decides on.
struct Class {
    /// Of all traces, 0 to 1.
    share: f64,
    /// Of these, what the head keeps, 0 to 1.
    ratio: f64,
    /// A target or a boost decides it, if there is one.
    by_rate: bool,
    /// Their failures upgrade them.
    upgrade: bool,
}

/// Gives traces that a target decides the ratio at which it settles; says what that is. `admitted`: failed traces a second that may be
/// upgraded.
fn settle(policy: &Policy, classes: &mut [Class], rates: &Rates, admitted: f64) -> Option<String> {
    let settings = policy.sampling.pace.as_ref()?;
    let target = settings.target?;
    let share: f64 = classes.iter().filter(|class| class.by_rate).map(|class| class.share).sum();
    let offered = share * rates.traces_per_second / rates.envoys;
    let mut ratio = 0.0;
    // What upgrades spend depends on the ratio, and the ratio on what they leave: a few rounds settle it.
    for _ in 0..20 {
        let spent = classes.iter().map(|class| {
            let head = if class.by_rate { 0.0 } else { class.share * rates.traces_per_second * class.ratio };
            let upgraded = if class.upgrade { class.share * admitted * (1.0 - class.ratio) } else { 0.0 };
            head + upgraded
        });
        let left = (target.per_second - spent.sum::<f64>() / rates.envoys).max(0.0);
        let target = Some(TargetSettings { per_second: left, ..target });
        ratio = Settings { target, ..*settings }.settled(offered);
        classes.iter_mut().filter(|class| class.by_rate).for_each(|class| class.ratio = ratio);
    }
    Some(format!(
        "The target of {:.2} traces a second is taken to be that of each Envoy (--envoys {}): with {offered:.1} new traces a second in \
         each, the ratio settles at {:.4} %, once upgrades and rules with a ratio are paid.",
        target.per_second,
        rates.envoys,
        ratio * 100.0
    ))
}

/// One class for each rule up to the first that matches every request, which takes the rest; else one for what no rule decides.
fn classes(sampling: &sampling::Policy, shares: &BTreeMap<String, f64>) -> Result<Vec<Class>, String> {
    let general = sampling.rules.iter().position(|rule| rule.matcher.is_everything());
    let some = sampling.rules.get(..general.unwrap_or(sampling.rules.len())).unwrap_or_default();
    let names = || some.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(stranger) = shares.keys().find(|name| some.iter().all(|rule| rule.name != **name)) {
        let allowed = if some.is_empty() { "none: no rule needs one".to_owned() } else { names() };
        return Err(format!("share of the rule {stranger}: the configuration has no such rule; allowed is {allowed}"));
    }
    let mut classes = Vec::new();
    let mut rest = 1.0;
    for rule in some {
        let Some(&share) = shares.get(&rule.name) else {
            return Err(format!(
                "sampling.rules: rates do not say which requests there are. Give the share of the traces that each of these rules \
                 decides, as in --rule-share {}=0.2 ({}), or let what really happened decide: --from with an access log or an \
                 OTLP dump",
                rule.name,
                names()
            ));
        };
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("share of the rule {}: found {share}; allowed is 0 to 1", rule.name));
        }
        rest -= share;
        let ratio = rule.sampler.unwrap_or(sampling.fallback).share();
        classes.push(Class { share, ratio, by_rate: rule.sampler.is_none(), upgrade: rule.upgrade });
    }
    if rest < -1e-9 {
        let total = ((1.0 - rest) * 1e6).round() / 1e6;
        return Err(format!("shares of the rules: found {total} in total; allowed is 1 at most"));
    }
    let general = general.and_then(|index| sampling.rules.get(index));
    classes.push(Class {
        share: rest.max(0.0),
        ratio: general.and_then(|rule| rule.sampler).unwrap_or(sampling.fallback).share(),
        by_rate: general.is_none_or(|rule| rule.sampler.is_none()),
        upgrade: general.is_none_or(|rule| rule.upgrade),
    });
    Ok(classes)
}
