//! Changes while requests flow: canaries, ratios and rules, the way back, and mistakes.

use crate::fleet::{Filter, Fleet, Member, logged};
use crate::kit::{SOON, traceparent, wait_until};
use serde_json::json;
use tracelift_envoy::{Client, Collector, ReceivedSpan, Request, Upstream};

#[tokio::test]
async fn a_canary_grows_from_none_to_all_without_one_failed_request() {
    let fleet = Fleet::start(&[Filter::Off, Filter::Off, Filter::Off, Filter::Off]).await;
    let load = fleet.load();
    load.more(200).await;
    for member in &fleet.members {
        assert_eq!(member.decisions().await, 0, "nobody decides yet");
    }
    for (enabled, member) in (1..).zip(&fleet.members) {
        member.apply(&Filter::on(json!({ "sampling": { "ratio": 1 } }))).await;
        load.more(200).await;
        for (index, member) in fleet.members.iter().enumerate() {
            if index < enabled {
                wait_until("a member of the canary decides", async || 0 < member.decisions().await).await;
            } else {
                assert_eq!(member.decisions().await, 0, "{index}: the others are left alone");
            }
        }
    }
    let served = load.stop().await;
    let spans = fleet.settle().await as u64;
    assert!(400 < spans && spans < served, "{spans} spans of {served} requests");
}

#[tokio::test]
async fn ratio_and_rules_change_without_one_failed_request_or_lost_span() {
    let fleet = Fleet::start(&[Filter::on(json!({ "sampling": { "ratio": 0 } })), Filter::on(json!({}))]).await;
    let load = fleet.load();
    load.more(200).await;
    let steps = [
        json!({ "sampling": { "ratio": 1 } }),
        json!({ "sampling": { "ratio": 0.1 } }),
        json!({ "sampling": { "ratio": 1, "rules": [{ "name": "cart", "match": { "path": { "prefix": "/cart" } }, "ratio": 0 }] } }),
        json!({ "sampling": { "ratio": 0.5 } }),
    ];
    for step in &steps {
        for member in &fleet.members {
            member.apply(&Filter::on(step.clone())).await;
        }
        load.more(200).await;
    }
    let served = load.stop().await;
    let spans = fleet.settle().await;
    assert!(0 < spans);
    let decided = async || {
        let mut decided = 0;
        for member in &fleet.members {
            decided += member.decisions().await;
        }
        decided
    };
    wait_until("every request of every setting has one decision", async || decided().await == served).await;
    for member in &fleet.members {
        let stats = member.envoy.admin().stats().await.unwrap();
        assert!(0 < stats.tracelift("decisions.dropped.rule"), "the rule ruled for a while");
    }
}

#[tokio::test]
async fn the_way_back_is_one_command_and_every_span_that_was_made_arrives() {
    let fleet = Fleet::start(&[
        Filter::on(json!({ "sampling": { "ratio": 1 } })),
        // One whose spans are all still waiting when the command comes.
        Filter::on(json!({ "sampling": { "ratio": 1 }, "export": { "scheduled_delay_ms": 60_000 } })),
    ])
    .await;
    let load = fleet.load();
    load.more(300).await;
    for member in &fleet.members {
        member.apply(&Filter::quiet()).await;
    }
    load.more(100).await;
    let made = fleet.made();
    assert!(200 < made);
    assert_eq!(fleet.settle().await, made);
    load.more(100).await;
    assert_eq!(fleet.made(), made, "nothing is sampled any more");

    for member in &fleet.members {
        member.apply(&Filter::Off).await;
    }
    load.more(100).await;
    load.stop().await;
    assert_eq!(ReceivedSpan::distinct(&fleet.collector.spans()), made);
    context_is_left_alone(&fleet).await;
}

#[tokio::test]
async fn taken_out_in_one_step_under_load_it_fails_no_request() {
    let fleet = Fleet::start(&[Filter::on(json!({ "sampling": { "ratio": 1 } }))]).await;
    let load = fleet.load();
    for _ in 0..3 {
        load.more(100).await;
        fleet.members[0].apply(&Filter::Off).await;
        load.more(100).await;
        fleet.members[0].apply(&Filter::on(json!({ "sampling": { "ratio": 1 } }))).await;
    }
    load.more(100).await;
    fleet.members[0].apply(&Filter::Off).await;
    load.stop().await;
    context_is_left_alone(&fleet).await;
}

