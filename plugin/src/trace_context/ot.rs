//! OpenTelemetry's own list-member of `tracestate`: `ot=rv:…;th:…`. OTel "TraceState Handling" and "TraceState:
//! Probability Sampling".

/// The value of the `ot` list-member. `default()` is an absent one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtMember<'a> {
    /// Rejection threshold T: 0 to 2^56 - 1, left-aligned (`th:8` is 2^55).
    pub th: Option<u64>,
    /// Explicit randomness R: 0 to 2^56 - 1.
    pub rv: Option<u64>,
    /// The value as received; empty when the member is absent or breaks the grammar.
    pub(super) text: &'a [u8],
}
