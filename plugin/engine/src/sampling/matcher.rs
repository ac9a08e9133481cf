//! What a rule looks at. Everything is compared as bytes where it lies; only a header that came in several lines, and is
//! asked for by a rule, is joined first.

use std::borrow::Cow;

use super::facts::RequestFacts;
use super::pattern::{Pattern, PatternError};
use super::steps::Steps;

/// What `contains` looks at of a value, bytes from its beginning.
pub const MAX_SEARCHED: usize = 4096;

/// One test of one string; the empty value of a path or host counts as absent.
#[derive(Clone, Debug)]
pub enum StringMatcher {
    /// The whole value.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Anywhere in its first 4096 bytes.
    Contains(String),
    /// The whole value, as Envoy's `safe_regex` reads a pattern. Never true for a value that is not UTF-8 or is longer than
    /// 2048 bytes. Made by [`StringMatcher::regex`] or [`StringMatcher::regex_ignoring_case`], which anchor and bound it.
    Regex(Pattern),
    /// There is such a value (true) or there is none (false).
    Present(bool),
}

impl StringMatcher {
    /// A pattern for the whole value, in the syntax of the regex crate without Unicode classes.
    pub fn regex(pattern: &str) -> Result<Self, PatternError> {
        Pattern::new(pattern, false).map(Self::Regex)
    }

    /// The same without regard to the case of ASCII letters: what a host wants.
    pub fn regex_ignoring_case(pattern: &str) -> Result<Self, PatternError> {
        Pattern::new(pattern, true).map(Self::Regex)
    }

    /// Compared with what stands at one place, in about the time of a copy: asked before those that search.
    fn is_cheap(&self) -> bool {
        !matches!(self, Self::Contains(_) | Self::Regex(_))
    }

    /// Whether a header matches that came in these lines, joined by `,`. What the steps do not suffice for does not match.
    pub fn matches_lines<'a>(&self, lines: impl Iterator<Item = &'a [u8]>, steps: &mut Steps) -> bool {
        joined(lines, steps).is_ok_and(|value| self.matches(value.as_deref(), steps))
    }

    /// `None` is an absent value, which only `Present(false)` matches.
    fn matches(&self, value: Option<&[u8]>, steps: &mut Steps) -> bool {
        self.test(value, <[u8]>::eq, steps)
    }

    /// Like `matches`, with ASCII letters alike; a regex has its own setting.
    fn matches_ignoring_case(&self, value: Option<&[u8]>, steps: &mut Steps) -> bool {
        self.test(value, <[u8]>::eq_ignore_ascii_case, steps)
    }

    fn test(&self, value: Option<&[u8]>, equal: fn(&[u8], &[u8]) -> bool, steps: &mut Steps) -> bool {
        let Some(value) = value else {
            return matches!(self, Self::Present(false));
        };
        match self {
            Self::Exact(wanted) => {
                value.len() == wanted.len() && steps.take(compared(wanted.len())) && equal(value, wanted.as_bytes())
            }
            Self::Prefix(wanted) => value
                .get(..wanted.len())
                .is_some_and(|start| steps.take(compared(wanted.len())) && equal(start, wanted.as_bytes())),
            Self::Suffix(wanted) => {
                let start = value.len().checked_sub(wanted.len());
                let end = start.and_then(|start| value.get(start..));
                end.is_some_and(|end| steps.take(compared(wanted.len())) && equal(end, wanted.as_bytes()))
            }
            Self::Contains(wanted) => contains(value, wanted.as_bytes(), equal, steps),
            Self::Regex(pattern) => pattern.matches(value, steps),
            Self::Present(wanted) => *wanted,
        }
    }
}

/// Steps of a comparison of so many bytes: eight at a time.
pub const fn compared(bytes: usize) -> usize {
    (bytes / 8).saturating_add(1)
}

/// Looks at each place once, and at the whole of it only where the first byte is right.
fn contains(value: &[u8], wanted: &[u8], equal: fn(&[u8], &[u8]) -> bool, steps: &mut Steps) -> bool {
    let value = value.get(..MAX_SEARCHED).unwrap_or(value);
    let Some(first) = wanted.get(..1) else { return true };
    if !steps.take(value.len()) {
        return false;
    }
    value.windows(wanted.len()).any(|part| {
        part.get(..1).is_some_and(|start| equal(start, first))
            && steps.take(compared(wanted.len()))
            && equal(part, wanted)
    })
}

/// Which requests a rule is for. All that is set must match; nothing set matches every request.
#[derive(Clone, Debug, Default)]
pub struct RequestMatcher {
    /// The path without its query.
    pub path: Option<StringMatcher>,
    /// Any of these methods, case-sensitive as HTTP has them; empty for every method.
    pub method: Vec<String>,
    /// The authority without its port, ASCII letters compared without case. A regex comes from
    /// [`StringMatcher::regex_ignoring_case`].
    pub host: Option<StringMatcher>,
    /// Headers by lower-case name. One that came in several lines is matched as one value, joined by `,`.
    pub headers: Vec<(String, StringMatcher)>,
}

