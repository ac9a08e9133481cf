//! gRPC status codes: the seventeen that gRPC defines.

/// A gRPC status code, 0 to 16. grpc/grpc, "Status codes and their use in gRPC".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrpcStatus(u8);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl GrpcStatus {
    /// Success.
    pub const OK: Self = Self(0);
    /// What a receiver makes of a status that it does not know.
    pub const UNKNOWN: Self = Self(2);
    /// There is no such method.
    pub const UNIMPLEMENTED: Self = Self(12);

    /// `None` above 16.
    pub const fn from_code(code: u8) -> Option<Self> {
        if code < NAMES.len() as u8 { Some(Self(code)) } else { None }
    }

    /// Reads the value of `grpc-status`. As the gRPC libraries do, whatever is no code from 0 to 16 is `UNKNOWN`.
    pub fn from_header(value: &[u8]) -> Self {
        let code = match value {
            [one @ b'0'..=b'9'] => one - b'0',
            [b'1', one @ b'0'..=b'9'] => 10 + (one - b'0'),
            _ => return Self::UNKNOWN,
        };
        Self::from_code(code).unwrap_or(Self::UNKNOWN)
    }

    /// Reads every line of `grpc-status`, of which there should be one. Lines that disagree are no status that anyone sent:
    /// `UNKNOWN`. `None` where there is no line.
    pub fn from_headers<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut statuses = lines.into_iter().map(Self::from_header);
        let first = statuses.next()?;
        Some(if statuses.all(|other| other == first) { first } else { Self::UNKNOWN })
    }

    /// The status of that name, in capitals with underscores.
    pub fn from_name(name: &str) -> Option<Self> {
        let code = NAMES.iter().position(|&known| known == name)?;
        Self::from_code(u8::try_from(code).ok()?)
    }

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The name, in capitals with underscores.
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// Every name, in the order of the codes.
    pub const fn names() -> &'static [&'static str] {
        &NAMES
    }
}

/// A set of gRPC status codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcStatusSet(u32);

impl GrpcStatusSet {
    /// Adds the code.
    pub fn insert(&mut self, status: GrpcStatus) {
        self.0 |= 1 << status.code();
    }

    /// Whether the code is in the set.
    pub const fn contains(self, status: GrpcStatus) -> bool {
        self.0 & (1 << status.code()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_and_comes_back_from_both() {
        for code in 0..=16 {
            let status = GrpcStatus::from_code(code).expect("a code that gRPC defines");
            assert_eq!(GrpcStatus::from_name(status.name()), Some(status));
            assert_eq!(GrpcStatus::from_header(code.to_string().as_bytes()), status);
        }
        assert_eq!(GrpcStatus::from_code(17), None);
    }

    #[test]
    fn a_header_that_is_no_code_is_unknown() {
        for value in ["", "17", "99", "-1", "+1", "01", "1 ", "ok", "\u{ff}", "100000000000000000000"] {
            assert_eq!(GrpcStatus::from_header(value.as_bytes()), GrpcStatus::UNKNOWN, "{value:?}");
        }
    }

    #[test]
    fn lines_that_disagree_are_unknown() {
        for (lines, expected) in [
            (&[][..], None),
            (&["0"], GrpcStatus::from_code(0)),
            (&["14", "14"], GrpcStatus::from_code(14)),
            (&["0", "14"], Some(GrpcStatus::UNKNOWN)),
            (&["14", "0", "14"], Some(GrpcStatus::UNKNOWN)),
            (&["0", ""], Some(GrpcStatus::UNKNOWN)),
        ] {
            assert_eq!(GrpcStatus::from_headers(lines.iter().map(|line| line.as_bytes())), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = GrpcStatusSet::default();
        set.insert(GrpcStatus::UNKNOWN);
        assert!(set.contains(GrpcStatus::UNKNOWN));
        assert!(!set.contains(GrpcStatus::OK));
    }
}
