//! Tables and numbers for people.

/// A table of columns as wide as they must be; all but the first to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if index == 0 {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push('\n');
    }
    text
}

/// A large number in a few characters: `12.3 k`, `4.56 M`.
pub fn short(number: f64) -> String {
    let number = number + 0.0; // Without the sign of -0.
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let (divided, unit) =
        units.iter().find(|(unit, _)| *unit <= number).map_or((number, ""), |(size, unit)| (number / size, *unit));
    let digits = if divided < 10.0 { 2 } else { usize::from(divided < 100.0) };
    format!("{divided:.digits$}{unit}")
}

/// A share in percent.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Dollars with their thousands apart.
pub fn dollars(amount: f64) -> String {
    let cents = format!("{:.2}", amount + 0.0);
    let (whole, fraction) = cents.split_once('.').unwrap_or((&cents, "00"));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if 0 < index && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("${grouped}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_size() {
        let cases = [
            (0.0, "0.00"),
            (-0.0, "0.00"),
            (7.25, "7.25"),
            (999.0, "999"),
            (1234.0, "1.23 k"),
            (45_600_000.0, "45.6 M"),
            (2e9, "2.00 G"),
        ];
        for (number, text) in cases {
            assert_eq!(short(number), text);
        }
        assert_eq!(dollars(1_234_567.891), "$1,234,567.89");
        assert_eq!(dollars(0.5), "$0.50");
        assert_eq!(dollars(-0.0), "$0.00");
    }
}
