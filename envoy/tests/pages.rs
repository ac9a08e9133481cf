//! Pages hold together: links lead somewhere, metrics exist, and what is promised to be shown by a test is shown by one.

use std::fs;
use std::path::{Path, PathBuf};

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

/// The top of the tree.
fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page of the tree, by its path from the top.
fn pages() -> Vec<(PathBuf, String)> {
    let (mut pages, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(tree().join(&folder)).unwrap().map(|entry| entry.unwrap()) {
            let (path, name) = (folder.join(entry.file_name()), entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                // What is built, installed or kept by git is no page of ours.
                let is_ours = !name.starts_with('.') && !["target", "node_modules", "corpus"].contains(&name.as_str());
                folders.extend(is_ours.then_some(path));
            } else if name.ends_with(".md") {
                pages.push((path.clone(), fs::read_to_string(tree().join(&path)).unwrap()));
            }
        }
    }
    assert!(25 < pages.len(), "{} pages", pages.len());
    pages
}

/// What `](#…)` may name in a page: its headings as GitHub makes anchors of them.
fn anchors(text: &str) -> Vec<String> {
    let mut is_code = false;
    let headings = text.lines().filter_map(|line| {
        is_code ^= line.starts_with("```");
        let heading = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#') && !is_code)?;
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
    });
    headings.collect()
}

#[test]
fn a_heading_becomes_the_anchor_that_github_gives_it() {
    let text = "# What it costs\n## 4. The signal\n```sh\n# a comment\n```\n### `edge: true`, and more\n#no heading\n";
    assert_eq!(anchors(text), ["what-it-costs", "4-the-signal", "edge-true-and-more"]);
}

#[test]
fn every_link_of_the_pages_leads_to_a_file_and_a_heading_of_this_tree() {
    let mut checked = 0;
    for (name, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let place = tree().join(&name);
            let target = if file.is_empty() { place } else { place.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", name.display());
            if !anchor.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                let headings = anchors(&fs::read_to_string(&target).unwrap());
                assert!(headings.iter().any(|heading| heading == anchor), "{}: {link} is no heading", name.display());
            }
            checked += 1;
        }
    }
    assert!(200 < checked, "{checked} links");
}

#[test]
fn the_index_has_every_page_for_users() {
    let index = fs::read_to_string(tree().join("docs/README.md")).unwrap();
    for (page, _) in pages().into_iter().filter(|(page, _)| page.starts_with("docs") && !page.ends_with("README.md")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(index.contains(&format!("]({name})")), "docs/README.md does not list {name}");
    }
}

/// Names of ours that begin as metrics do on Prometheus's pages: clusters, and the Python package.
const NO_METRICS: [&str; 3] = ["tracelift_otel_collector", "tracelift_recall", "tracelift_otel"];

#[test]
fn every_metric_that_a_page_names_is_one_of_ours() {
    let reference = fs::read_to_string(tree().join("docs/telemetry.md")).unwrap();
    let known: Vec<String> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `tracelift.")?.split('`').next())
        .map(|name| format!("tracelift_{}", name.replace('.', "_")))
        .collect();
    for (page, text) in pages() {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("tracelift_") && !NO_METRICS.contains(word)) {
            // A family whose last part is its label.
            let is_known =
                known.iter().any(|name| name == word || name.starts_with(&format!("{}_", word.trim_end_matches('_'))));
            assert!(is_known, "{}: there is no metric {word}", page.display());
        }
    }
}

#[test]
fn every_row_of_the_comparison_has_a_source_and_every_section_of_the_runbook_an_alert() {
    let comparison = fs::read_to_string(tree().join("docs/comparison.md")).unwrap();
    let sources = comparison.split("## Sources").nth(1).unwrap();
    let rows: Vec<_> = comparison.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    assert!(8 < rows.len());
    for (number, row) in (1..).zip(rows) {
        assert!(row.contains(&format!("[{number}]")), "{row}");
        let source = sources.lines().find(|line| line.starts_with(&format!("{number}. "))).unwrap_or_default();
        assert!(source.contains("](") || source.contains("J. Mace"), "source {number}: {source}");
    }
    let runbook = fs::read_to_string(tree().join("docs/runbook.md")).unwrap();
    let rules = fs::read_to_string(tree().join("examples/dashboards/tracelift.rules.yaml")).unwrap();
    for alert in runbook.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "no alert {alert}");
    }
}
