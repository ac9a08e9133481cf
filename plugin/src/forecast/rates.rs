//! A forecast from rates alone.

use serde::{Deserialize, Serialize};

use super::price::PriceTable;
use super::row::{Forecast, Kept, Row};
use crate::config::Policy;
use crate::explain::{Answer, Hop, Ids, Request, Surroundings};

/// Traffic in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}

impl Default for Rates {
    /// 1,000 traces a second of 8 spans, one in a hundred of them failing in the middle, one Envoy.
    fn default() -> Self {
        Self { traces_per_second: 1000.0, spans_per_trace: 8.0, failed_share: 0.01, chain_spans: 4.0, envoys: 1.0 }
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
    let sampling = crate::sampling::Policy { mode: crate::sampling::Mode::ParentBased, ..policy.sampling.clone() };
    let policy = Policy { sampling, edge: false, ..policy.clone() };
    let surroundings = Surroundings {
        source: Some("10.42.17.23:41234"),
        destination: Some("10.42.17.99:8080"),
        upstream: Some("10.42.17.99:8080"),
        route: Some("default"),
        cluster: Some("inbound|8080||catalogue.shop.svc.cluster.local"),
    };
    let hop = Hop::request(&policy, request, None, &mut Ids::new(1));
    let (explanation, _) = hop.answer_among(&Answer::default(), &surroundings);
    let spans = explanation.spans.len().max(1);
    explanation.spans.iter().map(|span| span.bytes).sum::<usize>() as f64 / spans as f64
}

/// Everything, head only and `policy`, at these rates. Rules are looked at only where one matches every request: rates do not
/// say what the requests are.
pub fn forecast(policy: &Policy, rates: Rates, prices: &PriceTable) -> Result<Forecast, String> {
    let rates = rates.checked()?;
    let bytes = ordinary_span_bytes(policy);
    let everywhere = policy.sampling.rules.first().filter(|rule| rule.matcher.is_everything());
    let sampler = everywhere.and_then(|rule| rule.sampler).unwrap_or(policy.sampling.fallback);
    let ratio = sampler.share();
    let failed = rates.failed_share * rates.traces_per_second;
    let may_upgrade = everywhere.is_none_or(|rule| rule.upgrade);
    let budget = if may_upgrade { policy.upgrade.budget.rate() * rates.envoys } else { 0.0 };
    let admitted = if failed > 0.0 { (budget / failed).min(1.0) } else { 1.0 };

    let some_failed = |share: f64| (failed > 0.0).then_some(share);
    let at_ratio = |ratio: f64| Kept {
        traces: ratio * rates.traces_per_second,
        spans: ratio * rates.traces_per_second * rates.spans_per_trace,
        bytes: ratio * rates.traces_per_second * rates.spans_per_trace * bytes,
        chains_complete: some_failed(ratio),
        failed_spans_kept: some_failed(ratio),
    };
    let head = at_ratio(ratio);
    let upgraded = failed * admitted * (1.0 - ratio);
    let chain = rates.chain_spans / rates.spans_per_trace;
    let tracelift = Kept {
        traces: head.traces + upgraded,
        spans: head.spans + upgraded * rates.chain_spans,
        bytes: head.bytes + upgraded * rates.chain_spans * bytes,
        chains_complete: some_failed(ratio + (1.0 - ratio) * admitted),
        failed_spans_kept: some_failed(ratio + (1.0 - ratio) * admitted * chain),
    };
    let mut notes = Vec::new();
    if admitted < 1.0 {
        notes.push(format!(
            "{failed:.1} failures a second are more than the budget of {budget:.1}: {:.1} % of them are shed.",
            (1.0 - admitted) * 100.0
        ));
    }
    if !policy.sampling.rules.is_empty() && everywhere.is_none() {
        notes.push("Rates do not say what the requests are: sampling.rules were not looked at.".to_owned());
    }
    Ok(Forecast {
        basis: format!(
            "{} traces a second of {} spans, {:.3} % failed with {} spans up to the root; ratio {:.4} %; {bytes:.0} bytes a span",
            rates.traces_per_second,
            rates.spans_per_trace,
            rates.failed_share * 100.0,
            rates.chain_spans,
            ratio * 100.0
        ),
        rows: vec![
            Row::new("keep everything", at_ratio(1.0), prices),
            Row::new("head only", head, prices),
            Row::new("tracelift", tracelift, prices),
        ],
        prices: prices.clone(),
        notes,
    })
}
