//! The shadow policy: it counts what it would do, and does nothing.

use crate::kit::process::{Process, get, status};

const DROPPED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

const COUNTS: [&str; 6] = [
    "shadow.decisions.sampled",
    "shadow.decisions.dropped",
    "shadow.upgrades",
    "shadow.upgrades_shed",
    "shadow.disagreements.kept",
    "shadow.disagreements.dropped",
];

/// What, live and shadow, the caller, the answer, what the request is kept for, and the counts above.
type Row = (&'static str, &'static str, &'static str, u16, Option<&'static str>, [i64; 6]);

const ROWS: [Row; 8] = [
    ("alike and fine", r#"{"shadow": {"sampling": {"ratio": 0.5}}}"#, DROPPED, 200, None, [0, 1, 0, 0, 0, 0]),
    (
        "alike and failed",
        r#"{"shadow": {"sampling": {"ratio": 0.5}}}"#,
        DROPPED,
        500,
        Some("upgraded.http_status"),
        [0, 1, 1, 0, 0, 0],
    ),
    (
        "the shadow samples all",
        r#"{"shadow": {"sampling": {"mode": "independent", "ratio": 1}}}"#,
        DROPPED,
        200,
        None,
        [1, 0, 0, 0, 1, 0],
    ),
    (
        "the shadow samples nothing",
        r#"{"shadow": {"sampling": {"mode": "independent", "ratio": 0}}}"#,
        SAMPLED,
        200,
        Some("sampled"),
        [0, 1, 0, 0, 0, 1],
    ),
    (
        "a trigger of the shadow's",
        r#"{"shadow": {"upgrade": {"http_status": ["4xx"]}}}"#,
        DROPPED,
        404,
        None,
        [0, 1, 1, 0, 1, 0],
    ),
    (
        "no trigger of the shadow's",
        r#"{"shadow": {"upgrade": {"http_status": ["4xx"]}}}"#,
        DROPPED,
        500,
        Some("upgraded.http_status"),
        [0, 1, 0, 0, 0, 1],
    ),
    (
        "no budget of the shadow's",
        r#"{"shadow": {"upgrade": {"traces_per_second": 0}}}"#,
        DROPPED,
        500,
        Some("upgraded.http_status"),
        [0, 1, 0, 1, 0, 1],
    ),
    (
        "no live budget",
        r#"{"upgrade": {"traces_per_second": 0}, "shadow": {"upgrade": {"traces_per_second": 5}}}"#,
        DROPPED,
        500,
        None,
        [0, 1, 1, 0, 1, 0],
    ),
];

#[test]
fn a_request_is_counted_under_both_and_kept_under_one() {
    for (what, configuration, caller, code, kept, counts) in ROWS {
        let (mut process, root) = Process::with(configuration);
        let stream = process.stream(0, root);
        process.head(&stream, get(&[("traceparent", caller)]));
        process.answer(&stream, status(code, &[]), true);
        process.log(&stream);
        assert_eq!(stream.exchange.decision().as_deref(), kept, "{what}");
        assert_eq!(process.export().len(), usize::from(kept.is_some()), "{what}");
        assert_eq!(COUNTS.map(|name| process.metric(name)), counts, "{what}");
    }
}
