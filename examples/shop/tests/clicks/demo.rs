//! The demo as a person starts it, and its page.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tracelift_browser::Browser;

/// The running demo: five Envoys, and a page on a free port.
pub struct Demo {
    process: Child,
    pub url: String,
}

impl Demo {
    /// Starts it, with more failures than usual so that there is something to click on soon.
    pub fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tracelift-shop"))
            .args(["--port", "0", "--failures", "0.5", "--rate", "20"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let (mut line, mut said) = (String::new(), String::new());
        let url = loop {
            line.clear();
            let read = output.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "the demo ended at once:\n{said}");
            said.push_str(&line);
            if let Some((_, url)) = line.split_once("Watch it at ") {
                break url.trim().to_owned();
            }
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Self { process, url }
    }

    /// Opens the page.
    pub async fn open(&self, width: u32, height: u32) -> Browser {
        Browser::open(&self.url, width, height, &[]).await
    }
}

impl Drop for Demo {
    /// Its Envoys go with it.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Keeps a picture of the window in the build's folder for tests.
pub async fn picture(browser: &Browser, name: &str) {
    browser.picture(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shop-{name}.png"))).await;
}
