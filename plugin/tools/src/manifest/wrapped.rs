//! The matcher around a filter (`ExtensionWithMatcher`): whether it shows the filter what the filter's settings count on. It is not
//! compared with the shipped one but tried, on an answer for each condition, so that it may be written in another way.

use tracelift::border::{ASKED, Border, Condition, INLINE_REQUEST_HEADERS, NOTABLE, NOTABLE_AT_EDGE};
use tracelift::policy::Policy;
use tracelift::sampling::{Steps, StringMatcher};
use tracelift::span::KindSetting;

use super::find::{Found, Home};
use super::{Finding, Located};

/// The type of what wraps a filter.
pub const WRAPPER: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";

const HEADER: &str = "envoy.type.matcher.v3.HttpResponseHeaderMatchInput";
const FILTER_STATE: &str = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput";
const SKIP: &str = "envoy.extensions.filters.common.matcher.action.v3.SkipFilter";
const LOGGER: &str = "envoy.extensions.access_loggers.wasm.v3.WasmAccessLog";

/// An answer as a matcher sees it.
#[derive(Default)]
struct Answer {
    headers: Vec<(&'static str, String)>,
    /// Filter state.
    state: Vec<(String, String)>,
}

impl Answer {
    fn boring() -> Self {
        let headers = vec![(":status", "200".to_owned()), ("content-type", "text/html".to_owned())];
        Self { headers, ..Self::default() }
    }

    fn with(condition: &Condition) -> Self {
        let value = match condition {
            Condition { header: ":status", .. } => "503",
            Condition { prefix, .. } => prefix.unwrap_or("2"),
        };
        let mut answer = Self::boring();
        answer.headers.retain(|(name, _)| *name != condition.header);
        answer.headers.push((condition.header, value.to_owned()));
        answer
    }

