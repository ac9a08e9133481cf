//! The list of upgrades on the wire: what an application asks its sidecar, and what it is answered (`docs/applications.md`,
//! section 5). No body on either side.

use super::recall::log::{News, Reader};
use crate::trace_context::hex;

/// Path of the request, before its query.
pub const PATH: &str = "/.well-known/tracelift/upgrades";
/// `1;<cursor>;<missed>;<trace-id>,<trace-id>…` in an answer; the version that is understood in one that refuses another.
pub const HEADER: &str = "x-tracelift-upgrades";
/// The version that this filter speaks.
pub const VERSION: &str = "1";
/// The purpose in what is signed, with that version.
pub const PURPOSE: &str = "upgrades-1";
/// Trace-ids in one answer: its header stays below 4.4 KB.
pub const MAX_IDS: usize = 128;

/// How the query begins.
const CURSOR: &[u8] = b"?cursor=";
/// Longest cursor, in bytes.
const MAX_CURSOR: usize = 64;
/// Longest count in a cursor of ours, in digits.
const COUNT_DIGITS: usize = 19;

/// Where the request's `:path` begins to read. One without a cursor, or with that of another process, has read no log. `None`:
/// it is not well-formed.
pub fn read(path: &[u8]) -> Option<Reader> {
    let query = path.strip_prefix(PATH.as_bytes())?;
    if query.is_empty() {
        return Some(Reader::default());
    }
    let cursor = query.strip_prefix(CURSOR)?;
    let is_well_formed = (1..=MAX_CURSOR).contains(&cursor.len()) && cursor.iter().copied().all(is_of_a_cursor);
    is_well_formed.then(|| of_ours(cursor).unwrap_or_default())
}

/// A cursor of this filter: 16 hexadecimal digits that name the log, and how much of it was read.
fn of_ours(cursor: &[u8]) -> Option<Reader> {
    let (epoch, rest) = cursor.split_first_chunk::<16>()?;
    let count = rest.strip_prefix(b".")?;
    if !(1..=COUNT_DIGITS).contains(&count.len()) || !count.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let read = count.iter().fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit & 0xf)));
    Some(Reader { epoch: hex::lower16(epoch).ok()?, read })
}

const fn is_of_a_cursor(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// What the log has more than what was read, at most [`MAX_IDS`] traces. Who had read another log, or none, has missed nothing
/// of this one.
pub fn news(reader: &mut Reader, log: &[u8]) -> News {
    let known = reader.knows(log);
    let news = reader.read_some(log, MAX_IDS);
    if known { news } else { News { missed: 0, ..news } }
}

/// The value of [`HEADER`] for these traces, and a reader that stands behind them.
pub fn answer(reader: &Reader, news: &News) -> String {
    let mut answer = String::with_capacity(VERSION.len() + MAX_CURSOR + COUNT_DIGITS + 33 * news.traces.len());
    answer.push_str(VERSION);
    answer.push(';');
    for byte in reader.epoch.to_be_bytes() {
        answer.extend(hex::write2(byte).map(char::from));
    }
    answer.push('.');
    answer.push_str(&reader.read.to_string());
    answer.push(';');
    answer.push_str(&news.missed.to_string());
    answer.push(';');
    for (number, id) in news.traces.iter().enumerate() {
        if number != 0 {
            answer.push(',');
        }
        answer.extend(id.hex().map(char::from));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_context::TraceId;
    use crate::upgrade::recall::log;
    use proptest::prelude::*;

    const EPOCH: u64 = 0x9f2c_41d0_7b5e_8a63;

    fn asked(query: &str) -> Option<Reader> {
        read([PATH, query].concat().as_bytes())
    }

    fn written(count: u64) -> Vec<u8> {
        let trace = |id: u64| TraceId::from_u128(u128::from(id) + 1).expect("above zero");
        (0..count).fold(log::empty(EPOCH).to_vec(), |log, id| log::append(&log, trace(id), || EPOCH))
    }

    #[test]
    fn a_path_is_that_of_the_page_with_a_cursor_or_without() {
        assert_eq!(asked(""), Some(Reader::default()));
        assert_eq!(asked("?cursor=9f2c41d07b5e8a63.1041"), Some(Reader { epoch: EPOCH, read: 1041 }));
        for of_another in
            ["a", "A-Z_9.", "9f2c41d07b5e8a63", "9F2C41D07B5E8A63.1", "9f2c41d07b5e8a63.", &"9".repeat(64)]
        {
            assert_eq!(asked(&format!("?cursor={of_another}")), Some(Reader::default()), "{of_another}");
        }
        let long = format!("?cursor={}", "9".repeat(65));
        for bad in ["?", "?cursor", "?cursor=", "?cursor=a b", "?cursor=a%20", "?cursor=a&b=c", "?b=c", "/", "x", &long]
        {
            assert_eq!(asked(bad), None, "{bad}");
        }
        assert_eq!(read(b"/.well-known/tracelift/recall"), None);
    }

    #[test]
    fn an_answer_is_that_of_the_page() {
        let ids = ["0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"];
        let traces = ids.map(|id| TraceId::parse(id.as_bytes()).expect("an id")).to_vec();
        let reader = Reader { epoch: EPOCH, read: 1043 };
        assert_eq!(
            answer(&reader, &News { traces, missed: 0 }),
            "1;9f2c41d07b5e8a63.1043;0;0af7651916cd43dd8448eb211c80319c,4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(answer(&Reader::default(), &News { missed: 7, ..News::default() }), "1;0000000000000000.0;7;");
    }

    #[test]
    fn what_fell_out_counts_for_those_who_had_read_this_log() {
        let log = written(600);
        for (reader, first, missed) in [
            (Reader { epoch: EPOCH, read: 10 }, 89, 78),
            (Reader { epoch: EPOCH, read: 500 }, 501, 0),
            (Reader { epoch: EPOCH, read: 601 }, 89, 0),
            (Reader { epoch: 1, read: 10 }, 89, 0),
            (Reader::default(), 89, 0),
        ] {
            let news = news(&mut reader.clone(), &log);
            assert_eq!((news.traces[0].get(), news.missed), (first, missed), "{reader:?}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_read_leaves_a_reader_where_it_was() {
        let mut reader = Reader { epoch: EPOCH, read: 10 };
        assert_eq!(news(&mut reader, b""), News::default());
        assert_eq!(reader, Reader { epoch: EPOCH, read: 10 });
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&bytes);
            let _ = read(&[PATH.as_bytes(), CURSOR, &bytes].concat());
        }

        #[test]
        fn a_cursor_that_was_answered_is_read_again(epoch in 1_u64.., read in 0..10_u64.pow(19)) {
            let reader = Reader { epoch, read };
            let answer = answer(&reader, &News::default());
            let cursor = answer.split(';').nth(1).expect("a cursor");
            prop_assert_eq!(asked(&["?cursor=", cursor].concat()), Some(reader));
        }

        #[test]
        fn whoever_follows_the_cursors_gets_each_trace_once(count in 0_u64..700) {
            let log = written(count);
            let (mut query, mut listed, mut answers) = (String::new(), 0, 0);
            loop {
                let mut reader = asked(&query).expect("well-formed");
                let news = news(&mut reader, &log);
                let answer = answer(&reader, &news);
                prop_assert!(answer.len() < 4_400 && news.missed == 0 && answers < 6);
                query = ["?cursor=", answer.split(';').nth(1).expect("a cursor")].concat();
                listed += news.traces.len() as u64;
                answers += 1;
                if news.traces.len() < MAX_IDS {
                    break;
                }
            }
            prop_assert_eq!(listed, count.min(512));
        }
    }
}
