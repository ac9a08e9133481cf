//! Request headers for the propagators: by single gets where that is all we need, or from a map that was read whole.

use super::abi::Map;
use super::host;
use super::metrics::Metrics;
use super::vm::failed;
use crate::trace_context::Headers;

/// Asks the host for one header at a time.
pub struct Single<'a> {
    pub metrics: &'a mut Metrics,
}

/// `request.headers.X`; the longest name of a propagator and the prefix fit.
const PREFIX: &str = "request\0headers\0";
const LONGEST: usize = 48;

impl Headers for Single<'_> {
    /// By property, which joins repeated headers as the specification wants it; a plain get shows the first one only.
    /// Hosts without that property are asked plainly.
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let mut path = [0_u8; LONGEST];
        let length = PREFIX.len() + name.len();
        let path = path.get_mut(..length).and_then(|path| {
            let (prefix, rest) = path.split_at_mut_checked(PREFIX.len())?;
            prefix.copy_from_slice(PREFIX.as_bytes());
            rest.copy_from_slice(name.as_bytes());
            std::str::from_utf8(path).ok()
        })?;
        if let Ok(value) = host::property(path) {
            return value;
        }
        match host::header(Map::RequestHeaders, name) {
            Ok(value) => value,
            Err(_) => {
                failed(self.metrics);
                None
            }
        }
    }
}

/// Looks into entries that were read whole.
pub struct Whole<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl Whole<'_> {
    /// The first value of that name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
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
