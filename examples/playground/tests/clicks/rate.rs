//! A log under a target: the rate over time.

use serde_json::{Value, json};

use crate::browser::{Browser, open, picture};

async fn labels(browser: &Browser) -> Vec<String> {
    let script = "return [...document.querySelectorAll('#timelines svg')].map(one => one.getAttribute('aria-label'))";
    serde_json::from_value(browser.run(script).await).expect("texts")
}

#[tokio::test]
async fn a_load_step_is_followed_and_what_is_kept_stays() {
    let browser = open(1400, 2600).await;
    assert_eq!(browser.text("#rate-summary").await, "Choose a log.");
    browser.click("[data-log=step]").await;
    let said = browser.text("#rate-summary").await;
    assert!(said.contains("neither sampling.target nor sampling.boost"), "{said}");
    assert_eq!(labels(&browser).await, [""; 0]);

    browser.click("[data-example=target]").await;
    assert_eq!(browser.text("#verdict").await, "Accepted.");
    browser
        .wait_until("the log is decided again", "return document.querySelectorAll('#timelines svg').length === 2")
        .await;
    let said = browser.text("#rate-summary").await;
    assert!(said.starts_with("Kept 1.9") && said.contains("traces a second for a target of 2:"), "{said}");
    assert!(said.contains("0 by boost"), "{said}");
    let labels = labels(&browser).await;
    assert!(
        labels[0].starts_with("Traces a second over time. At most 50") && labels[0].ends_with("target 2."),
        "{labels:?}"
    );
    assert!(labels[1].starts_with("Ratio in force over time. From 3."), "{labels:?}");
    let paths = "return [...document.querySelectorAll('#timelines path')].map(one => [one.getAttribute('class'), one.getTotalLength()])";
    let paths: Vec<(String, f64)> = serde_json::from_value(browser.run(paths).await).expect("lengths");
    let names: Vec<_> = paths.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["everything", "paid", "head", "tracelift", "tracelift"]);
    assert!(paths.iter().all(|(_, length)| 500.0 < *length), "{paths:?}");
    browser.run("document.querySelector('#rate-title').scrollIntoView()").await;
    picture(&browser, "rate").await;
    browser.close().await;
}

#[tokio::test]
async fn an_outage_shows_when_the_boost_begins_and_ends() {
    let browser = open(1400, 2600).await;
    browser.click("[data-example=target]").await;
    browser.click("[data-log=outage]").await;
    assert_eq!(browser.attribute("[data-log=outage]", "aria-pressed").await.as_deref(), Some("true"));
    let events = browser.texts("#events li").await;
    assert!(events.iter().any(|event| event.contains("a boost begins: more requests than usual fail")), "{events:?}");
    assert!(events.iter().any(|event| event.contains("the boost has ended")), "{events:?}");
    assert_ne!(browser.run("return document.querySelectorAll('#timelines rect.boosted').length").await, json!(0));
    picture(&browser, "outage").await;
    browser.close().await;
}

#[tokio::test]
async fn a_file_of_ones_own_is_read_on_the_page_and_what_is_no_log_is_told() {
    let browser = open(1400, 2600).await;
    browser.click("[data-example=target]").await;
    let choose = async |text: &str| {
        let script = format!(
            "const transfer = new DataTransfer(); transfer.items.add(new File([{}], 'mine.log'));
             const input = document.getElementById('log'); input.files = transfer.files; input.dispatchEvent(new Event('change'))",
            Value::from(text)
        );
        browser.run(&script).await;
    };
    choose("hello\n").await;
    browser
        .wait_until(
            "it is told",
            "return document.getElementById('rate-summary').textContent.startsWith('mine.log: found no request')",
        )
        .await;
    let line = |second: u32| {
        format!(
            "[2026-11-21T10:00:{second:02}.000Z] \"GET /cart HTTP/1.1\" 200 - 0 5 3 3 \"-\" \"curl\" \"r\" \"shop\" \"10.0.0.1:80\"\n"
        )
    };
    choose(&(0..60).map(line).collect::<String>()).await;
    browser
        .wait_until(
            "it is read",
            "return document.getElementById('rate-notes').textContent.startsWith('mine.log: 60 spans of 60 traces')",
        )
        .await;
    assert_eq!(labels(&browser).await.len(), 2);
    browser.close().await;
}
