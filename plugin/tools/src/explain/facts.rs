//! What a record says of one hop: read from counters, headers, notes and shared values, and from the engine's own functions.

use crate::recorder::{Proxy, Recording, Write};
use tracelift::door::Side;
use tracelift::policy::Policy;
use tracelift::sampling::{Randomness, Steps, Threshold};
use tracelift::shared::SharedBudget;
use tracelift::telemetry::Metric;
use tracelift::trace_context::{Extracted, TraceId, TraceState, extract};
use tracelift::upgrade::{Mark, Trigger, Verdict, signal};

use super::Request;

/// What the filter did, as far as it can be seen from outside.
pub(super) struct Facts {
    /// The caller's context.
    pub(super) came: Extracted,
    /// What the upstream reads.
    pub(super) sent: Extracted,
    /// The first rule that matches.
    pub(super) rule: Option<u16>,
    /// The head's decision.
    pub(super) sampled: bool,
    /// Who decided.
    pub(super) reason: &'static str,
    /// The caller's `th` contradicts R.
    pub(super) inconsistent: bool,
    /// R, and whether `rv` says it.
    pub(super) randomness: (Randomness, bool),
    /// T, as it went upstream.
    pub(super) threshold: Option<Threshold>,
    /// What made the span be kept, or kept whole.
    pub(super) trigger: Option<&'static str>,
    /// The span was dropped before.
    pub(super) upgraded: bool,
    /// What became of the trace here.
    pub(super) verdict: Option<Verdict>,
    /// Whether the budget was asked, and had room.
    pub(super) budget: Option<bool>,
    /// The upstream's word was not believed.
    pub(super) signal_refused: bool,
    /// Whether coverage kept it, or had no budget left: `false`.
    pub(super) covered: Option<bool>,
    /// What came of a token.
    pub(super) token: Option<Metric>,
    /// The headers that were written.
    pub(super) writes: Vec<Write>,
}

impl Facts {
    /// Reads what is shown after the end of the request.
    pub(super) fn read(
        policy: &Policy,
        request: &Request,
        forwarded: &Request,
        proxy: &Proxy,
        recording: &Recording,
    ) -> Self {
        let host = proxy.host();
        let counts = host.counts();
        let counted =
            |prefix: &str| counts.iter().find_map(|(name, _)| name.strip_prefix("tracelift.")?.strip_prefix(prefix));
        let came = extract(&policy.propagators, &mut &*request);
        let sent = extract(&policy.propagators, &mut &*forwarded);
        let trace_id = sent.parent.map(|parent| parent.trace_id);
        let (sampled, reason) = match (counted("decisions.sampled."), counted("decisions.dropped.")) {
            (Some(reason), _) => (true, reason),
            (None, reason) => (false, reason.unwrap_or_default()),
        };
        let note = recording.noted("tracelift.decision");
        let name = note.as_deref().and_then(|note| note.strip_prefix("upgraded."));
        let trigger = Trigger::NAMES.into_iter().find(|known| Some(*known) == name);
        let of_upgrade =
            |name: &str| name.strip_prefix("tracelift.upgrades.").is_some_and(|name| Trigger::NAMES.contains(&name));
        let upgraded = counts.iter().any(|(name, _)| of_upgrade(name));
        let writes = recording.writes();
        let budget = budget(proxy);
        let shed = host.count(Metric::UpgradesShed) != 0 || budget == Some(false);
        let verdict = match trigger {
            Some(_) => Some(Verdict::Upgraded),
            None if shed || trace_id.is_some_and(|trace_id| says_shed(&writes, trace_id)) => Some(Verdict::Shed),
            None => None,
        };
        Self {
            rule: request.with_facts(|facts| policy.sampling.first_match(facts, &mut Steps::default())),
            randomness: randomness(&sent.trace_state(), trace_id),
            threshold: sent.trace_state().ot().th.and_then(Threshold::from_bits).filter(|_| sampled),
            inconsistent: host.count(Metric::Inconsistent) != 0,
            signal_refused: host.count(Metric::SignalsRefused) != 0,
            covered: match (host.count(Metric::CoverageKept), host.count(Metric::CoverageRefused)) {
                (0, 0) => None,
                (kept, _) => Some(kept != 0),
            },
            token: [Metric::ForceAccepted, Metric::ForceExpired, Metric::ForceInvalid, Metric::ForceOverBudget]
                .into_iter()
                .find(|metric| host.count(*metric) != 0),
            came,
            sent,
            sampled,
            reason,
            trigger,
            upgraded,
            verdict,
            budget,
            writes,
        }
    }

    /// The headers of the answer, and its trailers, that were written.
    pub(super) fn answered(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(|write| write.side != Side::Request)
    }
}

/// Whether the budget was charged: `true`, asked in vain: `false`.
fn budget(proxy: &Proxy) -> Option<bool> {
    let key = [SharedBudget::PREFIX, proxy.plugin()].concat().into_bytes();
    let accesses = proxy.host().take_accesses();
    let mut of_budget = accesses.iter().filter(|access| access.key == key).peekable();
    of_budget.peek()?;
    Some(of_budget.any(|access| access.changed))
}

fn says_shed(writes: &[Write], trace_id: TraceId) -> bool {
    let written = writes.iter().filter(|write| write.side != Side::Request && write.name == signal::SIGNAL);
    let values = written.filter_map(|write| write.value.as_deref());
    values.filter_map(|value| signal::read(value, trace_id)).any(|mark| mark == Mark::Shed)
}

fn randomness(tracestate: &TraceState<'_>, trace_id: Option<TraceId>) -> (Randomness, bool) {
    match tracestate.ot().rv {
        Some(rv) => (Randomness::from_rv(rv), true),
        None => (Randomness::from_trace_id(trace_id.unwrap_or(TraceId::MIN)), false),
    }
}
