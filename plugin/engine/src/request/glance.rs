//! The head of a request, looked at once: what every request is asked for, found in one pass over its headers.

use super::headers::Lines;
use super::outline::{Outline, is};
use crate::door::HeaderView;
use crate::http::HeaderName;
use crate::trace_context::{Headers, TRACEPARENT, TRACESTATE};

/// Lengths of the names that are looked for in every request.
const LENGTHS: u64 = 1 << ":path".len() | 1 << ":authority".len() | 1 << TRACEPARENT.len() | 1 << TRACESTATE.len();

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
    /// There may be a header with a token.
    pub has_token: bool,
    /// What metrics and coverage look at, where that was wanted.
    pub outline: Option<Outline>,
    traceparent: Line<'a>,
    tracestate: Line<'a>,
}

impl<'a, V: HeaderView<'a>> Glance<'a, V> {
    /// Looks at all headers. `token`: the name of the header with a token, where one is looked for; where none is, it costs nothing.
    /// `is_outlined`: also for what metrics and coverage look at.
    #[inline(always)] // For every request.
    pub fn of(headers: V, token: Option<&HeaderName>, is_outlined: bool) -> Self {
        let mut glance = Self { headers, ..Self::at_one(None) };
        if is_outlined {
            glance.look_for_outline(token);
        } else {
            glance.look(token, LENGTHS, |_, _| {});
        }
        glance
    }

    #[inline(never)] // Nothing is counted or covered by default.
    fn look_for_outline(&mut self, token: Option<&HeaderName>) {
        let (mut outline, mut content_type) = (Outline::default(), None);
        let lengths = LENGTHS | Outline::LENGTHS;
        self.look(token, lengths, |key, value| outline.take(&mut content_type, key, value));
        self.outline = Some(outline);
    }

    #[inline(always)] // Two callers, of which a request has one.
    fn look(&mut self, token: Option<&HeaderName>, lengths: u64, mut others: impl FnMut(&'a [u8], &'a [u8])) {
        let headers = self.headers;
        // A name that has the length of another one, or no end to be found by, is looked for in another pass.
        match token.map(|token| token.end().filter(|end| lengths & end.bit == 0)) {
            Some(Some(end)) => {
                self.has_token = headers.of_lengths_and(lengths, end, |key, value| self.take(key, value, &mut others));
            }
            other => {
                self.has_token = other.is_some();
                headers.of_lengths(lengths, |key, value| self.take(key, value, &mut others));
            }
        }
    }

    #[inline(always)] // As above.
    fn take(&mut self, key: &'a [u8], value: &'a [u8], others: &mut impl FnMut(&'a [u8], &'a [u8])) {
        match key.len() {
            11 if is(key, b"traceparent") => self.traceparent.take(value),
            10 if is(key, b"tracestate") => self.tracestate.take(value),
            10 if is(key, b":authority") => self.authority = self.authority.or(Some(value)),
            5 if key == b":path" => self.path = self.path.or(Some(value)),
            _ => others(key, value),
        }
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

#[cfg(test)]
mod tests {
    use crate::http::pairs::{Encoded, encode};

    use super::*;

    type Entries<'a> = &'a [(&'a [u8], &'a [u8])];

    const ALL: Entries<'_> = &[
        (b":authority", b"a"),
        (b":path", b"/"),
        (b"traceparent", b"one"),
        (b"x-tokens", b"t"),
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
        let mut glance = Glance::of(ALL, Some(&HeaderName::from("x-tokens".to_owned())), false);
        assert_eq!((glance.path, glance.authority, glance.has_token), (Some(&b"/"[..]), Some(&b"a"[..]), true));
        assert_eq!(read(&mut glance, TRACEPARENT).as_deref(), Some(&b"one"[..]));
        assert_eq!(read(&mut glance, TRACESTATE).as_deref(), Some(&b"x,y"[..]));
        assert_eq!(read(&mut glance, ":path").as_deref(), Some(&b"/,/second"[..]), "any other name is looked for");
        assert_eq!(read(&mut glance, "b3"), None);
    }

    #[test]
    fn a_token_is_found_by_a_name_of_any_length() {
        let of = |name: &str, token: &str| {
            let entries: Entries<'_> = &[(b"user-agent", b"a"), (name.as_bytes(), b"value"), (b":path", b"/")];
            let encoded = encode(entries);
            let token = HeaderName::from(token.to_owned());
            let [listed, encoded] = [
                Glance::of(entries, Some(&token), false).has_token,
                Glance::of(Encoded(&encoded), Some(&token), false).has_token,
            ];
            assert_eq!(listed, encoded, "{name} {token:?}");
            listed
        };
        for length in [8, 9, 17, 63] {
            let name = "x".repeat(length);
            assert!(of(&name, &name) && !of(&name, &"y".repeat(length)) && !of(&name[1..], &name), "{length}");
        }
        assert!(!of("x-forwarded-proto", "x-tracelift-force") && of("x-tracelift-force", "x-tracelift-force"));
        for length in [1, 5, 7, 10, 11, 64, 200] {
            assert!(of("any", &"x".repeat(length)), "{length}: it is looked for in another pass");
        }
        let nothing: Entries<'_> = &[];
        let token = HeaderName::from("x-tokens".to_owned());
        assert!(!Glance::of(nothing, Some(&token), false).has_token && !Glance::of(ALL, None, false).has_token);
        for cut in 0..60 {
            let encoded = encode(ALL);
            let _ = Glance::of(Encoded(encoded.get(..cut).unwrap_or_default()), Some(&token), false);
        }
    }
}
