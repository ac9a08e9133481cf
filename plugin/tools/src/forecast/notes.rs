//! What a forecast says beside its numbers.

use super::kinds::KindsForecast;
use super::replay::ReplayError;
use tracelift::policy::Policy;

/// A pause is worth a note from so many seconds and so large a part of the log on.
const PAUSE_S: f64 = 900.0;
const PAUSE_SHARE: f64 = 0.1;

pub(super) fn of_kinds(policy: &Policy, kinds: &KindsForecast) -> Vec<String> {
    let mut notes = Vec::new();
    if policy.upgrade.coverage.is_some() {
        notes.push(format!(
            "Coverage keeps {} requests, the first of {} kinds; {} more found its budget spent. Routes that applications name \
             (metrics.route_header) are not in a log.",
            kinds.kept, kinds.kinds, kinds.refused
        ));
    }
    if let Some(settings) = &policy.metrics {
        notes.push(format!(
            "Request metrics: some {} series at the service with most of them; metrics.max_series is {}.",
            kinds.series, settings.max_series
        ));
    }
    notes
}

pub(super) fn of_rate(policy: &Policy, unknown: Option<ReplayError>) -> Vec<String> {
    let Some(settings) = &policy.sampling.pace else { return Vec::new() };
    let mut notes = Vec::new();
    if let Some(unknown) = unknown {
        let why = match unknown {
            ReplayError::OneMoment => "All traces begin at one moment",
            ReplayError::NoTime | ReplayError::Empty => "Some requests have no time",
        };
        notes.push(format!("{why}: sampling.target is taken to have settled, and no boost is looked for."));
    } else if settings.boost.is_some() && policy.upgrade.slow.is_some() {
        notes.push(
            "A boost follows failures alone here: what is slow for its route (upgrade.slow) is not learned from a log."
                .to_owned(),
        );
    }
    notes
}

/// A pause may be one of the traffic, or a part of the log that is missing.
pub(super) fn of_pause((pause, at): (f64, f64), seconds: f64) -> Option<String> {
    if pause < PAUSE_S || pause < PAUSE_SHARE * seconds {
        return None;
    }
    let (pause, at, all) = (lasting(pause), lasting(at), lasting(seconds));
    Some(format!(
        "There is no request for {pause}, from {at} after the first one on, of {all} in all: a month is taken to have as much quiet time. \
         If lines are missing there, forecast what is before and behind it apart."
    ))
}

/// Seconds, with thousandths where there is less than one.
pub(super) fn in_seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{seconds:.3} s") } else { format!("{seconds:.0} s") }
}

/// `90 s`, `15 min`, `7 h`, `3 days`.
fn lasting(seconds: f64) -> String {
    let units = [("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)];
    let unit = units.iter().find(|(_, size)| 2.0 * size <= seconds);
    unit.map_or_else(|| format!("{seconds:.0} s"), |(name, size)| format!("{:.0} {name}", seconds / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pause_is_named_with_its_place() {
        let said = of_pause((36_000.0, 0.2), 37_000.0).unwrap();
        assert!(
            said.starts_with("There is no request for 10 h, from 0 s after the first one on, of 10 h in all"),
            "{said}"
        );
        for (pause, seconds) in [(899.0, 900.0), (1_000.0, 20_000.0)] {
            assert_eq!(of_pause((pause, 5.0), seconds), None, "{pause} of {seconds}");
        }
    }

    #[test]
    fn times_are_as_long_as_people_say_them() {
        assert_eq!(
            [0.0, 100.0, 900.0, 7_200.0, 3.0 * 86_400.0].map(lasting),
            ["0 s", "100 s", "15 min", "2 h", "3 days"]
        );
        assert_eq!([0.003, 90.4].map(in_seconds), ["0.003 s", "90 s"]);
    }
}
