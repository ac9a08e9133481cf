//! The head of a request, looked at once: what every request is asked for, found in one pass over its headers.

use super::headers::Lines;
use super::outline::{Outline, is};
use crate::door::HeaderView;
use crate::trace_context::{Headers, TRACEPARENT, TRACESTATE};

/// Lengths of the names that are looked for in every request.
const LENGTHS: u64 = 1 << ":path".len() | 1 << ":authority".len() | 1 << TRACEPARENT.len() | 1 << TRACESTATE.len();
/// The longest name that a pass finds by its length.
const LONGEST: usize = 63;

/// The lines of one name.
#[derive(Clone, Copy, Default)]
struct Line<'a> {
    first: Option<&'a [u8]>,
    has_more: bool,
}

impl<'a> Line<'a> {
    #[inline(always)] // For every request.
    fn take(&mut self, value: &'a [u8]) {
        self.has_more = self.first.is_some();
        self.first = self.first.or(Some(value));
    }
}

/// What was found.
pub struct Glance<'a, V> {
    headers: V,
    /// `:path`, with its query.
    pub path: Option<&'a [u8]>,
    /// `:authority`.
    pub authority: Option<&'a [u8]>,
    /// There is a header with a token.
    pub has_token: bool,
    /// What metrics and coverage look at, where that was wanted.
    pub outline: Option<Outline>,
    traceparent: Line<'a>,
    tracestate: Line<'a>,
}

impl<'a, V: HeaderView<'a>> Glance<'a, V> {
    /// Looks at all headers. `token`: the name of the header with a token, where one is looked for.
    #[inline(always)] // For every request.
    pub fn of(headers: V, token: Option<&str>) -> Self {
        Self::look::<false>(headers, token)
    }

    /// The same, with what metrics and coverage look at.
    #[inline(never)] // Two callers, and none where nothing is counted or covered.
    pub fn with_outline(headers: V, token: Option<&str>) -> Self {
        Self::look::<true>(headers, token)
    }

    #[inline(always)] // One caller each, for every request.
    fn look<const OUTLINED: bool>(headers: V, token: Option<&str>) -> Self {
        let (mut outline, mut content_type) = (Outline::default(), None);
        let lengths = if OUTLINED { LENGTHS | Outline::LENGTHS } else { LENGTHS };
        let (mut path, mut authority, mut has_token) = (None, None, false);
        let (mut traceparent, mut tracestate) = (Line::default(), Line::default());
        let token = token.map(str::as_bytes);
        let wanted = match token {
            Some(token) if token.len() <= LONGEST => lengths | 1 << token.len(),
            Some(_) => u64::MAX,
            None => lengths,
        };
        headers.of_lengths(wanted, |key, value| match key.len() {
            11 if is(key, b"traceparent") => traceparent.take(value),
            10 if is(key, b"tracestate") => tracestate.take(value),
            10 if is(key, b":authority") => authority = authority.or(Some(value)),
            5 if key == b":path" => path = path.or(Some(value)),
            _ => {
                if OUTLINED {
                    outline.take(&mut content_type, key, value);
                }
                has_token |= token.is_some_and(|token| is_like(key, token) && token == key);
            }
        });
        has_token |= token.is_some_and(|token| LONGEST < token.len());
        Self { headers, path, authority, has_token, outline: OUTLINED.then_some(outline), traceparent, tracestate }
    }

    /// Of a request of which `traceparent` alone was read.
    pub fn at_one(traceparent: Option<&'a [u8]>) -> Self {
        let traceparent = Line { first: traceparent, has_more: false };
        let tracestate = Line::default();
        Self { headers: V::NONE, path: None, authority: None, has_token: false, outline: None, traceparent, tracestate }
    }

    /// The headers themselves.
    pub fn headers(&self) -> V {
        self.headers
    }

    /// What was found of a name that is looked for; `None`: look again, for another name or for more than one line.
    #[inline(always)] // The name is a constant.
    fn line(&self, name: &str) -> Option<Option<&'a [u8]>> {
        let line = match name {
            TRACEPARENT => self.traceparent,
            TRACESTATE => self.tracestate,
            _ => return None,
        };
        (!line.has_more).then_some(line.first)
    }
}

impl<'a, V: HeaderView<'a>> Headers for Glance<'a, V> {
    #[inline(always)] // The name is a constant.
    fn joined(&mut self, name: &'static str) -> Option<Vec<u8>> {
        match self.line(name) {
            Some(line) => line.map(<[u8]>::to_vec),
            None => Lines(self.headers).joined(name),
        }
    }

    #[inline(always)] // The name is a constant.
    fn read<T>(&mut self, name: &'static str, read: fn(&[u8]) -> T) -> Option<T> {
        match self.line(name) {
            Some(line) => line.map(read),
            None => Lines(self.headers).read(name, read),
        }
    }
}

/// Whether a key may be this name: most others are told apart without a call.
#[inline(always)] // For every request.
fn is_like(key: &[u8], name: &[u8]) -> bool {
    key.len() == name.len() && key.last() == name.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries<'a> = &'a [(&'a [u8], &'a [u8])];

    const ALL: Entries<'_> = &[
        (b":authority", b"a"),
        (b":path", b"/"),
        (b"traceparent", b"one"),
        (b"x-token", b"t"),
        (b"traceparenT", b"none"),
        (b"Traceparent", b"none"),
        (b":path", b"/second"),
        (b":authoritY", b"none"),
        (b"tracestate", b"x"),
        (b"tracestate", b"y"),
    ];

    fn read<'a>(glance: &mut Glance<'a, Entries<'a>>, name: &'static str) -> Option<Vec<u8>> {
        let read = glance.read(name, <[u8]>::to_vec);
        assert_eq!(read, glance.joined(name), "{name}");
        read
    }

    #[test]
    fn what_is_looked_for_is_found_and_lines_of_one_name_are_joined() {
        let mut glance = Glance::of(ALL, Some("x-token"));
        assert_eq!((glance.path, glance.authority, glance.has_token), (Some(&b"/"[..]), Some(&b"a"[..]), true));
        assert_eq!(read(&mut glance, TRACEPARENT).as_deref(), Some(&b"one"[..]));
        assert_eq!(read(&mut glance, TRACESTATE).as_deref(), Some(&b"x,y"[..]));
        assert_eq!(read(&mut glance, ":path").as_deref(), Some(&b"/,/second"[..]), "any other name is looked for");
        assert_eq!(read(&mut glance, "b3"), None);
    }

    #[test]
    fn a_token_is_found_by_a_name_of_any_length() {
        let of = |name: &str, token: &str| {
            let entries: Entries<'_> = &[(name.as_bytes(), b"value")];
            Glance::of(entries, Some(token)).has_token
        };
        for length in [1, 5, 10, 11, 17, 63] {
            let name = "x".repeat(length);
            assert!(of(&name, &name) && !of(&name, &"y".repeat(length)), "{length}");
        }
        assert!(of("any", &"x".repeat(64)), "one that is longer is looked for in another pass");
        let nothing: Entries<'_> = &[];
        assert!(!Glance::of(nothing, Some("x-token")).has_token && !Glance::of(ALL, None).has_token);
    }
}
