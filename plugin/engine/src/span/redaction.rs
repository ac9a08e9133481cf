//! Takes credentials out of URLs: user info, and the values of parameters that are signatures.
//!
//! OpenTelemetry semantic conventions, `url.full` and `url.query`. What is replaced is looked for in percent-encoded form too,
//! because a URL inside a URL is usually encoded once. When in doubt more is redacted, never less. Each pass is linear in the
//! text, which a client chose, and stops where the result is as long as an attribute may be.

use std::borrow::Cow;

use super::bounds;

/// Stands for a value taken out.
pub const REDACTED: &str = "REDACTED";

/// Stands for user and password.
pub const USER_INFO: &str = "REDACTED:REDACTED";

/// Parameters whose values sign or authorise a request; case-sensitive.
const SIGNATURES: [&[u8]; 7] = [
    b"X-Amz-Signature",
    b"X-Amz-Credential",
    b"X-Amz-Security-Token",
    b"AWSAccessKeyId",
    b"Signature",
    b"sig",
    b"X-Goog-Signature",
];

/// Headers whose values are credentials: that they were sent may be recorded, what they say may not.
const CREDENTIAL_HEADERS: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-tracelift-token",
];

/// Headers whose values are URLs.
const URL_HEADERS: [&str; 3] = ["referer", "location", "content-location"];

/// Splits a request target into path and query. A fragment has no business there and is cut off.
pub fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = target.iter().position(|&byte| byte == b'#').unwrap_or(target.len());
    let target = target.get(..end).unwrap_or_default();
    let mut parts = target.splitn(2, |&byte| byte == b'?');
    (parts.next().unwrap_or_default(), parts.next())
}

/// The path without the user info of any URL in it.
pub fn path(path: &[u8]) -> Cow<'_, [u8]> {
    user_info(path, false)
}

/// The query without the user info of any URL in it and without the values of signature parameters.
pub fn query(query: &[u8]) -> Vec<u8> {
    signatures(&user_info(query, true))
}

/// A header's value as it may be recorded.
pub fn header<'a>(name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
    if CREDENTIAL_HEADERS.contains(&name) {
        return Cow::Borrowed(REDACTED.as_bytes());
    }
    if !URL_HEADERS.contains(&name) {
        return Cow::Borrowed(value);
    }
    let (before, after) = split(value);
    let mut url = path(before).into_owned();
    if let Some(after) = after {
        url.push(b'?');
        url.extend(query(after));
    }
    Cow::Owned(url)
}

/// The next byte with its percent-encoding undone, and how many bytes it took.
fn decoded(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'%', high, low, ..] => match (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) {
            (Some(high), Some(low)) => Some(((high * 16 + low) as u8, 3)), // Two digits make at most 255.
            _ => Some((b'%', 1)),
        },
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

/// Replaces what stands between `//` and `@` where an authority may begin: at the start, after `:` and after `=`.
fn user_info(text: &[u8], in_query: bool) -> Cow<'_, [u8]> {
    let has_at = text.contains(&b'@') || text.contains(&b'%') && text.windows(3).any(|three| three == b"%40");
    if !has_at {
        return Cow::Borrowed(text);
    }
    let mut clean = Vec::with_capacity(text.len());
    let mut kept = 0; // Everything before this offset is in `clean`.
    let mut at = 0;
    let mut slashes = Some((0, false)); // How many slashes since the mark, and whether one of them was encoded.
    while clean.len() + (at - kept) < bounds::URL
        && let Some((byte, len)) = text.get(at..).and_then(decoded)
    {
        at += len;
        slashes = match (byte, slashes) {
            (b'/', Some((0, _))) => Some((1, len == 3)),
            (b'/', Some((_, encoded))) => {
                if let Some(end) = user_info_end(text, at, encoded || len == 3, in_query) {
                    clean.extend_from_slice(text.get(kept..at).unwrap_or_default());
                    clean.extend_from_slice(USER_INFO.as_bytes());
                    (kept, at) = (end, end);
                }
                None
            }
            (b':' | b'=', _) => Some((0, false)),
            _ => None,
        };
    }
    clean.extend_from_slice(text.get(kept..at).unwrap_or_default());
    Cow::Owned(clean)
}

/// Offset of the last `@` of the authority that begins at `from`.
///
/// A plain `/` ends an authority, an encoded one only where the slashes before it were encoded too: elsewhere it belongs to
/// a password. So each scan ends before the next mark of its own sort, and all of them together are linear.
fn user_info_end(text: &[u8], from: usize, encoded: bool, in_query: bool) -> Option<usize> {
    let mut at = from;
    let mut end = None;
    let mut leading = true; // More slashes than two, as in `:///`, which some readers skip.
    while let Some((byte, len)) = text.get(at..).and_then(decoded) {
        match byte {
            b'@' => end = Some(at),
            b'/' if leading => {}
            b'/' | b'?' | b'#' if len == 1 || encoded => break,
            b'&' if in_query && (len == 1 || encoded) => break,
            _ => {}
        }
        leading &= byte == b'/';
        at += len;
    }
    end
}

