//! The request to explain.

use serde::{Deserialize, Serialize};

use crate::recorder::HeaderList;
use tracelift::sampling::RequestFacts;
use tracelift::trace_context::Headers;

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

    /// All headers, as Envoy shows them.
    pub fn list(&self) -> HeaderList {
        let pseudo =
            [(":method", &*self.method), (":path", &self.path), (":authority", &self.host), (":scheme", "http")];
        pseudo.into_iter().chain(self.headers.iter().map(|(name, value)| (&**name, &**value))).collect()
    }

    /// The same request with what a filter made of its headers.
    pub fn with_headers(&self, list: &HeaderList) -> Self {
        Self { headers: ordinary(list), ..self.clone() }
    }

    /// Calls `with` with what rules look at.
    pub fn with_facts<T>(&self, with: impl FnOnce(&RequestFacts<'_>) -> T) -> T {
        let list = self.list();
        with(&RequestFacts::of(&list.iter().collect::<Vec<_>>()))
    }
}

/// All headers that are not pseudo-headers.
pub fn ordinary(list: &HeaderList) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    list.iter().filter(|(name, _)| !name.starts_with(b":")).map(|(name, value)| (text(name), text(value))).collect()
}

impl Headers for &Request {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let lines: Vec<_> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join(",").into_bytes())
    }
}
