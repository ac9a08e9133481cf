//! What a request asked for, where a route rewrote it. Envoy names both in headers that it writes itself
//! (`x-envoy-original-path`, `-host` and, for a request that it redirected internally, `-url`) but lets a client write the first
//! two as well, and passes on those of a proxy in front. So such a header is believed only if it says what the head of this
//! request said.

/// A mark of the path and one of the authority, as they came. Eight bytes: every request that is dropped has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    path: u32,
    authority: u32,
}

/// Where a request went, or was to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// `:path`, with its query.
    pub path: Option<&'a [u8]>,
    /// `:authority`.
    pub authority: Option<&'a [u8]>,
}

/// What Envoy says of the target before it changed it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Original<'a> {
    /// `x-envoy-original-path`.
    pub path: Option<&'a [u8]>,
    /// `x-envoy-original-host`.
    pub host: Option<&'a [u8]>,
    /// `x-envoy-original-url`.
    pub url: Option<&'a [u8]>,
}

impl Asked {
    /// From the head of a request.
    #[inline(always)] // For every request.
    pub fn of(path: Option<&[u8]>, authority: Option<&[u8]>) -> Self {
        Self { path: path.map_or(0, mark), authority: authority.map_or(0, mark) }
    }

    /// What was asked for, of a request whose headers say now that it went to `sent`: for the side that was asked.
    pub fn server<'a>(self, sent: Target<'a>, original: &Original<'a>) -> Target<'a> {
        let redirected = original.url.and_then(split).unwrap_or_default();
        let one_of = |known: u32, candidates: [Option<&'a [u8]>; 3]| {
            candidates.into_iter().flatten().find(|text| mark(text) == known)
        };
        Target {
            path: one_of(self.path, [sent.path, original.path, redirected.path]).or(sent.path),
            authority: one_of(self.authority, [sent.authority, original.host, redirected.authority]).or(sent.authority),
        }
    }

    /// What went upstream: for the side that asked. Headers of a request that was redirected internally are those of the
    /// request that follows it, but for its own URL.
    pub fn client<'a>(self, sent: Target<'a>, original: &Original<'a>) -> Target<'a> {
        let is_ours = |target: &Target<'_>| target.path.is_some_and(|path| mark(path) == self.path);
        original.url.and_then(split).filter(|url| is_ours(url) && !is_ours(&sent)).unwrap_or(sent)
    }
}

/// `http://shop.example/cart?id=1` in its two parts.
fn split(url: &[u8]) -> Option<Target<'_>> {
    let scheme = url.windows(3).position(|three| three == b"://")?;
    let rest = url.get(scheme.checked_add(3)?..)?;
    let slash = rest.iter().position(|&byte| byte == b'/')?;
    let (authority, path) = rest.split_at_checked(slash)?;
    Some(Target { path: Some(path), authority: Some(authority) })
}

/// Tells texts apart, word by word, because a byte at a time would cost a dropped request too much. No secret: who makes two
/// paths with one mark has his own request named by the other. Never 0 for a text that is not empty, in practice.
pub(super) fn mark(text: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(SPREAD).rotate_left(29);
    let mut sum = text.len() as u64;
    let mut rest = text;
    while let Some((word, more)) = rest.split_first_chunk::<8>() {
        sum = add(sum, u64::from_le_bytes(*word));
        rest = more;
    }
    match text.last_chunk::<8>() {
        Some(last) => sum = add(sum, u64::from_le_bytes(*last)), // Covers what is left, and maybe some bytes twice.
        None => sum = add(sum, rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))),
    }
    (sum ^ sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target<'a>(path: &'a str, authority: &'a str) -> Target<'a> {
        Target { path: Some(path.as_bytes()), authority: Some(authority.as_bytes()) }
    }

    fn asked(path: &str, authority: &str) -> Asked {
        Asked { path: mark(path.as_bytes()), authority: mark(authority.as_bytes()) }
    }

    #[test]
    fn a_mark_tells_texts_of_every_length_apart_that_differ_in_one_byte() {
        for length in 0..40 {
            let text: Vec<u8> = (0..length).collect();
            for place in 0..text.len() {
                let mut other = text.clone();
                other[place] ^= 1;
                assert_ne!(mark(&text), mark(&other), "{length} bytes, the {place}th");
            }
            assert_ne!(mark(&text), mark(&[&text[..], b"\0"].concat()), "{length} bytes and one more");
        }
    }

    #[test]
    fn what_a_route_rewrote_is_what_the_head_said() {
        let asked = asked("/shop/cart?id=1", "shop.example");
        let sent = target("/cart?id=1", "cart.internal");
        let said = Original { path: Some(b"/shop/cart?id=1"), host: Some(b"shop.example"), url: None };
        assert_eq!(asked.server(sent, &said), target("/shop/cart?id=1", "shop.example"));
        assert_eq!(asked.client(sent, &said), sent, "the side that asked did ask for this");
    }

    #[test]
    fn a_header_of_the_client_or_of_a_proxy_in_front_is_not_believed() {
        let asked = asked("/cart", "shop.example");
        let sent = target("/cart", "shop.example");
        let said =
            Original { path: Some(b"/fake"), host: Some(b"fake.example"), url: Some(b"http://fake.example/fake") };
        assert_eq!(asked.server(sent, &said), sent);
        assert_eq!(asked.client(sent, &said), sent);
        // Another filter changed the path on the way: then nobody knows, and what is there is said.
        let rewritten = target("/v2/cart", "shop.example");
        assert_eq!(asked.server(rewritten, &said), rewritten);
    }

    #[test]
    fn a_request_that_was_redirected_internally_has_its_own_url() {
        let asked = asked("/old?a=1", "shop.example");
        let sent = target("/new", "next.example");
        let said = Original { url: Some(b"https://shop.example/old?a=1"), ..Original::default() };
        let own = target("/old?a=1", "shop.example");
        assert_eq!((asked.server(sent, &said), asked.client(sent, &said)), (own, own));
        for url in ["", "https://", "https://shop.example", "/old?a=1"] {
            let said = Original { url: Some(url.as_bytes()), ..Original::default() };
            assert_eq!((asked.server(sent, &said), asked.client(sent, &said)), (sent, sent), "{url}");
        }
    }

    #[test]
    fn a_request_whose_head_never_came_says_what_is_there() {
        let sent = target("/cart", "shop.example");
        let said = Original { path: Some(b"/fake"), ..Original::default() };
        assert_eq!(Asked::default().server(sent, &said), sent);
    }
}
