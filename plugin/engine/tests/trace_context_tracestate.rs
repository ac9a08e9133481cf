//! `tracestate`: what arrives stays, whatever it is, but for our own list-member.

use proptest::prelude::*;
use tracelift::trace_context::{HeaderEdit, MAX_READ_LEN, MAX_WRITTEN_LEN, ThEdit, TraceState, TraceStateError};

fn edited(header: &str, th: ThEdit, rv: Option<u64>) -> Option<String> {
    match TraceState::parse(header.as_bytes()).unwrap().edit(th, rv) {
        HeaderEdit::Keep => Some(header.to_owned()),
        HeaderEdit::Replace(header) => Some(String::from_utf8(header).unwrap()),
        HeaderEdit::Remove => None,
    }
}

#[test]
fn a_header_that_would_not_change_is_kept_as_it_is() {
    for (header, th, rv) in [
        ("", ThEdit::Erase, None),
        (" foo=1 ,, bar=2,foo=3", ThEdit::Erase, None),
        ("foo=1,foo=2, ot=th:c00;junk", ThEdit::Keep, None),
        ("foo=1,ot=rv:9b8233f7e3a151", ThEdit::Erase, None),
        ("foo=1,ot=rv:9b8233f7e3a151", ThEdit::Keep, Some(1)),
        ("foo=1,ot=rv:9b8233f7e3a151;th:8;x:y", ThEdit::Set(1 << 55), Some(1)),
        ("ot=x:y", ThEdit::Erase, None),
    ] {
        assert_eq!(TraceState::parse(header.as_bytes()).unwrap().edit(th, rv), HeaderEdit::Keep, "{header:?}");
    }
}

#[test]
fn a_changed_member_moves_to_the_far_left_and_an_empty_one_goes() {
    let t = |top: u64| ThEdit::Set(top << 52);
    for (header, th, rv, expected) in [
        ("", t(8), None, Some("ot=th:8")),
        ("", ThEdit::Set(0), None, Some("ot=th:0")),
        ("", ThEdit::Keep, Some(0x9b_8233_f7e3_a151), Some("ot=rv:9b8233f7e3a151")),
        ("", ThEdit::Set(1 << 56), None, Some("")),
        ("a=1 ,\t, b= 2\t,a=3", t(12), None, Some("ot=th:c,a=1,b= 2")),
        ("a=1,ot=th:8", t(12), None, Some("ot=th:c,a=1")),
        ("a=1,ot=th:8", ThEdit::Erase, None, Some("a=1")),
        ("ot=th:8", ThEdit::Erase, None, None),
        (",ot=th:8 , ", ThEdit::Erase, None, None),
        ("ot=th:8;rv:9b8233f7e3a151;x:y", ThEdit::Erase, None, Some("ot=rv:9b8233f7e3a151;x:y")),
        ("ot=th:zz,a=1", ThEdit::Erase, None, Some("a=1")),
        // Lenient readers could find a threshold in it, and the strict ones find nothing.
        ("ot=th:8;,a=1", ThEdit::Erase, None, Some("a=1")),
        // The Collector reads the last of several.
        ("ot=x:y,a=1,ot=th:8", ThEdit::Erase, None, Some("ot=x:y,a=1")),
        ("ot=TH:8,a=1", t(12), None, Some("ot=th:c,a=1")),
    ] {
        assert_eq!(edited(header, th, rv).as_deref(), expected, "{header:?}");
    }
}

#[test]
fn thirty_two_members_are_read_and_one_more_discards_the_header() {
    let members = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(", ,\t,");
    assert!(TraceState::parse(members(32).as_bytes()).is_ok());
    assert_eq!(TraceState::parse(members(33).as_bytes()), Err(TraceStateError::Members));
    let full = members(32);
    let out = edited(&full, ThEdit::Set(0), None).unwrap();
    let expected: Vec<_> = std::iter::once("ot=th:0".to_owned()).chain((0..31).map(|i| format!("k{i}=v"))).collect();
    assert_eq!(out, expected.join(","), "the right-most gave its place to ours");
}

#[test]
fn a_header_of_empty_members_is_read_up_to_a_bound() {
    assert!(TraceState::parse(&vec![b','; MAX_READ_LEN]).is_ok());
    let found = MAX_READ_LEN + 1;
    assert_eq!(TraceState::parse(&vec![b','; found]), Err(TraceStateError::Length { found }));
}

