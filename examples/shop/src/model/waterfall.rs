//! Spans of one trace as rows: parents before their children, indented, with their place in time.

use super::why::why;
use crate::span::{Kind, Span};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// One bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// 0 for a root.
    pub depth: usize,
    /// Who.
    pub service: String,
    /// Made by the service's own SDK; else by its proxy.
    pub application: bool,
    /// `SERVER` or `CLIENT`; of an application also `INTERNAL`.
    pub kind: &'static str,
    /// The span's name.
    pub name: String,
    /// Whom a CLIENT called.
    pub peer: Option<String>,
    /// Since the trace's first span began, in milliseconds.
    pub offset_ms: f64,
    /// In milliseconds.
    pub duration_ms: f64,
    /// HTTP status, if there was one.
    pub status: Option<i64>,
    /// Envoy's response flags.
    pub flags: Option<String>,
    /// The span's status is ERROR.
    pub error: bool,
    /// What upgraded it.
    pub trigger: Option<String>,
    /// Its parent is not here, or not yet.
    pub parent_dropped: bool,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// Why it was kept, in words.
    pub why: String,
    /// Its attributes by their keys, as text; none once they are forgotten.
    pub attributes: Vec<(String, String)>,
}

/// Rows of all spans, whatever order they came in. A parent that is missing, or a circle, makes a root.
pub fn rows(spans: &[Span], client_span: Option<u64>, head_sampled: bool) -> Vec<Row> {
    let ids: BTreeSet<u64> = spans.iter().map(|span| span.span_id).collect();
    let known = |span: &Span| span.parent_id.filter(|parent| ids.contains(parent));
    let first = spans.iter().map(|span| span.start).min().unwrap_or(0);

    let mut in_order: Vec<&Span> = spans.iter().collect();
    // Two ends of a hop may begin in the same nanosecond; then the caller comes first.
    in_order.sort_by_key(|span| (span.start, u64::MAX - span.end, span.span_id));
    let mut children: HashMap<u64, Vec<&Span>> = HashMap::new();
    for span in &in_order {
        if let Some(parent) = known(span) {
            children.entry(parent).or_default().push(span);
        }
    }
    let mut rows = Vec::with_capacity(spans.len());
    let mut done = BTreeSet::new();
    let roots = in_order.iter().filter(|span| known(span).is_none());
    // Whatever a circle hides from the roots is shown after them.
    for root in roots.chain(&in_order) {
        let mut stack = vec![(*root, 0)];
        while let Some((span, depth)) = stack.pop() {
            if !done.insert(span.span_id) {
                continue;
            }
            let parent_dropped = known(span).is_none() && span.parent_id != client_span;
            // An application's own spans have triggers of their own.
            let failed_below =
                |span: &&Span| !span.application && span.trigger.as_deref().is_some_and(|trigger| trigger != "recall");
            let answer_told = children.get(&span.span_id).into_iter().flatten().any(failed_below);
            rows.push(row(span, depth, first, parent_dropped, why(span, head_sampled, answer_told)));
            let below = children.get(&span.span_id).into_iter().flatten().rev();
            stack.extend(below.map(|child| (*child, depth + 1)));
        }
    }
    rows
}

