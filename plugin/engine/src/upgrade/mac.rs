//! The MAC of a request of ours: it shows that whoever asks knows the mesh's secret, and never shows the secret.
//!
//! HMAC-SHA256 (RFC 2104, FIPS 180-4) over five lines that name scheme, purpose, time, audience and content, so that a
//! request is good for one purpose, one instance and a short time. Written here on the hash that X-Ray's rules need anyway:
//! the crate for it would bring two more into the module's tree.

use sha2::{Digest, Sha256};

use crate::trace_context::hex;

/// The header that it travels in: `1;<Unix seconds>;<64 lowercase hex digits>`.
pub const HEADER: &str = "x-tracelift-mac";
/// How far the clocks of two instances may be apart, either way, in seconds. A request is good for that long.
pub const WINDOW_SECONDS: u64 = 60;

/// Version of the scheme, in the header.
const VERSION: &[u8] = b"1";
/// The same in what is signed.
const LABEL: &[u8] = b"tracelift-mac-1";
/// Block of SHA-256, in bytes.
const BLOCK: usize = 64;
/// Digits of Unix seconds that are read at most.
const TIME_DIGITS: usize = 12;
const SECOND: u64 = 1_000_000_000;

/// What a request says, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The request's mark behind `ff-tracelift-`.
    pub purpose: &'a str,
    /// The instance that it is for.
    pub audience: &'a [u8],
    /// What is asked of it.
    pub content: &'a [u8],
}

