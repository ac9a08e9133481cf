//! Envoy's response flags: why the proxy itself gave up on a request.

/// Response flags as the attribute `response.flags` hands them over: one bit a flag, in the order of Envoy's
/// `CoreResponseFlag` (`envoy/stream_info/stream_info.h`). Bits above the known ones are kept and count as failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u64);

/// Short names as access logs print them, by bit.
const NAMES: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

/// Flags that do not say that a request failed in the mesh: an answer from cache (RFCF), and what a policy did on
/// purpose: faults injected (DI, FI), rate limits (RL), a refusal by external authorisation (UAEX).
const NO_FAILURE: u64 = 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 20;

impl ResponseFlags {
    /// DC, the downstream connection's end.
    pub const DOWNSTREAM_DISCONNECT: Self = Self(1 << 14);

    /// UF, no connection to the upstream.
    pub const CONNECTION_FAILURE: Self = Self(1 << 5);

    /// The bits of `response.flags`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of `response.flags`.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// No flag at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of the other's flags are set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Some flag says that Envoy, an upstream or the client ended the request before its answer was whole.
    pub const fn failed(self) -> bool {
        self.0 & !NO_FAILURE != 0
    }

    /// The short names in the order of the bits; a bit without a name is left out.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_measured_in_envoy_have_the_names_of_its_access_log() {
        for (bits, names) in [
            (0x2, "UH"),
            (0x4, "UT"),
            (0x20, "UF"),
            (0x40, "UC"),
            (0x100, "NR"),
            (0x4000, "DC"),
            (0x8020, "UF,URX"),
            (0x4_0000, "DPE"),
            (0x80_0000, "UPE"),
            (0x100_0000, "NC"),
        ] {
            let flags = ResponseFlags::from_bits(bits);
            assert_eq!(flags.names().collect::<Vec<_>>().join(","), names);
            assert!(flags.failed(), "{names}");
        }
    }

    #[test]
    fn what_a_policy_did_on_purpose_is_no_failure() {
        for (bits, name) in [(0x200, "DI"), (0x400, "FI"), (0x800, "RL"), (0x1000, "UAEX"), (0x10_0000, "RFCF")] {
            let flags = ResponseFlags::from_bits(bits);
            assert_eq!(flags.names().collect::<Vec<_>>(), [name]);
            assert!(!flags.failed(), "{name}");
        }
        assert!(!ResponseFlags::default().failed());
    }

    #[test]
    fn a_flag_of_a_later_envoy_counts_as_a_failure_without_a_name() {
        let flags = ResponseFlags::from_bits(1 << 40);
        assert!(flags.failed());
        assert_eq!(flags.names().count(), 0);
    }
}
