//! A stream that has ended, with all that its span will say.

use std::sync::Arc;

use super::facts::Facts;
use crate::policy::Policy;
use crate::sampling::Reason;
use crate::span::Span;
use crate::stream::Keep;
use crate::trace_context::TraceId;
use crate::upgrade::{CallFacts, Calls};

/// A span before it is made: to be exported, or held for a recall.
pub struct Held {
    /// The root that the stream ran under.
    pub root: u32,
    /// What it obeyed.
    pub policy: Arc<Policy>,
    pub(super) keep: Keep,
    pub(super) facts: Facts,
}

impl Held {
    /// Its trace.
    pub fn trace_id(&self) -> TraceId {
        self.keep.trace_id
    }

    /// An upgrade keeps it: its own, or an earlier one of its trace.
    pub fn is_upgraded(&self) -> bool {
        self.keep.trigger.is_some() || self.keep.reason == Reason::Upgraded
    }

    /// When the stream ended, Unix nanoseconds.
    pub fn ended(&self) -> u64 {
        self.facts.ended()
    }

    /// What the stream saw of its own call; `None` for the side that was called.
    pub fn call(&self) -> Option<CallFacts> {
        self.facts.is_call().then(|| self.facts.call(&self.keep))
    }

    /// The instance that was called, if it can be asked.
    pub fn destination(&self) -> Option<&str> {
        self.facts.destination()
    }

    /// The call went over TLS.
    pub fn is_tls(&self) -> bool {
        self.facts.is_tls()
    }

    /// The cluster that was called.
    pub fn cluster(&self) -> &[u8] {
        self.facts.cluster()
    }

    /// The answer bore our mark: there is a filter at the instance that was called.
    pub fn is_marked(&self) -> bool {
        self.keep.marked
    }

    /// Leaves of the headers what a span says.
    pub fn compact(&mut self) {
        self.facts.compact(&self.policy);
    }

    /// Bytes, with the box and its place in a ring or a list.
    pub fn bytes(&self) -> usize {
        const PLACE: usize = 64;
        std::mem::size_of::<Self>().saturating_add(PLACE).saturating_add(self.facts.bytes())
    }

    /// Makes the one span, or the two, that the stream becomes. `calls` is what is known of the calls behind it.
    pub fn spans(&self, calls: Option<Calls>, take: &mut dyn FnMut(Span<'_>)) {
        self.facts.spans(&self.keep, &self.policy, calls, take);
    }
}
