//! One request between its callbacks.

use super::asked::Asked;
use super::coverage::Sorted;
use super::measure::Measured;
use super::outline::{Named, Route};
use crate::central::RuleId;
use crate::policy::Rules;
use crate::stream::{Head, Stream};
use crate::trace_context::{SpanId, TraceId};

/// Headers of a request. Behind a thin pointer: what is dropped with every request should be one word.
pub struct HeadersSaid {
    /// Encoded as [`crate::http::pairs`].
    pub headers: Vec<u8>,
    /// `tracestate` among them is what the head's decision made of it.
    pub as_decided: bool,
}

/// A request of a root. `stream` is empty until its headers came.
pub struct RequestContext {
    pub(super) root: u32,
    pub(super) stream: Option<Stream>,
    /// The same request under the shadow policy, if there is one.
    pub(super) shadow: Option<Box<Stream>>,
    /// A request of Tracelift's own that was answered here.
    pub(super) answered_here: bool,
    /// All workers know that it runs, or it is not for them to know.
    shown: bool,
    /// What was asked for, before a route could rewrite it.
    pub(super) asked: Asked,
    /// What came of an answer before any request: a filter in front of ours gave it.
    pub(super) early: Option<Head>,
    /// What is counted of it, if anything is.
    pub(super) measured: Option<Measured>,
    /// Its route, where it is counted or coverage looks at it.
    pub(super) route: Route,
    /// The text of that route. Apart, and behind a thin pointer: what is dropped with every request should be one word.
    pub(super) named: Option<Box<Named>>,
    /// Its kind, as far as it is known, until coverage has looked at it.
    pub(super) sorted: Option<Sorted>,
    /// What a span says of the request's headers, where that is known at its head already.
    pub(super) said: Option<Box<HeadersSaid>>,
    /// The filter has asked for its answer, which Envoy would else send past it where there is nothing notable in it.
    pub(super) asks_answer: bool,
    /// Its answer was sent past the filter, and is judged by what was logged of it.
    pub(super) unseen: bool,
    /// The X-Ray rule by which the trace was decided, here or at its root.
    pub(super) xray_rule: Option<RuleId>,
}

impl RequestContext {
    /// A request that runs under this root.
    pub fn new(root: u32) -> Self {
        Self {
            root,
            stream: None,
            shadow: None,
            answered_here: false,
            shown: false,
            asked: Asked::default(),
            early: None,
            measured: None,
            route: Route::Unknown,
            named: None,
            sorted: None,
            said: None,
            asks_answer: false,
            unseen: false,
            xray_rule: None,
        }
    }

    /// Runs under another root; nothing of it is known yet.
    pub fn set_root(&mut self, root: u32) {
        self.root = root;
    }

    /// The root that it runs under.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// Dropped so far, and not yet at its end.
    pub fn is_pending(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.keep().is_none())
    }

    /// The id that went upstream is this one.
    pub fn is_of(&self, span_id: SpanId) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.span_id() == span_id)
    }

    /// Nothing of an answer was seen.
    pub(super) fn is_unanswered(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_unanswered)
    }

    /// Remembers that it was shown to all workers.
    pub fn set_shown(&mut self) {
        self.shown = true;
    }

    /// Whether that was called.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// Its trace, once its headers came.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.stream.as_ref().map(Stream::trace_id)
    }

    /// The id that it sent upstream, if it is kept or will be, now that its trace was upgraded in this process.
    pub fn span_id_if_kept(&self, rules: Rules<'_>) -> Option<SpanId> {
        self.stream.as_ref().filter(|stream| stream.will_be_kept(rules)).map(Stream::span_id)
    }

    /// A part of an answer came whose request did not: it is judged when the stream ends.
    #[inline(never)]
    pub(super) fn answered_early(&mut self, head: Head) {
        let early = self.early.get_or_insert_default();
        early.status = head.status.or(early.status);
        early.grpc_status = head.grpc_status.or(early.grpc_status);
        early.end_of_stream |= head.end_of_stream;
    }

    /// The last byte of the answer's body has passed.
    pub fn body_ended(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.body_ended();
        } else if let Some(early) = &mut self.early {
            early.end_of_stream = true;
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.body_ended();
        }
    }
}
