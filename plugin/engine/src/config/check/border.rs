//! `envoy`: what of it goes with the other settings.

use super::Findings;
use crate::border::{Answers, Border};
use crate::config::raw;
use crate::policy::Policy;
use crate::sampling::Mode;
use crate::span::KindSetting;
use crate::trace_context::Propagator;

/// Until the rest was read.
pub const NOTHING: Border =
    Border { skips: false, asks_all: false, one_header: false, could_skip: false, could_read_one: false };

const FAILURES: std::ops::RangeInclusive<u16> = 500..=599;

/// Judges it by the rest of the policy.
pub fn border(raw: &raw::Envoy, policy: &Policy, findings: &mut Findings) -> Border {
    let skips = raw.answers == Answers::Notable;
    let (asks, reads) = (wants_all(policy), reads_more(policy));
    if let Some(setting) = asks.filter(|_| skips) {
        const OUTCOME: &str = ": the filter asks for every answer, which costs more than \"all\"";
        findings.warn("envoy.answers", &["\"notable\" saves nothing with ", setting, OUTCOME].concat());
    }
    if let Some(setting) = reads.filter(|_| raw.inline_headers) {
        findings
            .warn("envoy.inline_headers", &["has no effect with ", setting, ", which reads other headers"].concat());
    }
    Border {
        skips,
        asks_all: asks.is_some(),
        one_header: raw.inline_headers && reads.is_none(),
        could_skip: asks.is_none(),
        could_read_one: reads.is_none(),
    }
}

/// The first setting that looks at more of an answer than a matcher does.
fn wants_all(policy: &Policy) -> Option<&'static str> {
    let upgrade = &policy.upgrade;
    let signal = &upgrade.signal;
    let beyond = |code: &u16| !FAILURES.contains(code) && upgrade.http_status.contains(*code);
    let settings = [
        (policy.span_kind == KindSetting::Auto && signal.accept, "`span_kind` = \"auto\""),
        ((100..=999).any(|code| beyond(&code)), "`upgrade.http_status` beyond 5xx"),
        (!upgrade.response_headers.is_empty(), "`upgrade.response_headers`"),
        (upgrade.recall.enabled, "`upgrade.recall.enabled`"),
        (upgrade.coverage.is_some(), "`upgrade.coverage.enabled`"),
        (upgrade.slow.is_some(), "`upgrade.slow.enabled`"),
        (signal.accept_previous, "`upgrade.signal.accept_previous`"),
        (signal.accept_server_timing, "`upgrade.signal.accept_server_timing`"),
        (policy.metrics.is_some(), "`metrics.enabled`"),
        (policy.xray.is_some(), "`sampling.xray.enabled`"),
        (policy.shadow.is_some(), "`shadow`"),
    ];
    settings.into_iter().find(|(is_set, _)| *is_set).map(|(_, name)| name)
}

/// The first setting that reads other headers than `traceparent` of a request that is dropped.
fn reads_more(policy: &Policy) -> Option<&'static str> {
    let settings = [
        (policy.propagators != [Propagator::TraceContext], "`propagators`"),
        (policy.sampling.mode != Mode::ParentBased, "`sampling.mode`"),
        (policy.sampling.needs_request(), "`sampling.rules`"),
        (policy.xray.is_some(), "`sampling.xray.enabled`"),
        (policy.paced.is_some(), "`sampling.target.by` = \"route\""),
        (policy.session.is_some(), "`sampling.session`"),
        (policy.force.is_some(), "`force.keys`"),
        (policy.upgrade.slow.is_some(), "`upgrade.slow.enabled`"),
        (policy.upgrade.coverage.is_some(), "`upgrade.coverage.enabled`"),
        (policy.metrics.is_some(), "`metrics.enabled`"),
        (policy.shadow.is_some(), "`shadow`"),
        (policy.edge, "`edge`"),
    ];
    settings.into_iter().find(|(is_set, _)| *is_set).map(|(_, name)| name)
}
