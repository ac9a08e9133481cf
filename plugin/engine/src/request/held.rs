//! A stream that has ended, with all that its span will say.

use std::sync::Arc;

use super::facts::Facts;
use crate::otlp::Exemplar;
use crate::policy::Policy;
use crate::sampling::Reason;
use crate::span::Span;
use crate::stream::Keep;
use crate::trace_context::{SpanId, TraceId, is_of_a_hop};
use crate::upgrade::parents::{Inbound, Orphan};
use crate::upgrade::{CallFacts, Calls};

/// A span before it is made: to be exported, or held for a recall.
pub struct Held {
    /// The root that the stream ran under.
    pub root: u32,
    /// What it obeyed.
    pub policy: Arc<Policy>,
    pub(super) keep: Keep,
    pub(super) facts: Facts,
    pub(super) exemplar: Option<Box<Exemplar>>,
    /// It is audited, and had failed.
    pub(super) audited: Option<bool>,
}

impl Held {
    /// Its trace.
    pub fn trace_id(&self) -> TraceId {
        self.keep.trace_id
    }

    /// An upgrade keeps it: its own, or an earlier one of its trace.
    pub fn is_upgraded(&self) -> bool {
        self.keep.upgraded
    }

    /// Where its trace was decided here: whether it failed, and how many requests its span stands for.
    pub fn audited(&self) -> Option<(bool, f64)> {
        self.audited.zip(self.keep.adjusted_count)
    }

    /// Something else than the rate in force keeps a trace that begins here, or a request that was dropped: the target pays for it first.
    pub fn is_paid_first(&self) -> bool {
        let Keep { reason, sent_sampled, parent_id, .. } = self.keep;
        !sent_sampled || parent_id.is_none() && reason != Reason::Adaptive
    }

    /// The call, if its parent is not exported by anyone: its caller's flag says so, and the id is not one of a hop's, as it is where an
    /// application copies headers.
    pub fn orphan(&self) -> Option<Orphan> {
        let Keep { trace_id, parent_id, upgraded, caller_dropped, .. } = self.keep;
        let parent_id = parent_id.filter(|parent_id| upgraded && caller_dropped && !is_of_a_hop(*parent_id))?;
        let (began, ended) = (self.facts.began(), self.facts.ended());
        self.facts.is_call_only().then_some(Orphan { trace_id, parent_id, began, ended })
    }

    /// The stream, if it came in and an upgrade keeps it: calls of the application that served it may hang below it.
    pub fn inbound(&self) -> Option<Inbound> {
        let Keep { trace_id, span_id, upgraded, .. } = self.keep;
        let (began, ended) = (self.facts.began(), self.facts.ended());
        (upgraded && !self.facts.is_call_only()).then_some(Inbound { trace_id, span_id, began, ended })
    }

    /// The span goes out below this one, and says which parent-id it came with.
    pub fn move_below(&mut self, ancestor: SpanId) {
        if self.keep.parent_id != Some(ancestor) {
            self.keep.unrecorded_parent = self.keep.parent_id.replace(ancestor);
        }
    }

    /// What a point of a metric may show once its span is exported.
    pub fn exemplar(&self) -> Option<&Exemplar> {
        self.exemplar.as_deref()
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
