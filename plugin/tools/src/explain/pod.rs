//! What the listeners of one Envoy have in common.

use std::cell::RefCell;
use std::rc::Rc;

use crate::recorder::{Ids, Proxy, SharedValues};
use tracelift::policy::Policy;
use tracelift::trace_context::TraceIdFormat;

/// 14 November 2023: any time would do.
const START_SECONDS: u64 = 1_700_000_000;
const SECOND: u64 = 1_000_000_000;

/// One Envoy: its listeners share what the filter keeps for its process.
#[derive(Clone, Debug)]
pub struct Pod {
    ids: Rc<RefCell<Ids>>,
    seconds: Option<u32>,
    now: u64,
    shared: SharedValues,
}

impl Pod {
    /// An Envoy that has just been started.
    pub fn new(ids: Ids) -> Self {
        Self {
            seconds: ids.seconds(),
            now: START_SECONDS,
            ids: Rc::new(RefCell::new(ids)),
            shared: SharedValues::default(),
        }
    }

    /// The same at this time, in Unix seconds: tokens end.
    pub fn at(self, seconds: u64) -> Self {
        Self { now: seconds, ..self }
    }

    /// Another one: its ids are different, and it shares nothing with this one.
    pub fn another(&self) -> Self {
        Self { shared: SharedValues::default(), ..self.clone() }
    }

    /// A listener of it. An X-Ray trace-id begins with the time, so a given one says what the clock shows.
    pub(super) fn listener(&self, policy: &Policy) -> Proxy {
        let given = self.seconds.filter(|_| policy.trace_id_format == TraceIdFormat::XRay);
        let now = given.map_or(self.now, u64::from).saturating_mul(SECOND);
        let mut policy = policy.clone();
        policy.upgrade.recall.enabled = false;
        Proxy::start(policy, now, Rc::clone(&self.ids), self.shared.clone())
    }
}
