//! The randomness of a session: the traces that begin with its requests are kept together or not at all, on every gateway and at every
//! ratio. A keyed hash, so that a client cannot choose a session that is always kept, and its id is in no `tracestate`.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::door::HeaderView;

/// Bytes of a value that count, so that a long one costs bounded work.
pub const MAX_VALUE: usize = 1024;

/// What the secret is hashed with, so that it is good for nothing else.
const LABEL: &[u8] = b"tracelift-session-1\n";

/// Where a request says which session it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cookie of that name; its case counts.
    Cookie(String),
    /// A request header of that name, in lower case.
    Header(String),
}

/// The checked `sampling.session` part of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    source: Source,
    key: [u64; 2],
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Session {
    /// Of any secret.
    pub fn new(source: Source, secret: &str) -> Self {
        let digest = Sha256::new_with_prefix(LABEL).chain_update(secret).finalize();
        let half = |at: usize| digest.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes);
        Self { source, key: [half(0), half(8)] }
    }

    /// Where it is read.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// R for a request of a session, 56 bits; `None` for one that names none.
    pub fn randomness<'a, V: HeaderView<'a>>(&self, headers: V) -> Option<u64> {
        let value = match &self.source {
            Source::Header(name) => headers.first(name)?.trim_ascii(),
            Source::Cookie(name) => headers.values("cookie").find_map(|line| cookie(line, name.as_bytes()))?,
        };
        if value.is_empty() {
            return None;
        }
        Some(siphash(self.key, value.get(..MAX_VALUE).unwrap_or(value)) & ((1 << 56) - 1))
    }
}

/// The value of a cookie in one line of `Cookie` (RFC 6265, section 5.4).
fn cookie<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.split(|byte| *byte == b';').find_map(|pair| {
        let (found, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == b'=')?)?;
        (found.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012), 64 bits.
fn siphash([k0, k1]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut take = |word: u64| {
        state[3] ^= word;
        rounds::<2>(&mut state);
        state[0] ^= word;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        take(u64::from_le_bytes(*word));
    }
    let tail = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    take((bytes.len() as u64) << 56 | tail);
    state[2] ^= 0xff;
    rounds::<4>(&mut state);
    state.into_iter().fold(0, |sum, word| sum ^ word)
}

fn rounds<const COUNT: usize>(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for _ in 0..COUNT {
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries<'a> = &'a [(&'a [u8], &'a [u8])];

    fn session(source: Source) -> Session {
        Session::new(source, "a-secret-of-the-gateways")
    }

    fn by_cookie(lines: Entries<'_>) -> Option<u64> {
        session(Source::Cookie("sid".to_owned())).randomness(lines)
    }

    /// From the reference implementation: key 00 01 … 0f, messages of so many bytes 00 01 ….
    #[test]
    fn published_vectors_come_out() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let message: Vec<u8> = (0..64).collect();
        for (length, wanted) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (63, 0x958a_324c_eb06_4572),
        ] {
            assert_eq!(siphash(key, &message[..length]), wanted, "{length}");
        }
    }

    #[test]
    fn a_cookie_is_found_wherever_it_stands() {
        let wanted = by_cookie(&[(b"cookie", b"sid=abc")]);
        assert!(wanted.is_some_and(|randomness| randomness >> 56 == 0));
        for line in [&b"a=b; sid=abc"[..], b"sid=abc;a=b", b" a ; b=c;  sid = abc ", b"xsid=1; sid=abc; sid=other"] {
            assert_eq!(by_cookie(&[(b"cookie", line)]), wanted, "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(by_cookie(&[(b"cookie", b"a=b"), (b"cookie", b"sid=abc")]), wanted, "crumbs of HTTP/2");
        for line in [&b""[..], b"sid", b"sid=", b"SID=abc", b"xsid=abc", b"a=sid=abc"] {
            assert_eq!(by_cookie(&[(b"cookie", line)]), None, "{}", String::from_utf8_lossy(line));
        }
        assert_ne!(by_cookie(&[(b"cookie", b"sid=abd")]), wanted);
    }

    #[test]
    fn a_header_counts_as_it_is_and_another_secret_gives_another_randomness() {
        let by_header = |secret: &str, value: &[u8]| {
            Session::new(Source::Header("x-session".to_owned()), secret).randomness(&[(&b"x-session"[..], value)][..])
        };
        assert_eq!(by_header("one", b"abc"), by_header("one", b" abc "));
        assert_ne!(by_header("one", b"abc"), by_header("two", b"abc"));
        assert_eq!(by_header("one", b" "), None);
        let long = [b'a'; MAX_VALUE + 1];
        assert_eq!(by_header("one", &long), by_header("one", &long[..MAX_VALUE]));
        assert!(!format!("{:?}", session(Source::Header("a".to_owned()))).contains("key"));
    }
}
