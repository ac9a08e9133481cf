//! The rate over time, as a table for people.

use tracelift_tools::forecast::{Adaptive, MONTH_SECONDS, Point};

use crate::style::{short, table};

/// Lines of the table, at most.
const LINES: usize = 24;
/// Events that are printed, at most.
const EVENTS: usize = 20;

/// The table, what happened, and the month.
pub fn text(adaptive: &Adaptive) -> String {
    let Adaptive { target_per_second, envoys, points, .. } = adaptive;
    let target = target_per_second.map(|target| format!(", target {} traces a second", short(target)));
    let several = if *envoys == 1 { "one Envoy".to_owned() } else { format!("{envoys} Envoys together") };
    let mut text = format!("The rate over time, {several}{}:\n\n", target.unwrap_or_default());
    let head = ["from", "new traces/s", "ratio in force", "kept/s", "paid first/s", "changed by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for stretch in points.chunks(points.len().div_ceil(LINES).max(1)) {
        let point = Point::merged(stretch);
        let (none, boosted) = (point.changed_by.is_empty() && !point.boosted, point.boosted);
        let mut changed_by = point.changed_by;
        if boosted && !changed_by.contains(&"boost") {
            changed_by.push("boost");
        }
        rows.push(vec![
            clock(point.at_s),
            short(point.offered),
            share(point.ratio),
            short(point.kept),
            short(point.paid_first),
            if none { "-".to_owned() } else { changed_by.join(", ") },
        ]);
    }
    text.push_str(&table(&rows));
    text.push('\n');
    for event in adaptive.events.iter().take(EVENTS) {
        let service = event.service.iter().filter(|service| !service.is_empty());
        let service: String = service.map(|service| format!("{service}: ")).collect();
        let (ratio, offered) = (share(event.ratio), short(event.offered));
        text.push_str(&format!(
            "{}  {service}{}; {ratio} at {offered} new traces a second\n",
            clock(event.at_s),
            event.what
        ));
    }
    let more = adaptive.events.len().saturating_sub(EVENTS) as u64 + adaptive.more_events;
    if 0 < more {
        text.push_str(&format!("… and {more} more such events (--json lists a hundred)\n"));
    }
    text.push_str(&format!("{}\n", month(adaptive)));
    text
}

/// What is spent in a month, beside what may be, and what made the changes.
fn month(adaptive: &Adaptive) -> String {
    let Adaptive { kept_per_second, paid_first_per_second, changes, .. } = adaptive;
    let of_month = |second: f64| short(second * MONTH_SECONDS);
    let allowed = adaptive.target_per_second.map(|target| format!("; the target allows {}", of_month(target)));
    format!(
        "Kept in a month: {} traces by the rate, {} paid first{}.\nNotable changes: {} by load, {} by calm, {} by budget, {} by boost.",
        of_month(*kept_per_second),
        of_month(*paid_first_per_second),
        allowed.unwrap_or_default(),
        changes.load,
        changes.calm,
        changes.budget,
        changes.boost
    )
}

/// `1d 02:00:05`, without the days where there are none.
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    let days = if days == 0 { String::new() } else { format!("{days}d ") };
    format!("{days}{hours:02}:{minutes:02}:{seconds:02}")
}

/// A share in percent with three significant digits.
fn share(ratio: f64) -> String {
    let percent = (ratio * 1e8).round() / 1e6; // A threshold is a little beside the ratio that it stands for.
    let digits = if percent <= 0.0 { 1.0 } else { (2.0 - percent.log10().floor()).clamp(0.0, 6.0) };
    format!("{percent:.*} %", digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_short() {
        assert_eq!([5.0, 86_405.0].map(clock), ["00:00:05", "1d 00:00:05"]);
        assert_eq!(
            [0.0, 0.000_123_4, 0.000_999_999_99, 0.05, 1.0].map(share),
            ["0.0 %", "0.0123 %", "0.100 %", "5.00 %", "100 %"]
        );
    }
}
