//! The token on the wire: `1.<key id>.<expiry, Unix seconds>.<scope, base64url>.<MAC, base64url>`.
//!
//! The MAC is HMAC-SHA256, cut to 128 bits, over the scheme's name, all that is in front of it in the token, and the audience, which is
//! not in it: a token that was made for one mesh is worth nothing in another that happens to have the same key.

use super::base64;
use crate::sampling::without_port;
use crate::upgrade::mac::{hmac, same_secret};

/// Longest token that is read, in bytes.
pub const MAX_TOKEN: usize = 512;

/// Version of the scheme, in the token.
const VERSION: &[u8] = b"1";
/// The same in what is signed.
const LABEL: &[u8] = b"tracelift-force-1";
/// Bytes of the MAC that a token has.
const MAC: usize = 16;
/// Digits of Unix seconds that are read at most.
const TIME_DIGITS: usize = 12;

/// Which requests a token is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The authority without its port, whatever the case of its letters; empty for every one.
    pub host: String,
    /// The path, and every path below it; empty for every one.
    pub path: String,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The id of the key.
    pub key: String,
    /// Unix seconds from which on it is not good any more.
    pub expiry: u64,
    /// Which requests it is good for.
    pub scope: Scope,
}

impl Scope {
    /// From `host/path`: what stands in front of the first `/` is the host.
    fn parse(text: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
        let (host, path) = text.split_at_checked(text.find('/').unwrap_or(text.len()))?;
        Some(Self { host: host.to_owned(), path: path.to_owned() })
    }

    fn text(&self) -> String {
        [self.host.as_str(), &self.path].concat()
    }

    /// Whether such a request, by its `:authority` and its `:path`, is within it.
    pub fn allows(&self, authority: &[u8], path: &[u8]) -> bool {
        let host = self.host.is_empty() || without_port(authority).eq_ignore_ascii_case(self.host.as_bytes());
        host && match path.strip_prefix(self.path.as_bytes()) {
            Some([] | [b'/' | b'?', ..]) => true,
            Some(_) => self.path.is_empty() || self.path.ends_with('/'),
            None => false,
        }
    }
}

/// A token as it came.
pub(super) struct Token<'a> {
    /// The id of the key that it names.
    pub key: &'a [u8],
    expiry: u64,
    scope: &'a [u8],
    signed: &'a [u8],
    mac: &'a [u8],
}

impl<'a> Token<'a> {
    /// `None` for what is not of the form of a token, whoever made it.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        if MAX_TOKEN < value.len() {
            return None;
        }
        let last = value.iter().rposition(|byte| *byte == b'.')?;
        let (signed, mac) = (value.get(..last)?, value.get(last.saturating_add(1)..)?);
        let mut parts = signed.split(|byte| *byte == b'.');
        let (Some(VERSION), Some(key), Some(expiry), Some(scope), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self { key, expiry: seconds(expiry)?, scope, signed, mac })
    }

    /// Whether whoever made it knew the secret, and meant this audience. Takes the same time for every MAC of that length.
    pub fn is_signed(&self, secret: &[u8], audience: &str) -> bool {
        same_secret(&mac(secret, self.signed, audience), self.mac)
    }

    /// What it says; of a token that is signed, so that nothing else of it is looked at before.
    pub fn claims(&self) -> Option<Claims> {
        Some(Claims {
            key: str::from_utf8(self.key).ok()?.to_owned(),
            expiry: self.expiry,
            scope: Scope::parse(base64::decode(self.scope)?)?,
        })
    }
}

impl Claims {
    /// The token that says this, for that audience.
    pub fn sign(&self, secret: &[u8], audience: &str) -> String {
        let signed = [
            VERSION,
            self.key.as_bytes(),
            self.expiry.to_string().as_bytes(),
            &base64::encode(self.scope.text().as_bytes()),
        ]
        .join(&b'.');
        let token = [&signed[..], &mac(secret, &signed, audience)].join(&b'.');
        token.into_iter().map(char::from).collect()
    }
}

fn mac(secret: &[u8], signed: &[u8], audience: &str) -> Vec<u8> {
    let whole = hmac(secret, &[LABEL, signed, audience.as_bytes()]);
    base64::encode(whole.first_chunk::<MAC>().map_or(&whole[..], |half| half))
}