#[test]
fn lengths_are_bounded_where_the_grammar_says() {
    let a = |n: usize| "a".repeat(n);
    for (header, valid) in [
        (format!("{}=v", a(256)), true),
        (format!("{}=v", a(257)), false),
        (format!("{}@{}=v", a(128), a(127)), true),
        (format!("{}@{}=v", a(128), a(128)), false),
        (format!("k={}", a(256)), true),
        (format!("k={}  \t ", a(256)), true),
        (format!("k={}", a(257)), false),
        ("k=".into(), false),
        ("k= ".into(), false),
        ("k=\t1".into(), false),
        ("k=1\t2".into(), false),
        ("k =1".into(), false),
        ("k=1=2".into(), false),
        ("k=a\tb=c".into(), false),
        ("k=1\r\nx-evil: 1".into(), false),
        ("k=\0".into(), false),
        ("k=\u{e9}".into(), false),
        ("Key=1".into(), false),
    ] {
        assert_eq!(TraceState::parse(header.as_bytes()).is_ok(), valid, "{header:?}");
    }
}

#[test]
fn a_long_header_loses_its_long_members_first_and_then_the_right_most() {
    let member = |key: &str, len: usize| format!("{key}={}", "v".repeat(len - key.len() - 1));
    let (short, limit, long) = (member("s", 100), member("l", 128), member("x", 129));
    let before = [&short, &long, &limit, &member("y", 129), &member("t", 100)].map(String::as_str).join(",");
    let after = edited(&before, ThEdit::Set(0), None).unwrap();
    // 7 for ours, then 100 + 129 + 128 + 100 with their commas are 468: one long member was enough.
    assert_eq!(after, ["ot=th:0", &short, &long, &limit, &member("t", 100)].join(","));
    let before: Vec<_> = ('a'..='f').map(|key| member(&key.to_string(), 128)).collect();
    let after = edited(&before.join(","), ThEdit::Set(0), None).unwrap();
    assert_eq!(after, format!("ot=th:0,{}", before[..3].join(",")));
}

#[test]
fn a_member_that_would_grow_too_long_is_left_alone() {
    let header = format!("ot=x:{}", "y".repeat(250));
    assert_eq!(TraceState::parse(header.as_bytes()).unwrap().edit(ThEdit::Set(0), None), HeaderEdit::Keep);
    let fits = format!("ot=x:{}", "y".repeat(249));
    assert_eq!(edited(&fits, ThEdit::Set(0), None).unwrap(), format!("ot=th:0;x:{}", "y".repeat(249)));
}

#[test]
fn keys_of_level_2_only_are_told_apart() {
    let a = |n: usize| "a".repeat(n);
    for (key, level1) in [
        ("abc", true),
        ("a0_-*/", true),
        ("0abc", false),
        ("0abc@sys", true),
        (&format!("{}@s", a(241)), true),
        (&format!("{}@s", a(242)), false),
        (&format!("t@{}", a(14)), true),
        (&format!("t@{}", a(15)), false),
        ("t@0", false),
        ("t@", false),
        ("t@s@s", false),
    ] {
        let header = format!("x=1,{key}=1");
        assert_eq!(TraceState::parse(header.as_bytes()).unwrap().level1_keys_only(), level1, "{key}");
    }
}

fn foreign_key() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9_*/@-]{0,12}".prop_filter("ours", |key| key != "ot")
}

fn ot_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "(rv:[0-9a-f]{14};)?th:[0-9a-f]{1,14}(;[a-z]{3}:[a-zA-Z0-9._-]{0,8}){0,3}",
        "[!-+.-<>-~]{1,40}",
        "[a-z]{3}:[a-z]{240,249}",
    ]
}

/// Members, `None` for an empty one.
type Members = Vec<Option<(String, String)>>;

/// The others, and where ours stands among them.
fn header() -> impl Strategy<Value = (Members, Option<(usize, String)>)> {
    let member = prop_oneof![1 => Just(None), 5 => (foreign_key(), " {0,2}[!-+.-<>-~]{1,12}").prop_map(Some)];
    (proptest::collection::vec(member, 0..20), proptest::option::of((0_usize..20, ot_value())))
}

fn th_edit() -> impl Strategy<Value = ThEdit> {
    prop_oneof![Just(ThEdit::Keep), Just(ThEdit::Erase), (0_u64..1 << 56).prop_map(ThEdit::Set)]
}

