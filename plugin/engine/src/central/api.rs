//! The two calls of X-Ray's API, as JSON over HTTP. AWS X-Ray API, `GetSamplingRules` and `GetSamplingTargets`.

use super::{Counts, Rule};
use crate::json;
use crate::json::Tree;

/// Path of `GetSamplingRules`.
pub const RULES_PATH: &str = "/GetSamplingRules";
/// Path of `GetSamplingTargets`.
pub const TARGETS_PATH: &str = "/SamplingTargets";
/// Documents of one kind in one call.
pub const MAX_DOCUMENTS: usize = 25;

/// The body that asks for a page of rules.
pub fn ask_rules(next_token: Option<&str>) -> String {
    let mut body = String::from("{");
    if let Some(token) = next_token {
        write_field(&mut body, "NextToken", Field::Text(token));
    }
    body.push('}');
    body
}

/// The body that reports these rules and asks for their targets. `seconds` is the service's time.
pub fn report(rules: &[(&Rule, Counts)], service: &str, client: &str, seconds: u64) -> String {
    let mut statistics = String::new();
    let mut boosts = String::new();
    for (rule, counts) in rules {
        let common = [("RuleName", Field::Text(&rule.name)), ("Timestamp", Field::Number(seconds))];
        let of_rule = [
            ("ClientID", Field::Text(client)),
            ("RequestCount", Field::Number(counts.requests.into())),
            ("SampledCount", Field::Number(counts.sampled.into())),
            ("BorrowCount", Field::Number(counts.borrowed.into())),
        ];
        write_document(&mut statistics, &common, &of_rule);
        if rule.boosts && 0 < counts.total {
            let of_boost = [
                ("ServiceName", Field::Text(service)),
                ("AnomalyCount", Field::Number(counts.anomalies.into())),
                ("TotalCount", Field::Number(counts.total.into())),
                ("SampledAnomalyCount", Field::Number(counts.sampled_anomalies.into())),
            ];
            write_document(&mut boosts, &common, &of_boost);
        }
    }
    let boosts_key = if boosts.is_empty() { "" } else { "],\"SamplingBoostStatisticsDocuments\":[" };
    ["{\"SamplingStatisticsDocuments\":[", &statistics, boosts_key, &boosts, "]}"].concat()
}

/// The value of a field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number.
    Number(u64),
    /// As it was read.
    Tree(&'a Tree),
}

/// Appends an object to a list.
pub fn write_document(list: &mut String, fields: &[(&str, Field<'_>)], more: &[(&str, Field<'_>)]) {
    list.push_str(if list.is_empty() { "{" } else { ",{" });
    for (key, value) in fields.iter().chain(more) {
        write_field(list, key, *value);
    }
    list.push('}');
}

fn write_field(object: &mut String, key: &str, value: Field<'_>) {
    if !object.ends_with('{') {
        object.push(',');
    }
    json::write_text(key, object);
    object.push(':');
    match value {
        Field::Text(text) => json::write_text(text, object),
        Field::Number(number) => object.push_str(&number.to_string()),
        Field::Tree(tree) => json::write(tree, object),
    }
}

/// Whether the service failed, or was asked too often, and so has left statistics unprocessed that were fine.
pub fn may_be_sent_again(unprocessed: &Tree) -> bool {
    let code = unprocessed.get(&["ErrorCode"]).and_then(Tree::text).unwrap_or_default();
    code.starts_with('5') || code.starts_with("Throttl") || code.starts_with("Internal")
}