    fn asked(prefix: &str) -> Self {
        Self { state: vec![([prefix, ASKED].concat(), "1".to_owned())], ..Self::boring() }
    }
}

/// A matcher and the filter's settings, together.
pub fn look(document: &Located, found: &Found<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    if found.home != Home::Envoy {
        return;
    }
    let place = found.configuration.unwrap_or(found.plugin).at;
    slots(document, found, policy, findings);
    let Some(wrapper) = found.around.wrapper else {
        if policy.border.skips && found.around.connection_manager.is_some() {
            let message = "\"notable\" without an `ExtensionWithMatcher` around the filter: every answer is seen, which is right and \
                           saves nothing. Copy it from envoy/wrapped.yaml, or set \"all\".";
            findings.push(Finding::warning(place, "envoy.answers", message));
        }
        return;
    };
    if !policy.border.skips {
        let message = "\"all\" (the default) with a matcher around the filter: each answer that it skips is read at its end, which \
                       costs more than it saves. Set \"notable\".";
        findings.push(Finding::warning(place, "envoy.answers", message));
    }
    let matcher = wrapper.proto("xds_matcher").or_else(|| wrapper.proto("matcher"));
    let Some(matcher) = matcher else { return };
    let prefix = if found.plugin.proto("vm_config").is_some() { "wasm." } else { "" };
    let mut tried: Vec<_> = NOTABLE.iter().map(|one| (words(one), Answer::with(one))).collect();
    if policy.edge {
        tried.extend(NOTABLE_AT_EDGE.iter().map(|one| (words(one), Answer::with(one))));
    }
    tried.push((format!("filter state `{prefix}{ASKED}`, by which the filter asks for it"), Answer::asked(prefix)));
    let skips = |answer: &Answer| skips(matcher, answer);
    for (words, _) in tried.iter().filter(|(_, answer)| skips(answer) != Some(false)) {
        let message = format!(
            "skips the filter, or may, for an answer with {words}: what it says of the trace would be lost, or judged too late to \
             signal its caller. Compare envoy/wrapped.yaml."
        );
        findings.push(Finding::error(matcher.at, "xds_matcher", message));
    }
    if skips(&Answer::boring()) == Some(false) {
        let message = "skips nothing: an ordinary answer reaches the filter, too. Compare envoy/wrapped.yaml.";
        findings.push(Finding::warning(matcher.at, "xds_matcher", message));
    }
    let has_manager = found.around.connection_manager.is_some();
    if has_manager && policy.border.skips && policy.upgrade.response_flags && !is_logged(found) {
        let message = "no access log shows the module how answers ended that it did not see: resets, and clients that left, would \
                       upgrade nothing. Copy `access_log` from envoy/wrapped.yaml, with the same `config` as the filter's.";
        findings.push(Finding::error(wrapper.at, "access_log", message));
    }
}

fn words(condition: &Condition) -> String {
    match condition {
        Condition { header, prefix: None } => format!("`{header}`"),
        Condition { header, prefix: Some(prefix) } => format!("`{header}` that begins with \"{prefix}\""),
    }
}

/// Slots of the bootstrap, where it is here.
fn slots(document: &Located, found: &Found<'_>, policy: &Policy, findings: &mut Vec<Finding>) {
    if document.proto("static_resources").is_none() || found.plugin.proto("vm_config").is_none() {
        return;
    }
    let place = found.configuration.unwrap_or(found.plugin).at;
    let slots = document.proto("inline_headers").map(Located::elements).unwrap_or_default();
    let has =
        |name: &&str| slots.iter().any(|slot| slot.proto("inline_header_name").and_then(Located::text) == Some(*name));
    let all = INLINE_REQUEST_HEADERS.iter().all(has);
    if policy.border.one_header && !all {
        let message = "true, and the bootstrap has no `inline_headers` for `traceparent` and `tracestate`: to read one header alone is \
                       dearer than all of them then. Copy them from envoy/wrapped.yaml.";
        findings.push(Finding::warning(place, "envoy.inline_headers", message));
    }
}

/// What could make this filter cheaper, for a person to read; nothing is wrong without it.
pub fn gain(document: &Located, found: &Found<'_>, policy: &Policy) -> Option<&'static str> {
    let is_wasm = found.home == Home::Envoy && found.plugin.proto("vm_config").is_some();
    if !is_wasm || found.around.connection_manager.is_none() {
        return None;
    }
    let has_slots = document.proto("inline_headers").is_some_and(|slots| slots.to_json().contains("traceparent"));
    let Border { one_header, could_skip, could_read_one, .. } = policy.border;
    let could_skip = could_skip && matches!(policy.span_kind, KindSetting::Client | KindSetting::Both);
    match (found.around.wrapper.is_none() && could_skip, !one_header && could_read_one) {
        (true, true) => Some("wrapped in a matcher, and with slots for two headers"),
        (true, false) => Some("wrapped in a matcher"),
        (false, true) if has_slots => Some("with `envoy.inline_headers`: the bootstrap has the slots"),
        (false, true) => Some("with slots for two headers"),
        (false, false) => None,
    }
}

/// A logger with the filter's own configuration, for what has a flag.
fn is_logged(found: &Found<'_>) -> bool {
    let logs = found.around.connection_manager.and_then(|manager| manager.proto("access_log"));
    let own = found.plugin.to_json();
    logs.map(Located::elements).unwrap_or_default().iter().any(|log| {
        let typed = log.proto("typed_config");
        let is_ours = typed.and_then(|typed| typed.text_at(&["@type"])).is_some_and(|name| name.ends_with(LOGGER));
        let filter = log.proto("filter").map(Located::to_json);
        is_ours
            && typed.and_then(|typed| typed.proto("config")).is_some_and(|config| config.to_json() == own)
            && filter
                .is_none_or(|filter| filter.contains("response_flag_filter") || filter.contains("responseFlagFilter"))
    })
}

/// Whether a matcher skips this answer; `None`: it asks for something that is not known here.
fn skips(matcher: &Located, answer: &Answer) -> Option<bool> {
    let list = matcher.proto("matcher_list")?.proto("matchers")?;
    for one in list.elements() {
        if matches(one.proto("predicate")?, answer)? {
            return on_match(one.proto("on_match")?, answer);
        }
    }
    match matcher.proto("on_no_match") {
        Some(outcome) => on_match(outcome, answer),
        None => Some(false),
    }
}

fn on_match(outcome: &Located, answer: &Answer) -> Option<bool> {
    if let Some(matcher) = outcome.proto("matcher") {
        return skips(matcher, answer);
    }
    Some(outcome.path(&["action"])?.proto("typed_config")?.text_at(&["@type"])?.ends_with(SKIP))
}

fn matches(predicate: &Located, answer: &Answer) -> Option<bool> {
    let each = |list: &Located| -> Vec<Option<bool>> {
        let list = list.proto("predicate").map(Located::elements).unwrap_or_default();
        list.iter().map(|one| matches(one, answer)).collect()
    };
    if let Some(inner) = predicate.proto("not_matcher") {
        return matches(inner, answer).map(|is| !is);
    }
    if let Some(list) = predicate.proto("or_matcher") {
        let all = each(list);
        return if all.contains(&Some(true)) {
            Some(true)
        } else {
            all.into_iter().try_fold(false, |any, one| Some(any | one?))
        };
    }
    if let Some(list) = predicate.proto("and_matcher") {
        let all = each(list);
        return if all.contains(&Some(false)) {
            Some(false)
        } else {
            all.into_iter().try_fold(true, |all, one| Some(all & one?))
        };
    }
    let single = predicate.proto("single_predicate")?;
    let input = single.proto("input")?.proto("typed_config")?;
    let kind = input.text_at(&["@type"])?;
    let value = if kind.ends_with(HEADER) {
        let name = input.proto("header_name").and_then(Located::text)?;
        answer.headers.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, value)| value)
    } else if kind.ends_with(FILTER_STATE) {
        let key = input.proto("key").and_then(Located::text)?;
        answer.state.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    } else {
        return None;
    };
    let Some(value) = value else { return Some(false) };
    text_matches(single.proto("value_match")?, value)
}

