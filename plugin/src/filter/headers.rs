//! Request headers for the propagators: by single gets where that is all we need, or from a map that was read whole.

use super::abi::Map;
use super::host;
use super::metrics::Metrics;
use super::vm::failed;
use crate::sampling::RequestFacts;
use crate::trace_context::Headers;

/// Asks the host for one header at a time.
pub struct Single<'a> {
    pub metrics: &'a mut Metrics,
}

/// `request.headers.X`; the longest name of a propagator and the prefix fit.
const PREFIX: &[u8; 16] = b"request\0headers\0";
const LONGEST: usize = 48;

impl Headers for Single<'_> {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        self.read(name, <[u8]>::to_vec)
    }

    /// By property, which joins repeated headers as the specification wants it; a plain get shows the first one only.
    /// Hosts without that property are asked plainly.
    fn read<T>(&mut self, name: &'static str, read: fn(&[u8]) -> T) -> Option<T> {
        let mut path = [0_u8; LONGEST];
        let (prefix, rest) = path.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        rest.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let path = path.get(..PREFIX.len() + name.len())?;
        if let Ok(value) = host::with_property(path, |value| value.map(read)) {
            return value;
        }
        let value = host::with_header(Map::RequestHeaders, name, |value| value.map(read));
        value.unwrap_or_else(|_| {
            failed(self.metrics);
            None
        })
    }
}

/// Looks into entries that were read whole.
pub struct Whole<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl Whole<'_> {
    /// The first value of that name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
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

impl Headers for Whole<'_> {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let mut values = self.0.iter().filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value);
        let mut joined = values.next()?.to_vec();
        for value in values {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
        Some(joined)
    }
}