impl RequestMatcher {
    /// Nothing is set, so that every request matches.
    pub fn is_everything(&self) -> bool {
        self.path.is_none() && self.method.is_empty() && self.host.is_none() && self.headers.is_empty()
    }

    /// Takes [`RequestFacts::bare`] ones. Cheapest tests first; allocates only to join a header that came in several lines.
    /// What the steps do not suffice for does not match.
    pub(super) fn matches(&self, facts: &RequestFacts<'_>, steps: &mut Steps) -> bool {
        (self.method.is_empty() || self.method.iter().any(|method| method.as_bytes() == facts.method))
            && self.match_those(true, facts, steps)
            && self.match_those(false, facts, steps)
    }

    /// Whether all tests match that are cheap, or all that are not.
    fn match_those(&self, cheap: bool, facts: &RequestFacts<'_>, steps: &mut Steps) -> bool {
        let now = |matcher: &&StringMatcher| matcher.is_cheap() == cheap;
        self.path.as_ref().filter(now).is_none_or(|path| path.matches(present(facts.path), steps))
            && self.host.as_ref().filter(now).is_none_or(|host| host.matches_ignoring_case(present(facts.host), steps))
            && self.headers.iter().filter(|(_, wanted)| now(&wanted)).all(|(name, wanted)| {
                steps.take(facts.headers.len())
                    && match header(facts.headers, name, steps) {
                        Ok(value) => wanted.matches(value.as_deref(), steps),
                        Err(Unpaid) => false,
                    }
            })
    }
}

fn present(value: &[u8]) -> Option<&[u8]> {
    (!value.is_empty()).then_some(value)
}

/// Too few steps are left.
#[derive(Debug)]
struct Unpaid;

/// The value of a header. Its lines are joined where there are several, which costs a step a byte.
fn header<'a>(
    headers: &[(&'a [u8], &'a [u8])],
    name: &str,
    steps: &mut Steps,
) -> Result<Option<Cow<'a, [u8]>>, Unpaid> {
    joined(headers.iter().filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| *value), steps)
}

