//! Lists of pairs as environment variables write them: `key=value,key=value`, values percent-encoded (the form of W3C
//! Baggage without properties; OTel "Resource SDK", "Specifying resource information via an environment variable").

/// Reads the pairs in order; a key that comes again replaces its value. Empty places between commas are left out.
/// The error says what is wrong without showing a value, which may be a secret.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("a pair without `=`")?;
        let key = decode(key.trim())?;
        let value = decode(value.trim())?;
        if key.is_empty() {
            return Err("a pair without a key");
        }
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, earlier)) => *earlier = value,
            None => pairs.push((key, value)),
        }
    }
    Ok(pairs)
}

/// RFC 3986 section 2.1; `+` stays a plus.
fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            match (digit(), digit()) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                _ => return Err("a `%` without two hexadecimal digits"),
            }
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map_err(|_| "percent-encoded bytes that are no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_specification_has_them() {
        let read = |text| {
            pairs(text).map(|pairs| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>())
        };
        for (text, wanted) in [
            ("", Ok(vec![])),
            ("a=b", Ok(vec!["a=b"])),
            (" a = b ,, c=d , ", Ok(vec!["a=b", "c=d"])),
            ("a=b%2Cc%3Dd%20e", Ok(vec!["a=b,c=d e"])),
            ("a%20b=c", Ok(vec!["a b=c"])),
            ("a=b=c", Ok(vec!["a=b=c"])),
            ("a=Basic%20dXNlcg==", Ok(vec!["a=Basic dXNlcg=="])),
            ("a=1+1", Ok(vec!["a=1+1"])),
            ("a=%C3%A9", Ok(vec!["a=é"])),
            ("a=", Ok(vec!["a="])),
            ("a=b,a=c", Ok(vec!["a=c"])),
            ("a", Err("a pair without `=`")),
            ("=b", Err("a pair without a key")),
            ("a=%", Err("a `%` without two hexadecimal digits")),
            ("a=%2", Err("a `%` without two hexadecimal digits")),
            ("a=%+1", Err("a `%` without two hexadecimal digits")),
            ("a=%ff", Err("percent-encoded bytes that are no UTF-8")),
        ] {
            assert_eq!(read(text), wanted.map(|pairs| pairs.into_iter().map(String::from).collect()), "{text:?}");
        }
    }
}
