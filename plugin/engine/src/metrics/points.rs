//! From sums to the points of an export.

use super::slot::Sums;
use super::{Histogram, Labels, dictionary};
use crate::otlp::Exemplar;

/// One point of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The metric and its attributes.
    pub labels: Labels,
    /// The route or the gRPC method; empty for none.
    pub name: String,
    /// Unix nanoseconds from which on it counts.
    pub start: u64,
    /// What it counts.
    pub sum: Histogram,
    /// Requests that it shows.
    pub exemplars: Vec<Exemplar>,
}

/// Everything since each series began. Sums of numbers that the dictionary does not have are of another one.
pub fn cumulative(dictionary: &[u8], sums: &Sums) -> Vec<Point> {
    points(dictionary, |number, began| Some((began, sums.get(number)?.clone())))
}

/// What came since `before`, which was summed at `since` (Unix nanoseconds; 0: never). Series to which nothing came have no
/// point.
pub fn delta(dictionary: &[u8], sums: &Sums, before: &Sums, since: u64) -> Vec<Point> {
    let since = if since == 0 { dictionary::opened(dictionary) } else { since };
    points(dictionary, |number, _| {
        let sum = sums.get(number)?;
        let new = before.get(number).map_or_else(|| sum.clone(), |before| sum.since(before));
        (new.count() != 0).then_some((since, new))
    })
}

fn points(dictionary: &[u8], take: impl Fn(u16, u64) -> Option<(u64, Histogram)>) -> Vec<Point> {
    let entries = (0..=u16::MAX).zip(dictionary::entries(dictionary));
    entries
        .filter_map(|(number, entry)| {
            let (start, sum) = take(number, entry.since)?;
            let name = str::from_utf8(entry.name).unwrap_or_default().to_owned();
            Some(Point { labels: entry.labels, name, start, sum, exemplars: Vec::new() })
        })
        .collect()
}
