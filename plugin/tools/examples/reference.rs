//! Prints a document with its reference tables brought up to date:
//! `cargo run -p tracelift-tools --features schema --example reference README.md`.

use std::io::{Error, Write};

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| Error::other("usage: reference FILE"))?;
    let document = tracelift_tools::reference::readme(&std::fs::read_to_string(path)?)
        .ok_or_else(|| Error::other("the document lacks the markers `<!-- configuration -->` or `<!-- metrics -->`"))?;
    std::io::stdout().write_all(document.as_bytes())
}
