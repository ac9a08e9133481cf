//! A web server for one page.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;

/// Where the page is unless somebody says so.
const PORT: u16 = 7879;

/// Serves until the process is ended; says where.
pub async fn serve(page: &Path, port: Option<u16>) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("could not read {}", page.display()))?;
    let text: &'static str = text.leak(); // For as long as the process lives.
    let listener = listen(port).await?;
    println!("The playground is at http://{}/ (Ctrl-C ends it)", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/", get(move || async move { Html(text) }))).await?;
    Ok(())
}

/// A port that was asked for must be free; else it is the usual one, or any free one when that is taken.
async fn listen(port: Option<u16>) -> Result<TcpListener> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = port {
        return at(port).await.with_context(|| {
            format!("port {port} of 127.0.0.1 is not available; choose another one with --port, or leave it out to take a free one")
        });
    }
    match at(PORT).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            println!("Port {PORT} is taken, so the playground is on another one.");
            Ok(at(0).await?)
        }
        other => Ok(other?),
    }
}
