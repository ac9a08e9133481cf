//! What X-Ray last said of a rule's quota and rate.

use super::api::{Field, write_document};
use crate::json;
use crate::json::Tree;
use crate::sampling::Threshold;

/// A share of traces; `None` keeps nothing.
pub type Rate = Option<Threshold>;

/// Reads a rate of 0 to 1; what no threshold can express keeps nothing.
pub fn rate(tree: Option<&Tree>) -> Option<Rate> {
    let number = tree?.number().filter(|number| (0.0..=1.0).contains(number))?;
    Some(Threshold::from_ratio(number).ok())
}

/// A whole number that may come with a fraction of zero; larger ones are the largest.
pub fn whole(tree: Option<&Tree>) -> Option<u32> {
    tree?.whole().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// A target in force.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target {
    /// In place of the rule's `FixedRate`.
    pub fixed_rate: Option<Rate>,
    /// Requests a second for this process, and until when (Unix milliseconds of our own clock).
    pub quota: Option<(u32, u64)>,
    /// The boosted rate, and until when.
    pub boost: Option<(Rate, u64)>,
}

/// Keys of a target as it is published to the VMs: times are ours, in milliseconds.
const QUOTA_UNTIL: &str = "QuotaUntil";
const BOOST_RATE: &str = "BoostRate";
const BOOST_UNTIL: &str = "BoostUntil";

/// Bytes of one target as it is published.
const MAX_BYTES: usize = 1024;
/// The longest time that a quota or a boost may hold, milliseconds: a bound for a service that errs.
const LONGEST_MS: u64 = 60 * 60 * 1000;

impl Target {
    /// Reads a published target.
    pub fn read(tree: &Tree) -> Self {
        let until = |key| tree.get(&[key]).and_then(Tree::whole);
        Self {
            fixed_rate: rate(tree.get(&["FixedRate"])),
            quota: whole(tree.get(&["ReservoirQuota"])).zip(until(QUOTA_UNTIL)),
            boost: rate(tree.get(&[BOOST_RATE])).zip(until(BOOST_UNTIL)),
        }
    }

    /// A `SamplingTargetDocument` for publication, as JSON, if it makes any. `ahead_ms` is how far the service's clock is
    /// ahead of ours.
    pub fn publish(document: &Tree, now: u64, ahead_ms: i64) -> Option<String> {
        let boost = document.get(&["SamplingBoost"]).unwrap_or(&Tree::Null);
        let ours = |seconds: Option<&Tree>| {
            // A conversion of floats stops at the ends of the integers.
            let until = (seconds?.number()? * 1000.0) as u64;
            Some(until.saturating_add_signed(ahead_ms.saturating_neg()).min(now.saturating_add(LONGEST_MS)))
        };
        let mut fields = Vec::with_capacity(6);
        for (key, value) in [
            ("RuleName", document.get(&["RuleName"])),
            ("FixedRate", document.get(&["FixedRate"])),
            ("ReservoirQuota", document.get(&["ReservoirQuota"])),
            (BOOST_RATE, boost.get(&["BoostRate"])),
        ] {
            fields.extend(value.map(|value| (key, Field::Tree(value))));
        }
        for (key, until) in
            [(QUOTA_UNTIL, document.get(&["ReservoirQuotaTTL"])), (BOOST_UNTIL, boost.get(&["BoostRateTTL"]))]
        {
            fields.extend(ours(until).map(|until| (key, Field::Number(until))));
        }
        let mut text = String::new();
        write_document(&mut text, &fields, &[]);
        // Read back, because a number is text in a tree, and JSON is strict.
        (text.len() <= MAX_BYTES && json::read(text.as_bytes()).is_ok()).then_some(text)
    }
}
