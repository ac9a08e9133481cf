//! What happened at a hop, in words.

use super::Answer;
use super::hop::{Header, text};
use tracelift::json::Named;
use tracelift::policy::Policy;
use tracelift::sampling::{Decision, Randomness, Reason, Sampler, Threshold};
use tracelift::stream::{Stream, Upgrade};
use tracelift::trace_context::{CallerDecision, Extracted};
use tracelift::upgrade::{Trigger, Verdict};

pub fn hex(threshold: Threshold) -> String {
    format!("{:014x}", threshold.bits())
}

/// The smallest ratio that keeps this R, in percent.
pub fn share(bits: u64) -> String {
    let range = (1_u64 << 56) as f64;
    format!("{:.4} %", (range - bits as f64) / range * 100.0)
}

pub fn shown(header: &Header) -> String {
    match &header.value {
        Some(value) => format!("{}: {value}", header.name),
        None => format!("{} taken off", header.name),
    }
}

pub fn context(policy: &Policy, extracted: &Extracted) -> String {
    let mut said = match (&extracted.parent, extracted.from) {
        (Some(parent), Some(from)) => {
            let flag = match parent.decision {
                CallerDecision::Sampled => "says sampled",
                CallerDecision::NotSampled => "says not sampled",
                CallerDecision::Deferred => "left the decision to us",
            };
            format!("{} is valid: the trace {} goes on, its caller {flag}", from.name(), text(&parent.trace_id.hex()))
        }
        _ if extracted.traceparent_invalid => "traceparent is none that W3C allows: a new trace begins".to_owned(),
        _ => "no trace context came with the request: a new trace begins".to_owned(),
    };
    if extracted.tracestate.is_some() && !extracted.tracestate_valid {
        said.push_str("; its tracestate keeps to no grammar and is discarded");
    }
    if policy.edge && extracted.parent.is_some() {
        said.push_str("; `edge` is true, so its word on sampling is not believed");
    }
    said
}

pub fn matched(policy: &Policy, rule: Option<u16>) -> String {
    let rules = policy.sampling.rules.len();
    match (policy.sampling.rule(rule), rule) {
        (Some(found), Some(index)) => format!("\"{}\" (sampling.rules[{index}]) is the first that matches", found.name),
        _ if rules == 0 => "there are no rules".to_owned(),
        _ => format!("no rule matches, of {rules}"),
    }
}

pub fn decided(policy: &Policy, stream: &Stream, randomness: Randomness) -> String {
    let decision = stream.decision();
    let name = if decision.sampled { "sampled" } else { "dropped" };
    let why = match decision.reason {
        Reason::Parent if decision.inconsistent => {
            "the caller's flag decides; its `th` contradicts R, so it is erased".to_owned()
        }
        Reason::Parent => "the caller's flag decides (`mode` is parent_based)".to_owned(),
        Reason::Upgraded => {
            "a failure had upgraded this trace in this Envoy before: later calls go on sampled".to_owned()
        }
        Reason::Rule { index } => {
            let rule = policy.sampling.rules.get(usize::from(index));
            let sampler = rule.and_then(|rule| rule.sampler).unwrap_or(policy.sampling.fallback);
            let name = rule.map_or("", |rule| &rule.name);
            format!("the ratio of rule \"{name}\" decides{}", comparison(sampler, decision, randomness))
        }
        Reason::Ratio => {
            format!("`sampling.ratio` decides{}", comparison(policy.sampling.fallback, decision, randomness))
        }
        Reason::XRay => "a sampling rule of AWS X-Ray decides".to_owned(),
    };
    let asks = policy.xray.is_some() && matches!(decision.reason, Reason::Rule { .. } | Reason::Ratio);
    let caveat = if asks { " (a rule of X-Ray comes first in a running Envoy; none is known here)" } else { "" };
    format!("{name}: {why}{caveat}")
}

fn comparison(sampler: Sampler, decision: &Decision, randomness: Randomness) -> String {
    let share = format!(": it keeps {:.4} % of all traces", sampler.share() * 100.0);
    match decision.threshold {
        Some(threshold) => {
            format!("{share}, T = {}, and R = {:014x} is not below it", hex(threshold), randomness.bits())
        }
        None if decision.sampled => format!("{share}, and this one is among them"),
        None => format!("{share}, and this one is not among them"),
    }
}

pub fn answered(answer: &Answer, known: Option<Verdict>) -> String {
    let status = answer.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
    let mut said = format!("{status} after {} ms", answer.duration_ms);
    if let Some(grpc) = answer.grpc_status {
        said.push_str(&format!(", gRPC {}", grpc.name()));
    }
    if !answer.flags.is_empty() {
        said.push_str(&format!(", response flags {}", answer.flags.names().collect::<Vec<_>>().join(",")));
    }
    if !answer.complete {
        said.push_str(", not whole");
    }
    let who = if answer.told.is_some() { "the upstream" } else { "another listener of this Envoy" };
    match known {
        Some(Verdict::Upgraded) => said.push_str(&format!("; {who} says that it keeps this trace")),
        Some(Verdict::Shed) => said.push_str(&format!("; {who} says that it shed this trace")),
        None => {}
    }
    said
}

pub fn upgraded(
    policy: &Policy,
    upgrade: Option<Upgrade>,
    trigger: Option<Trigger>,
    known: Option<Verdict>,
    stream: &Stream,
) -> String {
    let name = trigger.map_or("", Trigger::name);
    match (upgrade, known) {
        (Some(Upgrade::Upgraded(_)), Some(_)) => {
            format!("upgraded ({name}): the verdict came with the answer, nothing is charged here")
        }
        (Some(Upgrade::Upgraded(_)), None) => format!("upgraded ({name}): the budget had room"),
        (Some(Upgrade::Shed), Some(_)) => {
            "shed: whoever saw the failure first had shed it, so it stays dropped".to_owned()
        }
        (Some(Upgrade::Shed), None) => {
            "shed: the budget (`upgrade.traces_per_second`) was spent, so it stays dropped".to_owned()
        }
        (Some(Upgrade::AlreadySampled), _) if stream.verdict() == Some(Verdict::Upgraded) => {
            format!("triggered ({name}): the head had sampled it; the span counts for itself (th:0)")
        }
        (Some(Upgrade::AlreadySampled), _) => {
            "triggered, and the budget was spent: it stays what the head had sampled".to_owned()
        }
        (None, _) if stream.keep().is_none() && !may_upgrade(policy, stream) => {
            "no: its rule switches upgrades off".to_owned()
        }
        (None, _) => "no: nothing in the answer triggers".to_owned(),
    }
}

/// Whether the rule of this stream lets a failure upgrade it.
fn may_upgrade(policy: &Policy, stream: &Stream) -> bool {
    policy.sampling.rule(stream.rule()).is_none_or(|rule| rule.upgrade)
}
