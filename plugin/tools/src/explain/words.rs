//! What happened at a hop, in words.

use super::facts::Facts;
use super::hop::text;
use super::{Answer, Header, Request, SpanShown};
use tracelift::json::Named;
use tracelift::policy::Policy;
use tracelift::sampling::{Algorithm, Randomness, Sampler, Session, Source, Threshold};
use tracelift::telemetry::Metric;
use tracelift::trace_context::{CallerDecision, Extracted, XRAY};
use tracelift::upgrade::{Trigger, Verdict, signal};

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
            format!(
                "{} is valid: the trace {} is continued, its caller {flag}",
                from.name(),
                text(&parent.trace_id.hex())
            )
        }
        _ if extracted.traceparent_invalid => {
            "traceparent is invalid (W3C Trace Context): a new trace is started".to_owned()
        }
        _ => "no trace context came with the request: a new trace begins".to_owned(),
    };
    if extracted.tracestate.is_some() && !extracted.tracestate_valid {
        said.push_str("; its tracestate keeps to no grammar and is discarded");
    }
    if policy.edge && extracted.parent.is_some() {
        said.push_str(match policy.restarts_traces() {
            true => "; `edge` is true, and no randomness can stand beside its trace-id, so a new trace begins",
            false => "; `edge` is true, so its word on sampling is not believed, and the trace gets an `rv` of our own",
        });
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

/// Where R comes from, and what it means.
pub fn randomness(policy: &Policy, request: &Request, (randomness, explicit): (Randomness, bool)) -> String {
    let list = request.list();
    let list: Vec<_> = list.iter().collect();
    let decides = |session: &&Session| explicit && session.randomness(&list[..]) == Some(randomness.bits());
    let of_session = policy.session.as_ref().filter(decides).map(|session| match session.source() {
        Source::Cookie(name) => format!("the session in the cookie `{name}` (`sampling.session`)"),
        Source::Header(name) => format!("the session in the header `{name}` (`sampling.session`)"),
    });
    let rest = if explicit { "`rv` in tracestate" } else { "the last 14 digits of the trace-id" };
    let source = of_session.as_deref().unwrap_or(rest);
    let digits = format!("{:014x}", randomness.bits());
    format!("R = {digits}, from {source}: the trace is kept by every ratio of {} or more", share(randomness.bits()))
}

pub fn decided(policy: &Policy, facts: &Facts) -> String {
    let name = if facts.sampled { "sampled" } else { "dropped" };
    let rule = policy.sampling.rule(facts.rule);
    let why = match facts.reason {
        "parent" if facts.inconsistent => {
            "the caller's flag decides; its `th` contradicts R, so it is erased".to_owned()
        }
        "parent" => "the caller's flag decides (`mode` is parent_based)".to_owned(),
        "upgraded" => "a failure had upgraded this trace in this Envoy before: later calls are sampled".to_owned(),
        "forced" => "a token forces it".to_owned(),
        "xray" => "a sampling rule of AWS X-Ray decides".to_owned(),
        "rule" => {
            let sampler = rule.and_then(|rule| rule.sampler).unwrap_or(policy.sampling.fallback);
            let name = rule.map_or("", |rule| &rule.name);
            format!("the ratio of rule \"{name}\" decides{}", comparison(sampler, facts))
        }
        "adaptive" => match policy.sampling.pace {
            Some(settings) => {
                let ratio = super::rate::first(&settings);
                let sampler = Sampler::new(Algorithm::Consistent, ratio).unwrap_or(policy.sampling.fallback);
                let begins = ", which an Envoy begins with and a running one steers by its traffic";
                format!("the rate in force{begins}, decides{}", comparison(sampler, facts))
            }
            None => "the rate in force decides".to_owned(),
        },
        _ => format!("`sampling.ratio` decides{}", comparison(policy.sampling.fallback, facts)),
    };
    let asks = policy.xray.is_some() && ["rule", "ratio", "adaptive"].contains(&facts.reason);
    let caveat = if asks { " (a rule of X-Ray comes first in a running Envoy; none is known here)" } else { "" };
    format!("{name}: {why}{caveat}")
}

/// What came of a token; nothing where none came. Of one that is not good, no more is said than its sender is told by counters.
pub fn forced(policy: &Policy, facts: &Facts) -> Option<String> {
    let force = policy.force.as_ref()?;
    let said = match facts.token? {
        Metric::ForceAccepted => {
            "is good, and `force.traces_per_second` had room: whatever R is, it is recorded and counts for one"
        }
        Metric::ForceExpired => "was good once and has ended: as if there were none",
        Metric::ForceOverBudget => "is good, but `force.traces_per_second` is spent: as if there were none",
        _ => {
            "is not good: of no key here, for another audience (`service.namespace`) or another request, or good for longer than \
             `force.max_ttl_s`: as if there were none"
        }
    };
    Some(format!("the token in `{}` {said}; the header is taken off", force.header.as_str()))
}

fn comparison(sampler: Sampler, facts: &Facts) -> String {
    let share = format!(": it keeps {:.4} % of all traces", sampler.share() * 100.0);
    match facts.threshold {
        Some(threshold) => {
            let digits = facts.randomness.0.bits();
            format!("{share}, T = {}, and R = {digits:014x} is not below it", hex(threshold))
        }
        None if facts.sampled => format!("{share}, and this one is among them"),
        None => format!("{share}, and this one is not among them"),
    }
}

pub fn answered(answer: &Answer, facts: &Facts) -> String {
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
    let header = answer.headers.iter().find(|(name, _)| name == signal::SIGNAL);
    let of_header = || {
        let trace_id = facts.sent.parent.as_ref()?.trace_id;
        header.and_then(|(_, value)| signal::read(value.as_bytes(), trace_id))?.verdict()
    };
    // The hop charges nothing where another one had decided; which, only the answer can say. Coverage has a budget of its own.
    let is_covered = facts.trigger == Some(Trigger::Coverage.name());
    let elsewhere = || facts.verdict.filter(|_| facts.budget.is_none() && !is_covered);
    let (who, known) = match answer.told.or_else(of_header) {
        Some(told) => ("the upstream", Some(told)),
        None => ("another listener of this Envoy", elsewhere()),
    };
    match known {
        Some(Verdict::Upgraded) => said.push_str(&format!("; {who} says that it keeps this trace")),
        Some(Verdict::Shed) => said.push_str(&format!("; {who} says that it shed this trace")),
        None => {}
    }
    said
}

pub fn upgraded(policy: &Policy, facts: &Facts) -> String {
    let name = facts.trigger.unwrap_or_default();
    if name == Trigger::Coverage.name() {
        let kept = if facts.upgraded { "upgraded" } else { "triggered" };
        return format!(
            "{kept} ({name}): the first of its kind in an Envoy that has just started; charged to `upgrade.coverage.traces_per_minute`"
        );
    }
    match (facts.verdict, facts.budget) {
        (Some(Verdict::Upgraded), budget) if facts.upgraded => match budget {
            None => format!("upgraded ({name}): the verdict came with the answer, nothing is charged here"),
            Some(_) => format!("upgraded ({name}): the budget had room"),
        },
        (Some(Verdict::Upgraded), _) if name == Trigger::Signal.name() => {
            format!("triggered ({name}): the head had sampled it; the upstream says why it counts")
        }
        (Some(Verdict::Upgraded), _) => {
            format!("triggered ({name}): the head had sampled it; the span counts for itself (th:0)")
        }
        (Some(Verdict::Shed), Some(_)) if facts.sampled => {
            "triggered, and the budget was spent: it stays what the head had sampled".to_owned()
        }
        (Some(Verdict::Shed), None) if facts.sampled => {
            "triggered, and the first hop that saw the failure had shed it: the head's decision stands".to_owned()
        }
        (Some(Verdict::Shed), Some(_)) => {
            "shed: the budget (`upgrade.traces_per_second`) was spent, so it stays dropped".to_owned()
        }
        (Some(Verdict::Shed), None) => {
            "shed: the first hop that saw the failure had shed it, so it stays dropped".to_owned()
        }
        (None, _) if facts.signal_refused => {
            "no: the upstream's word is beyond ten times the budget, so it is not believed".to_owned()
        }
        (None, _) if !facts.sampled && policy.sampling.rule(facts.rule).is_some_and(|rule| !rule.upgrade) => {
            "no: its rule switches upgrades off".to_owned()
        }
        (None, _) => "no: nothing in the answer triggers".to_owned(),
    }
}

/// What the caller hears, or why nothing.
pub fn signals(policy: &Policy, facts: &Facts, response: &[Header]) -> Vec<String> {
    let (asked, signal): (Vec<_>, Vec<_>) = response.iter().partition(|header| header.name == XRAY);
    let headers = signal.into_iter().map(shown).collect::<Vec<_>>().join("; ");
    let said = match facts.verdict {
        _ if policy.edge && !headers.is_empty() => {
            Some(format!("`edge` is true: no signal leaves the mesh: {headers}"))
        }
        Some(_) if policy.edge => Some("`edge` is true: no signal leaves the mesh".to_owned()),
        Some(_) if !policy.upgrade.signal.emit => {
            Some("`upgrade.signal.emit` is false: the caller hears nothing".to_owned())
        }
        Some(_) if headers.is_empty() => {
            Some("the trigger came after the answer's headers: no signal is sent to the caller".to_owned())
        }
        Some(Verdict::Upgraded) => Some(format!("the answer asks the caller to keep its span, too: {headers}")),
        Some(Verdict::Shed) => Some(format!("the answer asks the caller to shed this trace, too: {headers}")),
        None if headers.is_empty() => None,
        None => Some(format!("the caller sampled it and hears that this hop keeps its part: {headers}")),
    };
    let asked = asked.into_iter().map(|header| format!("the caller asked by `Sampled=?` and hears {}", shown(header)));
    said.into_iter().chain(asked).collect()
}

pub fn spans(spans: &[SpanShown]) -> String {
    if spans.is_empty() {
        return "nothing is exported, and nothing was read for it".to_owned();
    }
    let said = spans.iter().map(|span| {
        let state = span.tracestate.as_deref().unwrap_or("none");
        format!("{} \"{}\", id {}, tracestate {state}, {} bytes", span.kind, span.name, span.span_id, span.bytes)
    });
    format!("exported: {}", said.collect::<Vec<_>>().join("; "))
}
