//! What a rule looks at. Everything is compared as bytes where it lies; only a header that came in several lines, and is
//! asked for by a rule, is joined first.

use std::borrow::Cow;
use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// Largest compiled pattern, in bytes: `(a{99}){99}` is short and not small.
const MAX_COMPILED: usize = 64 * 1024;
/// Longest value that is shown to a regex, in bytes. Its time grows with pattern times value, and clients choose the value.
const MAX_REGEX_VALUE: usize = 2048;

/// One test of one string; the empty value of a path or host counts as absent.
#[derive(Clone, Debug)]
pub enum StringMatcher {
    /// The whole value.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Anywhere in it.
    Contains(String),
    /// The whole value, as Envoy's `safe_regex` reads a pattern. Never true for a value that is not UTF-8 or is longer than
    /// 2048 bytes. Made by [`StringMatcher::regex`] or [`StringMatcher::regex_ignoring_case`], which anchor and bound it.
    Regex(Regex),
    /// There is such a value (true) or there is none (false).
    Present(bool),
}

impl StringMatcher {
    /// A pattern for the whole value, in the syntax of the regex crate without Unicode classes.
    pub fn regex(pattern: &str) -> Result<Self, PatternError> {
        compile(pattern, false).map(Self::Regex)
    }

    /// The same without regard to the case of ASCII letters: what a host wants.
    pub fn regex_ignoring_case(pattern: &str) -> Result<Self, PatternError> {
        compile(pattern, true).map(Self::Regex)
    }

    /// `None` is an absent value, which only `Present(false)` matches.
    fn matches(&self, value: Option<&[u8]>) -> bool {
        self.test(value, <[u8]>::eq)
    }

    /// Like `matches`, with ASCII letters alike; a regex has its own setting.
    fn matches_ignoring_case(&self, value: Option<&[u8]>) -> bool {
        self.test(value, <[u8]>::eq_ignore_ascii_case)
    }

    fn test(&self, value: Option<&[u8]>, equal: fn(&[u8], &[u8]) -> bool) -> bool {
        let Some(value) = value else {
            return matches!(self, Self::Present(false));
        };
        match self {
            Self::Exact(wanted) => equal(value, wanted.as_bytes()),
            Self::Prefix(wanted) => value.get(..wanted.len()).is_some_and(|start| equal(start, wanted.as_bytes())),
            Self::Suffix(wanted) => {
                let start = value.len().checked_sub(wanted.len());
                start.and_then(|start| value.get(start..)).is_some_and(|end| equal(end, wanted.as_bytes()))
            }
            Self::Contains(wanted) => {
                wanted.is_empty() || value.windows(wanted.len()).any(|part| equal(part, wanted.as_bytes()))
            }
            Self::Regex(regex) => {
                value.len() <= MAX_REGEX_VALUE && str::from_utf8(value).is_ok_and(|text| regex.is_match(text))
            }
            Self::Present(wanted) => *wanted,
        }
    }
}

/// Compiles `pattern` for whole values.
fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, PatternError> {
    if MAX_PATTERN < pattern.len() {
        return Err(PatternError::TooLong { found: pattern.len() });
    }
    let build = |text: &str| {
        let built = RegexBuilder::new(text).case_insensitive(ignore_case).size_limit(MAX_COMPILED).build();
        built.map_err(|error| PatternError::Syntax(error.to_string()))
    };
    build(pattern)?; // Alone first: `a)|(b` is no pattern, yet would be one between our anchors.
    build(&format!("^(?:{pattern})$"))
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// More than 1024 bytes.
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not a pattern, or one that compiles to more than 64 KiB; in the words of the regex compiler.
    Syntax(String),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => write!(f, "has {found} bytes, more than {MAX_PATTERN}"),
            Self::Syntax(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for PatternError {}

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

/// What is known of a request when its rule is looked up. A part that no rule asks for may be left empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts<'a> {
    /// `:path`, query included.
    pub path: &'a [u8],
    /// `:method`.
    pub method: &'a [u8],
    /// `:authority`, port included.
    pub host: &'a [u8],
    /// Names in lower case, in order of arrival, each line for itself.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}

impl<'a> RequestFacts<'a> {
    /// What rules are matched against, out of all headers of a request.
    pub fn of(headers: &'a [(&'a [u8], &'a [u8])]) -> Self {
        let first =
            |name: &[u8]| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).unwrap_or_default();
        Self { path: first(b":path"), method: first(b":method"), host: first(b":authority"), headers }
    }

    /// The parts that matchers compare: the path without its query and the host without its port. Once for all rules.
    pub(crate) fn bare(&self) -> Self {
        Self { path: without_query(self.path), host: without_port(self.host), ..*self }
    }
}

impl RequestMatcher {
    /// Nothing is set, so that every request matches.
    pub fn is_everything(&self) -> bool {
        self.path.is_none() && self.method.is_empty() && self.host.is_none() && self.headers.is_empty()
    }

    /// Takes [`RequestFacts::bare`] ones. Cheapest tests first; allocates only to join a header that came in several lines.
    pub(super) fn matches(&self, facts: &RequestFacts<'_>) -> bool {
        (self.method.is_empty() || self.method.iter().any(|method| method.as_bytes() == facts.method))
            && self.path.as_ref().is_none_or(|path| path.matches(present(facts.path)))
            && self.host.as_ref().is_none_or(|host| host.matches_ignoring_case(present(facts.host)))
            && self.headers.iter().all(|(name, wanted)| wanted.matches(header(facts.headers, name).as_deref()))
    }
}

fn present(value: &[u8]) -> Option<&[u8]> {
    (!value.is_empty()).then_some(value)
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|&byte| byte == b'?').next().unwrap_or(path)
}

