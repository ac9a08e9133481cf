//! The list of upgrades in a real Envoy with two workers: the application asks its sidecar, and nothing reaches an upstream.

use crate::mesh::{Pod, SOON, settings, start, traceparent};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracelift::upgrade::list;
use tracelift::upgrade::mac::{self, Statement};
use tracelift_envoy::{Bootstrap, Client, Envoy, Reply, Request};

const TOKEN: &str = "a-token-of-the-pod";

/// The shipped sidecar, ratio 0, that lists upgrades for whoever knows the token.
fn listing(bootstrap: &mut Bootstrap) {
    settings(bootstrap, |json| {
        json["sampling"]["ratio"] = 0.into();
        json["upgrade"] = json!({ "applications": { "enabled": true, "token": TOKEN } });
    });
}

/// Asks the outbound listener over a connection of its own, so on whatever worker, with a MAC under this token.
async fn ask(envoy: &Envoy, token: &str, cursor: &str) -> Reply {
    let path = if cursor.is_empty() { list::PATH.to_owned() } else { format!("{}?cursor={cursor}", list::PATH) };
    let asked = Statement { purpose: list::PURPOSE, audience: b"127.0.0.1", content: path.as_bytes() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let address = envoy.address("outbound").unwrap();
    let request = Request::get(address, &path)
        .host(&address.to_string())
        .header("traceparent", "ff-tracelift-upgrades-1")
        .header(mac::HEADER, asked.sign(token.as_bytes(), now));
    Client::new().send(request).await.unwrap_or_else(|error| panic!("{error}\n{}", envoy.log()))
}

/// Cursor, missed and trace-ids of an answer.
fn listed(reply: &Reply) -> (String, u64, Vec<String>) {
    let value = reply.header(list::HEADER).unwrap_or_else(|| panic!("{reply:?}"));
    let parts: Vec<_> = value.split(';').collect();
    let [version, cursor, missed, ids] = parts[..] else { panic!("{value}") };
    assert_eq!((reply.status, version, reply.body.len()), (200, "1", 0));
    let ids = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    (cursor.to_owned(), missed.parse().unwrap(), ids)
}

async fn counted(pod: &Pod, name: &str, expected: u64) {
    let name = format!("applications.{name}");
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let found = pod.envoy.admin().stats().await.unwrap().tracelift(&name);
        if found == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{name} is {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn upgrades_are_listed_by_the_filter_itself_whichever_worker_is_asked() {
    let pod = Pod::sidecar(listing).await;
    let (mut cursor, missed, none) = listed(&ask(&pod.envoy, TOKEN, "").await);
    assert_eq!((missed, none.len()), (0, 0));
    let mut polls = 1;
    for number in 1..=12 {
        let sent = traceparent(number, false);
        let path = if number % 2 == 0 { "/status/503" } else { "/fine" };
        pod.send(Request::get(pod.entry(), path).header("traceparent", &sent)).await;
        let (next, _, ids) = listed(&ask(&pod.envoy, TOKEN, &cursor).await);
        let expected: Vec<_> = (number % 2 == 0).then(|| sent[3..35].to_owned()).into_iter().collect();
        assert_eq!(ids, expected, "request {number}");
        cursor = next;
        polls += 1;
    }
    assert_eq!(listed(&ask(&pod.envoy, TOKEN, "").await).2.len(), 6, "who asks anew gets all of them");
    assert!(pod.upstream.arrivals().iter().all(|arrival| !arrival.path.contains("tracelift")));
    pod.settle(6).await;
    counted(&pod, "polls.answered", polls + 1).await;
    counted(&pod, "upgrades.listed", 12).await;
}

#[tokio::test]
async fn whoever_lacks_the_token_is_denied_and_a_wrong_cursor_is_refused() {
    let pod = Pod::sidecar(listing).await;
    let denied = ask(&pod.envoy, "a-guess-of-somebody", "").await;
    let ours = denied.headers.keys().filter(|name| name.as_str().starts_with("x-tracelift-")).count();
    assert_eq!((denied.status, denied.body.len(), ours), (403, 0, 0), "{denied:?}");
    let refused = ask(&pod.envoy, TOKEN, "a&b").await;
    assert_eq!((refused.status, refused.header(list::HEADER)), (400, Some("1")));
    counted(&pod, "polls.denied", 1).await;
    counted(&pod, "polls.refused", 1).await;
    assert!(pod.upstream.arrivals().is_empty());
    let line = pod.envoy.wait_for_access_log("GET /.well-known/tracelift/upgrades ", SOON).await.unwrap();
    assert!(line.ends_with("decision=-"), "{line}");
    pod.settle(0).await;
}

#[tokio::test]
async fn a_crowd_is_sent_away() {
    let pod = Pod::sidecar(listing).await;
    let mut busy = 0;
    for _ in 0..400 {
        let reply = ask(&pod.envoy, TOKEN, "").await;
        assert!([200, 429].contains(&reply.status), "{reply:?}");
        if reply.status == 429 {
            assert_eq!(reply.header(list::HEADER), None);
            busy += 1;
        }
    }
    counted(&pod, "polls.busy", busy).await;
    counted(&pod, "polls.answered", 400 - busy).await;
}

#[tokio::test]
async fn a_restart_of_envoy_begins_another_log() {
    let mut kept = None;
    let pod = Pod::sidecar(|bootstrap| {
        listing(bootstrap);
        kept = Some(bootstrap.clone());
    })
    .await;
    pod.get("/status/503").await;
    let (cursor, ..) = listed(&ask(&pod.envoy, TOKEN, "").await);
    let again = start(&kept.unwrap()).await;
    let sent = traceparent(1, false);
    let entry = again.address("inbound").unwrap();
    pod.send(Request::get(entry, "/status/503").header("traceparent", &sent)).await;
    let (fresh, missed, ids) = listed(&ask(&again, TOKEN, &cursor).await);
    assert_eq!((missed, ids), (0, vec![sent[3..35].to_owned()]));
    assert_ne!(fresh.split('.').next(), cursor.split('.').next(), "another epoch");
}

#[tokio::test]
async fn inbound_and_where_the_list_is_off_the_application_answers_without_our_headers() {
    let pod = Pod::sidecar(listing).await;
    let request = Request::get(pod.entry(), list::PATH)
        .header("traceparent", "ff-tracelift-upgrades-1")
        .header(mac::HEADER, "1;2;3");
    let reply = pod.send(request).await;
    assert_eq!((reply.status, reply.header(list::HEADER)), (200, None), "the application's own answer");
    let arrival = pod.upstream.last().unwrap();
    assert!(arrival.text("traceparent").starts_with("00-"), "a trace of its own");
    assert!(arrival.header(mac::HEADER).is_none());
    pod.settle(0).await;
}
