//! Envoy's matcher around a filter (`ExtensionWithMatcher`), as `envoy/wrapped.yaml` has it: an answer without anything notable is sent
//! past the filter, and Envoy's access log shows the filter what failed.

use crate::Headers;

/// A header of an answer, and what its value begins with; `None`: any value will do.
pub type Condition = (&'static str, Option<&'static str>);

/// Any of these in an answer, and the filter sees it.
pub const NOTABLE: [Condition; 4] = [
    (":status", Some("5")),
    ("content-type", Some("application/grpc")),
    ("grpc-status", None),
    ("x-tracelift-signal", None),
];

/// And at the mesh's edge.
pub const NOTABLE_AT_EDGE: [Condition; 2] = [("traceresponse", None), ("server-timing", None)];

/// The filter state by which a filter asks for an answer, whatever that is; behind `wasm.`.
pub const ASKED: &str = "tracelift.answer";

/// From this status on the access log shows an answer to the filter.
const FAILED: i64 = 500;

/// What is around a listener's filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Around {
    /// Nothing.
    #[default]
    Nothing,
    /// The matcher of the mesh.
    Matcher,
    /// That of its edge.
    EdgeMatcher,
}

impl Around {
    /// Whether the filter is not to see an answer of these headers, for which it has or has not asked.
    pub(crate) fn skips(self, headers: &Headers, is_asked: bool) -> bool {
        let at_edge: &[Condition] = match self {
            Self::Nothing => return false,
            Self::Matcher => &[],
            Self::EdgeMatcher => &NOTABLE_AT_EDGE,
        };
        let has = |(name, prefix): &Condition| {
            let value = headers.get(name);
            let begins = |value: &[u8], prefix: &str| {
                value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
            };
            value.is_some_and(|value| prefix.is_none_or(|prefix| begins(value, prefix)))
        };
        !is_asked && !NOTABLE.iter().chain(at_edge).any(has)
    }

    /// Whether the access log shows the filter a request that ended like this.
    pub(crate) fn shows(self, flags: u64, code: Option<i64>) -> bool {
        self != Self::Nothing && (flags != 0 || code.is_some_and(|code| FAILED <= code))
    }
}
