//! The list of upgrades: who may ask for it, what it is answered, and what a wrong question learns (`docs/applications.md`).

use tracelift::door::{Attribute, Host, Side};
use tracelift::shared::polls;
use tracelift::upgrade::list;
use tracelift::upgrade::mac::{self, Statement};

use crate::kit::faults::Operation;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, get, lines};
use crate::recall::{end, request, trace};

const TOKEN: &str = "a-token-of-the-pod";
const LISTING: &str =
    r#"{"span_kind": "client", "upgrade": {"applications": {"enabled": true, "token": "a-token-of-the-pod"}}}"#;
/// The same for stories with more upgrades in a second than the budget admits otherwise.
const PLENTY: &str = r#"{"span_kind": "client", "upgrade": {"traces_per_second": 100000, "applications": {"enabled": true, "token": "a-token-of-the-pod"}}}"#;
const PAGE: &str = include_str!("../../../../docs/applications.md");

/// A question as an application sends it.
#[derive(Clone)]
struct Question {
    token: &'static str,
    mark: &'static str,
    method: &'static str,
    authority: &'static str,
    path: String,
    /// Headers besides those.
    more: Vec<(&'static str, &'static str)>,
}

fn question(query: &str) -> Question {
    Question {
        token: TOKEN,
        mark: "ff-tracelift-upgrades-1",
        method: "GET",
        authority: "127.0.0.1:15001",
        path: [list::PATH, query].concat(),
        more: Vec::new(),
    }
}

impl Question {
    /// The MAC for its own mark, path and host, at this time.
    fn mac(&self, now: u64) -> String {
        let purpose = self.mark.strip_prefix("ff-tracelift-").unwrap_or_default();
        let audience = self.authority.rsplit_once(':').map_or(self.authority, |(host, _)| host).to_lowercase();
        let asked = Statement { purpose, audience: audience.as_bytes(), content: self.path.as_bytes() };
        asked.sign(self.token.as_bytes(), now)
    }
}

/// What came of a question: status and `x-tracelift-upgrades` of the engine's own answer; `None` where the request continued.
type Heard = Option<(u32, Option<String>)>;

fn send(process: &mut Process, at: (usize, u32), question: &Question, mac: Option<&str>) -> (Heard, Stream) {
    let stream = process.stream(at.0, at.1);
    let mut head = vec![
        (":method", question.method),
        (":path", &question.path),
        (":authority", question.authority),
        (":scheme", "http"),
        ("traceparent", question.mark),
    ];
    head.extend(mac.map(|mac| (mac::HEADER, mac)));
    head.extend(&question.more);
    let answered = process.head(&stream, lines(&head));
    process.log(&stream);
    process.done(at.0, stream.context);
    let heard = stream.exchange.own_answer().map(|(status, headers)| {
        let value = |(name, value): &(Vec<u8>, Vec<u8>)| {
            assert_eq!(name, b"x-tracelift-upgrades");
            String::from_utf8(value.clone()).expect("a text")
        };
        assert!(headers.len() <= 1, "{headers:?}");
        (status, headers.first().map(value))
    });
    assert_eq!(answered, heard.is_some());
    (heard, stream)
}

/// Asks as the page has it.
fn ask(process: &mut Process, at: (usize, u32), question: &Question) -> Heard {
    let mac = question.mac(process.state.now.get());
    send(process, at, question, Some(&mac)).0
}

/// An answer, read: the cursor, what was missed, and the traces.
fn listed(heard: Heard) -> (String, u64, Vec<String>) {
    let Some((200, Some(value))) = heard else { panic!("{heard:?}") };
    let parts: Vec<_> = value.split(';').collect();
    let [version, cursor, missed, ids] = parts[..] else { panic!("{value}") };
    assert_eq!(version, "1");
    let ids = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    (cursor.to_owned(), missed.parse().expect("a number"), ids)
}

fn from(cursor: &str) -> Question {
    question(&format!("?cursor={cursor}"))
}

