//! AWS X-Ray's central sampling: the rules of an account, honoured at the proxy. Pure: time is in Unix milliseconds and an
//! argument, as are randomness, requests and answers; [`Central`] alone works over the door.
//!
//! One VM of the process leads ([`Lead`]): its [`Poller`] asks X-Ray for rules and targets and publishes them. Every VM
//! reads them into a [`RuleSet`], which decides root requests, takes from [`reservoirs`] that all VMs share, and keeps a
//! [`Tally`], which all VMs add up for the leader's reports.

mod api;
mod drive;
mod glob;
mod intake;
mod lead;
mod poller;
pub mod reservoirs;
mod rule;
mod rule_set;
mod schedule;
mod service;
mod tally;
mod target;

pub use drive::{ANSWER_BYTES, Central};
pub use glob::Glob;
pub use lead::{Lead, Standing};
pub use poller::{Answer, News, Poller, Progress, Request};
pub use rule::Rule;
pub use rule_set::{Choice, How, RuleSet};
pub use schedule::Schedule;
pub use service::Service;
pub use tally::{Counts, Tally};

use sha2::{Digest, Sha256};

use crate::json::{self, Tree};
use crate::trace_context::hex;

/// Rules that are looked at, the first by priority. An account has 25 of its own and the default one unless AWS allows more.
pub const MAX_RULES: usize = 64;
/// How long fetched rules are believed, milliseconds; then the configuration's own ratio and rules decide.
pub const RULES_LIVE_MS: u64 = 60 * 60 * 1000;

/// The tree as JSON, if that is short enough, in bytes, and reads back: a number is text in a tree, and JSON is strict.
fn written(tree: &Tree, max_bytes: usize) -> Option<String> {
    let mut text = String::new();
    json::write(tree, &mut text);
    (text.len() <= max_bytes && json::read(text.as_bytes()).is_ok()).then_some(text)
}

/// Names a rule in a few bytes: the first eight of the SHA-256 of its name. As 16 hex digits it is the value of the
/// `tracestate` list-member [`MEMBER`], by which X-Ray's SDKs tell services below which rule a trace was sampled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// The key of the `tracestate` list-member that carries a [`RuleId`].
pub const MEMBER: &[u8] = b"xrsr";

impl RuleId {
    /// The id of the rule with this name.
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        Self(digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// Reads the value of the list-member: 16 lower-case hex digits.
    pub fn parse(member: &[u8]) -> Option<Self> {
        hex::lower16(member.try_into().ok()?).ok().map(Self)
    }

    /// The value of the list-member.
    pub fn to_member(self) -> [u8; 16] {
        hex::write16(self.0)
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The id of this number.
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_name_becomes_the_value_that_x_rays_sdks_write() {
        // `printf Default | sha256sum`, the first 16 digits.
        assert_eq!(&RuleId::of("Default").to_member(), b"21b111cbfe6e8fca");
        assert_eq!(RuleId::parse(&RuleId::of("checkout").to_member()), Some(RuleId::of("checkout")));
        for bad in ["", "0123", "0123456789ABCDEF", "0123456789abcdef0", "0123456789abcdeg"] {
            assert_eq!(RuleId::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
