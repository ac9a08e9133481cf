//! One request between its callbacks.

use crate::central::RuleId;
use crate::stream::Stream;

/// A request of a root. `stream` is empty until its headers came.
pub struct RequestContext {
    pub(super) root: u32,
    pub(super) stream: Option<Stream>,
    /// The same request under the shadow policy, if there is one.
    pub(super) shadow: Option<Box<Stream>>,
    /// A recall that was answered here: not a request of the mesh's applications.
    pub(super) is_recall: bool,
    /// The X-Ray rule by which the trace was decided, here or at its root.
    pub(super) xray_rule: Option<RuleId>,
}

impl RequestContext {
    /// A request that runs under this root.
    pub fn new(root: u32) -> Self {
        Self { root, stream: None, shadow: None, is_recall: false, xray_rule: None }
    }

    /// The root that it runs under.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// Dropped so far, and not yet at its end.
    pub fn is_pending(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.keep().is_none())
    }

    /// The last byte of the answer's body has passed.
    pub fn body_ended(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.body_ended();
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.body_ended();
        }
    }
}
