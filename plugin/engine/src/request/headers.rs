//! Headers as the propagators read them: all lines of a name, joined as RFC 9110, section 5.3, has it.

use crate::door::HeaderView;
use crate::trace_context::Headers;

/// Any host's headers.
pub struct Lines<V>(pub V);

impl<'a, V: HeaderView<'a>> Headers for Lines<V> {
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        join(self.0.values(name))
    }

    fn read<T>(&mut self, name: &'static str, read: fn(&[u8]) -> T) -> Option<T> {
        self.read_with(name, read)
    }
}

impl<'a, V: HeaderView<'a>> Lines<V> {
    /// Lets `read` look at all values of a name, joined; no copy is made of a single one.
    pub fn read_with<T>(&self, name: &str, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut values = self.0.values(name);
        let first = values.next()?;
        Some(if values.next().is_none() { read(first) } else { read(&join(self.0.values(name))?) })
    }
}

/// All values of a name.
pub fn join<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut joined = values.next()?.to_vec();
    for value in values {
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(joined)
}
