//! `traceparent` as a test reads it: strict, and apart from the module's own parser.

use crate::Headers;

/// The fields of a version 00 `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// 32 lower-case hex digits, not all zero.
    pub trace_id: String,
    /// 16 lower-case hex digits, not all zero.
    pub parent_id: String,
    /// `trace-flags`.
    pub flags: u8,
}

impl Traceparent {
    /// Whether the sampled flag is set.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    fn parse(field: &str) -> Option<Self> {
        let [version, trace_id, parent_id, flags] = field.split('-').collect::<Vec<_>>()[..] else {
            return None;
        };
        let id = |text: &str, length: usize| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            text.len() == length && digits && text.bytes().any(|byte| byte != b'0')
        };
        let well_formed = version == "00" && id(trace_id, 32) && id(parent_id, 16) && flags.len() == 2;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        well_formed.then(|| Self { trace_id: trace_id.to_owned(), parent_id: parent_id.to_owned(), flags })
    }
}

impl Headers {
    /// The one `traceparent` of a map.
    ///
    /// # Panics
    /// If there is none, more than one, or a malformed one.
    pub fn traceparent(&self) -> Traceparent {
        match self.all("traceparent")[..] {
            [field] => std::str::from_utf8(field)
                .ok()
                .and_then(Traceparent::parse)
                .unwrap_or_else(|| panic!("malformed traceparent {}", field.escape_ascii())),
            ref others => panic!("expected one traceparent, there are {} in {self:?}", others.len()),
        }
    }
}
