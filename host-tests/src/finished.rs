//! What is left of a request when it is over.

use std::collections::BTreeMap;

use crate::stream::{LocalResponse, Stream};
use crate::{Cost, Headers};

/// A request that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Status that the client saw; `None` if it left before. 503 if the VM failed first.
    pub status: Option<u16>,
    /// Request headers as they went upstream.
    pub request_headers: Headers,
    /// Response headers as the client got them.
    pub response_headers: Headers,
    /// Response trailers as the client got them.
    pub response_trailers: Headers,
    /// Response body as the client got it.
    pub body: Vec<u8>,
    /// Final response flags.
    pub flags: u64,
    /// The module's own answer, if it gave one.
    pub local_response: Option<LocalResponse>,
    /// What all its callbacks cost.
    pub cost: Cost,
    /// The same by callback, in the order they ran.
    pub callbacks: Vec<(&'static str, Cost)>,
    /// The VM failed before the request was over.
    pub vm_failed: bool,
    filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    refused_state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Finished {
    pub(crate) fn of(stream: &Stream, vm_failed: bool) -> Self {
        let response_headers = stream.response_headers.clone().unwrap_or_default();
        let seen = response_headers.get(":status").and_then(|status| {
            let text = std::str::from_utf8(status).ok()?;
            text.parse().ok()
        });
        let unseen = stream.code.and_then(|code| u16::try_from(code).ok());
        Self {
            status: if vm_failed { Some(503) } else { seen.or(unseen) },
            request_headers: stream.request_headers.clone().unwrap_or_default(),
            response_headers,
            response_trailers: stream.response_trailers.clone().unwrap_or_default(),
            body: stream.response_body.clone(),
            flags: stream.flags,
            local_response: stream.local_response.clone(),
            cost: stream.cost.clone(),
            callbacks: stream.callbacks.clone(),
            vm_failed,
            filter_state: stream.filter_state.clone(),
            refused_state: stream.refused_state.clone(),
        }
    }

    /// What `proxy_set_property` stored as filter state `wasm.<key>`; the access log can print it.
    pub fn filter_state(&self, key: &str) -> Option<&[u8]> {
        self.filter_state.get(key.as_bytes()).map(|value| &value[..])
    }

    /// The same, or what the module would have stored when Envoy's access log showed it a request, to which it cannot write then.
    pub fn wanted_state(&self, key: &str) -> Option<&[u8]> {
        self.filter_state(key).or_else(|| Some(&self.refused_state.get(key.as_bytes())?[..]))
    }

    /// Names of the callbacks that ran, in order.
    pub fn callback_names(&self) -> Vec<&'static str> {
        self.callbacks.iter().map(|(name, _)| *name).collect()
    }
}
