//! The load generator: an open loop, as strangers on the internet are, at a rate that may change.

use crate::plan::Visit;
use crate::schedule::Schedule;
use crate::services::VISIT_HEADER;
use crate::truth::{Answered, Event, Truth};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracelift_envoy::client::{Client, Reply, Request};

/// Requests that may be open at a time; beyond it the generator waits rather than fall over.
const OPEN: usize = 256;

/// Draws requests and sends them to `entrance`, `rate` a second, and returns when `requests` of them were answered, or those that had
/// begun when nobody sets a rate any more.
pub async fn run(
    schedule: Schedule,
    entrance: SocketAddr,
    mut rate: watch::Receiver<f64>,
    requests: Option<u64>,
    truth: Truth,
) {
    let client = Client::new();
    let open = Arc::new(Semaphore::new(OPEN));
    let mut visitors = JoinSet::new();
    let mut ticks = ticks_at(*rate.borrow_and_update());
    for _ in 0..requests.unwrap_or(u64::MAX) {
        ticks.tick().await;
        match rate.has_changed() {
            Ok(true) => ticks = ticks_at(*rate.borrow_and_update()),
            Ok(false) => {}
            Err(_) if requests.is_none() => break,
            Err(_) => {}
        }
        let Ok(permit) = open.clone().acquire_owned().await else { return };
        let (visit, client, truth) = (schedule.draw(), client.clone(), truth.clone());
        visitors.spawn(async move {
            let reply = client.send(request(entrance, &visit)).await;
            let signal = reply.as_ref().ok().and_then(signal);
            let status = reply.map(|reply| reply.status).map_err(|error| error.to_string());
            truth.note(Event::Answered(Answered { visit, status, signal }));
            drop(permit);
        });
        while visitors.try_join_next().is_some() {}
    }
    while visitors.join_next().await.is_some() {}
}

/// After a pause of the machine the rate goes on; it does not make up for lost time all at once.
fn ticks_at(rate: f64) -> Interval {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What the mesh and its applications tell each other of upgrades.
fn signal(reply: &Reply) -> Option<String> {
    let found = ["x-tracelift-signal", "traceresponse"].iter().find_map(|name| reply.header(name));
    found.map(str::to_owned)
}

fn request(entrance: SocketAddr, visit: &Visit) -> Request {
    let path = visit.path();
    let request = if visit.is_post() { Request::post(entrance, &path, "") } else { Request::get(entrance, &path) };
    let request = request
        .host("shop.example")
        .header(VISIT_HEADER, visit.number.to_string())
        .header("x-amzn-trace-id", visit.amazon_header());
    match &visit.context {
        Some(context) => {
            request.header("traceparent", context.traceparent()).header("tracestate", visit.vendor_member())
        }
        None => request,
    }
}