fn text_matches(matcher: &Located, value: &str) -> Option<bool> {
    let ignores = matcher.proto("ignore_case").is_some_and(|ignores| ignores.to_json() == "true");
    let fold = |text: &str| if ignores { text.to_ascii_lowercase() } else { text.to_owned() };
    let (value, of) = (fold(value), |key: &str| matcher.proto(key).and_then(Located::text).map(fold));
    let by = if let Some(text) = of("exact") {
        StringMatcher::Exact(text)
    } else if let Some(text) = of("prefix") {
        StringMatcher::Prefix(text)
    } else if let Some(text) = of("suffix") {
        StringMatcher::Suffix(text)
    } else if let Some(text) = of("contains") {
        StringMatcher::Contains(text)
    } else {
        StringMatcher::regex(matcher.proto("safe_regex")?.proto("regex")?.text()?).ok()?
    };
    Some(by.matches_lines([value.as_bytes()].into_iter(), &mut Steps::default()))
}

#[cfg(test)]
mod tests {
    use crate::manifest::check;

    const SHIPPED: &str = include_str!("../../../../envoy/wrapped.yaml");

    fn said_of_the_matcher(text: &str) -> Vec<String> {
        let findings = check(text).findings.into_iter();
        findings.filter(|finding| finding.path == "xds_matcher").map(|finding| finding.message).collect()
    }

    #[test]
    fn the_shipped_matcher_shows_what_it_must_and_one_that_skips_it_is_found_out() {
        assert_eq!(said_of_the_matcher(SHIPPED), Vec::<String>::new());
        for (right, wrong, part) in [
            ("prefix: \"5\"", "prefix: \"9\"", "`:status` that begins with \"5\""),
            ("application/grpc,", "application/other,", "`content-type` that begins with"),
            ("header_name: grpc-status", "header_name: x-other", "`grpc-status`"),
            ("header_name: x-tracelift-signal", "header_name: x-other", "`x-tracelift-signal`"),
            ("key: wasm.tracelift.answer", "key: wasm.other", "filter state `wasm.tracelift.answer`"),
        ] {
            let said = said_of_the_matcher(&SHIPPED.replace(right, wrong));
            assert!(said.len() == 1 && said[0].contains(part), "{wrong}: {said:?}");
        }
    }

    #[test]
    fn a_matcher_that_skips_nothing_and_an_edge_without_its_conditions_are_found_out() {
        let said = said_of_the_matcher(&SHIPPED.replace("prefix: \"5\"", "prefix: \"2\""));
        assert!(said.iter().any(|message| message.contains("skips nothing")), "{said:?}");
        let said = said_of_the_matcher(&SHIPPED.replace("\"span_kind\"", "\"edge\": true, \"span_kind\""));
        assert_eq!(said.len(), 2, "{said:?}");
    }
}