async fn context_is_left_alone(fleet: &Fleet) {
    let context = traceparent(7, true);
    let request = Request::get(fleet.members[0].inbound(), "/cart").header("traceparent", &context);
    assert_eq!(Client::new().send(request).await.unwrap().status, 200);
    assert_eq!(fleet.upstream.last().unwrap().text("traceparent"), context, "nobody is there to change it");
}

#[tokio::test]
async fn a_wrong_file_is_refused_and_the_settings_before_go_on_serving() {
    let fleet = Fleet::start(&[Filter::on(json!({ "sampling": { "ratio": 1 } }))]).await;
    let member = &fleet.members[0];
    let load = fleet.load();
    load.more(50).await;
    let mistakes = [
        Filter::on(json!({ "sampling": { "ratio": 1.5 } })),
        Filter::on(json!({ "sampling": { "ratoi": 1 } })),
        Filter::of_module("/nowhere/tracelift.wasm".as_ref(), json!({})),
        Filter::of_module("/nowhere/libtracelift.so".as_ref(), json!({})),
        Filter::Text("resources: [".to_owned()),
    ];
    let taken = member.stat("update_success").await;
    for mistake in &mistakes {
        let refused = member.refused().await;
        member.replace(mistake);
        wait_until("Envoy refuses the file", async || refused < member.refused().await).await;
        load.more(50).await;
        assert_eq!(member.stat("update_success").await, taken, "{mistake:?}");
    }
    for field in ["sampling.ratio", "sampling.ratoi"] {
        logged(&member.envoy, field).await;
    }
    let served = load.stop().await;
    assert_eq!(fleet.settle().await as u64, served, "all of it sampled by the settings before");
}

#[tokio::test]
async fn a_wrong_file_at_start_is_a_proxy_without_tracing_not_one_that_does_not_start() {
    let fleet = Fleet::start(&[Filter::on(json!({ "sampling": { "ratio": "much" } }))]).await;
    let member = &fleet.members[0];
    logged(&member.envoy, "sampling.ratio").await;
    let load = fleet.load();
    load.more(50).await;
    assert_eq!(member.decisions().await, 0);
    member.apply(&Filter::on(json!({ "sampling": { "ratio": 1 } }))).await;
    load.more(50).await;
    let served = load.stop().await;
    let spans = fleet.settle().await as u64;
    assert!(0 < spans && spans < served);
}

/// client -> `front` with today's filter -> `middle` without any -> `back` with the filter of an earlier version -> upstream.
#[tokio::test]
async fn versions_and_pods_without_the_filter_live_side_by_side() {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let earlier = crate::earlier::module(directory.path());
    let named = |name: &str| json!({ "service_name": name, "sampling": { "ratio": 0 } });
    let back = Filter::of_module(&earlier, named("back"));
    let back = Member::start(&back, upstream.address(), collector.address()).await;
    let middle = Member::start(&Filter::Off, back.inbound(), collector.address()).await;
    let front = Member::start(&Filter::on(named("front")), middle.inbound(), collector.address()).await;
    let client = Client::new();
    let mut kept = 0;
    for number in 1..=60u64 {
        let (sampled, failed) = (number.is_multiple_of(3), number.is_multiple_of(5));
        let path = if failed { "/status/503" } else { "/cart" };
        let request = Request::get(front.inbound(), path).header("traceparent", traceparent(number, sampled));
        assert_eq!(client.send(request).await.unwrap().status, if failed { 503 } else { 200 });
        kept += if sampled || failed { 2 } else { 0 };
    }
    crate::kit::settle(&[&front.envoy, &back.envoy], &collector, kept).await;
    for number in 1..=60u64 {
        let spans = collector.trace(&traceparent(number, false)[3..35]);
        let by_name = |name: &str| spans.iter().find(|span| span.service_name() == name);
        match (number % 3 == 0 || number % 5 == 0, by_name("front"), by_name("back")) {
            (true, Some(front), Some(back)) => {
                assert_eq!(back.parent_span_id(), front.span_id(), "{number}: the pod between left the context alone");
                // The failure was told across the pod that knows nothing, whichever version told it.
                let expected = (number % 5 == 0).then_some("http_status");
                assert_eq!((front.trigger(), back.trigger()), (expected, expected), "{number}");
            }
            (false, None, None) => {}
            found => panic!("{number}: {found:?}"),
        }
    }
    assert_eq!(middle.decisions().await, 0);
    collector.wait_for_spans(kept, SOON).await.unwrap();
}
