//! A second policy that looks on: it decides about every request beside the one that counts, and nothing of what it decides
//! leaves but numbers. One request's shadow is a [`Stream`] of its own under other rules, so that both are decided by one
//! code.

use crate::stream::Stream;
use crate::upgrade::Verdict;
use crate::{sampling, upgrade};

/// The checked `shadow` part of the configuration. What it leaves out is as in the policy that counts.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which traces would be recorded.
    pub sampling: Option<sampling::Policy>,
    /// Which would be recorded after all.
    pub upgrade: Option<upgrade::Policy>,
}

/// What became of one request under both policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The shadow's head would sample it.
    pub sampled: bool,
    /// What the shadow's budget would say of a request that its head drops and that has a trigger.
    pub verdict: Option<Verdict>,
    /// The shadow would keep it.
    pub kept: bool,
    /// The policy that counts keeps it.
    pub live: bool,
}

impl Outcome {
    /// Compares at the end of a stream.
    pub fn of(live: &Stream, shadow: &Stream) -> Self {
        let sampled = shadow.decision().sampled;
        Self {
            sampled,
            verdict: shadow.verdict().filter(|_| !sampled),
            kept: shadow.keep().is_some(),
            live: live.keep().is_some(),
        }
    }
}
