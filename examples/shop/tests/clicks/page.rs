//! One demo for all stories: it takes a while to start.

use crate::demo::{Demo, picture};
use serde_json::{Value, json};
use tracelift_browser::Browser;

/// The visible texts of all that fit, at one moment: the page does not stand still.
async fn texts(browser: &Browser, css: &str) -> Vec<String> {
    let script = format!("return [...document.querySelectorAll('{css}')].map(one => one.innerText.trim())");
    serde_json::from_value(browser.run(&script).await).unwrap()
}

/// The trace in the pane.
async fn opened(browser: &Browser) -> String {
    browser.attribute("#detail", "data-trace").await.unwrap_or_default()
}

/// A script: whether that trace is in the pane.
fn is_open(id: &str) -> String {
    format!("return document.getElementById('detail').dataset.trace === '{id}'")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_used_by_clicks_and_keys() {
    let demo = Demo::start();
    let browser = demo.open(1280, 1500).await;
    browser.wait_until("failed traces are listed", "return 14 <= document.querySelectorAll('#list a').length").await;
    the_headline_says_what_sampling_alone_would_have_kept(&browser).await;
    lost_traces_are_grey_among_the_others(&browser).await;
    an_opened_trace_stays_and_has_a_link(&demo, &browser).await;
    hops_show_their_attributes_and_why_they_were_kept(&browser).await;
    spans_of_an_application_stand_between_those_of_its_proxy(&browser).await;
    the_whole_id_can_be_copied(&browser).await;
    chips_show_one_cause(&browser).await;
    nothing_needs_a_mouse_and_everything_has_a_name(&browser).await;
    ratio_and_failures_are_moved_in_the_running_mesh(&browser).await;
    a_story_shows_the_rate_follow_its_target(&browser).await;
    browser.close().await;
    a_phone_shows_everything_without_scrolling_sideways(&demo).await;
    a_link_to_nothing_says_so(&demo).await;
}

async fn the_headline_says_what_sampling_alone_would_have_kept(browser: &Browser) {
    browser.wait_until("a headline", "return 4 < document.querySelectorAll('#headline b').length").await;
    let headline = browser.text("#headline").await;
    let mesh = browser.text("#mesh").await;
    assert!(mesh.contains("five Envoys with the wasm module"), "{mesh}");
    for part in
        ["Of ", " failed traces, 1 % sampling would have kept ", ". Tracelift kept ", ", for $", " instead of $"]
    {
        assert!(headline.contains(part), "{headline}");
    }
    let numbers = texts(browser, "#headline b").await;
    let number = |index: usize| numbers[index].replace([',', '$'], "").parse::<f64>().unwrap();
    assert_eq!(number(0), number(2), "every failed trace is kept: {headline}");
    assert!(number(1) < number(0) / 2.0 && number(3) < number(4), "{headline}");
    picture(browser, "desktop").await;
}

async fn lost_traces_are_grey_among_the_others(browser: &Browser) {
    let shown = "const state = await (await fetch('api/state')).json();
        const fate = new Map(state.failed.map(one => ['#trace=' + one.trace_id, one.head_sampled ? 'kept' : 'lost']));
        return [...document.querySelectorAll('#strip a, #list a')].map(one => [one.className, fate.get(one.getAttribute('href')) ?? one.className])";
    let shown: Vec<(String, String)> = serde_json::from_value(browser.run(shown).await).unwrap();
    assert!(20 < shown.len());
    assert!(shown.iter().all(|(class, fate)| class == fate), "{shown:?}");
    assert!(shown.iter().any(|(class, _)| class == "lost"));
    let colours = "const of = (name) => getComputedStyle(document.querySelector(name)).backgroundColor;
        return [of('.legend i.lost'), of('.legend i.kept'), of('#strip a.lost')]";
    let colours: Vec<String> = serde_json::from_value(browser.run(colours).await).unwrap();
    assert_eq!(colours, ["rgb(201, 197, 189)", "rgb(63, 108, 155)", "rgb(201, 197, 189)"]);
}

async fn an_opened_trace_stays_and_has_a_link(demo: &Demo, browser: &Browser) {
    // Paused, the list stands still, so that what is clicked is what was looked at.
    browser.click("#pause").await;
    let link = "#list li:nth-child(2) a";
    let wanted = browser.attribute(link, "href").await.unwrap();
    browser.click(link).await;
    browser.click("#pause").await;
    let id = wanted.strip_prefix("#trace=").unwrap().to_owned();
    browser.wait_until("it is open", &is_open(&id)).await;
    assert_eq!(browser.run("return location.hash").await, json!(wanted));
    // The pointer is off the list again, which goes on without it.
    browser.click("#detail h3").await;
    browser
        .wait_until("it has left the list", &format!("return !document.querySelector('#list a[href=\"{wanted}\"]')"))
        .await;
    assert_eq!(opened(browser).await, id);
    assert_eq!(browser.text("#detail code").await, id);

    let other = Browser::open(&format!("{}/{wanted}", demo.url), 1280, 900, &[]).await;
    other.wait_until("the link opens it", &is_open(&id)).await;
    other.close().await;
}

async fn hops_show_their_attributes_and_why_they_were_kept(browser: &Browser) {
    browser.click(".hops li:nth-child(1) .row").await;
    let hop = browser.text(".hops li:nth-child(1) .hop").await;
    for said in ["Why it was kept", "http.request.method", "url.path", "tracelift.sampling.reason"] {
        assert!(hop.contains(said), "{said}\n{hop}");
    }
    let why = browser.text(".hops li:nth-child(1) .why").await;
    let words = ["upgraded (", "triggered (", "sampled: "];
    assert!(words.iter().any(|word| why.contains(word)), "{why}");
    picture(browser, "hop").await;
    browser.click(".hops li:nth-child(1) .row").await;
    assert_eq!(browser.run("return document.querySelectorAll('.hop').length").await, json!(0));
}

async fn spans_of_an_application_stand_between_those_of_its_proxy(browser: &Browser) {
    assert!(browser.text("#mesh").await.contains("one with an OpenTelemetry SDK"));
    let chip = ".chip[data-cause^=\"catalog answers 500, cart\"]";
    browser.wait_until("the cart swallowed a failure", &format!("return !!document.querySelector('{chip}')")).await;
    browser.click(chip).await;
    browser.click("#list li:nth-child(1) a").await;
    let shown = "return [...document.querySelectorAll('.hops .row')].map(one =>
        [one.querySelector('b').textContent, one.querySelector('.lane i').classList.contains('app')])
        .filter(([service]) => service === 'cart').map(([, app]) => app)";
    // Two of the gateway, three of the storefront, six of the cart, one of the catalog, two of the payment.
    let all = "return document.querySelectorAll('.hops .row').length === 14";
    browser.wait_until("all of its spans are there", all).await;
    let rows: Vec<bool> = serde_json::from_value(browser.run(shown).await).unwrap();
    assert!(!rows[0] && rows[1] && rows[2] && rows.iter().filter(|app| **app).count() == 4, "{rows:?}");
    assert!(browser.text("#detail .legend").await.contains("the application's own"));
    browser.run("document.querySelector('.hops .who.app').closest('button').id = 'own'").await;
    browser.click("#own").await;
    let hop = browser.text("#own + .hop").await;
    for said in ["by the application's SDK", "http.route"] {
        assert!(hop.contains(said), "{said}\n{hop}");
    }
    assert!(hop.contains("released (") || hop.contains("sampled: "), "{hop}");
    picture(browser, "application").await;
    browser.click("#own").await;
    browser.click(".chip[data-cause=\"\"]").await;
}

