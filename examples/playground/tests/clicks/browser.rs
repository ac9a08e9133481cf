//! The playground's page in a browser.

use std::path::PathBuf;

pub use tracelift_browser::Browser;

/// The page that `cargo xtask playground` makes.
pub fn page() -> PathBuf {
    let page = std::env::var_os("TRACELIFT_PLAYGROUND");
    let page =
        PathBuf::from(page.expect("TRACELIFT_PLAYGROUND names the page; `cargo xtask test --only playground` sets it"));
    assert!(page.exists(), "there is no {}: `cargo xtask playground --build` makes it", page.display());
    page
}

/// Opens the page from its file, in a window of this width and height.
pub async fn open(width: u32, height: u32) -> Browser {
    Browser::open(&format!("file://{}", page().display()), width, height, &[]).await
}

/// Keeps a picture of the window beside the page.
pub async fn picture(browser: &Browser, name: &str) {
    browser.picture(&page().with_file_name(format!("{name}.png"))).await;
}
