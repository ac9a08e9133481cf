//! Makes the page out of the engine, and serves it.

mod bundle;
mod serve;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// The playground of Tracelift. `cargo xtask playground` does both steps.
#[derive(Parser)]
enum Step {
    /// Make one self-contained page
    Bundle {
        /// The engine, compiled for wasm32-unknown-unknown
        #[arg(long, value_name = "FILE")]
        engine: PathBuf,
        /// Where the page goes
        #[arg(long, value_name = "FILE")]
        page: PathBuf,
    },
    /// Serve a page on this machine until Ctrl-C
    Serve {
        /// The page
        #[arg(long, value_name = "FILE")]
        page: PathBuf,
        /// Port on 127.0.0.1; 0 takes a free one [default: 7879, or a free one when that is taken]
        #[arg(long)]
        port: Option<u16>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Step::parse() {
        Step::Bundle { engine, page } => bundle::bundle(&engine, &page),
        Step::Serve { page, port } => serve::serve(&page, port).await,
    }
}
