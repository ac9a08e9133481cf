//! A web server for one page.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;

/// Serves until the process is ended; says where.
pub async fn serve(page: &Path, port: u16) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("could not read {}", page.display()))?;
    let text: &'static str = text.leak(); // For as long as the process lives.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("could not listen on port {port}; take another one with --port"))?;
    println!("The playground is at http://{}/ (Ctrl-C ends it)", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/", get(move || async move { Html(text) }))).await?;
    Ok(())
}
