//! The list of upgrades, in the release module: workers that share the log, processes that do not, and the books.

use std::time::Duration;

use serde_json::{Value, json};
use tracelift::upgrade::list;
use tracelift::upgrade::mac::{self, Statement};
use tracelift_host::{Answer, Envoy, EnvoyBuilder, Headers, RequestSpec, Response};

use crate::kit::{COLLECTOR, closed_books, process, seconds, started};

const TOKEN: &str = "a-token-of-the-pod";

fn upgrade(more: Value) -> String {
    let mut configuration = json!({"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 1000}});
    for (key, value) in more.as_object().into_iter().flatten() {
        configuration["upgrade"][key] = value.clone();
    }
    configuration.to_string()
}

/// A pod whose outbound listener lists upgrades.
fn listing(workers: usize) -> EnvoyBuilder {
    let applications = json!({"applications": {"enabled": true, "token": TOKEN}});
    process(upgrade(json!({}))).outbound(upgrade(applications)).workers(workers).collector(COLLECTOR, Duration::ZERO)
}

fn question(envoy: &Envoy, token: &str, query: &str) -> Headers {
    let path = [list::PATH, query].concat();
    let asked = Statement { purpose: list::PURPOSE, audience: b"127.0.0.1", content: path.as_bytes() };
    let mac = asked.sign(token.as_bytes(), envoy.now().as_nanos() as u64);
    let mut headers = Headers::new();
    for (name, value) in [
        (":method", "GET"),
        (":path", &path),
        (":authority", "127.0.0.1:15001"),
        (":scheme", "http"),
        ("traceparent", "ff-tracelift-upgrades-1"),
        (mac::HEADER, &mac),
    ] {
        headers.add(name, value);
    }
    headers
}

fn send(envoy: &mut Envoy, worker: usize, headers: Headers) -> Answer {
    let teapot = Response::status(418).body("the upstream");
    envoy.receive(RequestSpec::new("outbound", headers).worker(worker), teapot)
}

fn status(answer: &Answer) -> &str {
    answer.headers.text(":status").expect("a status")
}

/// Cursor, missed and trace-ids.
fn listed(envoy: &mut Envoy, worker: usize, query: &str) -> (String, u64, Vec<String>) {
    let headers = question(envoy, TOKEN, query);
    let answer = send(envoy, worker, headers);
    assert_eq!((status(&answer), answer.body.len()), ("200", 0));
    let value = answer.headers.text(list::HEADER).expect("the list").to_owned();
    let parts: Vec<_> = value.split(';').collect();
    let [version, cursor, missed, ids] = parts[..] else { panic!("{value}") };
    assert_eq!(version, list::VERSION);
    let ids = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    (format!("?cursor={cursor}"), missed.parse().expect("a number"), ids)
}

fn fail(envoy: &mut Envoy, worker: usize, listener: &str, number: u32) {
    let traceparent = format!("00-{number:032x}-00f067aa0ba902b7-00");
    let headers: Vec<_> = crate::kit::get("/").into_iter().chain([("traceparent", traceparent.as_str())]).collect();
    envoy.receive(RequestSpec::new(listener, &headers[..]).worker(worker), Response::status(503));
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{number:032x}")).collect()
}

#[test]
fn every_worker_lists_what_any_listener_of_any_worker_upgraded() {
    let mut envoy = started(listing(2));
    let (cursor, ..) = listed(&mut envoy, 0, "");
    fail(&mut envoy, 0, "inbound", 1);
    fail(&mut envoy, 1, "inbound", 2);
    fail(&mut envoy, 1, "outbound", 2);
    fail(&mut envoy, 0, "outbound", 3);
    for worker in 0..2 {
        assert_eq!(listed(&mut envoy, worker, &cursor).2, ids([1, 2, 3]), "worker {worker}: each trace once");
    }
    envoy.advance(seconds(3));
    assert_eq!(envoy.counter("tracelift.applications.polls.answered"), 3);
    assert_eq!(envoy.counter("tracelift.applications.upgrades.listed"), 6);
    envoy.advance(seconds(3));
    let balance = closed_books(&mut envoy);
    assert_eq!(balance.offered, 4, "the failures alone are spans");
    let decisions: u64 = envoy.metrics().counters_under("tracelift.decisions.").iter().map(|(_, count)| count).sum();
    assert_eq!(decisions, 4, "a poll is no decision");
}

#[test]
fn a_cursor_of_an_earlier_process_is_known_as_such() {
    let mut before = started(listing(1));
    fail(&mut before, 0, "inbound", 1);
    let (cursor, ..) = listed(&mut before, 0, "");
    let mut envoy = started(listing(1).seed(8));
    fail(&mut envoy, 0, "inbound", 2);
    let (fresh, missed, found) = listed(&mut envoy, 0, &cursor);
    assert_eq!((missed, found), (0, ids([2])));
    assert_ne!(fresh.split('.').next(), cursor.split('.').next(), "another epoch");
}

#[test]
fn a_reader_that_falls_behind_is_served_in_parts_and_hears_what_it_missed() {
    let mut envoy = started(listing(2));
    let (mut cursor, ..) = listed(&mut envoy, 0, "");
    (1..=600).for_each(|number| fail(&mut envoy, (number % 2) as usize, "inbound", number));
    let (mut found, mut sizes) = (Vec::new(), Vec::new());
    for worker in [0, 1, 0, 1, 0] {
        let (next, missed, some) = listed(&mut envoy, worker, &cursor);
        assert_eq!(missed, if sizes.is_empty() { 88 } else { 0 });
        sizes.push(some.len());
        found.extend(some);
        cursor = next;
    }
    assert_eq!(sizes, [128, 128, 128, 128, 0]);
    assert_eq!(found, ids(89..=600));
    envoy.advance(Duration::from_secs(1));
    assert_eq!(envoy.counter("tracelift.applications.upgrades.missed"), 88);
}

#[test]
fn whoever_does_not_know_the_token_learns_nothing() {
    let mut envoy = started(listing(1));
    fail(&mut envoy, 0, "inbound", 1);
    for headers in [question(&envoy, "a-guess-of-somebody", ""), {
        let mut headers = question(&envoy, TOKEN, "");
        headers.remove(mac::HEADER);
        headers
    }] {
        let answer = send(&mut envoy, 0, headers);
        let ours = answer.headers.iter().filter(|(name, _)| name.starts_with(b"x-tracelift-")).count();
        assert_eq!((status(&answer), answer.body.len(), ours), ("403", 0, 0));
    }
    let overheard = question(&envoy, TOKEN, "");
    envoy.advance(seconds(mac::WINDOW_SECONDS + 1));
    assert_eq!(status(&send(&mut envoy, 0, overheard)), "403", "a minute later");
    envoy.advance(seconds(1));
    assert_eq!(envoy.counter("tracelift.applications.polls.denied"), 3);
}

#[test]
fn a_wrong_question_is_told_the_version_and_a_crowd_is_sent_away() {
    let mut envoy = started(listing(2));
    let headers = question(&envoy, TOKEN, "?cursor=a%20b");
    let answer = send(&mut envoy, 0, headers);
    assert_eq!((status(&answer), answer.headers.text(list::HEADER)), ("400", Some("1")));
    let mut answered = 0;
    for number in 0..150 {
        let headers = question(&envoy, TOKEN, "");
        let answer = send(&mut envoy, number % 2, headers);
        match status(&answer) {
            "200" => answered += 1,
            other => assert_eq!((other, answer.headers.text(list::HEADER)), ("429", None)),
        }
    }
    assert!((100..=102).contains(&answered), "{answered} of a burst, in both workers together");
    envoy.advance(seconds(1));
    assert_eq!(envoy.counter("tracelift.applications.polls.busy"), 150 - answered);
    assert_eq!(envoy.counter("tracelift.applications.polls.refused"), 1);
}

#[test]
fn a_listener_that_lists_nothing_passes_it_on_as_any_request() {
    let mut envoy = started(listing(1));
    let headers = question(&envoy, TOKEN, "");
    let request = envoy.open(RequestSpec::new("inbound", headers));
    let forwarded = request.forwarded_headers(&envoy);
    assert!(forwarded.iter().all(|(name, _)| !name.starts_with(b"x-tracelift-")));
    assert!(forwarded.text("traceparent").is_some_and(|context| context.starts_with("00-")));
    assert_eq!(request.respond(&mut envoy, 404).status, Some(404));
}
