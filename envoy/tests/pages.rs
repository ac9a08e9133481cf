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
