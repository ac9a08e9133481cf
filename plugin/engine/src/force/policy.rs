//! Who may force, and whether a token is good.

use std::fmt;

use super::token::{Claims, Token};
use crate::http::HeaderName;
use crate::upgrade::Budget;

/// Keys that are accepted at most: a few teams, each with the key before it.
pub const MAX_KEYS: usize = 8;

const SECOND: u64 = 1_000_000_000;

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, in tokens, on spans and in the log.
    pub id: String,
    /// What tokens are signed with. Never shown.
    pub secret: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The checked `force` part of the configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may force; no two have the same id.
    pub keys: Vec<Key>,
    /// The request header of the token, in lower case.
    pub header: HeaderName,
    /// How long a token may still be good when it is shown, in seconds.
    pub max_ttl_s: u64,
    /// How many requests a second are forced in one Envoy.
    pub budget: Budget,
    /// Whom tokens are for: `service.namespace` of the resource, empty where it has none.
    pub audience: String,
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The place of its key.
    pub key: u8,
    /// What it says.
    pub claims: Claims,
}

/// Why a token is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was good once.
    Expired,
    /// It was not made with one of the keys for this mesh, is for other requests, or would be good for too long.
    Invalid,
}

impl Policy {
    /// Judges a token at `now` (Unix nanoseconds) that came with a request for this authority and path. Says nothing of a token that
    /// is not signed but that it is invalid.
    pub fn judge(&self, value: &[u8], now: u64, authority: &[u8], path: &[u8]) -> Result<Admitted, Fault> {
        let token = Token::parse(value).ok_or(Fault::Invalid)?;
        let known = self.keys.iter().position(|key| key.id.as_bytes() == token.key);
        // An unknown id takes as long as a wrong MAC: ids are not to be found out by a clock either.
        let secret = known.or(Some(0)).and_then(|place| self.keys.get(place)).ok_or(Fault::Invalid)?;
        let is_signed = token.is_signed(secret.secret.as_bytes(), &self.audience);
        let key = known.filter(|_| is_signed).and_then(|key| u8::try_from(key).ok()).ok_or(Fault::Invalid)?;
        let claims = token.claims().ok_or(Fault::Invalid)?;
        let now = now / SECOND;
        if claims.expiry <= now {
            return Err(Fault::Expired);
        }
        let fits = claims.expiry.saturating_sub(now) <= self.max_ttl_s && claims.scope.allows(authority, path);
        if fits { Ok(Admitted { key, claims }) } else { Err(Fault::Invalid) }
    }

    /// The id of a key.
    pub fn key_id(&self, key: u8) -> Option<&str> {
        self.keys.get(usize::from(key)).map(|key| key.id.as_str())
    }
}

/// Whether a text may name a key: it stands in tokens, between dots.
pub fn is_key_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    const NOW: u64 = 1_795_255_200;

    fn policy() -> Policy {
        let key = |id: &str, secret: &str| Key { id: id.to_owned(), secret: secret.to_owned() };
        Policy {
            keys: vec![key("old", "the-secret-before-this"), key("new", "the-secret-of-today")],
            header: "x-tracelift-force".to_owned().into(),
            max_ttl_s: 3600,
            budget: Budget::per_second(10.0).expect("a rate"),
            audience: "shop".to_owned(),
        }
    }

    fn token(key: &str, secret: &str, expiry: u64) -> String {
        let scope = Scope { host: String::new(), path: "/pay".to_owned() };
        Claims { key: key.to_owned(), expiry, scope }.sign(secret.as_bytes(), "shop")
    }

    fn judge(policy: &Policy, token: &str, path: &str) -> Result<u8, Fault> {
        policy.judge(token.as_bytes(), NOW * SECOND, b"shop", path.as_bytes()).map(|admitted| admitted.key)
    }

    #[test]
    fn each_key_is_good_until_it_is_taken_out() {
        let policy = policy();
        let [old, new] = [("old", "the-secret-before-this"), ("new", "the-secret-of-today")];
        assert_eq!(judge(&policy, &token(old.0, old.1, NOW + 60), "/pay"), Ok(0));
        assert_eq!(judge(&policy, &token(new.0, new.1, NOW + 60), "/pay"), Ok(1));
        let rotated = Policy { keys: policy.keys[1..].to_vec(), ..policy.clone() };
        assert_eq!(judge(&rotated, &token(old.0, old.1, NOW + 60), "/pay"), Err(Fault::Invalid));
        assert_eq!(judge(&rotated, &token(new.0, new.1, NOW + 60), "/pay"), Ok(0));
        assert_eq!(judge(&policy, &token("new", old.1, NOW + 60), "/pay"), Err(Fault::Invalid), "the other's secret");
        assert_eq!(judge(&policy, &token("alice", new.1, NOW + 60), "/pay"), Err(Fault::Invalid), "an unknown id");
        let none = Policy { keys: Vec::new(), ..policy };
        assert_eq!(judge(&none, &token(new.0, new.1, NOW + 60), "/pay"), Err(Fault::Invalid));
    }

    #[test]
    fn a_token_is_good_for_its_time_and_its_requests() {
        let policy = policy();
        let at = |expiry, path| judge(&policy, &token("new", "the-secret-of-today", expiry), path);
        assert_eq!(at(NOW + 1, "/pay/1"), Ok(1));
        assert_eq!(at(NOW, "/pay/1"), Err(Fault::Expired));
        assert_eq!(at(NOW - 1, "/pay/1"), Err(Fault::Expired));
        assert_eq!(at(NOW + 3600, "/pay"), Ok(1));
        assert_eq!(at(NOW + 3601, "/pay"), Err(Fault::Invalid), "good for longer than is allowed");
        assert_eq!(at(NOW + 60, "/cart"), Err(Fault::Invalid));
        let forged = token("new", "a-guess-of-somebody", NOW - 1);
        assert_eq!(judge(&policy, &forged, "/pay"), Err(Fault::Invalid), "it never was good");
        let elsewhere = Policy { audience: "bank".to_owned(), ..policy };
        assert_eq!(judge(&elsewhere, &token("new", "the-secret-of-today", NOW + 60), "/pay"), Err(Fault::Invalid));
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", policy());
        assert!(!shown.contains("secret-of-today"), "{shown}");
        assert!(shown.contains("\"new\""), "{shown}");
    }

    #[test]
    fn the_id_of_a_key_stands_between_dots() {
        for (id, fits) in
            [("a", true), ("dev-2026_11", true), ("", false), ("a.b", false), ("ä", false), ("a b", false)]
        {
            assert_eq!(is_key_id(id), fits, "{id}");
        }
        assert!(!is_key_id(&"a".repeat(33)));
    }
}
