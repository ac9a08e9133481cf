//! The name of a header that is looked for in every request, known from the configuration alone.

/// What tells such a name from others without a look at all of it: its length, its last byte, and its last eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameEnd {
    /// `1 << length`.
    pub bit: u64,
    /// 8 to 63.
    pub length: usize,
    /// The last byte.
    pub byte: u8,
    /// The last eight, little-endian.
    pub last: u64,
}

impl NameEnd {
    /// Whether a text ends like the name.
    #[inline(never)] // Rare.
    pub fn is_of(&self, text: &[u8]) -> bool {
        text.ends_with(&self.last.to_le_bytes())
    }
}

/// A name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName {
    text: String,
    /// `None` where it is too short or too long for that.
    end: Option<NameEnd>,
}

impl HeaderName {
    /// The name as a text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to look for in a pass over all names. `None`: it takes a pass of its own.
    pub const fn end(&self) -> Option<&NameEnd> {
        self.end.as_ref()
    }
}

impl From<String> for HeaderName {
    fn from(text: String) -> Self {
        let length = text.len();
        let bit = u32::try_from(length).ok().and_then(|length| 1_u64.checked_shl(length));
        let last = bit.zip(text.as_bytes().last_chunk::<8>());
        let end =
            last.map(|(bit, last @ [.., byte])| NameEnd { bit, length, byte: *byte, last: u64::from_le_bytes(*last) });
        Self { text, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_8_to_63_bytes_has_an_end() {
        for (length, has_end) in [(1, false), (7, false), (8, true), (63, true), (64, false), (200, false)] {
            let name = HeaderName::from("x".repeat(length));
            assert_eq!((name.as_str().len(), name.end().is_some()), (length, has_end));
        }
        let end = NameEnd { bit: 1 << 17, length: 17, byte: b'e', last: u64::from_le_bytes(*b"ft-force") };
        assert_eq!(HeaderName::from("x-tracelift-force".to_owned()).end(), Some(&end));
    }
}
