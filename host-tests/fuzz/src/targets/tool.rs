//! What the command-line tool is given: manifests of any kind, logs of any kind. Both come from people and clusters, and a CI
//! job must not hang or die of one.

use tracelift::config::{self, Environment};
use tracelift_tools::forecast::{Lines, PriceTable, Replay};
use tracelift_tools::manifest::{Dialect, Report, Syntax, check_file, read_yaml};

/// A manifest: any text is checked, each finding one line at a place of the text.
pub(super) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for syntax in [Syntax::Json, Syntax::Yaml, Syntax::ByContent] {
        let Report { findings, configurations, has_nothing } = check_file(&text, syntax, &[]);
        assert!(!findings.is_empty() || !configurations.is_empty(), "nothing is said of it");
        assert!(!has_nothing || configurations.is_empty());
        let lines = text.split('\n').count();
        for finding in &findings {
            assert!((1..=lines + 1).contains(&finding.at.line) && 1 <= finding.at.column, "{finding}");
            assert!(!finding.to_string().chars().any(char::is_control), "{finding:?}");
        }
        for checked in &configurations {
            assert_eq!(checked.accepted, checked.policy.is_some());
        }
    }
    for dialect in [Dialect::Envoy, Dialect::Kubernetes] {
        for document in read_yaml(&text, dialect).unwrap_or_default() {
            // Whatever is read can be written for the filter.
            let json = document.root.to_json();
            if let Err(error) = config::load(json.as_bytes(), &Environment::default()) {
                assert!(!error.problems()[0].found.starts_with("no valid JSON (expected"), "{json}: {error}");
            }
        }
    }
}

/// A log: every line is read or counted, and whatever was read has a forecast of finite numbers.
pub(super) fn forecast(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let policy = config::load(b"{}", &Environment::default()).expect("the defaults").policy;
    let (mut lines, mut replay) = (Lines::default(), Replay::new(&policy));
    let mut records = 0;
    for line in text.split('\n') {
        for record in lines.take(line) {
            records += 1;
            replay.take(&record);
        }
    }
    lines.finish();
    let skipped: u64 = lines.skipped().map(|skipped| skipped.lines).sum();
    assert!(lines.read + skipped <= text.split('\n').count() as u64 + 1, "a line counts once");
    assert!(lines.refused() <= skipped);
    if records == 0 {
        return;
    }
    let forecast = replay.forecast(Some(60.0), &PriceTable::xray()).expect("there are records");
    for row in &forecast.rows {
        for number in [row.spans_per_second, row.bytes_per_second, row.traces_per_second, row.dollars_per_month] {
            assert!(number.is_finite() && 0.0 <= number && !number.is_sign_negative(), "{row:?}");
        }
        for share in [row.chains_complete, row.failed_spans_kept].into_iter().flatten() {
            assert!((0.0..=1.0 + 1e-9).contains(&share), "{row:?}");
        }
    }
}
