//! Headers in order of arrival, duplicates apart, as Envoy has them.

/// Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderList(Vec<(Vec<u8>, Vec<u8>)>);

impl HeaderList {
    /// Adds one more entry.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.as_bytes().to_vec(), value.to_vec()));
    }

    /// Leaves one entry of that name, at the place of the first one.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        match self.0.iter().position(|(known, _)| known == name.as_bytes()) {
            None => self.add(name, value),
            Some(first) => {
                let mut place = 0;
                self.0.retain_mut(|(known, old)| {
                    if place == first {
                        *old = value.to_vec();
                    }
                    place += 1;
                    place <= first + 1 || known != name.as_bytes()
                });
            }
        }
    }

    /// Leaves no entry of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name.as_bytes());
    }

    /// The first value of that name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderList {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let entry = |(name, value): (N, V)| (name.as_ref().as_bytes().to_vec(), value.as_ref().to_vec());
        Self(entries.into_iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_one_entry_where_the_first_was() {
        let mut headers = HeaderList::from_iter([("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")]);
        headers.replace("a", b"5");
        assert_eq!(headers, HeaderList::from_iter([("a", "5"), ("b", "2"), ("c", "4")]));
        headers.replace("d", b"6");
        headers.remove("b");
        headers.add("c", b"7");
        assert_eq!(headers, HeaderList::from_iter([("a", "5"), ("c", "4"), ("d", "6"), ("c", "7")]));
    }
}
