//! Prints a page with its reference table brought up to date:
//! `cargo run -p tracelift-tools --features schema --example reference docs/configuration.md`.

use std::io::{Error, Write};

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| Error::other("usage: reference FILE"))?;
    let document = tracelift_tools::reference::page(&std::fs::read_to_string(path)?).ok_or_else(|| {
        Error::other("the page has neither the markers `<!-- configuration -->` nor `<!-- metrics -->`")
    })?;
    std::io::stdout().write_all(document.as_bytes())
}
