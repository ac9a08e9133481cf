//! A Chromium without a window, driven over WebDriver.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Longest wait for anything that the page does.
const PATIENCE: Duration = Duration::from_secs(30);

/// The page that `cargo xtask playground` makes.
pub fn page() -> PathBuf {
    let page = std::env::var_os("TRACELIFT_PLAYGROUND");
    let page =
        PathBuf::from(page.expect("TRACELIFT_PLAYGROUND names the page; `cargo xtask test --only playground` sets it"));
    assert!(page.exists(), "there is no {}: `cargo xtask playground --build` makes it", page.display());
    page
}

/// A browser with one tab, and the driver that it hangs on.
pub struct Browser {
    client: Client,
    driver: Child,
}

impl Browser {
    /// Opens the page from its file, in a window of this width and height.
    pub async fn open(width: u32, height: u32) -> Self {
        Self::open_at(&format!("file://{}", page().display()), width, height, &[]).await
    }

    /// Opens an address; further switches of Chromium.
    pub async fn open_at(address: &str, width: u32, height: u32, switches: &[&str]) -> Self {
        let (driver, port) = start_driver();
        // A container has no sandbox to give, and little shared memory. Nothing may be fetched from anywhere.
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--force-device-scale-factor=1".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        arguments.extend(switches.iter().map(|switch| (*switch).to_owned()));
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object was written") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let browser = Self { client, driver };
        browser.client.goto(address).await.expect("the page opens");
        browser
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css("[data-ready=true]"))
            .await
            .expect("the engine starts");
        browser
    }

    /// Ends the browser, which must have had nothing to complain of.
    pub async fn close(mut self) {
        let errors = self.run("return window.faults || []").await;
        assert_eq!(errors, json!([]), "faults of the page");
        self.client.clone().close().await.expect("the browser closes");
        self.driver.kill().expect("the driver is ours");
        self.driver.wait().expect("the driver ends");
    }

    /// The first element that fits.
    pub async fn find(&self, css: &str) -> Element {
        self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Clicks it.
    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Its visible text.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.expect("a text")
    }

    /// The visible texts of all that fit.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for element in self.client.find_all(Locator::Css(css)).await.expect("a list") {
            texts.push(element.text().await.expect("a text"));
        }
        texts
    }

    /// Replaces the text of a field by typing.
    pub async fn write(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.click().await.expect("a field");
        field.send_keys("\u{e009}a\u{e000}\u{e003}").await.expect("keys"); // Control and A, then Backspace.
        field.send_keys(text).await.expect("keys");
    }

    /// Presses these keys on it.
    pub async fn keys(&self, css: &str, keys: &str) {
        self.find(css).await.send_keys(keys).await.expect("keys");
    }

    /// Chooses an option by its value.
    pub async fn choose(&self, css: &str, value: &str) {
        self.find(css).await.select_by_value(value).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The window as a picture, kept beside the page for whoever wants to look.
    pub async fn picture(&self, name: &str) {
        let picture = self.client.screenshot().await.expect("a picture");
        std::fs::write(page().with_file_name(format!("{name}.png")), picture).expect("the page's folder");
    }

    /// Another size of the window.
    pub async fn resize(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.expect("another size");
    }
}

impl Drop for Browser {
    /// For a test that failed in between; Chromium ends with its driver.
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Starts a driver on a free port, which it tells.
fn start_driver() -> (Child, u16) {
    let program = std::env::var_os("TRACELIFT_CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
    let mut driver = Command::new(&program)
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; it is Debian's package chromium-driver", program.display()));
    let mut output = BufReader::new(driver.stdout.take().expect("a pipe"));
    let mut line = String::new();
    let port = loop {
        line.clear();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "the driver ended at once");
        if let Some((_, rest)) = line.split_once("started successfully on port ") {
            break rest.trim().trim_end_matches('.').parse().expect("a port");
        }
    };
    // What it says later must not fill the pipe.
    std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
    (driver, port)
}
