//! The page as a whole: alone, for everyone, in every width.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::browser::{Browser, open, page, picture};

#[tokio::test]
async fn it_fetches_nothing_and_works_from_a_file() {
    let browser = open(1400, 2200).await;
    assert_eq!(browser.run("return performance.getEntriesByType('resource').map(one => one.name)").await, json!([]));
    picture(&browser, "light").await;
    browser.close().await;
}

#[tokio::test]
async fn it_is_served_on_this_machine() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_tracelift-playground"))
        .args(["serve", "--port", "0", "--page"])
        .arg(page())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let address = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address").to_owned();
    let browser = Browser::open(&address, 1400, 1000, &[]).await;
    assert_eq!(browser.text("#verdict").await, "Accepted.");
    browser.close().await;
    server.kill().expect("the server is ours");
    server.wait().expect("the server ends");
}

#[tokio::test]
async fn nothing_needs_a_mouse_and_everything_has_a_name() {
    let browser = open(1400, 1600).await;
    let nameless = browser
        .run(
            "return [...document.querySelectorAll('input, select, textarea, button, [tabindex]')].filter(one =>
                !(one.labels && one.labels.length) && !one.textContent.trim() && !one.getAttribute('aria-label'))
                .map(one => one.outerHTML)",
        )
        .await;
    assert_eq!(nameless, json!([]));
    // By keys alone to the third hop.
    browser.run("document.querySelector('#hops li:nth-child(2) button').focus()").await;
    browser.keys("#hops li:nth-child(2) button", "\u{e004}").await;
    assert_eq!(
        browser.run("return document.activeElement.getAttribute('aria-label')").await,
        "web, outbound: answers 503, kept: http status"
    );
    browser.keys("#hops li:nth-child(3) button", "\u{e007}").await;
    assert!(browser.text("#hop h3").await.ends_with("web, outbound"));
    browser.close().await;
}

#[tokio::test]
async fn no_width_makes_it_scroll_sideways_and_the_dark_is_dark() {
    let browser = Browser::open(
        &format!("file://{}", page().display()),
        1400,
        2200,
        &["--blink-settings=preferredColorScheme=0"],
    )
    .await;
    let ground = browser.run("return getComputedStyle(document.body).backgroundColor").await;
    assert_eq!(ground, "rgb(16, 21, 28)");
    picture(&browser, "dark").await;
    for (width, height) in [(1000, 1400), (600, 1400)] {
        browser.resize(width, height).await;
        let wide = browser.run("return [document.documentElement.scrollWidth <= innerWidth, innerWidth]").await;
        assert_eq!(wide[0], true, "{wide}");
        picture(&browser, &format!("width-{width}")).await;
    }
    browser.close().await;
}