/// Replaces the values of signature parameters, also of those in a URL that is itself a parameter.
fn signatures(query: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(query.len());
    let mut kept = 0;
    let mut at = 0;
    let mut begins = true;
    while clean.len() + (at - kept) < bounds::URL
        && let Some((byte, len)) = query.get(at..).and_then(decoded)
    {
        if let Some((value, encoded)) = begins.then(|| signature_value(query, at)).flatten() {
            clean.extend_from_slice(query.get(kept..value).unwrap_or_default());
            clean.extend_from_slice(REDACTED.as_bytes());
            at = value_end(query, value, encoded);
            kept = at;
            begins = false;
            continue;
        }
        begins = matches!(byte, b'&' | b';' | b'?');
        at += len;
    }
    clean.extend_from_slice(query.get(kept..at).unwrap_or_default());
    clean
}

/// Offset of the value if a signature parameter begins here, and whether its `=` was encoded.
fn signature_value(query: &[u8], from: usize) -> Option<(usize, bool)> {
    SIGNATURES.iter().find_map(|name| {
        let mut at = from;
        for expected in *name {
            let (byte, len) = decoded(query.get(at..)?)?;
            if byte != *expected {
                return None;
            }
            at += len;
        }
        match decoded(query.get(at..)?)? {
            (b'=', len) => Some((at + len, len == 3)),
            _ => None,
        }
    })
}