async fn the_whole_id_can_be_copied(browser: &Browser) {
    let id = opened(browser).await;
    browser.click(".copy").await;
    browser.wait_until("it says so", "return document.querySelector('.copy').textContent === 'Copied'").await;
    // Into a field of our own, as a person would paste it.
    browser.run("const field = document.createElement('input'); field.id = 'paste'; document.body.append(field)").await;
    browser.keys("#paste", "\u{e009}v\u{e000}").await;
    assert_eq!(browser.run("return document.getElementById('paste').value").await, json!(id));
    browser.run("document.getElementById('paste').remove()").await;
}

async fn chips_show_one_cause(browser: &Browser) {
    let causes: Vec<String> = serde_json::from_value(
        browser.run("return [...document.querySelectorAll('.chip')].map(one => one.dataset.cause)").await,
    )
    .unwrap();
    assert!(3 < causes.len() && causes[0].is_empty(), "{causes:?}");
    browser.click(&format!(".chip[data-cause=\"{}\"]", causes[2])).await;
    let listed = texts(browser, "#list .what").await;
    assert!(!listed.is_empty() && listed.iter().all(|what| *what == causes[2]), "{listed:?}");
    assert_eq!(
        browser.attribute(&format!(".chip[data-cause=\"{}\"]", causes[2]), "aria-pressed").await.as_deref(),
        Some("true")
    );
    picture(browser, "chips").await;
    browser.click(".chip[data-cause=\"\"]").await;
    browser
        .wait_until(
            "all of them again",
            "return 1 < new Set([...document.querySelectorAll('#list .what')].map(one => one.textContent)).size",
        )
        .await;
}

async fn nothing_needs_a_mouse_and_everything_has_a_name(browser: &Browser) {
    let nameless = "return [...document.querySelectorAll('input, button, a:not([tabindex])')].filter(one =>
        !(one.labels && one.labels.length) && !one.textContent.trim() && !one.getAttribute('aria-label')).map(one => one.outerHTML)";
    assert_eq!(browser.run(nameless).await, json!([]));
    let wanted = browser.run("const row = document.querySelector('#list li:nth-child(3) a'); row.focus(); return row.getAttribute('href')").await;
    let wanted = wanted.as_str().unwrap().to_owned();
    browser.keys(&format!("#list a[href=\"{wanted}\"]"), "\u{e007}").await;
    let id = wanted.strip_prefix("#trace=").unwrap();
    browser.wait_until("Enter opens it", &is_open(id)).await;
    browser.run("document.activeElement.blur()").await;
}