impl Statement<'_> {
    /// The value of [`HEADER`] at `now` (Unix nanoseconds).
    pub fn sign(&self, key: &[u8], now: u64) -> String {
        let time = (now / SECOND).to_string();
        let digits = self.digits(key, time.as_bytes());
        let mut value = String::with_capacity(2 + TIME_DIGITS + 1 + digits.len());
        value.push_str("1;");
        value.push_str(&time);
        value.push(';');
        value.extend(digits.map(char::from));
        value
    }

    /// Whether whoever wrote this value knew one of the keys, and wrote it within [`WINDOW_SECONDS`] of `now` (Unix
    /// nanoseconds). An empty key is none.
    pub fn is_signed(&self, keys: [&[u8]; 2], value: &[u8], now: u64) -> bool {
        let mut parts = value.splitn(3, |byte| *byte == b';');
        let (Some(VERSION), Some(time), Some(digits)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let Some(written) = seconds(time) else { return false };
        let near = (now / SECOND).abs_diff(written) <= WINDOW_SECONDS;
        near && keys.into_iter().any(|key| !key.is_empty() && same_secret(&self.digits(key, time), digits))
    }

    fn digits(&self, key: &[u8], time: &[u8]) -> [u8; 64] {
        let mut digits = [0; 64];
        let mac = hmac(key, &[LABEL, self.purpose.as_bytes(), time, self.audience, self.content]);
        for (place, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(mac) {
            *place = hex::write2(byte);
        }
        digits
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ. An empty one matches nothing.
pub fn same_secret(ours: &[u8], theirs: &[u8]) -> bool {
    let differ = ours.iter().zip(theirs).fold(0, |differ, (ours, theirs)| differ | (ours ^ theirs));
    !ours.is_empty() && ours.len() == theirs.len() && std::hint::black_box(differ) == 0
}

/// HMAC-SHA256 over lines, joined by a line feed.
pub fn hmac(key: &[u8], lines: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    let hashed;
    let key = if BLOCK < key.len() {
        hashed = Sha256::digest(key);
        &hashed[..]
    } else {
        key
    };
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    for (number, line) in lines.iter().enumerate() {
        if number != 0 {
            inner.update(b"\n");
        }
        inner.update(line);
    }
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner.finalize()).finalize().into()
}

fn seconds(text: &[u8]) -> Option<u64> {
    let is_number = (1..=TIME_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit & 0xf))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_764_371_000 * SECOND;
    const ASKED: Statement<'_> =
        Statement { purpose: "recall-2", audience: b"10.0.0.2:8080", content: b"2;0af7651916cd43dd8448eb211c80319c" };

    fn text(mac: [u8; 32]) -> String {
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, sections 4.2, 4.3 and 4.7: a short key, a shorter one, and one longer than a block.
    #[test]
    fn published_vectors_come_out() {
        for (key, line, mac) in [
            (&[0x0b; 20][..], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(text(hmac(key, &[line.as_bytes()])), mac, "{line}");
        }
    }

    /// The first row of `docs/applications.md`, section 5, and one of a recall from another implementation.
    #[test]
    fn others_that_follow_the_page_get_the_same() {
        let listed =
            Statement { purpose: "upgrades-1", audience: b"127.0.0.1", content: b"/.well-known/tracelift/upgrades" };
        assert_eq!(
            listed.sign(b"a-token-of-the-pod", NOW),
            "1;1764371000;1abb8ed079b1c58362361152fa531eed6543b9f8e47e314c078b59ad4213d8ea"
        );
        assert_eq!(
            ASKED.sign(b"a-token-of-the-pod", NOW + 1),
            "1;1764371000;6847dad0975839e8e31d5a58bbe1ad210d0fd6a6795a21f4439e80b250531b3d"
        );
    }

    #[test]
    fn either_key_is_good_and_an_empty_one_is_none() {
        let value = ASKED.sign(b"old", NOW);
        for (keys, good) in
            [([&b"old"[..], b""], true), ([b"new", b"old"], true), ([b"new", b""], false), ([b"", b""], false)]
        {
            assert_eq!(ASKED.is_signed(keys, value.as_bytes(), NOW), good, "{keys:?}");
        }
        assert!(!ASKED.is_signed([b"", b""], ASKED.sign(b"", NOW).as_bytes(), NOW));
    }

    #[test]
    fn a_mac_is_good_for_its_purpose_instance_content_and_minute() {
        let value = ASKED.sign(b"key", NOW);
        let keys: [&[u8]; 2] = [b"key", b""];
        for (what, other) in [
            ("purpose", Statement { purpose: "recall-3", ..ASKED }),
            ("instance", Statement { audience: b"10.0.0.3:8080", ..ASKED }),
            ("content", Statement { content: b"2;4bf92f3577b34da6a3ce929d0e0e4736", ..ASKED }),
        ] {
            assert!(!other.is_signed(keys, value.as_bytes(), NOW), "another {what}");
        }
        for (seconds, good) in [(-61_i64, false), (-60, true), (0, true), (60, true), (61, false)] {
            let now = NOW.saturating_add_signed(seconds * SECOND as i64);
            assert_eq!(ASKED.is_signed(keys, value.as_bytes(), now), good, "{seconds} s");
        }
    }

    #[test]
    fn what_is_no_mac_is_refused() {
        let value = ASKED.sign(b"key", NOW);
        let digits = &value[13..];
        for bad in [
            "".to_owned(),
            "1".to_owned(),
            "1;".to_owned(),
            "1;1764371000;".to_owned(),
            format!("2;1764371000;{digits}"),
            format!("1;+1764371000;{digits}"),
            format!("1;;{digits}"),
            format!("1;1764371001;{digits}"),
            format!("1;1764371000;{}", digits.to_uppercase()),
            format!("1;1764371000;{digits};"),
            format!("1;9999999999999;{digits}"),
        ] {
            assert!(!ASKED.is_signed([b"key", b""], bad.as_bytes(), NOW), "{bad}");
        }
        assert!(ASKED.is_signed([b"key", b""], value.as_bytes(), NOW));
    }

    #[test]
    fn a_secret_matches_itself_only_and_none_matches_nothing() {
        assert!(same_secret(b"0123456789abcdef", b"0123456789abcdef"));
        for (ours, theirs) in [("", ""), ("a", ""), ("", "a"), ("abc", "abd"), ("abc", "ab"), ("ab", "abc")] {
            assert!(!same_secret(ours.as_bytes(), theirs.as_bytes()), "{ours} {theirs}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!ASKED.is_signed([b"key", b"old"], &bytes, NOW));
        }
    }
}
