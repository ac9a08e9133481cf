//! Those who lie, or do by accident as liars would, about what is to be kept: one trace-id for everything, the response headers of
//! an SDK, a trace-id that every ratio samples. Each beside a twin without the filter.

use crate::stage::{Stage, inbound};
use serde_json::{Value, json};
use std::time::Instant;
use tracelift_envoy::{Bootstrap, Collector, flood};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const FLOODS: u64 = 4;
/// Traces a second that the budget admits.
const BUDGET: u64 = 5;

/// `/broken` and `/fine` are answered by Envoy itself, with what an SDK that follows the W3C draft adds to an answer.
fn direct(bootstrap: &mut Bootstrap) {
    let answer = |status: u16, flag: &str| {
        let context = format!("00-{TRACE}-00f067aa0ba902b7-{flag}");
        json!({
            "direct_response": { "status": status },
            "response_headers_to_add": [{ "header": { "key": "traceresponse", "value": context } }],
        })
    };
    bootstrap.add_route("inbound", "/broken", answer(500, "00")).unwrap();
    bootstrap.add_route("inbound", "/fine", answer(200, "01")).unwrap();
}

async fn stage(change: impl FnMut(&mut Value)) -> Stage {
    Stage::start_with(Collector::start().await.unwrap(), change, direct).await
}

/// So many requests to both Envoys, with this trace context.
async fn ask(
    stage: &Stage,
    path: &'static str,
    status: u16,
    requests: u64,
    trace: impl Fn(u64) -> String + Clone + Send + 'static,
) {
    let head = move |number: u64| {
        let trace = trace(number);
        format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-02\r\n")
    };
    let with = flood(inbound(&stage.with), FLOODS, requests, head.clone()).await.unwrap();
    let without = flood(inbound(&stage.without), FLOODS, requests, head).await.unwrap();
    println!("{requests} times {path}\n  with the filter:    {with}\n  without the filter: {without}");
    assert!(with.is_all(status) && without.is_all(status) && with.answered() == requests, "{with}");
}

fn same(_: u64) -> String {
    TRACE.to_owned()
}

#[tokio::test]
async fn one_trace_id_that_fails_for_ever_costs_ten_times_the_budget_at_most() {
    const REQUESTS: u64 = 5_000;
    let stage = stage(|json| {
        json["sampling"] = json!({ "ratio": 0 });
        json["upgrade"] = json!({ "traces_per_second": BUDGET });
    })
    .await;
    let started = Instant::now();
    ask(&stage, "/broken", 500, REQUESTS, same).await;
    let most = (BUDGET + 10 * BUDGET) * (started.elapsed().as_secs() + 2);
    let stats = stage.closed(REQUESTS).await;
    let (kept, shed) = (stats.tracelift("upgrades.http_status"), stats.tracelift("upgrades.shed"));
    println!("  {kept} upgraded, {shed} shed; {}", stats.ledger());
    assert_eq!(kept + shed, REQUESTS, "each failure is accounted for");
    assert!(0 < kept && kept <= most, "{kept} kept where {most} may be");
    assert_eq!(stats.tracelift("joins.refused"), shed);
    assert_eq!(stage.settle().await.offered, kept);
}

#[tokio::test]
async fn what_an_sdk_answers_by_the_w3c_draft_neither_sheds_nor_upgrades() {
    let stage = stage(|json| json["sampling"] = json!({ "ratio": 0 })).await;
    ask(&stage, "/fine", 200, 200, same).await;
    assert_eq!(stage.closed(200).await.sum("upgrades."), 0, "flag 1 on an answer that is fine");
    ask(&stage, "/broken", 500, 200, same).await;
    let stats = stage.closed(400).await;
    assert_eq!(
        (stats.tracelift("upgrades.http_status"), stats.tracelift("upgrades.shed")),
        (200, 0),
        "flag 0 on a failure"
    );
    assert_eq!(stage.settle().await.offered, 200);
}

#[tokio::test]
async fn at_the_edge_an_outsider_chooses_neither_what_is_sampled_nor_what_is_hidden() {
    const REQUESTS: u64 = 2_000;
    let stage = stage(|json| {
        json["sampling"] = json!({ "ratio": 0.05 });
        json["edge"] = true.into();
    })
    .await;
    let mut before = 0;
    for (round, end) in ["ffffffffffffff", "00000000000000"].into_iter().enumerate() {
        let trace = move |number: u64| format!("{:018x}{end}", number + 1);
        ask(&stage, "/fine", 200, REQUESTS, trace).await;
        let sampled = stage.closed(REQUESTS * (round as u64 + 1)).await.tracelift("decisions.sampled.ratio") - before;
        println!("  …{end}: {sampled} of {REQUESTS} sampled");
        assert!((50..=150).contains(&sampled), "{sampled} of {REQUESTS} at 5 %");
        before += sampled;
    }
    assert_eq!(stage.settle().await.offered, before);
}