async fn ratio_and_failures_are_moved_in_the_running_mesh(browser: &Browser) {
    let settings = "const state = await (await fetch('api/state')).json(); return state";
    // End: every trace. The gateway's filter takes it up without a restart.
    browser.keys("#ratio", "\u{e010}").await;
    assert_eq!(browser.text("#ratio-value").await, "100 %");
    browser
        .wait_until(
            "the gateway samples everything",
            "const state = await (await fetch('api/state')).json();
             return state.settings.ratio === 1 && 40 < state.traces.seen
                 && state.failed.slice(0, 10).every(trace => trace.ratio === 1 && trace.head_sampled)",
        )
        .await;
    // Home: nothing fails any more.
    browser.keys("#failures", "\u{e011}").await;
    assert_eq!(browser.text("#failures-value").await, "0 %");
    browser
        .wait_until(
            "nothing fails",
            "const state = await (await fetch('api/state')).json();
             return state.settings.failures === 0 && 20 < state.requests.answered && 5 < state.stretch_s",
        )
        .await;
    let state: Value = browser.run(settings).await;
    assert_eq!((&state["requests"]["unplanned"], &state["complete"]["missing"]), (&json!(0), &json!(0)));
    assert_eq!(state["settings"]["ratio"], json!(1));
    assert!(browser.text("#stretch").await.starts_with("Figures count anew"), "{}", browser.text("#stretch").await);
    assert_eq!(browser.text("#ratio-value").await, "100 %");
}

async fn a_story_shows_the_rate_follow_its_target(browser: &Browser) {
    assert!(!browser.is_shown("#story-curves").await);
    browser.click("[data-story=load-step]").await;
    let steered = "const state = await (await fetch('api/state')).json();
        return state.story?.name === 'load-step' && state.story.phase === 'calm' && state.settings.ratio < 1
            && 10 < state.story.points.length && 5 < state.story.points.at(-1).offered && state.settings.rate === 20";
    browser.wait_until("the gateway follows its target", steered).await;
    assert_eq!(browser.attribute("[data-story=load-step]", "aria-pressed").await.as_deref(), Some("true"));
    browser
        .wait_until("the curves are drawn", "return document.querySelectorAll('#story-curves path').length === 4")
        .await;
    let note = browser.text("#story-note").await;
    assert!(note.starts_with("Calm: ") && note.contains("target 6; the ratio in force is "), "{note}");
    picture(browser, "story").await;
    browser
        .wait_until(
            "its first part is nearly over",
            "const state = await (await fetch('api/state')).json(); return 35 < state.story.points.at(-1).at_s",
        )
        .await;
    browser
        .wait_until("more comes", "return document.getElementById('story-note').textContent.startsWith('Load: ')")
        .await;
    browser
        .wait_until(
            "the ratio falls below a tenth",
            "const state = await (await fetch('api/state')).json();
             return state.story.phase === 'load' && 60 < state.story.points.at(-1).offered && state.story.points.at(-1).in_force < 0.1",
        )
        .await;
    picture(browser, "load").await;
    // A slider ends it, and the gateway has a fixed ratio again.
    browser.keys("#ratio", "\u{e011}").await;
    let over = "const state = await (await fetch('api/state')).json(); return state.story === null && state.settings.rate === 20";
    browser.wait_until("the story has ended", over).await;
    browser.wait_until("its curves are gone", "return document.getElementById('story-curves').hidden").await;
}

async fn a_phone_shows_everything_without_scrolling_sideways(demo: &Demo) {
    let browser = Browser::open_phone(&demo.url, 390, 1600).await;
    browser.wait_until("a trace is open", "return 1 < document.querySelectorAll('.hops .row').length").await;
    assert!(browser.fits_its_width().await);
    browser.click(".hops li:nth-child(1) .row").await;
    assert!(browser.fits_its_width().await, "with a hop open");
    for shown in [
        "#headline",
        ".claim .legend",
        "[data-story=slow]",
        "#live",
        "#ratio",
        "#list .status",
        "#detail .legend",
        "#detail .end",
    ] {
        assert!(browser.is_shown(shown).await, "{shown}");
    }
    picture(&browser, "phone").await;
    browser.close().await;
}

async fn a_link_to_nothing_says_so(demo: &Demo) {
    let browser = demo.open(1280, 900).await;
    browser.run("location.hash = '#trace=0123456789abcdef0123456789abcdef'").await;
    let said =
        "return document.getElementById('detail').textContent.includes('0123456789abcdef0123456789abcdef is not here')";
    browser.wait_until("it says so", said).await;
    browser.close().await;
}
