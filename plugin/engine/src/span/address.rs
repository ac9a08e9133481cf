//! Host names, ports and IP addresses out of the bytes that carry them.

use std::borrow::Cow;
use std::net::IpAddr;

use super::HttpFacts;

/// A host with its port, without user info and brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// Name or IP address, never empty.
    pub host: &'a [u8],
    /// 1 to 65535.
    pub port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Reads `[user@]host[:port]`, where the host may be an IPv6 address in brackets (RFC 3986, section 3.2). `None` when
    /// there is no host, or bytes that no host has.
    pub fn parse(authority: &'a [u8]) -> Option<Self> {
        let authority = authority.trim_ascii();
        let Shape { start, colon, is_foreign } = Shape::of(authority);
        let authority = authority.get(start..)?;
        if let Some(inner) = authority.strip_prefix(b"[") {
            let end = inner.iter().position(|&byte| byte == b']')?;
            let (host, rest) = (inner.get(..end)?, inner.get(end..)?.get(1..)?);
            let is_host = !host.is_empty() && !host.iter().any(|byte| self::is_foreign(*byte));
            return is_host.then(|| Self { host, port: rest.strip_prefix(b":").and_then(port) });
        }
        let (host, rest) = match colon {
            Some(at) => authority.split_at_checked(at)?,
            None => (authority, &b""[..]), // No port, or an IPv6 address without brackets.
        };
        if host.is_empty() || is_foreign {
            return None;
        }
        Some(Self { host, port: rest.strip_prefix(b":").and_then(port) })
    }

    /// The host, if it is an IP address.
    pub fn ip(&self) -> Option<&'a str> {
        let text = str::from_utf8(self.host).ok()?;
        let text = text.split('%').next().unwrap_or(text); // A zone means nothing on another machine.
        (is_v4(text.as_bytes()) || text.parse::<IpAddr>().is_ok()).then_some(text)
    }
}

/// Four numbers up to 255 without leading zeros: as the standard library has it, and what nearly every address is.
fn is_v4(text: &[u8]) -> bool {
    let (mut dots, mut digits, mut number) = (0_u32, 0_u32, 0_u32);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && (digits == 0 || number != 0) => {
                number = number * 10 + u32::from(byte & 0xf); // Three digits at most.
                digits += 1;
            }
            b'.' if digits != 0 && number <= 255 => (dots, digits, number) = (dots.saturating_add(1), 0, 0),
            _ => return false,
        }
    }
    dots == 3 && digits != 0 && number <= 255
}

/// Where what is in an authority.
struct Shape {
    /// Of the host: behind the last `@`.
    start: usize,
    /// The only colon, counted from there.
    colon: Option<usize>,
    /// The host, as far as that colon, has a byte that no host has.
    is_foreign: bool,
}

impl Shape {
    /// In one pass: every span has three authorities or addresses to read.
    fn of(authority: &[u8]) -> Self {
        let (mut start, mut colon, mut colons) = (0_usize, 0, 0_usize);
        let (mut before, mut behind) = (false, false);
        let mut next = 0_usize;
        for word in authority.chunks(8) {
            let first = next;
            next = first.saturating_add(8);
            if <[u8; 8]>::try_from(word).is_ok_and(|word| is_plain(u64::from_le_bytes(word))) {
                continue;
            }
            for (at, &byte) in (first..).zip(word).filter(|(_, byte)| is_special(**byte)) {
                match byte {
                    b'@' => (start, colons, before, behind) = (at.saturating_add(1), 0, false, false),
                    b':' => {
                        colon = at.saturating_sub(start);
                        colons = colons.saturating_add(1);
                    }
                    _ if colons == 0 => before = true,
                    _ => behind = true,
                }
            }
        }
        let is_single = colons == 1;
        Self { start, colon: is_single.then_some(colon), is_foreign: before || behind && !is_single }
    }
}

/// Bytes that no host has, and the two that are around it. A table: a search of a list, for each byte, is a quarter of the work on a span.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = is_foreign(byte as u8) || byte as u8 == b'@' || byte as u8 == b':';
        byte += 1;
    }
    special
};

#[inline(always)] // For each byte of an authority.
#[allow(clippy::indexing_slicing, reason = "256 entries: a byte is never out of range")]
fn is_special(byte: u8) -> bool {
    SPECIAL[usize::from(byte)]
}

