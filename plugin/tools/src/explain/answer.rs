//! The answer to the request.

use tracelift::http::{GrpcStatus, ResponseFlags};
use tracelift::upgrade::Verdict;

/// How a request ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `:status`; `None` when there was no answer.
    pub status: Option<u16>,
    /// `grpc-status`.
    pub grpc_status: Option<GrpcStatus>,
    /// Envoy's response flags.
    pub flags: ResponseFlags,
    /// The answer passed whole.
    pub complete: bool,
    /// From the request's headers to the end, in milliseconds.
    pub duration_ms: u64,
    /// What the upstream's `x-tracelift-signal` says of the trace.
    pub told: Option<Verdict>,
    /// Further headers of the answer. Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The budget of this hop is as it is at first; otherwise it is spent.
    pub admit: bool,
}

impl Default for Answer {
    /// A good one: 200, whole, at once, with nothing charged to the budget yet.
    fn default() -> Self {
        Self {
            status: Some(200),
            grpc_status: None,
            flags: ResponseFlags::default(),
            complete: true,
            duration_ms: 0,
            told: None,
            headers: Vec::new(),
            admit: true,
        }
    }
}

/// The flags of these short names (`UF,URX`, as access logs print them); `Err` is a name that no flag has.
pub fn flags(names: &str) -> Result<ResponseFlags, String> {
    let mut bits = 0;
    for name in names.split(',').map(str::trim).filter(|name| !["", "-"].contains(name)) {
        let bit =
            (0..64).map(|bit| 1 << bit).find(|bit| ResponseFlags::from_bits(*bit).names().any(|known| known == name));
        bits |= bit.ok_or_else(|| name.to_owned())?;
    }
    Ok(ResponseFlags::from_bits(bits))
}

impl Answer {
    /// With the flags of these short names; `Err` is a name that no flag has.
    pub fn with_flags(self, names: &str) -> Result<Self, String> {
        Ok(Self { flags: flags(names)?, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_access_logs_print_them() {
        assert_eq!(flags("UF,URX").unwrap().bits(), 0x8020);
        assert_eq!(flags("-").unwrap().bits(), 0);
        assert_eq!(flags("UF,XX"), Err("XX".to_owned()));
    }
}