fn row(span: &Span, depth: usize, first: u64, parent_dropped: bool, why: String) -> Row {
    let ms = |nanos: u64| nanos as f64 / 1e6;
    Row {
        depth,
        service: span.service.clone(),
        application: span.application,
        kind: span.kind.name(),
        name: span.name.clone(),
        // An application only knows the address of its sidecar.
        peer: span.peer.clone().filter(|_| span.kind == Kind::Client && !span.application),
        offset_ms: ms(span.start - first),
        duration_ms: ms(span.end.saturating_sub(span.start)),
        status: span.status,
        flags: span.flags.clone(),
        error: span.error,
        trigger: span.trigger.clone(),
        parent_dropped: parent_dropped && span.parent_id.is_some(),
        span_id: format!("{:016x}", span.span_id),
        why,
        attributes: span.attributes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::span;

    fn outline(spans: &[Span]) -> Vec<(usize, String, bool)> {
        rows(spans, None, false).into_iter().map(|row| (row.depth, row.service, row.parent_dropped)).collect()
    }

    #[test]
    fn children_follow_their_parents_by_start_whatever_the_order_of_arrival() {
        let spans = [
            span("payment", Kind::Server, 1, 5, Some(4)).ms(12, 18).build(),
            span("storefront", Kind::Server, 1, 2, Some(1)).ms(1, 20).build(),
            span("storefront out", Kind::Client, 1, 4, Some(2)).ms(11, 19).build(),
            span("storefront out", Kind::Client, 1, 3, Some(2)).ms(2, 9).build(),
            span("gateway", Kind::Server, 1, 1, None).ms(0, 21).build(),
        ];
        let rows = rows(&spans, None, false);
        let seen: Vec<_> = rows.iter().map(|row| (row.depth, row.span_id.trim_start_matches('0'))).collect();
        assert_eq!(seen, [(0, "1"), (1, "2"), (2, "3"), (2, "4"), (3, "5")]);
        assert_eq!((rows[4].offset_ms, rows[4].duration_ms), (12.0, 6.0));
    }

    #[test]
    fn a_hop_whose_caller_was_dropped_is_a_root_that_says_so() {
        let spans = [
            span("catalog", Kind::Server, 1, 9, Some(8)).ms(1, 2).build(),
            span("cart", Kind::Client, 1, 8, Some(7)).ms(0, 3).build(),
        ];
        assert_eq!(outline(&spans), [(0, "cart".to_owned(), true), (1, "catalog".to_owned(), false)]);
        assert!(!rows(&spans, Some(7), false)[0].parent_dropped, "the client's own span is outside the mesh");
    }

    #[test]
    fn the_hop_that_saw_the_failure_first_is_charged_and_those_above_it_are_not() {
        let spans = [
            span("storefront", Kind::Server, 1, 1, None).upgraded(502).build(),
            span("storefront", Kind::Client, 1, 2, Some(1)).upgraded(502).build(),
            span("cart", Kind::Server, 1, 3, Some(1)).recalled().build(),
        ];
        let rows = rows(&spans, None, false);
        let why: Vec<_> = rows.iter().map(|row| row.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "upgraded (http_status): the verdict came with the answer, nothing is charged here",
                "upgraded (http_status): the budget had room",
                "upgraded (recall): an instance that had called or been called failed",
            ]
        );
        assert_eq!(rows[0].attributes, [("http.request.method".to_owned(), "GET".to_owned())]);
    }

    #[test]
    fn spans_of_an_application_stand_between_those_of_its_proxy_and_are_told_apart() {
        let spans = [
            span("cart", Kind::Client, 1, 9, Some(4)).upgraded(500).peer("catalog").ms(3, 8).build(),
            span("cart", Kind::Client, 1, 4, Some(3)).of_application("GET").peer("127.0.0.1").ms(2, 9).build(),
            span("cart", Kind::Internal, 1, 3, Some(2)).of_application("price cart").released("error").ms(1, 9).build(),
            span("cart", Kind::Server, 1, 2, None).upgraded(502).ms(0, 9).build(),
        ];
        let rows = rows(&spans, None, false);
        let seen: Vec<_> = rows.iter().map(|row| (row.depth, row.kind, row.application, row.peer.as_deref())).collect();
        assert_eq!(
            seen,
            [
                (0, "SERVER", false, None),
                (1, "INTERNAL", true, None),
                (2, "CLIENT", true, None),
                (3, "CLIENT", false, Some("catalog")),
            ]
        );
        assert_eq!(rows[0].why, "upgraded (http_status): the budget had room");
        assert!(rows[1].why.starts_with("released (error): "), "{}", rows[1].why);
    }

    #[test]
    fn a_circle_loses_no_span_and_ends() {
        let spans = [span("a", Kind::Server, 1, 1, Some(2)).build(), span("b", Kind::Server, 1, 2, Some(1)).build()];
        assert_eq!(outline(&spans).len(), 2);
        assert_eq!(outline(&[]), []);
    }
}