#[test]
fn a_failed_trace_is_listed_once_for_whoever_follows_the_cursor() {
    let (mut process, root) = Process::with(LISTING);
    let (first, missed, none) = listed(ask(&mut process, (0, root), &question("")));
    assert_eq!((missed, none.len()), (0, 0));
    request(&mut process, (0, root), 1, 503);
    request(&mut process, (0, root), 2, 200);
    let (second, _, ids) = listed(ask(&mut process, (0, root), &from(&first)));
    assert_eq!(ids, [trace(1)], "the one that failed");
    assert_eq!(
        listed(ask(&mut process, (0, root), &from(&first))).2,
        [trace(1)],
        "an answer that was lost is repeated"
    );
    assert!(listed(ask(&mut process, (0, root), &from(&second))).2.is_empty());
    process.export();
    assert_eq!(process.metric("applications.polls.answered"), 4);
    assert_eq!(process.metric("applications.upgrades.listed"), 2);
}

#[test]
fn a_poll_makes_no_span_and_takes_no_part_in_sampling() {
    let everything = LISTING.replacen('{', r#"{"sampling": {"ratio": 1}, "#, 1);
    let (mut process, root) = Process::with(&everything);
    for _ in 0..3 {
        listed(ask(&mut process, (0, root), &question("")));
    }
    assert!(process.export().is_empty());
    assert_eq!(process.workers[0].host.sum_of("decisions."), 0);
    assert_eq!(process.metric("context.restarted"), 0);
}

#[test]
fn what_any_listener_of_the_process_upgrades_is_listed_by_every_worker() {
    let mut process = Process::new(2);
    let inbound: Vec<_> =
        (0..2).map(|worker| process.listener(worker, "inbound", r#"{"span_kind": "server"}"#)).collect();
    let outbound: Vec<_> = (0..2).map(|worker| process.listener(worker, "outbound", LISTING)).collect();
    request(&mut process, (0, inbound[0]), 1, 503);
    request(&mut process, (1, inbound[1]), 2, 503);
    request(&mut process, (1, outbound[1]), 2, 503);
    for (worker, root) in outbound.into_iter().enumerate() {
        let (_, _, ids) = listed(ask(&mut process, (worker, root), &question("")));
        assert_eq!(ids, [trace(1), trace(2)], "worker {worker}: each trace once");
    }
}

#[test]
fn a_full_answer_has_128_ids_and_the_next_one_continues_behind_it() {
    let (mut process, root) = Process::with(PLENTY);
    (1..=300).for_each(|number| drop(request(&mut process, (0, root), number, 503)));
    let (mut query, mut found, mut sizes) = (question(""), Vec::new(), Vec::new());
    for _ in 0..4 {
        let (cursor, _, ids) = listed(ask(&mut process, (0, root), &query));
        sizes.push(ids.len());
        found.extend(ids);
        query = from(&cursor);
    }
    assert_eq!(sizes, [128, 128, 44, 0]);
    assert!(found.iter().zip(1..).all(|(id, number)| *id == trace(number)));
}

#[test]
fn whoever_was_away_too_long_hears_how_many_it_missed() {
    let (mut process, root) = Process::with(PLENTY);
    let (cursor, ..) = listed(ask(&mut process, (0, root), &question("")));
    (1..=600).for_each(|number| drop(request(&mut process, (0, root), number, 503)));
    let (_, missed, ids) = listed(ask(&mut process, (0, root), &from(&cursor)));
    assert_eq!((missed, ids[0].as_str()), (88, trace(89).as_str()));
    let (_, missed, ids) = listed(ask(&mut process, (0, root), &question("")));
    assert_eq!((missed, ids[0].as_str()), (0, trace(89).as_str()), "who asks for the first time has missed nothing");
    process.export();
    assert_eq!(process.metric("applications.upgrades.missed"), 88);
}

#[test]
fn the_cursor_of_an_earlier_process_begins_at_the_oldest_entry() {
    let (mut before, root) = Process::with(LISTING);
    request(&mut before, (0, root), 1, 503);
    let (cursor, ..) = listed(ask(&mut before, (0, root), &question("")));
    let mut process = Process::new(1);
    assert!(process.workers[0].host.random(&mut [0; 8]), "its randomness is another");
    let root = process.listener(0, "outbound", LISTING);
    request(&mut process, (0, root), 2, 503);
    for cursor in [cursor.as_str(), "another-filter", "0000000000000001.7", "a"] {
        let (fresh, missed, ids) = listed(ask(&mut process, (0, root), &from(cursor)));
        assert_eq!((missed, ids), (0, vec![trace(2)]), "{cursor}");
        assert_ne!(fresh, cursor);
    }
}

#[test]
fn a_wrong_question_is_refused_to_whoever_is_authenticated_and_nothing_is_listed() {
    for (what, question) in [
        ("another version", Question { mark: "ff-tracelift-upgrades-2", ..question("") }),
        ("no version", Question { mark: "ff-tracelift-upgrades-", ..question("") }),
        ("a POST", Question { method: "POST", ..question("") }),
        ("a HEAD", Question { method: "HEAD", ..question("") }),
        ("a body", Question { more: vec![("content-length", "2")], ..question("") }),
        ("a body in chunks", Question { more: vec![("transfer-encoding", "chunked")], ..question("") }),
        ("another path", Question { path: "/cart".to_owned(), ..question("") }),
        ("another parameter", question("?since=1")),
        ("one more parameter", question("?cursor=a&b=c")),
        ("an empty cursor", question("?cursor=")),
        ("a cursor with other characters", question("?cursor=a%20b")),
        ("a cursor that is too long", question(&format!("?cursor={}", "a".repeat(65)))),
    ] {
        let (mut process, root) = Process::with(LISTING);
        request(&mut process, (0, root), 1, 503);
        assert_eq!(ask(&mut process, (0, root), &question), Some((400, Some("1".to_owned()))), "{what}");
        process.tick_all();
        let counts = ["polls.refused", "polls.answered", "upgrades.listed"];
        assert_eq!(counts.map(|name| process.metric(&format!("applications.{name}"))), [1, 0, 0], "{what}");
        let mac = Question { token: "guess", ..question.clone() }.mac(process.state.now.get());
        let denied = send(&mut process, (0, root), &question, Some(&mac)).0;
        assert_eq!(denied, Some((403, None)), "{what}: unauthenticated, it learns neither version nor reason");
    }
}

#[test]
fn a_content_length_of_zero_is_no_body() {
    let (mut process, root) = Process::with(LISTING);
    listed(ask(&mut process, (0, root), &Question { more: vec![("content-length", "0")], ..question("") }));
}

#[test]
fn without_the_right_mac_each_question_has_the_same_answer() {
    let asked = from("9f2c41d07b5e8a63.1");
    let (mut process, root) = Process::with(LISTING);
    request(&mut process, (0, root), 1, 503);
    let now = process.state.now.get();
    let long_ago = now - (mac::WINDOW_SECONDS + 1) * SECOND;
    let soon = now + (mac::WINDOW_SECONDS + 1) * SECOND;
    let of = |other: Question| other.mac(now);
    for (what, mac) in [
        ("no MAC", None),
        ("the token itself", Some(TOKEN.to_owned())),
        ("another key", Some(of(Question { token: "guess", ..asked.clone() }))),
        ("of another path", Some(of(question("")))),
        ("of another host", Some(of(Question { authority: "127.0.0.2:15001", ..asked.clone() }))),
        ("of another version", Some(of(Question { mark: "ff-tracelift-upgrades-2", ..asked.clone() }))),
        ("of a recall", Some(of(Question { mark: "ff-tracelift-recall-2", ..asked.clone() }))),
        ("too old", Some(asked.mac(long_ago))),
        ("too new", Some(asked.mac(soon))),
    ] {
        let (heard, stream) = send(&mut process, (0, root), &asked, mac.as_deref());
        assert_eq!(heard, Some((403, None)), "{what}");
        assert_eq!(stream.exchange.own_answer().map(|(_, headers)| headers), Some(Vec::new()), "{what}");
    }
    process.tick_all();
    assert_eq!(process.metric("applications.polls.denied"), 9);
    assert!(!polls::are_coming(&process.workers[0].host, now), "a liar is no application that polls");
}

#[test]
fn a_mark_in_two_lines_is_none() {
    let (mut process, root) = Process::with(LISTING);
    let twice = Question { more: vec![("traceparent", "ff-tracelift-upgrades-1")], ..question("") };
    assert_eq!(ask(&mut process, (0, root), &twice), Some((403, None)));
}

#[test]
fn the_macs_of_the_page_are_good_and_no_others() {
    let rows = PAGE.lines().filter(|line| line.contains("/.well-known/tracelift/upgrades") && line.starts_with("| `"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [token, time, path, audience, digits] = cells[..] else { panic!("{row}") };
        let configuration = LISTING.replace(TOKEN, token);
        let mut process = Process::new(1);
        let root = process.root(0);
        // Only visible ASCII can be configured; another key is checked by the MAC's own arithmetic.
        let asked = Statement { purpose: list::PURPOSE, audience: audience.as_bytes(), content: path.as_bytes() };
        let now = time.parse::<u64>().expect("seconds") * SECOND;
        let value = format!("1;{time};{digits}");
        assert!(asked.is_signed([token.as_bytes(), b""], value.as_bytes(), now), "{row}");
        count += 1;
        if !process.configure(0, root, "outbound", &configuration) {
            assert!(!token.is_ascii(), "{row}");
            continue;
        }
        process.state.now.set(now);
        let authority = if audience.starts_with('[') { "[::1]:15001" } else { "127.0.0.1:15001" };
        let question = Question { authority, path: path.to_owned(), ..question("") };
        listed(send(&mut process, (0, root), &question, Some(&value)).0);
    }
    assert_eq!(count, 3, "rows of the page");
    let window = format!("within {} s of the filter's clock", mac::WINDOW_SECONDS);
    assert!(PAGE.contains(&window), "the page says {window}");
    assert!(PAGE.contains(&format!("At most {} trace-ids", list::MAX_IDS)));
    assert!(PAGE.contains(&format!("{} requests a second", polls::PER_SECOND)));
}

#[test]
fn the_host_is_compared_in_lower_case_and_without_its_port() {
    for authority in ["Catalog.Shop.svc:80", "[::1]:15001", "payments:1"] {
        let (mut process, root) = Process::with(LISTING);
        listed(ask(&mut process, (0, root), &Question { authority, ..question("") }));
    }
}

#[test]
fn both_tokens_are_good_and_recalls_are_taken_where_there_is_none() {
    let both = LISTING.replace(r#""token""#, r#""previous_token": "the-token-before-it", "token""#);
    let recalls = r#"{"span_kind": "client", "upgrade": {"applications": {"enabled": true}, "recall": {"token": "secret-of-the-mesh", "previous_token": "the-secret-before-it"}}}"#;
    for (configuration, token, status) in [
        (both.as_str(), TOKEN, 200),
        (&both, "the-token-before-it", 200),
        (&both, "", 403),
        (recalls, "secret-of-the-mesh", 200),
        (recalls, "the-secret-before-it", 200),
        (recalls, TOKEN, 403),
    ] {
        let (mut process, root) = Process::with(configuration);
        let heard = ask(&mut process, (0, root), &Question { token, ..question("") });
        assert_eq!(heard.map(|(status, _)| status), Some(status), "{token}");
    }
}

#[test]
fn elsewhere_it_is_a_request_like_any_other_without_our_headers() {
    let edge = LISTING.replacen('{', r#"{"edge": true, "#, 1);
    let inbound = LISTING.replace("client", "server");
    let off = LISTING.replace(r#""enabled": true"#, r#""enabled": false"#);
    for configuration in ["{}", &edge, &inbound, &off] {
        let (mut process, root) = Process::with(configuration);
        let asked = question("");
        let mac = asked.mac(process.state.now.get());
        let (heard, stream) = send(&mut process, (0, root), &asked, Some(&mac));
        assert_eq!(heard, None, "{configuration}");
        let names = stream.exchange.side(Side::Request);
        assert!(names.iter().all(|(name, _)| !name.starts_with(b"x-tracelift-")), "{configuration}");
        assert!(stream.exchange.values(Side::Request, "traceparent")[0].starts_with("00-"), "a trace of its own");
        process.tick_all();
        assert_eq!(process.workers[0].host.sum_of("applications."), 0, "{configuration}");
        assert_eq!(process.workers[0].host.sum_of("decisions."), 1, "{configuration}");
    }
}

#[test]
fn the_direction_of_a_listener_decides_where_no_kind_is_set() {
    for (direction, answered) in [(2, true), (1, false), (0, false)] {
        let (mut process, root) = Process::with(&LISTING.replace("client", "auto"));
        let stream = process.stream(0, root);
        stream.exchange.set_number(Attribute::ListenerDirection, direction);
        let asked = question("");
        let mac = asked.mac(process.state.now.get());
        let head = [
            (":method", "GET"),
            (":path", &asked.path),
            (":authority", asked.authority),
            ("traceparent", asked.mark),
            (mac::HEADER, &mac),
        ];
        assert_eq!(process.head(&stream, lines(&head)), answered, "direction {direction}");
        process.log(&stream);
    }
}

#[test]
fn the_mark_does_not_pass_an_edge_whose_propagators_do_not_read_it() {
    let (mut process, root) = Process::with(r#"{"edge": true, "propagators": ["b3"]}"#);
    let (heard, stream) = send(&mut process, (0, root), &question(""), Some("1;2;3"));
    assert_eq!(heard, None);
    assert!(stream.exchange.values(Side::Request, "traceparent").is_empty());
    assert!(stream.exchange.values(Side::Request, mac::HEADER).is_empty());
}

#[test]
fn a_crowd_is_sent_away_and_may_come_again() {
    let (mut process, root) = Process::with(LISTING);
    let statuses: Vec<_> = (0..250).filter_map(|_| ask(&mut process, (0, root), &question(""))).collect();
    let answered = statuses.iter().filter(|(status, _)| *status == 200).count();
    assert!((100..=102).contains(&answered), "{answered} of a burst");
    assert!(statuses.iter().all(|(status, header)| *status == 200 || (*status == 429 && header.is_none())));
    process.advance(SECOND);
    listed(ask(&mut process, (0, root), &question("")));
    process.tick_all();
    assert_eq!(process.metric("applications.polls.busy"), 250 - answered as i64);
}

#[test]
fn the_bound_is_that_of_the_process() {
    let mut process = Process::new(2);
    let roots: Vec<_> = (0..2).map(|worker| (worker, process.listener(worker, "outbound", LISTING))).collect();
    let mut answered = 0;
    for number in 0..250 {
        let heard = ask(&mut process, roots[number % 2], &question(""));
        answered += usize::from(heard.is_some_and(|(status, _)| status == 200));
    }
    assert!((100..=102).contains(&answered), "{answered} in both workers together");
}

#[test]
fn while_it_is_polled_a_process_knows_that_an_application_holds_its_spans() {
    let mut process = Process::new(2);
    let roots: Vec<_> = (0..2).map(|worker| (worker, process.listener(worker, "outbound", LISTING))).collect();
    let knows = |process: &Process| polls::are_coming(&process.workers[1].host, process.state.now.get());
    assert!(!knows(&process), "nobody has asked");
    listed(ask(&mut process, roots[0], &question("")));
    assert!(knows(&process), "every worker knows it");
    let before = process.state.shared.get(b"tracelift.applications.1.polled");
    process.advance(100 * MILLISECOND);
    listed(ask(&mut process, roots[0], &question("")));
    assert_eq!(process.state.shared.get(b"tracelift.applications.1.polled"), before, "written once a second");
    process.advance(9 * SECOND);
    assert!(knows(&process));
    process.advance(2 * SECOND);
    assert!(!knows(&process), "the application has stopped");
    listed(ask(&mut process, roots[0], &question("")));
    process.state.now.set(process.state.now.get() - 3_600 * SECOND);
    assert!(!knows(&process), "the clock was set back");
}

#[test]
fn a_host_that_fails_costs_an_answer_and_no_request() {
    for (operation, expected) in
        [(Operation::Shared, Some(200)), (Operation::Swap, Some(200)), (Operation::Answer, None)]
    {
        let (mut process, root) = Process::with(LISTING);
        let asked = question("");
        let mac = asked.mac(process.state.now.get());
        process.state.faults.set(operation, 1);
        let (heard, stream) = send(&mut process, (0, root), &asked, Some(&mac));
        process.repair();
        assert_eq!(heard.map(|(status, _)| status), expected, "{operation:?}");
        if expected.is_none() {
            assert!(stream.exchange.values(Side::Request, mac::HEADER).is_empty(), "it continues without our headers");
        }
        process.export();
    }
}

#[test]
fn a_log_that_cannot_be_read_leaves_the_cursor_where_it_was() {
    let (mut process, root) = Process::with(LISTING);
    request(&mut process, (0, root), 1, 503);
    let (cursor, ..) = listed(ask(&mut process, (0, root), &question("")));
    request(&mut process, (0, root), 2, 503);
    process.state.faults.set(Operation::Shared, 1);
    let (same, _, ids) = listed(ask(&mut process, (0, root), &from(&cursor)));
    assert_eq!((same, ids.len()), (cursor.clone(), 0));
    process.repair();
    assert_eq!(listed(ask(&mut process, (0, root), &from(&cursor))).2, [trace(2)]);
}

/// A pod whose SDK makes a span that it does not record: the parent-ids of an outgoing call that fails, as exported and as it came.
fn parents_of_a_call(polled: bool) -> (String, i64) {
    const SDK: &str = "00f067aa0ba902b7";
    let mut process = Process::new(1);
    let inbound = process.listener(0, "inbound", r#"{"span_kind": "server", "sampling": {"ratio": 0}}"#);
    let outbound = process.listener(0, "outbound", LISTING);
    if polled {
        listed(ask(&mut process, (0, outbound), &question("")));
    }
    let open = |process: &mut Process, root: u32, parent: &str| {
        let stream = process.stream(0, root);
        process.head(&stream, get(&[("traceparent", &format!("00-{}-{parent}-02", trace(1)))]));
        stream
    };
    let arrives = open(&mut process, inbound, "b7ad6b7169203331");
    let call = open(&mut process, outbound, SDK);
    end(&mut process, &call, 503);
    end(&mut process, &arrives, 503);
    (0..3).for_each(|_| {
        process.export();
    });
    let sent = stream_id(&call);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let span = process.exported.iter().find(|span| hex(&span.span_id) == sent).expect("the call is kept");
    let is_moved = hex(&span.parent_span_id) != SDK;
    assert_eq!(is_moved, hex(&span.parent_span_id) == stream_id(&arrives));
    (hex(&span.parent_span_id), process.metric("parents.found"))
}

fn stream_id(stream: &Stream) -> String {
    stream.exchange.values(Side::Request, "traceparent")[0][36..52].to_owned()
}

#[test]
fn where_the_application_polls_a_call_keeps_the_parent_that_will_come() {
    assert_eq!(parents_of_a_call(true), ("00f067aa0ba902b7".to_owned(), 0));
    let (moved, found) = parents_of_a_call(false);
    assert_eq!((moved == "00f067aa0ba902b7", found), (false, 1), "without an application that asks, nobody exports it");
}
