//! The request to explain, and where its ids come from.

use serde::{Deserialize, Serialize};

use tracelift::sampling::RequestFacts;

use tracelift::trace_context::{Headers, TraceId};

/// A request as it arrives at a hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// `:method`.
    pub method: String,
    /// `:path`, with the query.
    pub path: String,
    /// `:authority`.
    pub host: String,
    /// All other headers. Names in lower case, as Envoy has them.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Calls `with` with what rules look at.
    pub fn with_facts<T>(&self, with: impl FnOnce(&RequestFacts<'_>) -> T) -> T {
        let pseudo = [(":method", &self.method), (":path", &self.path), (":authority", &self.host)];
        let pseudo = pseudo.into_iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let others = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers: Vec<_> = pseudo.chain(others).collect();
        with(&RequestFacts {
            path: self.path.as_bytes(),
            method: self.method.as_bytes(),
            host: self.host.as_bytes(),
            headers: &headers,
        })
    }
}

impl Headers for &Request {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let lines: Vec<_> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join(",").into_bytes())
    }
}

/// Ids that are the same for the same seed, so that an explanation can be repeated: SplitMix64.
#[derive(Clone, Debug)]
pub struct Ids {
    seed: u64,
    /// Halves of a trace-id that come first, the last one first.
    trace: Vec<u64>,
}

impl Ids {
    /// Ids of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, trace: Vec::new() }
    }

    /// Ids of this seed behind this trace-id, for a trace that begins.
    pub fn of_trace(trace_id: TraceId, seed: u64) -> Self {
        let id = trace_id.get();
        Self { seed, trace: vec![id as u64, (id >> 64) as u64] } // Both halves, each truncated on purpose.
    }
}

impl tracelift::trace_context::Ids for Ids {
    fn next(&mut self) -> u64 {
        if let Some(half) = self.trace.pop() {
            return half;
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn are_random(&self) -> bool {
        true // As the filter's are, whose place they take.
    }
}
