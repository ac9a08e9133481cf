//! The checked `sampling.xray` part of the configuration.

/// Where and how often AWS X-Ray is asked for the sampling rules of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XRaySettings {
    /// Envoy cluster of an unsigned local proxy to the X-Ray API.
    pub cluster: String,
    /// `:authority` of the calls.
    pub authority: String,
    /// Milliseconds between two fetches of the rules.
    pub rules_interval_ms: u64,
    /// Milliseconds between two reports, where X-Ray names no other time.
    pub targets_interval_ms: u64,
    /// By how many percent of itself a wait may be longer.
    pub jitter_percent: u64,
    /// Milliseconds for one call.
    pub timeout_ms: u32,
}
