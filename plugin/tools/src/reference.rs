//! The tables of the reference in `docs/`, made from the types and the metrics themselves.

use tracelift::config;
use tracelift::telemetry::{HELP, Kind, TABLE};

/// Every key of the configuration as a Markdown table. The six string matchers are told once, not at each place.
pub fn configuration() -> String {
    let mut table = String::from("| key | allowed | default | meaning |\n|---|---|---|---|\n");
    let keys = config::keys();
    for key in &keys {
        let parent = key.path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let is_matcher = parent.contains(".match.") || key.path.ends_with(".*");
        let is_told_by_its_keys = key.allowed == "object" && keys.iter().any(|other| is_inside(&other.path, &key.path));
        // A shadow has the keys of `sampling` and `upgrade`, which are told there.
        let is_told_above = key.path.starts_with("shadow.sampling.") || key.path.starts_with("shadow.upgrade.");
        if is_matcher || is_told_by_its_keys || is_told_above {
            continue;
        }
        let default = key.default.as_ref().map_or_else(String::new, |default| format!("`{default}`"));
        let allowed = key.allowed.replace('|', "\\|");
        let meaning = key.description.replace('|', "\\|");
        table.push_str(&format!("| `{}` | {allowed} | {default} | {meaning} |\n", key.path));
    }
    table
}

/// A key of that object with a name of ours, not one that the user chooses.
fn is_inside(key: &str, object: &str) -> bool {
    let rest = key.strip_prefix(object).and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| !rest.starts_with('*'))
}

/// Every metric as a Markdown table.
pub fn metrics() -> String {
    let mut table = String::from("| metric | kind | meaning |\n|---|---|---|\n");
    for (metric, help) in TABLE.iter().zip(HELP) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        table.push_str(&format!("| `{}` | {kind} | {} |\n", metric.name, help));
    }
    table
}

/// `document` with the text between the lines `<!-- name -->` and `<!-- /name -->` replaced; `None` when it has no such
/// pair of lines.
pub fn spliced(document: &str, name: &str, text: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let start = document.find(&open)?.checked_add(open.len())?;
    let end = document.get(start..)?.find(&close)?.checked_add(start)?;
    Some([document.get(..start)?, text, document.get(end..)?].concat())
}

/// A page with today's table, whichever it has the markers of; `None` when it has neither pair.
pub fn page(document: &str) -> Option<String> {
    spliced(document, "configuration", &configuration()).or_else(|| spliced(document, "metrics", &metrics()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_table_is_left_alone() {
        let document = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        assert_eq!(spliced(document, "t", "new\n").as_deref(), Some("a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"));
        assert_eq!(spliced(document, "u", "new\n"), None);
    }

    #[test]
    fn the_pages_of_this_tree_have_the_tables_of_today() {
        for (name, marker) in [("configuration.md", "<!-- configuration -->"), ("telemetry.md", "<!-- metrics -->")] {
            let path = [env!("CARGO_MANIFEST_DIR"), "/../../docs/", name].concat();
            let found = std::fs::read_to_string(path).expect("docs beside the plugin's folder");
            assert!(found.contains(marker), "{name} has lost its table");
            let wanted = page(&found).expect("a pair of markers");
            assert!(found == wanted, "the table of docs/{name} is out of date: run `cargo xtask schema`");
        }
    }
}
