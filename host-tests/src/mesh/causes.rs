//! Why a hop above a failure could not be told: the limits of the signal, counted.

use super::hop::{Hop, HopId, Side, When};

/// What stood between a failure that was kept and a hop above it that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// An application without the filter in front of it: it passes no signal on.
    NoFilter,
    /// The answer reached nobody: Envoy's own retry replaced it, or the caller had stopped waiting.
    Unheard,
    /// The hop had answered already: its application works on, or let go of a call.
    Answered,
    /// The same, further down.
    Below,
}

impl Cause {
    /// Every cause, with its words.
    pub const NAMES: [(Self, &'static str); 4] = [
        (Self::NoFilter, "an application without the filter between"),
        (Self::Unheard, "an answer that was not received"),
        (Self::Answered, "it had answered already"),
        (Self::Below, "one of these, further down"),
    ];

    /// Why nothing came up to a hop from those below it; `below` are the hops under it on the way to a failure.
    pub(crate) fn of(hops: &[Hop], id: HopId, below: impl Iterator<Item = HopId>) -> Self {
        let causes = below.map(|child| {
            let (hop, child) = (&hops[id], &hops[child]);
            let late = child.time_of(When::End) > hop.head;
            match child.side {
                _ if !child.relayed => Self::NoFilter,
                Side::Inbound if child.heard.is_none() => Self::Unheard,
                Side::Outbound if late || hop.head.is_none() => Self::Answered,
                _ => Self::Below,
            }
        });
        causes.min().unwrap_or(Self::Below)
    }
}