/// Whether these are eight letters, digits, `-`, `.` and the like, none of which is special: most of an authority is known in one step.
/// Bit Twiddling Hacks, "Determine if a word has a byte less than n", "equal to n" and "between m and n".
const fn is_plain(word: u64) -> bool {
    const fn lanes(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    const fn less(word: u64, than: u8) -> u64 {
        word.wrapping_sub(lanes(than)) & !word
    }
    let low = word & lanes(0x7f);
    // Above `9` and below `A`.
    let between = lanes(0x7f + b'A').wrapping_sub(low) & low.wrapping_add(lanes(0x7f - b'9'));
    let high = word | low.wrapping_add(lanes(1)); // 0x7f, and what is not ASCII.
    let found = less(word, b'-') | less(word ^ lanes(b'/'), 1) | less(word ^ lanes(b'\\'), 1) | between | high;
    found & lanes(0x80) == 0
}

/// A byte that no host has.
const fn is_foreign(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | 0x7f)
}

/// Reads a port. Zero is what Envoy says for an address that has none.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || 5 < digits.len() {
        return None;
    }
    let mut port: u32 = 0;
    for byte in digits {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        port = port * 10 + u32::from(digit); // Five digits stay below 2^32.
    }
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// Whom the request was for: the trusted forwarding headers first, if `forwarded`, then `:authority`.
pub fn target<'a>(facts: &HttpFacts<'a>, forwarded: bool) -> Option<HostPort<'a>> {
    let by_proxy = || {
        let host = facts.forwarded.and_then(|header| forwarded_parameter(header, b"host"));
        host.or_else(|| facts.forwarded_host.map(first_element)).and_then(HostPort::parse)
    };
    let forwarded = if forwarded && facts.trust_forwarded { by_proxy() } else { None };
    forwarded.or_else(|| facts.authority.and_then(HostPort::parse))
}

/// Whether an authority names a server, so that its address needs not be asked for.
pub fn is_host(authority: &[u8]) -> bool {
    HostPort::parse(authority).is_some()
}

/// The URL's scheme in lower case: as the trusted forwarding headers say, if `forwarded`, else as Envoy does. Only `http` and `https`
/// are believed of the former: metrics know no other, and say the same as spans.
pub fn scheme<'a>(facts: &HttpFacts<'a>, forwarded: bool) -> Option<Cow<'a, str>> {
    let by_proxy = || {
        let proto = facts.forwarded.and_then(|header| forwarded_parameter(header, b"proto"));
        proto.or_else(|| facts.forwarded_proto.map(first_element)).and_then(known_scheme).map(Cow::Borrowed)
    };
    let forwarded = if forwarded && facts.trust_forwarded { by_proxy() } else { None };
    forwarded.or_else(|| facts.scheme.and_then(checked_scheme))
}

/// The port that a URL of this scheme means when it names none.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn known_scheme(scheme: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
}

/// RFC 3986, section 3.1, and short.
fn checked_scheme(scheme: &[u8]) -> Option<Cow<'_, str>> {
    if let Some(known) = known_scheme(scheme) {
        return Some(Cow::Borrowed(known));
    }
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let legal = scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.len() <= 16 && scheme.iter().all(letters);
    str::from_utf8(scheme).ok().filter(|_| legal).map(|scheme| Cow::Owned(scheme.to_ascii_lowercase()))
}

