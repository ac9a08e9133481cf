//! Whether a trace is recorded: thresholds, randomness, rules and the one function that decides. Knows trace context only.

mod compatible;
mod decide;
mod decider;
mod matcher;
mod policy;
mod sampler;
mod threshold;
mod xray;

pub use decide::{Decision, ExportClass, Parent, Reason, decide, exported_th};
pub use decider::{Chosen, Decided, Decider};
pub use matcher::{PatternError, RequestFacts, RequestMatcher, StringMatcher};
pub use policy::{Mode, Policy, Rule};
pub use sampler::{Algorithm, Sampler, Verdict};
pub use threshold::{Randomness, RatioError, Threshold};
pub use xray::XRaySettings;
