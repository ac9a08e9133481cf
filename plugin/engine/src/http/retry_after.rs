//! `Retry-After`: seconds or an HTTP date. RFC 9110, sections 5.6.7 and 10.2.3.

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const SECONDS_PER_DAY: u64 = 86_400;

/// Milliseconds from `unix_nanos` until the time that the header names; 0 for a time that has passed, `None` for a
/// value that is neither form.
pub fn retry_after_ms(value: &[u8], unix_nanos: u64) -> Option<u64> {
    let value = value.trim_ascii();
    if let Some(seconds) = number(value) {
        return Some(seconds.saturating_mul(1_000));
    }
    let now_ms = unix_nanos / 1_000_000;
    let then_ms = unix_seconds(value, now_ms / 1_000)?.saturating_mul(1_000);
    Some(then_ms.saturating_sub(now_ms))
}

/// All three forms that a recipient must read: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. The name of the day is not checked.
pub fn unix_seconds(value: &[u8], now: u64) -> Option<u64> {
    if 64 < value.len() {
        return None;
    }
    let mut parts = value.split(|byte| matches!(byte, b' ' | b',' | b'-')).filter(|part| !part.is_empty()).skip(1);
    let first = parts.next()?;
    let (year, month, day, time) = match number(first) {
        Some(day) => {
            let (month, year, time) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next()? != b"GMT" {
                return None;
            }
            (year, month, day, time)
        }
        None => {
            let (day, time, year) = (parts.next()?, parts.next()?, parts.next()?);
            (year, first, number(day)?, time)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| name.as_slice() == month)?;
    let year = match (year.len(), number(year)?) {
        (4, year) if 1970 <= year => year,
        (2, year) => full_year(year, now),
        _ => return None,
    };
    if !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, u64::try_from(month).ok()?.saturating_add(1), day);
    days.saturating_mul(SECONDS_PER_DAY).checked_add(seconds_of_day(time)?)
}

/// A two-digit year that would be more than 50 years ahead is the one in the past. RFC 9110, section 5.6.7.
fn full_year(two_digits: u64, now: u64) -> u64 {
    let this_year = (now / SECONDS_PER_DAY * 400 / 146_097).saturating_add(1970);
    let year = (this_year / 100 * 100).saturating_add(two_digits);
    if this_year.saturating_add(50) < year { year.saturating_sub(100) } else { year }
}

/// Gregorian calendar; the year starts in March, so that the leap day is its last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = match month {
        3.. => (year, month.saturating_sub(3)),
        _ => (year.saturating_sub(1), month.saturating_add(9)),
    };
    let leap_days = (year / 4).saturating_sub(year / 100).saturating_add(year / 400);
    let day_of_year = (month.saturating_mul(153).saturating_add(2) / 5).saturating_add(day);
    year.saturating_mul(365).saturating_add(leap_days).saturating_add(day_of_year).saturating_sub(719_469) // 1 March of year 0 to 1 January 1970, days counted from 1.
}

fn seconds_of_day(time: &[u8]) -> Option<u64> {
    let mut parts = time.split(|byte| *byte == b':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let valid = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60; // 60: a leap second.
    valid.then(|| hour.saturating_mul(3_600).saturating_add(minute.saturating_mul(60)).saturating_add(second))
}

/// Digits only, at least one; above 2^64 it is the highest number.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0'))))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const EXAMPLE: u64 = 784_111_777;

    #[test]
    fn every_form_of_a_date_is_read() {
        let table = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
            ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
            ("Sun Nov  6 08:49:37 1994", EXAMPLE),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Sat, 31 Dec 2033 00:00:00 GMT", 2_019_600_000),
        ];
        for (value, seconds) in table {
            assert_eq!(unix_seconds(value.as_bytes(), EXAMPLE), Some(seconds), "{value}");
        }
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        let year_2026 = 1_790_000_000;
        let read = |value: &str| unix_seconds(value.as_bytes(), year_2026);
        assert_eq!(read("Sunday, 06-Nov-94 08:49:37 GMT"), Some(EXAMPLE));
        assert_eq!(read("Sunday, 01-Mar-26 00:00:00 GMT"), read("Sun, 01 Mar 2026 00:00:00 GMT"));
    }

    #[test]
    fn a_wait_is_counted_from_now_and_never_negative() {
        let now = (EXAMPLE - 90) * 1_000_000_000;
        let table: [(&str, Option<u64>); 16] = [
            ("0", Some(0)),
            ("120", Some(120_000)),
            (" 7 ", Some(7_000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90_000)),
            ("Sun, 06 Nov 1993 08:49:37 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nvo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT GMT", None),
        ];
        for (value, wait) in table {
            assert_eq!(retry_after_ms(value.as_bytes(), now), wait, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..80), now: u64) {
            retry_after_ms(&value, now);
        }

        #[test]
        fn days_follow_one_another(days in 1_u64..200_000) {
            // The inverse, by search: the date of `days` is one day after the date of `days - 1`.
            let date = |days: u64| {
                let year = (1970..3000).rfind(|year| days_since_1970(*year, 1, 1) <= days).unwrap();
                let month = (1..=12).rfind(|month| days_since_1970(year, *month, 1) <= days).unwrap();
                (year, month, days - days_since_1970(year, month, 1) + 1)
            };
            let (before, after) = (date(days - 1), date(days));
            prop_assert!(before < after);
            prop_assert!(after.2 <= 31);
            prop_assert!(after.2 == before.2 + 1 || after.2 == 1 && 28 <= before.2);
            prop_assert_eq!(days_since_1970(after.0, after.1, after.2), days);
        }
    }
}
