//! The configuration: its faults where they are.

use serde_json::json;

use crate::browser::{open, picture};

#[tokio::test]
async fn mistakes_are_told_and_marked_where_they_stand() {
    let browser = open(1400, 1000).await;
    browser.click("[data-example=broken]").await;
    assert_eq!(browser.text("#verdict").await, "Refused: 5 errors. Below, the last accepted one counts.");
    let places = browser.run("return [...document.querySelectorAll('#findings b')].map(one => one.textContent)").await;
    assert_eq!(
        places,
        json!([
            "4:5 error sampling.ratoi",
            "6:48 error sampling.rules[0].match.path.exct",
            "7:17 error sampling.rules[1].name",
            "7:36 error sampling.rules[1].ratio",
            "10:29 error export.timeout_ms",
        ])
    );
    let marked = browser.run("return [...document.querySelectorAll('.marks mark')].map(one => one.textContent)").await;
    assert_eq!(marked, json!(["\"ratoi\"", "\"exct\"", "\"probes\"", "7", "0"]));
    let lines =
        browser.run("return [...document.querySelectorAll('.numbers .error')].map(one => one.textContent)").await;
    assert_eq!(lines, json!(["4", "6", "7", "10"]));

    browser.click("#findings li:nth-child(2) button").await;
    let after = browser.run("const area = document.activeElement; return [area.id, area.value.slice(area.selectionStart, area.selectionStart + 6)]");
    assert_eq!(after.await, json!(["configuration", "\"exct\""]));
    picture(&browser, "mistakes").await;
    browser.close().await;
}

#[tokio::test]
async fn what_is_typed_is_checked_at_once_and_only_what_is_accepted_counts() {
    let browser = open(1400, 1000).await;
    browser.write("#configuration", "{\"sampling\": {\"ratio\": 1}}").await;
    assert_eq!(browser.text("#verdict").await, "Accepted.");
    assert_eq!(browser.text("output[for=ratio]").await, "100 %");
    let sampled = browser.texts("#hops li").await;
    browser.keys("#configuration", "}").await;
    assert!(browser.text("#verdict").await.starts_with("Refused: 1 error."), "{}", browser.text("#verdict").await);
    assert!(browser.text("#findings").await.contains("1:27 error\nno valid JSON: trailing characters"));
    assert_eq!(browser.texts("#hops li").await, sampled);
    browser.close().await;
}

#[tokio::test]
async fn a_whole_envoy_file_is_read_and_what_is_around_the_filter_is_warned_of() {
    let browser = open(1400, 1000).await;
    browser.click("[data-example=envoy]").await;
    assert_eq!(browser.text("#verdict").await, "Accepted, with 3 warnings.");
    let marked = browser.run("return [...document.querySelectorAll('.marks mark.warning')].length");
    assert_eq!(marked.await, json!(3));
    assert!(browser.text("#findings").await.contains("stats_tags"));
    assert!(browser.text("#findings").await.contains("no cluster of this file is named \"colector\""));
    assert_eq!(browser.text("output[for=ratio]").await, "1 %");
    browser.close().await;
}
