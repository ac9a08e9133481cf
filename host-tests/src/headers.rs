//! Header maps as Envoy keeps them: ordered, several values a name, names in lower case, values any bytes.

use std::fmt;

/// An ordered header or trailer map.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Entries in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// The first value of a name, as `proxy_get_header_map_value` gives it.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| &value[..])
    }

    /// Every value of a name, in order.
    pub fn all(&self, name: impl AsRef<[u8]>) -> Vec<&[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0.iter().filter(|(n, _)| *n == name).map(|(_, value)| &value[..]).collect()
    }

    /// All values of a name joined with `,`, as the property `request.headers.<name>` gives them.
    pub fn joined(&self, name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let values = self.all(name);
        (!values.is_empty()).then(|| values.join(&b','))
    }

    /// The first value of a name as text.
    ///
    /// # Panics
    /// If the value is not UTF-8; use [`Headers::get`] for those.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<&str> {
        self.get(name).map(|value| std::str::from_utf8(value).expect("a header value that is text"))
    }

    /// Appends an entry, duplicates allowed.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let entry = (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec());
        self.0.push(entry);
    }

    /// Leaves exactly one entry of the name, at the place of the first one.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref().to_ascii_lowercase();
        let Some(place) = self.0.iter().position(|(n, _)| *n == name) else {
            return self.add(name, value);
        };
        let mut index = 0;
        self.0.retain(|(n, _)| {
            let keep = index <= place || *n != name;
            index += 1;
            keep
        });
        self.0[place].1 = value.as_ref().to_vec();
    }

    /// Removes every entry of the name.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        let name = name.as_ref().to_ascii_lowercase();
        self.0.retain(|(n, _)| *n != name);
    }

    /// Sum of the lengths of names and values.
    pub fn byte_size(&self) -> u64 {
        self.0.iter().map(|(n, v)| (n.len() + v.len()) as u64).sum()
    }

    /// The ABI's form of a map: `u32 n`, n times `u32 name length, u32 value length`, then `name NUL value NUL`.
    pub(crate) fn to_pairs(&self) -> Vec<u8> {
        Self::wire(self.iter())
    }

    /// The same of borrowed entries, as they are.
    pub(crate) fn wire<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
        let mut wire = u32_of(entries.clone().count()).to_vec();
        for (name, value) in entries.clone() {
            wire.extend(u32_of(name.len()));
            wire.extend(u32_of(value.len()));
        }
        for part in entries.flat_map(|(name, value)| [name, value]) {
            wire.extend(part);
            wire.push(0);
        }
        wire
    }

    /// Reads that form; `None` if lengths point outside or a NUL is missing.
    pub(crate) fn from_pairs(wire: &[u8]) -> Option<Self> {
        if wire.is_empty() {
            return Some(Self::new());
        }
        let (count, rest) = take_u32(wire)?;
        let (mut sizes, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut map = Self::new();
        for _ in 0..count {
            let (name_len, after) = take_u32(sizes)?;
            let (value_len, after) = take_u32(after)?;
            sizes = after;
            let (name, after) = take_part(data, name_len)?;
            let (value, after) = take_part(after, value_len)?;
            data = after;
            map.add(name, value);
        }
        data.is_empty().then_some(map)
    }
}

fn u32_of(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a map that fits into 32 bits").to_le_bytes()
}

fn take_u32(wire: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = wire.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head) as usize, rest))
}

fn take_part(wire: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (part, rest) = wire.split_at_checked(length)?;
    Some((part, rest.strip_prefix(&[0])?))
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii())))
            .finish()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (name, value) in entries {
            map.add(name, value);
        }
        map
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> From<&[(N, V)]> for Headers {
    fn from(entries: &[(N, V)]) -> Self {
        entries.iter().map(|(n, v)| (n, v)).collect()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const K: usize> From<&[(N, V); K]> for Headers {
    fn from(entries: &[(N, V); K]) -> Self {
        entries[..].into()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const K: usize> From<[(N, V); K]> for Headers {
    fn from(entries: [(N, V); K]) -> Self {
        entries[..].into()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> From<Vec<(N, V)>> for Headers {
    fn from(entries: Vec<(N, V)>) -> Self {
        entries[..].into()
    }
}

impl From<&Headers> for Headers {
    fn from(map: &Headers) -> Self {
        map.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_one_entry_at_the_place_of_the_first() {
        let mut map = Headers::from([("A", "1"), ("T", "x"), ("B", "2"), ("t", "y")]);
        map.replace("T", "z");
        assert_eq!(map, Headers::from([("a", "1"), ("t", "z"), ("b", "2")]));
        map.replace("new", "n");
        assert_eq!(map.get("NEW"), Some(&b"n"[..]));
    }

    #[test]
    fn pairs_survive_the_wire_and_broken_ones_are_refused() {
        let map = Headers::from([(&b"a"[..], &b"\xff\0"[..]), (b"b", b"")]);
        let wire = map.to_pairs();
        assert_eq!(Headers::from_pairs(&wire), Some(map));
        for cut in 1..wire.len() {
            assert_eq!(Headers::from_pairs(&wire[..cut]), None, "cut at {cut}");
        }
    }
}
