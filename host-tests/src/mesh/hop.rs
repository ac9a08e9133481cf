//! The truth about every stream that a filter handled, as the simulation saw it from outside.

use std::time::Duration;

use super::topology::PodId;

/// Index of a hop, in the order of their beginnings.
pub(crate) type HopId = usize;
/// The number of an event: two things that happen at one instant still have an order.
pub(crate) type Step = u64;

/// The trigger of what recall kept.
pub(crate) const RECALLED: &str = "recall";
/// The trigger of what others said of the trace, in an answer or in the Envoy's own table.
pub(crate) const SIGNALLED: &str = "signal";

/// Which listener a hop is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The gateway's, which is edge.
    Gateway,
    /// A pod's, in front of its application.
    Inbound,
    /// A pod's, behind its application.
    Outbound,
}

impl Side {
    pub(crate) fn listener(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Where in an answer something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// With its headers.
    Head,
    /// With its trailers.
    Trailers,
    /// When the stream is over: too late for the caller.
    End,
}

/// What became of a hop's span, by the access log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Dropped.
    #[default]
    No,
    /// By the head.
    Head,
    /// By a trigger, with its name.
    Upgraded(String),
}

/// One stream through one filter.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) pod: PodId,
    pub(crate) worker: usize,
    /// How often the worker's VM had been replaced when the hop began.
    pub(crate) generation: u32,
    pub(crate) side: Side,
    pub(crate) trace: u128,
    /// The id that went upstream.
    pub(crate) span: u64,
    /// The hop whose context came in.
    pub(crate) parent: Option<HopId>,
    /// The span-id of an application's own call, where that came instead of the hop's.
    pub(crate) came_with: Option<u64>,
    /// Whether what this hop says can reach its parent.
    pub(crate) relayed: bool,
    /// The trace flag that came in, if any did.
    pub(crate) incoming: Option<bool>,
    /// The trace flag that went upstream.
    pub(crate) sampled: bool,
    /// The randomness R that went upstream, 56 bits: of `tracestate`, or of the trace-id.
    pub(crate) randomness: u128,
    /// When the head of its answer passed; `None` if none did.
    pub(crate) head: Option<(Step, Duration)>,
    pub(crate) ended: Option<(Step, Duration)>,
    /// When it could see for itself that the request had failed.
    pub(crate) failed: Option<When>,
    /// More failures in this Envoy in the second before than the budget admits.
    pub(crate) crowded: bool,
    /// Which parts of its answer its caller's hop got.
    pub(crate) heard: Option<When>,
    /// What its answer said of the trace, in its headers and in its trailers.
    pub(crate) said: [Option<bool>; 2],
    /// What an application that lies had written into them, where that reached this hop and speaks of its trace.
    pub(crate) lied: [Option<bool>; 2],
    pub(crate) kept: Kept,
    /// Its VM trapped under it.
    pub(crate) lost: bool,
    /// It was told that its trace is kept, by the judge's books.
    pub(crate) told: bool,
    /// Its own failure was kept, by the judge's books.
    pub(crate) triggered: bool,
    /// The pod with a filter that was reached by a hop that calls, with its last attempt.
    pub(crate) reached: Option<PodId>,
}

impl Hop {
    /// When that place of the answer passed: the event's number, and the time.
    pub(crate) fn time_of(&self, when: When) -> Option<(Step, Duration)> {
        match when {
            When::Head => self.head,
            When::Trailers | When::End => self.ended,
        }
    }

    /// A trigger of its own, or one that it was told of, kept it. What recall kept was a sibling.
    pub(crate) fn is_upgraded(&self) -> bool {
        matches!(&self.kept, Kept::Upgraded(trigger) if trigger != RECALLED)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept != Kept::No
    }
}
