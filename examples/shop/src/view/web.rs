//! The web page, on 127.0.0.1 alone: three files in the binary and the snapshot as JSON.

use crate::model::Model;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The model as the views share it.
pub type Shared = Arc<Mutex<Model>>;

/// The running page. Dropping it stops it.
pub struct Page {
    /// Where it is.
    pub url: String,
    server: JoinHandle<()>,
}

impl Page {
    /// Serves at `address`, or on any free port when that one is busy.
    pub async fn start(address: SocketAddr, model: Shared) -> io::Result<Self> {
        let listener = match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::new(address.ip(), 0)).await?
            }
            other => other?,
        };
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // Only ends with the listener, which is ours.
            let _ = axum::serve(listener, routes(model)).await;
        });
        Ok(Self { url, server })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn routes(model: Shared) -> Router {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", include_str!("../../web/index.html")) }))
        .route("/style.css", get(|| async { file("text/css; charset=utf-8", include_str!("../../web/style.css")) }))
        .route("/app.js", get(|| async { file("text/javascript; charset=utf-8", include_str!("../../web/app.js")) }))
        .route("/api/state", get(state))
        .with_state(model)
}

async fn state(State(model): State<Shared>) -> Response {
    let snapshot = model.lock().unwrap_or_else(PoisonError::into_inner).snapshot(Instant::now());
    ([(CACHE_CONTROL, "no-store")], Json(snapshot)).into_response()
}

fn file(kind: &'static str, content: &'static str) -> Response {
    // The page shows what arrives in spans: nothing of it may become code, nor fetch anything.
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, policy)], content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Settings;
    use std::net::Ipv4Addr;
    use tracelift_envoy::client::{Client, Request};

    #[tokio::test]
    async fn the_page_and_its_json_are_served_also_when_the_port_is_busy() {
        let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let model = Arc::new(Mutex::new(Model::new(Settings::default(), Instant::now())));
        let page = Page::start(busy.local_addr().unwrap(), model).await.unwrap();
        let address = page.url.strip_prefix("http://").unwrap().parse().unwrap();
        let client = Client::new();
        for (path, kind) in [("/", "text/html"), ("/style.css", "text/css"), ("/app.js", "text/javascript")] {
            let reply = client.send(Request::get(address, path)).await.unwrap();
            assert_eq!(reply.status, 200, "{path}");
            assert!(reply.header("content-type").unwrap().starts_with(kind));
            assert!(!reply.text().contains("https://"), "{path} reaches out");
        }
        let state = client.send(Request::get(address, "/api/state")).await.unwrap().json();
        assert_eq!(state["requests"]["answered"], 0);
    }
}