#[test]
fn another_members_value_is_set_behind_ours_and_everything_else_stays() {
    let set = |state: &str, th, value: &str| {
        let state = TraceState::parse(state.as_bytes()).expect("a tracestate");
        match state.with_member(state.edit(th, None), b"xrsr", value.as_bytes()) {
            HeaderEdit::Replace(header) => Some(String::from_utf8(header).expect("ASCII")),
            HeaderEdit::Keep => None,
            HeaderEdit::Remove => Some(String::new()),
        }
    };
    let half = ThEdit::Set(1 << 55);
    for (state, th, wanted) in [
        ("", ThEdit::Keep, Some("xrsr=a1")),
        ("", ThEdit::Erase, Some("xrsr=a1")),
        ("", half, Some("ot=th:8,xrsr=a1")),
        ("a=1,b=2", ThEdit::Keep, Some("xrsr=a1,a=1,b=2")),
        ("a=1,xrsr=ff,b=2", half, Some("ot=th:8,xrsr=a1,a=1,b=2")),
        ("a=1,ot=rv:00000000000001;x:y", ThEdit::Erase, Some("ot=rv:00000000000001;x:y,xrsr=a1,a=1")),
        ("a=1,xrsr=a1", ThEdit::Keep, None),
        ("ot=th:8,a=1,xrsr=a1", half, None),
    ] {
        assert_eq!(set(state, th, "a1").as_deref(), wanted, "{state} {th:?}");
    }
    let full: Vec<String> = (0..32).map(|n| format!("k{n}=v")).collect();
    let header = set(&full.join(","), half, "a1").expect("changed");
    assert!(header.starts_with("ot=th:8,xrsr=a1,k0=v") && header.split(',').count() == 32, "{header}");
}

proptest! {
    #[test]
    fn an_edit_keeps_every_foreign_member_byte_for_byte_and_in_order(
        (members, ot) in header(), spaces in "[ \t]{0,2}", th in th_edit(), rv in proptest::option::of(0_u64..1 << 56),
    ) {
        let mut texts: Vec<String> = members.iter().map(|member| match member {
            Some((key, value)) => format!("{key}={value}"),
            None => String::new(),
        }).collect();
        if let Some((at, value)) = &ot {
            texts.insert((*at).min(texts.len()), format!("ot={value}"));
        }
        let combined = texts.join(&format!("{spaces},{spaces}"));
        let mut foreign: Vec<(&str, String)> = Vec::new();
        for (key, value) in members.iter().flatten() {
            if foreign.iter().all(|(earlier, _)| earlier != key) {
                foreign.push((key, format!("{key}={value}")));
            }
        }
        let state = TraceState::parse(combined.as_bytes()).unwrap();
        let edit = state.edit(th, rv);
        let HeaderEdit::Replace(out) = edit else {
            if edit == HeaderEdit::Remove { prop_assert!(foreign.is_empty()); }
            return Ok(());
        };
        let out = String::from_utf8(out).unwrap();
        let mut found: Vec<&str> = out.split(',').collect();
        if found.first().is_some_and(|first| first.starts_with("ot=")) {
            found.remove(0);
        }
        let expected: Vec<&str> = foreign.iter().map(|(_, text)| text.as_str()).collect();
        prop_assert!(out.len() <= MAX_WRITTEN_LEN);
        if found.len() < expected.len() {
            // Only a header that had to be shortened loses any, and all of these are short, so from the right.
            prop_assert!(MAX_WRITTEN_LEN < out.len() + 1 + expected[found.len()].len());
        }
        prop_assert_eq!(&found[..], &expected[..found.len()]);
        // What is written is valid, and the same edit again changes nothing.
        let again = TraceState::parse(out.as_bytes()).unwrap();
        prop_assert_eq!(again.edit(th, rv), HeaderEdit::Keep);
        match th {
            ThEdit::Set(threshold) => prop_assert_eq!(again.ot().th, Some(threshold)),
            ThEdit::Erase => prop_assert_eq!(again.ot().th, None),
            ThEdit::Keep => prop_assert_eq!(again.ot().th, state.ot().th),
        }
        prop_assert_eq!(again.ot().rv, state.ot().rv.or(rv));
        prop_assert_eq!(again.ot().rest().collect::<Vec<_>>(), state.ot().rest().collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_it_panic_or_leave_as_anything_but_printable_text(
        bytes in proptest::collection::vec(prop_oneof![
            3 => proptest::sample::select(b"ot=th:8;,= \t\r\n\0a@".to_vec()), 1 => 0..=255_u8], 0..120),
        th in th_edit(),
    ) {
        let Ok(state) = TraceState::parse(&bytes) else { return Ok(()) };
        let _ = (state.ot(), state.get(b"ot"), state.duplicates(), state.level1_keys_only());
        if let HeaderEdit::Replace(out) = state.edit(th, Some(7)) {
            prop_assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }

    #[test]
    fn a_damaged_header_is_refused_whole_or_read_whole(
        (members, _) in header(), at: proptest::sample::Index, byte in prop_oneof![0..=31_u8, 127..=255_u8],
    ) {
        let texts: Vec<String> = members.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        prop_assume!(!texts.is_empty());
        let mut combined = texts.join(",").into_bytes();
        let at = at.index(combined.len());
        combined[at] = byte;
        let valid = TraceState::parse(&combined).is_ok();
        // A tab is white space where one may stand; every other byte of these discards the header.
        prop_assert!(!valid || byte == b'\t');
    }
}
