//! The sliders and what they come to.

use crate::browser::{open, picture};

/// The keys Home and End.
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";

#[tokio::test]
async fn the_numbers_follow_the_sliders() {
    let browser = open(1400, 2200).await;
    let row = async |index: usize| browser.texts(&format!("#numbers tbody tr:nth-child({index}) td")).await;
    assert_eq!(row(1).await[..2], ["8 k", "5.73 M"]);
    assert_eq!(row(1).await[4], "$13,139.50");
    assert_eq!(row(3).await[5..], ["100 %", "58.4 %"]);

    assert!(!browser.text("#notes").await.contains("rules"));
    browser.click("[data-example=rules]").await;
    assert!(browser.text("#notes").await.contains("The configuration's rules (3) are left out here"));
    browser.click("[data-example=smallest]").await;

    browser.keys("#ratio", HOME).await;
    assert_eq!(browser.text("output[for=ratio]").await, "0.01 %");
    assert_eq!(row(2).await[0], "0.8");
    assert_eq!(row(2).await[5], "0.01 %");
    assert_eq!(row(3).await[5], "100 %");

    browser.keys("#failed", END).await;
    assert_eq!(browser.text("output[for=failed]").await, "100 %");
    assert!(
        browser
            .text("#notes")
            .await
            .contains("1000.0 failures a second are more than the budget of 100.0: 90.0 % of them are shed.")
    );
    browser.keys("#budget", END).await;
    assert_eq!(row(3).await[5], "100 %");

    browser.keys("#traffic", END).await;
    assert_eq!(browser.text("output[for=traffic]").await, "1 M");
    browser.close().await;
}

#[tokio::test]
async fn the_plots_say_in_words_what_they_show() {
    let browser = open(1400, 2200).await;
    let labels = browser
        .run("return [...document.querySelectorAll('#plots svg')].map(one => one.getAttribute('aria-label'))")
        .await;
    let labels: Vec<String> = serde_json::from_value(labels).expect("texts");
    assert_eq!(labels.len(), 4);
    assert_eq!(labels[0], "Spans a second by ratio. At 5 %: keep everything 8 k, head only 400, tracelift 443.");
    assert_eq!(
        labels[3],
        "Failed traces kept whole by ratio. At 5 %: keep everything 100 %, head only 5 %, tracelift 100 %."
    );
    let paths =
        browser.run("return [...document.querySelectorAll('#plots path')].map(one => one.getTotalLength())").await;
    let paths: Vec<f64> = serde_json::from_value(paths).expect("lengths");
    assert_eq!(paths.len(), 12);
    assert!(paths.iter().all(|length| 200.0 < *length), "{paths:?}");
    browser.run("document.querySelector('#forecast-title').scrollIntoView()").await;
    picture(&browser, "forecast").await;
    browser.close().await;
}