/// `shop.example:8080` and `[::1]:8080` without the last colon and what follows.
fn without_port(authority: &[u8]) -> &[u8] {
    let end = if authority.starts_with(b"[") {
        authority.iter().position(|&byte| byte == b']').map(|bracket| bracket.saturating_add(1))
    } else {
        authority.iter().position(|&byte| byte == b':')
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

fn header<'a>(headers: &[(&'a [u8], &'a [u8])], name: &str) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.iter().filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| *value);
    let mut value = Cow::Borrowed(lines.next()?);
    for line in lines {
        let joined = value.to_mut();
        joined.push(b',');
        joined.extend_from_slice(line);
    }
    Some(value)
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
            assert_eq!(matcher.matches(Some(value)), wanted, "{matcher:?} on {}", value.escape_ascii());
        }
    }

    #[test]
    fn an_absent_value_is_matched_only_by_the_matcher_for_absence() {
        use StringMatcher::{Contains, Exact, Prefix, Present, Suffix};
        let others =
            [text(Exact, ""), text(Prefix, ""), text(Suffix, ""), text(Contains, ""), regex(".*"), Present(true)];
        for matcher in others {
            assert!(!matcher.matches(None), "{matcher:?}");
        }
        assert!(Present(false).matches(None));
    }

    #[test]
    fn a_value_longer_than_the_bound_is_not_shown_to_a_regex() {
        assert!(regex("a*").matches(Some(&[b'a'; MAX_REGEX_VALUE])));
        assert!(!regex("a*").matches(Some(&[b'a'; MAX_REGEX_VALUE + 1])));
    }

    #[test]
    fn a_pattern_is_refused_when_it_is_none_or_too_big() {
        assert_eq!(
            StringMatcher::regex(&"a".repeat(MAX_PATTERN + 1)).unwrap_err(),
            PatternError::TooLong { found: MAX_PATTERN + 1 }
        );
        for pattern in ["(", "a)|(b", "[z-a]", "(?:a{999}){999}", r"\p{Greek}", "(?x)a#"] {
            let error = StringMatcher::regex(pattern).unwrap_err();
            assert!(matches!(&error, PatternError::Syntax(problem) if !problem.is_empty()), "{pattern}: {error:?}");
        }
    }

    fn facts<'a>(path: &'a [u8], method: &'a [u8], host: &'a [u8]) -> RequestFacts<'a> {
        RequestFacts { path, method, host, headers: &[] }.bare()
    }

    #[test]
    fn nothing_set_matches_every_request() {
        assert!(RequestMatcher::default().matches(&facts(b"/", b"GET", b"shop")));
        assert!(RequestMatcher::default().matches(&RequestFacts::default()));
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
            assert_eq!(matcher.matches(&facts(path, b"GET", b"")), wanted, "{}", path.escape_ascii());
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
            let found = matcher.matches(&facts(b"/", b"GET", authority));
            assert_eq!(found, wanted, "{matcher:?} on {}", authority.escape_ascii());
        }
    }

    #[test]
    fn a_method_is_one_of_the_list_case_included() {
        let matcher = RequestMatcher { method: vec!["POST".into(), "PUT".into()], ..Default::default() };
        for (method, wanted) in [("POST", true), ("PUT", true), ("GET", false), ("post", false), ("", false)] {
            assert_eq!(matcher.matches(&facts(b"/", method.as_bytes(), b"")), wanted, "{method}");
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
            assert_eq!(matcher.matches(&facts), expected, "{matcher:?}");
        }
        assert!(matches!(header(&headers, "x-tenant"), Some(Cow::Borrowed(b"gold"))));
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
        assert!(matcher.matches(&request));
        assert!(!matcher.matches(&RequestFacts { path: b"/buy", ..request }));
        assert!(!matcher.matches(&RequestFacts { method: b"GET", ..request }));
        assert!(!matcher.matches(&RequestFacts { host: b"eu.example", ..request }));
        assert!(!matcher.matches(&RequestFacts { headers: &[], ..request }));
    }
}
