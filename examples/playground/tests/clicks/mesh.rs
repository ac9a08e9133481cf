//! The request on its way, step by step.

use crate::browser::{Browser, open, picture};

async fn badges(browser: &Browser) -> Vec<String> {
    browser.texts("#hops .badge:last-child").await
}

#[tokio::test]
async fn a_swallowed_failure_is_followed_hop_by_hop() {
    let browser = open(1400, 1600).await;
    assert_eq!(browser.text("#summary").await, "Every hop keeps its span: the trace is whole.");
    assert_eq!(browser.texts("#hops .badge:nth-last-child(2)").await, ["200", "200", "503", "503", "503", "503"]);
    assert_eq!(
        badges(&browser).await,
        [
            "kept: signal",
            "kept: signal",
            "kept: http status",
            "kept: http status",
            "kept: http status",
            "kept: http status"
        ]
    );
    browser.click("#hops li:nth-child(2) button").await;
    let steps = browser.text("#hop").await;
    for said in [
        "Step by step at web, inbound",
        "status 200 after 120 ms; another listener of this Envoy says that it keeps this trace",
        "upgraded (signal): the verdict came with the answer, nothing is charged here",
        "dropped: the caller's flag decides",
    ] {
        assert!(steps.contains(said), "{said}\n{steps}");
    }
    browser.click("#hops li:nth-child(6) button").await;
    assert!(browser.text("#hop").await.contains("upgraded (http_status): the budget had room"));
    picture(&browser, "mesh").await;
    browser.close().await;
}

#[tokio::test]
async fn a_spent_budget_sheds_the_trace_everywhere() {
    let browser = open(1400, 1600).await;
    browser.click("#admit").await;
    assert_eq!(browser.text("#summary").await, "No hop keeps its span.");
    // web answered 200: nothing failed there, and what was shed below is nothing to keep.
    assert_eq!(badges(&browser).await, ["dropped", "dropped", "shed", "shed", "shed", "shed"]);
    browser.choose("#status", "200").await;
    assert_eq!(badges(&browser).await, ["dropped"; 6]);
    browser.choose("#caller", "01").await;
    assert_eq!(badges(&browser).await, ["sampled"; 6]);
    browser.close().await;
}

#[tokio::test]
async fn rules_and_the_trace_id_decide_at_the_first_hop() {
    let browser = open(1400, 1600).await;
    browser.click("[data-example=rules]").await;
    browser.choose("#status", "200").await;
    browser.write("#headers", "X-Tenant: gold").await;
    assert_eq!(badges(&browser).await, ["sampled"; 6]);
    assert!(browser.text("#hop").await.contains("\"gold\" (sampling.rules[2]) is the first that matches"));

    browser.write("#trace-id", "4bf92f3577b34da6a300000000000000").await;
    assert_eq!(badges(&browser).await, ["dropped"; 6]);
    browser.write("#trace-id", "4bf9").await;
    assert_eq!(
        browser.find("#trace-id").await.attr("aria-invalid").await.expect("an attribute").as_deref(),
        Some("true")
    );
    assert!(browser.text("#trace-hint").await.contains("32 lowercase hexadecimal digits"));
    browser.click("#new-id").await;
    assert!(browser.text("#trace-hint").await.starts_with("Its randomness R is "));
    browser.close().await;
}
