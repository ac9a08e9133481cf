//! The decision of the head, made once: the caller, then a rule of X-Ray, then a rule of the configuration, then the rate in force or the
//! fixed ratio.

use super::decide::{Decision, Parent, decide};
use super::policy::{Mode, Policy};
use super::rate::Rate;
use super::threshold::{Randomness, Threshold};
use crate::trace_context::{CallerDecision, TraceId, TraceState};

/// All that a decision goes by, besides the request's own context.
#[derive(Clone, Copy, Debug)]
pub struct Decider<'a> {
    /// Mode, rules and ratio.
    pub policy: &'a Policy,
    /// What [`Policy::first_match`] said of the request.
    pub rule: Option<u16>,
    /// What is in force in place of the fixed ratio, where that steers itself.
    pub rate: Option<Rate>,
    /// This is the mesh's outer listener: a caller's decision is not believed.
    pub edge: bool,
    /// The randomness that the edge has chosen for a caller's trace; it counts in place of the caller's.
    pub rv: Option<u64>,
}

/// What rules from outside of the configuration say of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The decision.
    pub decision: Decision,
    /// The `tracestate` list-member by which the hops below learn of the rule, if they should.
    pub member: Option<Member>,
}

/// Key and value of a `tracestate` list-member.
pub type Member = (&'static [u8], [u8; 16]);

/// A decision, and how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// A caller had decided, and is believed; whether or not its decision holds here.
    pub has_caller: bool,
    /// As [`Chosen::member`].
    pub member: Option<Member>,
}

impl Decider<'_> {
    /// Decides. `central` is asked only where no caller's decision holds.
    #[inline(always)] // A call with this much to pass and return would cost each request a hundred instructions.
    pub fn decide(
        &self,
        caller: CallerDecision,
        tracestate: &TraceState<'_>,
        trace_id: TraceId,
        central: impl FnOnce(Randomness) -> Option<Chosen>,
    ) -> Decided {
        // Half of all requests bring no tracestate: nothing is built to say that nothing is in it.
        let (th, rv) = if self.rv.is_some() || tracestate.is_empty() {
            (None, self.rv)
        } else {
            let ot = tracestate.ot();
            (ot.th, ot.rv)
        };
        let randomness = rv.map_or_else(|| Randomness::from_trace_id(trace_id), Randomness::from_rv);
        let caller = self.believed(caller);
        let has_caller = caller.is_some();
        if (!has_caller || self.policy.mode == Mode::Independent)
            && let Some(Chosen { decision, member }) = central(randomness)
        {
            return Decided { decision, has_caller, member };
        }
        let caller = caller.map(|sampled| Parent { sampled, threshold: th.and_then(Threshold::from_bits) });
        let decision = decide(self.policy, (self.rule, self.rate), caller.as_ref(), trace_id, randomness);
        Decided { decision, has_caller, member: None }
    }

    /// What the caller decided, where it is believed.
    #[inline(always)] // As above.
    fn believed(&self, caller: CallerDecision) -> Option<bool> {
        match caller {
            _ if self.edge => None,
            CallerDecision::Sampled => Some(true),
            CallerDecision::NotSampled => Some(false),
            CallerDecision::Deferred => None,
        }
    }
}
