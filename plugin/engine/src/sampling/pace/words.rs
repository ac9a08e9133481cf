//! Ratios as a person reads them. Without the standard library's formatting of floats, which is larger than all of this room.

/// A share in percent, to a ten-thousandth of one: `0.05 %`.
pub fn percent(share: f64) -> String {
    [&decimal(100.0 * share, 4), " %"].concat()
}

/// A number with at most so many digits behind the point.
pub fn decimal(number: f64, digits: u32) -> String {
    let scale = 10_u64.saturating_pow(digits);
    let scaled = (number * scale as f64).round() as u64;
    let whole = scaled.checked_div(scale).unwrap_or_default().to_string();
    let rest = scaled.checked_rem(scale).unwrap_or_default();
    if rest == 0 {
        return whole;
    }
    let padded = rest.saturating_add(scale).to_string(); // A digit more than there are behind the point.
    [&whole, ".", padded.get(1..).unwrap_or_default().trim_end_matches('0')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_behind_the_point_are_those_that_say_something() {
        for (share, text) in
            [(0.0, "0 %"), (0.0005, "0.05 %"), (0.000_012_3, "0.0012 %"), (0.2, "20 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(share), text);
        }
        for (number, text) in
            [(0.005, "0.01"), (7.0, "7"), (7.25, "7.25"), (1_234.5, "1234.5"), (f64::INFINITY, "184467440737095516.15")]
        {
            assert_eq!(decimal(number, 2), text);
        }
    }
}
