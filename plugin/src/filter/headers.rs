//! The headers of a request or an answer, out of a map that was read whole.
//!
//! Whole, because a value that comes back from the host is what costs: Envoy's host builds a list of allowed functions for each
//! memory that it asks us for. And the first search for a header that Envoy has no slot for makes it index all of them.

use super::abi::Map;
use super::host::{self, HostResult};
use super::pairs::Pairs;
use crate::sampling::RequestFacts;
use crate::trace_context::Headers;

/// A map in the host's encoding.
#[derive(Clone, Copy)]
pub struct Encoded<'a>(&'a [u8]);

/// Reads a map by one hostcall and lets `work` look at it, or at the reason why there is none.
pub fn of<T>(map: Map, mut work: impl FnMut(HostResult<Encoded<'_>>) -> T) -> T {
    match host::with_map(map, |bytes| work(Ok(Encoded(bytes)))) {
        Ok(done) => done,
        Err(status) => work(Err(status)),
    }
}

impl<'a> Encoded<'a> {
    /// No entry.
    pub const NONE: Self = Self(&[]);

    /// The first value of that name.
    pub fn first(self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// All of them, in one allocation.
    pub fn entries(self) -> Vec<(&'a [u8], &'a [u8])> {
        Pairs::all(self.0)
    }

    fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        Pairs::new(self.0).values_of(name.as_bytes())
    }
}

impl Headers for Encoded<'_> {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        join(self.values(name))
    }

    fn read<T>(&mut self, name: &'static str, read: fn(&[u8]) -> T) -> Option<T> {
        let mut values = self.values(name);
        let first = values.next()?;
        if values.next().is_none() { Some(read(first)) } else { self.joined(name).map(|joined| read(&joined)) }
    }
}

/// The same entries, found once because rules look at many of them.
pub struct Listed<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl Listed<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }

    /// What rules are matched against.
    pub fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            path: self.first(":path").unwrap_or_default(),
            method: self.first(":method").unwrap_or_default(),
            host: self.first(":authority").unwrap_or_default(),
            headers: self.0,
        }
    }
}

impl Headers for Listed<'_> {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        join(self.values(name))
    }
}

/// All lines, as the specification joins them.
fn join<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut joined = values.next()?.to_vec();
    for value in values {
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(joined)
}