fn joined<'a>(mut lines: impl Iterator<Item = &'a [u8]>, steps: &mut Steps) -> Result<Option<Cow<'a, [u8]>>, Unpaid> {
    let Some(first) = lines.next() else { return Ok(None) };
    let mut value = Cow::Borrowed(first);
    for line in lines {
        if !steps.take(line.len()) {
            return Err(Unpaid);
        }
        let joined = value.to_mut();
        joined.push(b',');
        joined.extend_from_slice(line);
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: fn(String) -> StringMatcher, wanted: &str) -> StringMatcher {
        kind(wanted.to_owned())
    }

    fn regex(pattern: &str) -> StringMatcher {
        StringMatcher::regex(pattern).unwrap()
    }

    #[test]
    fn each_matcher_says_yes_to_what_its_name_says() {
        use StringMatcher::{Contains, Exact, Prefix, Present, Suffix};
        let cases: [(StringMatcher, &[u8], bool); 33] = [
            (text(Exact, "/healthz"), b"/healthz", true),
            (text(Exact, "/healthz"), b"/healthz/", false),
            (text(Exact, "/healthz"), b"/Healthz", false),
            (text(Exact, ""), b"", true),
            (text(Prefix, "/pay"), b"/pay", true),
            (text(Prefix, "/pay"), b"/payments", true),
            (text(Prefix, "/pay"), b"/pa", false),
            (text(Prefix, "/pay"), b"", false),
            (text(Prefix, ""), b"", true),
            (text(Suffix, ".js"), b"/app.js", true),
            (text(Suffix, ".js"), b".js", true),
            (text(Suffix, ".js"), b"js", false),
            (text(Suffix, ".js"), b"/app.js2", false),
            (text(Suffix, ""), b"", true),
            (text(Contains, "cart"), b"/v1/cart/7", true),
            (text(Contains, "cart"), b"cart", true),
            (text(Contains, "cart"), b"/v1/car", false),
            (text(Contains, "cart"), b"", false),
            (text(Contains, ""), b"", true),
            (text(Prefix, "/pay"), b"/pay\xff\x00", true),
            (text(Suffix, "pay"), b"\xffpay", true),
            (text(Contains, "pay"), b"\xffpay\xfe", true),
            (text(Exact, "\u{e9}"), b"\xc3\xa9", true),
            (regex("/user/[0-9]+"), b"/user/42", true),
            (regex("/user/[0-9]+"), b"/user/42/cart", false),
            (regex("/user/[0-9]+"), b"/v1/user/42", false),
            (regex("a|ab"), b"ab", true),
            (regex("(?m)a"), b"a\nb", false),
            (regex(""), b"", true),
            (regex("."), b"\xff", false),
            (regex(".*"), b"/ok\xff", false),
            (Present(true), b"", true),
            (Present(false), b"", false),
        ];
        for (matcher, value, wanted) in cases {
            assert_eq!(
                matcher.matches(Some(value), &mut Steps::default()),
                wanted,
                "{matcher:?} on {}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn an_absent_value_is_matched_only_by_the_matcher_for_absence() {
        use StringMatcher::{Contains, Exact, Prefix, Present, Suffix};
        let others =
            [text(Exact, ""), text(Prefix, ""), text(Suffix, ""), text(Contains, ""), regex(".*"), Present(true)];
        for matcher in others {
            assert!(!matcher.matches(None, &mut Steps::default()), "{matcher:?}");
        }
        assert!(Present(false).matches(None, &mut Steps::default()));
    }

    #[test]
    fn contains_looks_at_the_beginning_of_a_long_value() {
        let mut value = vec![b'a'; MAX_SEARCHED];
        value.extend(b"cart");
        let (beyond, within) = (text(StringMatcher::Contains, "cart"), text(StringMatcher::Contains, "aaaa"));
        assert!(!beyond.matches(Some(&value), &mut Steps::default()));
        assert!(within.matches(Some(&value), &mut Steps::default()));
    }

    #[test]
    fn what_the_steps_do_not_suffice_for_does_not_match_and_cheaper_rules_still_do() {
        let long = [b'a'; 2048];
        let dear = RequestMatcher { path: Some(regex("(?:a|b|c){30}.*")), ..Default::default() };
        let nasty = RequestMatcher {
            path: Some(text(StringMatcher::Contains, &format!("{}b", "a".repeat(99)))),
            ..Default::default()
        };
        let cheap = RequestMatcher { path: Some(text(StringMatcher::Prefix, "aaa")), ..Default::default() };
        let mut steps = Steps::default();
        assert!(!dear.matches(&facts(&long, b"GET", b""), &mut steps) && steps.is_over());
        assert!(cheap.matches(&facts(&long, b"GET", b""), &mut steps));
        let mut steps = Steps::new(3000);
        assert!(!nasty.matches(&facts(&long, b"GET", b""), &mut steps) && steps.is_over());
        assert!(cheap.matches(&facts(&long, b"GET", b""), &mut steps));
    }

    #[test]
    fn tests_that_search_come_after_those_that_compare() {
        let matcher = RequestMatcher {
            path: Some(regex(".*x.*")),
            host: Some(text(StringMatcher::Exact, "shop")),
            headers: vec![("x-tenant".into(), text(StringMatcher::Exact, "gold"))],
            ..Default::default()
        };
        let mut steps = Steps::new(40); // Too few for the regex.
        assert!(!matcher.matches(&facts(b"/x", b"GET", b"shop"), &mut steps) && !steps.is_over());
        assert!(!matcher.matches(&facts(b"/x", b"GET", b"else"), &mut steps) && !steps.is_over());
    }

    #[test]
    fn headers_in_many_lines_are_joined_within_the_steps() {
        let line = [b'a'; 1000];
        let headers = [(&b"x-tag"[..], &line[..]); 20];
        let matcher = RequestMatcher {
            headers: vec![("x-tag".into(), text(StringMatcher::Prefix, "aaa"))],
            ..Default::default()
        };
        let facts = RequestFacts { headers: &headers, ..Default::default() };
        assert!(matcher.matches(&facts, &mut Steps::default()));
        let mut steps = Steps::new(10_000);
        assert!(!matcher.matches(&facts, &mut steps) && steps.is_over());
    }

    fn facts<'a>(path: &'a [u8], method: &'a [u8], host: &'a [u8]) -> RequestFacts<'a> {
        RequestFacts { path, method, host, headers: &[] }.bare()
    }

    #[test]
    fn nothing_set_matches_every_request() {
        assert!(RequestMatcher::default().matches(&facts(b"/", b"GET", b"shop"), &mut Steps::new(0)));
        assert!(RequestMatcher::default().matches(&RequestFacts::default(), &mut Steps::new(0)));
    }

    #[test]
    fn a_path_is_matched_without_its_query() {
        let matcher = RequestMatcher { path: Some(text(StringMatcher::Exact, "/pay")), ..Default::default() };
        let cases: [(&[u8], bool); 6] = [
            (b"/pay", true),
            (b"/pay?", true),
            (b"/pay?a=/b?c", true),
            (b"/pay/", false),
            (b"?/pay", false),
            (b"", false),
        ];
        for (path, wanted) in cases {
            assert_eq!(
                matcher.matches(&facts(path, b"GET", b""), &mut Steps::default()),
                wanted,
                "{}",
                path.escape_ascii()
            );
        }
    }

    #[test]
    fn a_host_is_matched_without_port_and_without_case() {
        use StringMatcher::{Contains, Exact, Prefix, Present, Suffix};
        let ignoring = |pattern| StringMatcher::regex_ignoring_case(pattern).unwrap();
        let cases: [(StringMatcher, &[u8], bool); 14] = [
            (text(Exact, "shop.example"), b"shop.example", true),
            (text(Exact, "shop.example"), b"Shop.Example:8080", true),
            (text(Exact, "SHOP.example"), b"shop.example:", true),
            (text(Exact, "shop.example"), b"shop.example.org", false),
            (text(Suffix, ".shop.EXAMPLE"), b"eu.Shop.example:443", true),
            (text(Suffix, ".shop.example"), b"shop.example", false),
            (text(Prefix, "EU."), b"eu.shop.example", true),
            (text(Contains, "SHOP"), b"eu.shop.example", true),
            (text(Exact, "[::1]"), b"[::1]:8080", true),
            (text(Exact, "[::1]"), b"[::1]", true),
            (text(Exact, "[::1"), b"[::1", true),
            (ignoring(r"[a-z]+\.shop\.example"), b"EU.shop.Example:80", true),
            (Present(false), b"", true),
            (Present(true), b"", false),
        ];
        for (host, authority, wanted) in cases {
            let matcher = RequestMatcher { host: Some(host), ..Default::default() };
            let found = matcher.matches(&facts(b"/", b"GET", authority), &mut Steps::default());
            assert_eq!(found, wanted, "{matcher:?} on {}", authority.escape_ascii());
        }
    }

    #[test]
    fn a_method_is_one_of_the_list_case_included() {
        let matcher = RequestMatcher { method: vec!["POST".into(), "PUT".into()], ..Default::default() };
        for (method, wanted) in [("POST", true), ("PUT", true), ("GET", false), ("post", false), ("", false)] {
            assert_eq!(
                matcher.matches(&facts(b"/", method.as_bytes(), b""), &mut Steps::default()),
                wanted,
                "{method}"
            );
        }
    }

    #[test]
    fn a_header_in_several_lines_is_one_value_in_order_of_arrival() {
        let headers = [("x-tenant", "gold"), ("x-tag", "a"), ("x-empty", ""), ("x-tag", "b")]
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let cases = [
            ("x-tenant", text(StringMatcher::Exact, "gold"), true),
            ("x-tag", text(StringMatcher::Exact, "a,b"), true),
            ("x-tag", text(StringMatcher::Exact, "a"), false),
            ("x-tag", regex("a,b"), true),
            ("x-empty", text(StringMatcher::Exact, ""), true),
            ("x-empty", StringMatcher::Present(true), true),
            ("x-none", StringMatcher::Present(true), false),
            ("x-none", StringMatcher::Present(false), true),
            ("x-none", text(StringMatcher::Exact, ""), false),
        ];
        for (name, wanted, expected) in cases {
            let matcher = RequestMatcher { headers: vec![(name.into(), wanted)], ..Default::default() };
            let facts = RequestFacts { headers: &headers, ..Default::default() };
            assert_eq!(matcher.matches(&facts, &mut Steps::default()), expected, "{matcher:?}");
        }
        assert!(matches!(header(&headers, "x-tenant", &mut Steps::default()), Ok(Some(Cow::Borrowed(b"gold")))));
    }

    #[test]
    fn all_that_is_set_must_match() {
        let headers = [(&b"x-tenant"[..], &b"gold"[..])];
        let matcher = RequestMatcher {
            path: Some(text(StringMatcher::Prefix, "/pay")),
            method: vec!["POST".into()],
            host: Some(text(StringMatcher::Suffix, ".shop.example")),
            headers: vec![("x-tenant".into(), text(StringMatcher::Exact, "gold"))],
        };
        let request = RequestFacts { path: b"/pay", method: b"POST", host: b"eu.shop.example", headers: &headers };
        assert!(matcher.matches(&request, &mut Steps::default()));
        assert!(!matcher.matches(&RequestFacts { path: b"/buy", ..request }, &mut Steps::default()));
        assert!(!matcher.matches(&RequestFacts { method: b"GET", ..request }, &mut Steps::default()));
        assert!(!matcher.matches(&RequestFacts { host: b"eu.example", ..request }, &mut Steps::default()));
        assert!(!matcher.matches(&RequestFacts { headers: &[], ..request }, &mut Steps::default()));
    }
}
