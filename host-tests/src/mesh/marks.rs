//! The mark of an answer as the judge reads it: `x-tracelift-signal`, written down here once more from
//! `docs/applications.md`, so that a filter that reads it otherwise is found.

use crate::Headers;

pub(crate) const MARK: &str = "x-tracelift-signal";
/// Longer values are skipped whole, in bytes.
const LONGEST: usize = 512;
/// Marks of one value that are looked at.
const FIRST: usize = 4;

/// What headers, or trailers, say of a trace: kept (`true`) or shed. Of several marks the upgrade counts.
pub(crate) fn read(headers: &Headers, trace: u128) -> Option<bool> {
    let value = headers.joined(MARK).filter(|value| value.len() <= LONGEST)?;
    let said: Vec<bool> =
        value.split(|byte| *byte == b',').take(FIRST).filter_map(|mark| verdict(mark, trace)).collect();
    said.iter().copied().max()
}

fn verdict(mark: &[u8], trace: u128) -> Option<bool> {
    let text = std::str::from_utf8(mark).ok()?.trim_matches([' ', '\t']);
    let [version, word, id, parameters @ ..] = &text.split(';').collect::<Vec<_>>()[..] else { return None };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"=-._".contains(&byte);
    let is_parameter = |parameter: &&str| !parameter.is_empty() && parameter.bytes().all(allowed);
    if *version != "2" || *id != format!("{trace:032x}") || !parameters.iter().all(is_parameter) {
        return None;
    }
    match *word {
        "upgraded" => Some(true),
        "shed" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_marks_the_upgrade_counts_and_others_traces_do_not() {
        let (trace, other) = (format!("{:032x}", 7), format!("{:032x}", 8));
        for (lines, said) in [
            (vec![format!("2;shed;{trace}"), format!("2;upgraded;{trace};p=1")], Some(true)),
            (vec![format!("2;shed;{trace} , 2;kept;{trace}")], Some(false)),
            (vec![format!("2;upgraded;{other}"), format!("1;upgraded;{trace}"), format!("2;here;{trace}")], None),
            (vec![["2;here;"; 4].map(|here| format!("{here}{trace}")).join(","), format!("2;shed;{trace}")], None),
            (vec![format!("2;upgraded;{trace};{}", "x".repeat(LONGEST))], None),
            (vec![], None),
        ] {
            let headers: Headers = lines.iter().map(|line| (MARK, line)).collect();
            assert_eq!(read(&headers, 7), said, "{headers:?}");
        }
    }
}