/// Without a sign, and without a zero in front: there is one way to write a number.
fn seconds(text: &[u8]) -> Option<u64> {
    let is_number = (1..=TIME_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    if !is_number || text.starts_with(b"0") {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &[u8] = b"a-secret-of-the-developers";

    fn claims(host: &str, path: &str) -> Claims {
        let scope = Scope { host: host.to_owned(), path: path.to_owned() };
        Claims { key: "dev".to_owned(), expiry: 1_795_258_800, scope }
    }

    /// As another implementation makes them (Python: `hmac`, `hashlib`, `base64`): section "The token" of the page.
    #[test]
    fn others_that_follow_the_page_get_the_same() {
        let token = claims("", "/checkout").sign(SECRET, "shop");
        assert_eq!(token, "1.dev.1795258800.L2NoZWNrb3V0.oRviWG6feb915IHyMK_3eQ");
        let token = claims("", "").sign(SECRET, "");
        assert_eq!(token, "1.dev.1795258800..hZZErTvWG52biXhM9y19Jw");
    }

    #[test]
    fn a_token_says_what_was_signed() {
        for claims in [claims("", ""), claims("shop.example", ""), claims("", "/a.b/c"), claims("[::1]", "/a?b=c")] {
            let text = claims.sign(SECRET, "shop");
            let token = Token::parse(text.as_bytes()).expect("a token");
            assert!(token.is_signed(SECRET, "shop"));
            assert_eq!(token.claims(), Some(claims));
        }
    }

    #[test]
    fn another_secret_audience_or_text_is_not_signed() {
        let text = claims("", "/checkout").sign(SECRET, "shop");
        let token = Token::parse(text.as_bytes()).expect("a token");
        assert!(!token.is_signed(b"another-secret-of-theirs", "shop"));
        assert!(!token.is_signed(b"", "shop"));
        assert!(!token.is_signed(SECRET, "bank"));
        for place in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[place] ^= 1;
            assert!(Token::parse(&forged).is_none_or(|token| !token.is_signed(SECRET, "shop")), "byte {place}");
            let cut = &text.as_bytes()[..place];
            assert!(Token::parse(cut).is_none_or(|token| !token.is_signed(SECRET, "shop")), "cut at {place}");
        }
        assert!(Token::parse([&text, "A"].concat().as_bytes()).is_none_or(|token| !token.is_signed(SECRET, "shop")));
    }

    #[test]
    fn a_scope_ends_where_a_part_of_a_path_ends() {
        let scope = |host: &str, path: &str| Scope { host: host.to_owned(), path: path.to_owned() };
        for (scope, authority, path, allowed) in [
            (scope("", ""), "shop", "/", true),
            (scope("", "/"), "shop", "/anything", true),
            (scope("", "/pay"), "shop", "/pay", true),
            (scope("", "/pay"), "shop", "/pay/1", true),
            (scope("", "/pay"), "shop", "/pay?id=1", true),
            (scope("", "/pay"), "shop", "/payments", false),
            (scope("", "/pay"), "shop", "/", false),
            (scope("", "/pay/"), "shop", "/pay/1", true),
            (scope("", "/pay/"), "shop", "/pay", false),
            (scope("shop.example", ""), "SHOP.example:8443", "/", true),
            (scope("shop.example", ""), "shop.example.org", "/", false),
            (scope("shop.example", "/pay"), "shop.example", "/cart", false),
            (scope("shop.example", "/pay"), "", "/pay", false),
        ] {
            assert_eq!(scope.allows(authority.as_bytes(), path.as_bytes()), allowed, "{scope:?} {authority} {path}");
        }
    }

    #[test]
    fn what_has_another_form_is_no_token() {
        let mac = "A".repeat(22);
        for text in [
            "".to_owned(),
            ".".to_owned(),
            "1.dev.1795258800.".to_owned(),
            format!("2.dev.1795258800..{mac}"),
            format!("1.dev.+1795258800..{mac}"),
            format!("1.dev.01795258800..{mac}"),
            format!("1.dev.1234567890123..{mac}"),
            format!("1.dev.1795258800.x.y.{mac}"),
            format!("1.dev..{mac}"),
            format!("1.dev.1795258800.{}.{mac}", "A".repeat(MAX_TOKEN)),
        ] {
            assert!(Token::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm_and_none_of_them_is_signed(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Some(token) = Token::parse(&bytes) {
                prop_assert!(!token.is_signed(SECRET, "shop"));
                let _ = token.claims();
            }
        }
    }
}