/// The first of a comma-separated list: what the proxy nearest to the client said.
fn first_element(list: &[u8]) -> &[u8] {
    list.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

/// A parameter of the first element of `Forwarded` (RFC 7239, section 4), without its quotes.
fn forwarded_parameter<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    first_element(header).split(|&byte| byte == b';').find_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (pair.get(..equals)?, pair.get(equals..)?.get(1..)?.trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_and_anything_else_is_not() {
        for (authority, expected) in [
            ("shop.example", Some(("shop.example", None))),
            ("shop.example:8080", Some(("shop.example", Some(8080)))),
            ("bob:pw@shop.example:8080", Some(("shop.example", Some(8080)))),
            ("bob@evil@shop.example", Some(("shop.example", None))),
            ("10.0.0.1:80", Some(("10.0.0.1", Some(80)))),
            ("[::1]:443", Some(("::1", Some(443)))),
            ("[::1]", Some(("::1", None))),
            ("::1", Some(("::1", None))),
            ("shop.example:", Some(("shop.example", None))),
            ("shop.example:0", Some(("shop.example", None))),
            ("shop.example:65536", Some(("shop.example", None))),
            ("shop.example:65535", Some(("shop.example", Some(65535)))),
            ("shop.example:+80", Some(("shop.example", None))),
            ("shop.example:00000080", Some(("shop.example", None))),
            (" shop.example ", Some(("shop.example", None))),
            ("[::1", None),
            ("[]:80", None),
            (":80", None),
            ("", None),
            ("bob@", None),
            ("a b", None),
            ("shop.example/path", None),
            ("a\0b", None),
        ] {
            let read = HostPort::parse(authority.as_bytes());
            let expected = expected.map(|(host, port): (&str, _)| HostPort { host: host.as_bytes(), port });
            assert_eq!(read, expected, "{authority}");
        }
    }

    #[test]
    fn eight_bytes_are_plain_if_none_of_them_is_special() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut word = *b"shop-1.A";
                word[place] = byte;
                let is_plain = is_plain(u64::from_le_bytes(word));
                assert!(!is_plain || !is_special(byte), "{byte} at {place}");
                assert!(is_plain || !byte.is_ascii_alphanumeric() && !b"-._".contains(&byte), "{byte} at {place}");
            }
        }
    }

    #[test]
    fn only_an_ip_address_is_one() {
        for (address, expected) in [
            ("10.1.2.3:5555", Some("10.1.2.3")),
            ("[2001:db8::1]:0", Some("2001:db8::1")),
            ("[fe80::1%eth0]:80", Some("fe80::1")),
            ("[::ffff:10.0.0.1]:80", Some("::ffff:10.0.0.1")),
            ("shop.example:80", None),
            ("010.1.2.3:80", None),
            ("1.2.3:80", None),
        ] {
            assert_eq!(HostPort::parse(address.as_bytes()).and_then(|address| address.ip()), expected, "{address}");
        }
        for number in ["0", "00", "01", "1", "9", "10", "99", "100", "199", "255", "256", "1000", "", "a", "-1", " 1"] {
            for address in
                [format!("{number}.2.3.4"), format!("1.2.3.{number}"), format!("1.{number}.3"), number.to_owned()]
            {
                assert_eq!(is_v4(address.as_bytes()), address.parse::<std::net::Ipv4Addr>().is_ok(), "{address}");
            }
        }
        assert_eq!(HostPort::parse(b"\xff\xfe:80").and_then(|address| address.ip()), None);
    }

    #[test]
    fn forwarding_headers_count_only_when_they_are_trusted() {
        let facts = HttpFacts {
            authority: Some(b"inner:8080"),
            scheme: Some(b"http"),
            forwarded_host: Some(b"shop.example, inner"),
            forwarded_proto: Some(b"HTTPS, http"),
            trust_forwarded: true,
            ..HttpFacts::default()
        };
        let told = |facts: &HttpFacts<'_>, forwarded| {
            let host = target(facts, forwarded).map(|target| String::from_utf8_lossy(target.host).into_owned());
            (host.unwrap_or_default(), scheme(facts, forwarded).unwrap_or_default().into_owned())
        };
        let pair = |host: &str, scheme: &str| (host.to_owned(), scheme.to_owned());
        assert_eq!(told(&facts, true), pair("shop.example", "https"));
        assert_eq!(told(&facts, false), pair("inner", "http"));
        assert_eq!(told(&HttpFacts { trust_forwarded: false, ..facts }, true), pair("inner", "http"));

        let standard: &[u8] = b"For=\"[::1]\"; Host=\"a.example:8443\" ;proto=https, host=b.example";
        assert_eq!(told(&HttpFacts { forwarded: Some(standard), ..facts }, true), pair("a.example", "https"));
        let empty =
            HttpFacts { forwarded: Some(b";;=,"), forwarded_host: Some(b","), forwarded_proto: Some(b""), ..facts };
        assert_eq!(told(&empty, true), pair("inner", "http"));
    }

    #[test]
    fn a_scheme_is_short_and_made_of_letters() {
        for (given, expected) in [
            (&b"HTTPS"[..], Some("https")),
            (b"WS", Some("ws")),
            (b"", None),
            (b"1http", None),
            (b"ht tp", None),
            (b"http\xff", None),
            (b"aaaaaaaaaaaaaaaaa", None),
        ] {
            assert_eq!(checked_scheme(given).as_deref(), expected, "{given:?}");
        }
    }
}
