//! Envoy's response flags: why the proxy itself gave up on a request.

/// Response flags as the attribute `response.flags` hands them over: one bit a flag, in the order of Envoy's
/// `CoreResponseFlag` (`envoy/stream_info/stream_info.h`). Bits above the known ones are kept and count as failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u64);

/// Makes the flags, in the order of their bits: a constant and the short name that access logs print.
macro_rules! flags {
    ($($name:ident $short:literal $about:literal)*) => {
        /// Short names, by bit.
        const NAMES: [&str; [$($short),*].len()] = [$($short),*];

        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as access logs print them")]
        enum Bit { $($name,)* }

        impl ResponseFlags {
            $(
                #[doc = concat!($short, ": ", $about)]
                pub const $name: Self = Self(1 << Bit::$name as u64);
            )*
        }
    };
}

flags! {
    FAILED_LOCAL_HEALTH_CHECK "LH" "the local service failed its health check."
    NO_HEALTHY_UPSTREAM "UH" "no healthy host in the cluster."
    UPSTREAM_TIMEOUT "UT" "the upstream took too long."
    LOCAL_RESET "LR" "reset by this proxy."
    UPSTREAM_REMOTE_RESET "UR" "reset by the upstream."
    CONNECTION_FAILURE "UF" "no connection to the upstream."
    CONNECTION_TERMINATION "UC" "the upstream's connection ended."
    UPSTREAM_OVERFLOW "UO" "a circuit breaker was open."
    NO_ROUTE "NR" "no route, or no filter chain."
    DELAY_INJECTED "DI" "a delay was injected on purpose."
    FAULT_INJECTED "FI" "a fault was injected on purpose."
    RATE_LIMITED "RL" "a rate limit refused it."
    UNAUTHORIZED "UAEX" "external authorisation refused it."
    RATE_LIMIT_SERVICE_ERROR "RLSE" "the rate limit service failed."
    DOWNSTREAM_DISCONNECT "DC" "the downstream's connection ended."
    RETRIES_EXHAUSTED "URX" "no retry was left."
    STREAM_IDLE_TIMEOUT "SI" "nothing happened for too long."
    INVALID_HEADERS "IH" "a header that is checked was invalid."
    DOWNSTREAM_PROTOCOL_ERROR "DPE" "the downstream broke HTTP."
    MAX_STREAM_DURATION "UMSDR" "the upstream's stream lasted too long."
    FROM_CACHE "RFCF" "answered from a cache."
    NO_FILTER_CONFIG "NFCF" "a filter's configuration had not come."
    DURATION_TIMEOUT "DT" "the request lasted too long."
    UPSTREAM_PROTOCOL_ERROR "UPE" "the upstream broke HTTP."
    NO_CLUSTER "NC" "the cluster is unknown."
    OVERLOAD_MANAGER "OM" "the overload manager ended it."
    DNS_FAILURE "DF" "a name could not be resolved."
    DROP_OVERLOAD "DO" "dropped because the upstream is overloaded."
    DOWNSTREAM_REMOTE_RESET "DR" "reset by the downstream."
    UNCONDITIONAL_DROP_OVERLOAD "UDO" "as DO, for all traffic."
}

/// Flags that do not say that a request failed in the mesh: an answer from cache, and what a policy did on purpose: faults
/// injected, rate limits, a refusal by external authorisation.
const NO_FAILURE: ResponseFlags = ResponseFlags::DELAY_INJECTED
    .or(ResponseFlags::FAULT_INJECTED)
    .or(ResponseFlags::RATE_LIMITED)
    .or(ResponseFlags::UNAUTHORIZED)
    .or(ResponseFlags::FROM_CACHE);

impl ResponseFlags {
    /// One of the two sides closed its connection or its stream. RFC 6455, section 7.1.1, lets either end a WebSocket so, a tunnel
    /// has no other end, and a client of server-sent events takes any end for a reason to connect again. An HTTP/1.1 upstream that
    /// closes between two chunks of events broke the protocol in Envoy's eyes (UPE).
    pub const CLOSED: Self = Self::DOWNSTREAM_DISCONNECT
        .or(Self::DOWNSTREAM_REMOTE_RESET)
        .or(Self::UPSTREAM_REMOTE_RESET)
        .or(Self::CONNECTION_TERMINATION)
        .or(Self::UPSTREAM_PROTOCOL_ERROR);

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

    /// The flags of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags, but not the other's.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Some flag of the other's is set here.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Some flag says that Envoy, an upstream or the client ended the request before its answer was whole.
    pub const fn failed(self) -> bool {
        !self.without(NO_FAILURE).is_empty()
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
