//! What the pages of this folder promise to be shown by a test is shown by one.

use std::fs;
use std::path::Path;

/// Every ``[`name`](path)`` of the text.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("[`").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("`](")?;
        Some((name, rest.split_once(')')?.0))
    })
}

#[test]
fn every_claim_of_the_security_page_links_a_test_that_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(folder.join("security.md")).unwrap();
    let tests: Vec<_> = links(&text).filter(|(_, path)| path.ends_with(".rs")).collect();
    assert!(30 < tests.len(), "the page links {} tests", tests.len());
    for (name, path) in tests {
        let source = fs::read_to_string(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(source.contains(&format!("fn {name}(")), "there is no test {name} in {path}");
    }
    for row in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| it ") && !line.starts_with("| the mistake"))
    {
        assert!(row.contains("](") && row.contains(".rs)"), "a claim without a test: {row}");
    }
}

/// The pages for those who run it, by name.
fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![("README.md".to_owned(), fs::read_to_string(folder.join("README.md")).unwrap())];
    for part in ["docs", "ecds", "istio", "gateway-api", "../examples/dashboards", "../examples/playground"] {
        for entry in fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|extension| extension == "md") {
                let name = format!("{part}/{}", entry.file_name().unwrap().display());
                pages.push((name, fs::read_to_string(entry).unwrap()));
            }
        }
    }
    assert!(8 < pages.len());
    pages
}

#[test]
fn every_link_of_the_pages_leads_to_a_file_of_this_tree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for (name, text) in pages() {
        let place = folder.join(&name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !link.starts_with("http") {
                assert!(place.parent().unwrap().join(file).exists(), "{name}: {link} leads nowhere");
                checked += 1;
            }
        }
    }
    assert!(10 < checked, "{checked} links");
}

#[test]
fn every_metric_that_a_page_names_is_one_of_ours() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let known: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `tracelift.")?.split('`').next())
        .map(|name| format!("tracelift_{}", name.replace('.', "_")))
        .collect();
    for (page, text) in pages() {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("tracelift_")) {
            // Clusters of ours, and a family whose last part is its label.
            let is_cluster = ["tracelift_otel_collector", "tracelift_recall"].contains(&word);
            let is_known =
                known.iter().any(|name| name == word || name.starts_with(&format!("{}_", word.trim_end_matches('_'))));
            assert!(is_cluster || is_known, "{page}: there is no metric {word}");
        }
    }
}

#[test]
fn every_row_of_the_comparison_has_a_source_and_every_section_of_the_runbook_an_alert() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let comparison = fs::read_to_string(folder.join("docs/comparison.md")).unwrap();
    let sources = comparison.split("## Sources").nth(1).unwrap();
    let rows: Vec<_> = comparison.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    assert!(8 < rows.len());
    for (number, row) in (1..).zip(rows) {
        assert!(row.contains(&format!("[{number}]")), "{row}");
        let source = sources.lines().find(|line| line.starts_with(&format!("{number}. "))).unwrap_or_default();
        assert!(source.contains("](") || source.contains("J. Mace"), "source {number}: {source}");
    }
    let runbook = fs::read_to_string(folder.join("docs/runbook.md")).unwrap();
    let rules = fs::read_to_string(folder.join("../examples/dashboards/tracelift.rules.yaml")).unwrap();
    for alert in runbook.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "no alert {alert}");
    }
}
