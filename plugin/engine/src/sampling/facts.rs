//! What rules look at of a request.

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

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|&byte| byte == b'?').next().unwrap_or(path)
}

/// An authority without its port: `shop.example:8080` and `[::1]:8080` without the last colon and what follows.
pub fn without_port(authority: &[u8]) -> &[u8] {
    let end = if authority.starts_with(b"[") {
        authority.iter().position(|&byte| byte == b']').map(|bracket| bracket.saturating_add(1))
    } else {
        authority.iter().position(|&byte| byte == b':')
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}