/// Where a value ends: at `&`, in the encoding of its `=`.
fn value_end(query: &[u8], from: usize, encoded: bool) -> usize {
    let mut at = from;
    while let Some((byte, len)) = query.get(at..).and_then(decoded) {
        if byte == b'&' && (len == 1 || encoded) {
            break;
        }
        at += len;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_target_splits_at_the_first_question_mark_and_loses_its_fragment() {
        for (target, expected) in [
            ("/a?b=c", ("/a", Some("b=c"))),
            ("/a", ("/a", None)),
            ("/a?", ("/a", Some(""))),
            ("/a?b?c", ("/a", Some("b?c"))),
            ("/a?b#access_token=x", ("/a", Some("b"))),
            ("/a#x?b", ("/a", None)),
            ("", ("", None)),
            ("?", ("", Some(""))),
        ] {
            let (path, query) = split(target.as_bytes());
            assert_eq!((shown(path).as_str(), query.map(shown).as_deref()), expected, "{target}");
        }
    }

    #[test]
    fn user_info_leaves_paths_in_every_encoding() {
        for (given, expected) in [
            ("/plain/path", "/plain/path"),
            ("/users/bob@example.com", "/users/bob@example.com"),
            ("/@scope/package", "/@scope/package"),
            ("http://bob:pw@host/x", "http://REDACTED:REDACTED@host/x"),
            ("//bob:pw@host/x", "//REDACTED:REDACTED@host/x"),
            ("/proxy/http://bob:pw@host:80/x@y", "/proxy/http://REDACTED:REDACTED@host:80/x@y"),
            ("/proxy/http://bob@host", "/proxy/http://REDACTED:REDACTED@host"),
            ("/proxy/http://bob:p@ss@host/", "/proxy/http://REDACTED:REDACTED@host/"),
            ("/proxy/http://bob:p%2Fw@host/", "/proxy/http://REDACTED:REDACTED@host/"),
            ("/proxy/http://host/bob@x", "/proxy/http://host/bob@x"),
            ("/http%3A%2F%2Fbob%3Apw%40host%2Fx%40y", "/http%3A%2F%2FREDACTED:REDACTED%40host%2Fx%40y"),
            ("/http%3a//bob%3apw%40host/x", "/http%3a//REDACTED:REDACTED%40host/x"),
            ("/http:%2f%2fbob:pw@host", "/http:%2f%2fREDACTED:REDACTED@host"),
            ("http://http://bob:pw@host/", "http://http://REDACTED:REDACTED@host/"),
            ("/a://b:c@d/e://f:g@h", "/a://REDACTED:REDACTED@d/e://REDACTED:REDACTED@h"),
            ("/x:/y@z", "/x:/y@z"),
            ("/x:///bob:pw@z", "/x://REDACTED:REDACTED@z"),
            ("/file:///home/bob@z", "/file:///home/bob@z"),
            ("/%4", "/%4"),
            ("/%zz@", "/%zz@"),
            ("http://bob:pw@", "http://REDACTED:REDACTED@"),
        ] {
            assert_eq!(shown(&path(given.as_bytes())), expected, "{given}");
        }
    }

    #[test]
    fn signatures_leave_queries_and_their_names_stay() {
        for (given, expected) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("sig=abc", "sig=REDACTED"),
            ("a=1&sig=abc&b=2", "a=1&sig=REDACTED&b=2"),
            ("Sig=abc&SIGNATURE=x&signature=y", "Sig=abc&SIGNATURE=x&signature=y"),
            ("design=abc&sigma=1", "design=abc&sigma=1"),
            ("sig", "sig"),
            ("sig=", "sig=REDACTED"),
            ("sig=a&sig=b", "sig=REDACTED&sig=REDACTED"),
            ("sig=a;b=c", "sig=REDACTED"),
            ("a=1;sig=abc;def&b=2", "a=1;sig=REDACTED&b=2"),
            ("X%2DAmz%2DSignature=abc", "X%2DAmz%2DSignature=REDACTED"),
            ("X-Amz-Signature%3Dabc", "X-Amz-Signature%3DREDACTED"),
            (
                "X-Amz-Algorithm=A&X-Amz-Credential=B%2FC&X-Amz-Security-Token=D&X-Amz-Signature=E",
                "X-Amz-Algorithm=A&X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Amz-Signature=REDACTED",
            ),
            (
                "AWSAccessKeyId=A&Signature=B&X-Goog-Signature=C",
                "AWSAccessKeyId=REDACTED&Signature=REDACTED&X-Goog-Signature=REDACTED",
            ),
            ("u=https://s3/x?sig=abc&b=2", "u=https://s3/x?sig=REDACTED&b=2"),
            ("u=https%3A%2F%2Fs3%2Fx%3Fsig%3Dabc%26c%3D1&b=2", "u=https%3A%2F%2Fs3%2Fx%3Fsig%3DREDACTED%26c%3D1&b=2"),
            ("u=http://bob:pw@h/&v=a@b", "u=http://REDACTED:REDACTED@h/&v=a@b"),
            ("u=//bob:pw@h/", "u=//REDACTED:REDACTED@h/"),
            ("u=http://h&v=a@b", "u=http://h&v=a@b"),
            ("u=http%3A%2F%2Fbob%3Apw%40h", "u=http%3A%2F%2FREDACTED:REDACTED%40h"),
            ("http://bob:pw@h", "http://REDACTED:REDACTED@h"),
            ("%", "%"),
            ("sig=%2", "sig=REDACTED"),
        ] {
            assert_eq!(shown(&query(given.as_bytes())), expected, "{given}");
        }
    }

    #[test]
    fn headers_that_hold_credentials_say_only_that_they_were_there() {
        for (name, given, expected) in [
            ("authorization", "Bearer abc", "REDACTED"),
            ("cookie", "session=abc", "REDACTED"),
            ("x-tenant", "gold", "gold"),
            ("x-tenant", "a?sig=b", "a?sig=b"),
            ("referer", "https://bob:pw@h/x?sig=a&b=c#d", "https://REDACTED:REDACTED@h/x?sig=REDACTED&b=c"),
            ("location", "/next", "/next"),
        ] {
            assert_eq!(shown(&header(name, given.as_bytes())), expected, "{name}: {given}");
        }
    }

    #[test]
    fn a_credential_at_the_bound_does_not_slip_through() {
        for before in bounds::URL - 30..bounds::URL + 5 {
            let start = "a".repeat(before);
            for secret in ["/http://bob:S3CRET@host/", "/http%3A%2F%2Fbob%3AS3CRET%40host/"] {
                assert!(!shown(&path(format!("{start}{secret}@").as_bytes())).contains("S3"));
            }
            assert!(!shown(&query(format!("{start}&sig=S3CRET&b=c").as_bytes())).contains("S3"));
        }
    }

    proptest! {
        #[test]
        fn a_secret_never_survives_whatever_surrounds_it(
            before in "[a-z/?&;=:@%#.0-9]{0,20}", after in "[a-z/?&;=:@%#.0-9]{0,20}", encoded: bool,
        ) {
            let (colon, slash, sign) = if encoded { ("%3A", "%2F", "%40") } else { (":", "/", "@") };
            let url = format!("{before}/x{colon}{slash}{slash}bob{colon}S3CRET{sign}host{after}");
            prop_assert!(!shown(&path(url.as_bytes())).contains("S3CRET"));
            let parameter = format!("{before}&sig=S3CRET&{after}");
            prop_assert!(!shown(&query(parameter.as_bytes())).contains("S3CRET"));
        }

        #[test]
        fn text_without_a_credential_stays_byte_for_byte(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let harmless: Vec<u8> = text.into_iter().filter(|byte| !b"@%=".contains(byte)).collect();
            prop_assert_eq!(&path(&harmless).into_owned(), &harmless);
            prop_assert_eq!(query(&harmless), harmless);
        }

        #[test]
        fn redacting_twice_changes_nothing_more(text in "[a-z/?&;=:@%0-9]{0,60}") {
            let once = path(text.as_bytes()).into_owned();
            prop_assert_eq!(path(&once).into_owned(), once);
        }
    }
}
