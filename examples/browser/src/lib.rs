//! A Chromium without a window, driven over WebDriver: the pages of the examples are tested as people use them, by clicks and keys.
//!
//! A page says that it is ready with `data-ready="true"`, and keeps what went wrong in it in `window.faults`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Longest wait for anything that the page does.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for a driver that was asked to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// A browser with one tab, and the driver that it hangs on.
pub struct Browser {
    client: Client,
    driver: Child,
    port: u16,
}

impl Browser {
    /// Opens an address in a window of this width and height, and waits until the page is ready; further switches of Chromium.
    pub async fn open(address: &str, width: u32, height: u32, switches: &[&str]) -> Self {
        let window = format!("--window-size={width},{height}");
        Self::start(address, &[&[window.as_str()], switches].concat(), None).await
    }

    /// Opens an address on a phone, whose screen may be narrower than any window.
    pub async fn open_phone(address: &str, width: u32, height: u32) -> Self {
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 2, "mobile": true, "touch": false });
        Self::start(address, &[], Some(json!({ "deviceMetrics": metrics }))).await
    }

    async fn start(address: &str, switches: &[&str], phone: Option<Value>) -> Self {
        let (driver, port) = start_driver();
        // A container has no sandbox to give, and little shared memory. Nothing may be fetched from anywhere.
        let fixed = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--force-device-scale-factor=1",
            "--hide-scrollbars",
        ];
        let arguments = [&fixed, switches].concat();
        let mut options = json!({ "args": arguments });
        if let Some(phone) = phone {
            options["mobileEmulation"] = phone;
        }
        let capabilities = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object was written") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let browser = Self { client, driver, port };
        browser.client.goto(address).await.expect("the page opens");
        browser
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css("[data-ready=true]"))
            .await
            .expect("the page is ready");
        browser
    }

    /// Ends the browser, which must have had nothing to complain of.
    pub async fn close(self) {
        let errors = self.run("return window.faults || []").await;
        assert_eq!(errors, json!([]), "faults of the page");
        self.client.clone().close().await.expect("the browser closes");
    }

    /// The first element that fits.
    pub async fn find(&self, css: &str) -> Element {
        self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Works on the first element that fits: on another, where the page has put one in its place meanwhile.
    async fn on<T>(&self, css: &str, work: impl AsyncFn(Element) -> Result<T, CmdError>) -> T {
        let started = Instant::now();
        loop {
            match work(self.find(css).await).await {
                Err(error) if error.to_string().contains("stale element") && started.elapsed() < PATIENCE => {}
                result => return result.unwrap_or_else(|error| panic!("{css}: {error}")),
            }
        }
    }

    /// Clicks it.
    pub async fn click(&self, css: &str) {
        self.on(css, async |element| element.click().await).await;
    }

    /// Its visible text.
    pub async fn text(&self, css: &str) -> String {
        self.on(css, async |element| element.text().await).await
    }

    /// Whether it can be seen.
    pub async fn is_shown(&self, css: &str) -> bool {
        self.on(css, async |element| element.is_displayed().await).await
    }

    /// One of its attributes.
    pub async fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.on(css, async |element| element.attr(name).await).await
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
        self.on(css, async |element| element.send_keys(keys).await).await;
    }

    /// Chooses an option by its value.
    pub async fn choose(&self, css: &str, value: &str) {
        self.find(css).await.select_by_value(value).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// What a script returns; it may await.
    pub async fn run(&self, script: &str) -> Value {
        let script = format!("return (async () => {{ {script} }})()");
        self.client.execute(&script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script returns true; nothing announces what a page does with what it was sent.
    pub async fn wait_until(&self, what: &str, script: &str) {
        let started = Instant::now();
        while self.run(script).await != json!(true) {
            assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether nothing of the page lies outside of its window to the side.
    pub async fn fits_its_width(&self) -> bool {
        self.run("return document.documentElement.scrollWidth <= innerWidth").await == json!(true)
    }

    /// The window as a picture in a file, for whoever wants to look.
    pub async fn picture(&self, file: &Path) {
        let picture = self.client.screenshot().await.expect("a picture");
        std::fs::write(file, picture).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Another size of the window.
    pub async fn resize(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.expect("another size");
    }
}

impl Drop for Browser {
    /// Also for a test that failed in between. A driver that is killed leaves its Chromium behind; asked to end, it takes it along.
    fn drop(&mut self) {
        if let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = connection.set_read_timeout(Some(GOODBYE));
            let _ = connection.write_all(b"GET /shutdown HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
            let _ = connection.read_to_end(&mut Vec::new());
        }
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
