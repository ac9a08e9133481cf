//! Whether a trace is recorded: thresholds, randomness, rules and the one function that decides. Knows trace context only.

mod audit;
mod compatible;
mod decide;
mod decider;
mod facts;
mod matcher;
pub mod pace;
mod pattern;
mod policy;
mod price;
mod rate;
mod sampler;
mod session;
mod steps;
mod threshold;
mod xray;

pub use audit::{Audit, Sums};
pub use decide::{Decision, ExportClass, Parent, Reason, decide, exported_th};
pub use decider::{Chosen, Decided, Decider};
pub use facts::{RequestFacts, without_port};
pub use matcher::{MAX_SEARCHED, RequestMatcher, StringMatcher, compared};
pub use pattern::{MAX_VALUE, Pattern, PatternError};
pub use policy::{Mode, Policy, Rule};
pub use rate::Rate;
pub use sampler::{Algorithm, Sampler, Verdict};
pub use session::{MAX_VALUE as MAX_SESSION, Session, Source};
pub use steps::Steps;
pub use threshold::{Randomness, RatioError, Threshold};
pub use xray::XRaySettings;
