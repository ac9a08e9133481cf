//! The web page, on 127.0.0.1 alone: its files in the binary, the snapshot and whole traces as JSON, and settings to change.

use crate::model::Model;
use crate::options::{FAILURES, RATIOS, Scenario};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::ValueEnum;
use serde::Deserialize;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Where the page is unless somebody says so.
const PORT: u16 = 7878;
/// Changes of settings that may wait to be made.
const CHANGES: usize = 16;

/// The model as the views share it.
pub type Shared = Arc<Mutex<Model>>;

/// What a person chose on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Ratio and failures.
    To(Wanted),
    /// A story.
    Play(Scenario),
}

/// A fixed ratio, and how much fails.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Share of traces that the head samples.
    pub ratio: f64,
    /// Share of requests with a fault.
    pub failures: f64,
}

/// The running page. Dropping it stops it.
pub struct Page {
    /// Where it is.
    pub url: String,
    /// Its usual port was taken, so it is on another one.
    pub moved: bool,
    /// What people choose on it.
    pub changes: mpsc::Receiver<Change>,
    server: JoinHandle<()>,
}

impl Page {
    /// Serves at the port that was asked for, which must be free; else at the usual one, or at any free one when that is taken.
    pub async fn start(port: Option<u16>, model: Shared) -> io::Result<Self> {
        let (listener, moved) = listen(port).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, changes) = mpsc::channel(CHANGES);
        let server = tokio::spawn(async move {
            // Only ends with the listener, which is ours.
            let _ = axum::serve(listener, routes(model, sender)).await;
        });
        Ok(Self { url, moved, changes, server })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn listen(port: Option<u16>) -> io::Result<(TcpListener, bool)> {
    let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match port {
        Some(port) => at(port).await.map(|listener| (listener, false)).map_err(|error| {
            let advice = "choose another one with --port, or leave it out to take a free one";
            io::Error::new(error.kind(), format!("port {port} of 127.0.0.1 is not available ({error}); {advice}"))
        }),
        None => match at(PORT).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok((at(0).await?, true)),
            other => Ok((other?, false)),
        },
    }
}

fn routes(model: Shared, changes: mpsc::Sender<Change>) -> Router {
    let script = |content| get(move || async move { file("text/javascript; charset=utf-8", content) });
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", include_str!("../../web/index.html")) }))
        .route("/style.css", get(|| async { file("text/css; charset=utf-8", include_str!("../../web/style.css")) }))
        .route("/app.js", script(include_str!("../../web/app.js")))
        .route("/figures.js", script(include_str!("../../web/figures.js")))
        .route("/trace.js", script(include_str!("../../web/trace.js")))
        .route("/controls.js", script(include_str!("../../web/controls.js")))
        .route("/story.js", script(include_str!("../../web/story.js")))
        .route("/api/state", get(state))
        .route("/api/trace/{id}", get(trace))
        .with_state(model)
        .route("/api/settings", post(change).with_state(changes.clone()))
        .route("/api/story", post(play).with_state(changes))
}

async fn state(State(model): State<Shared>) -> Response {
    let snapshot = model.lock().unwrap_or_else(PoisonError::into_inner).snapshot(Instant::now());
    ([(CACHE_CONTROL, "no-store")], Json(snapshot)).into_response()
}

async fn trace(State(model): State<Shared>, Path(id): Path<String>) -> Response {
    let parsed = u128::from_str_radix(&id, 16).ok().filter(|_| id.len() == 32);
    let found = parsed.and_then(|id| model.lock().unwrap_or_else(PoisonError::into_inner).whole_trace(id));
    match found {
        Some(trace) => ([(CACHE_CONTROL, "no-store")], Json(trace)).into_response(),
        None => (StatusCode::NOT_FOUND, "no such trace is recorded, or it is no longer remembered").into_response(),
    }
}

/// Takes JSON only, which no page of a stranger can send here without being asked by the browser first.
async fn change(State(changes): State<mpsc::Sender<Change>>, Json(change): Json<Wanted>) -> Response {
    for (name, value, range) in [("ratio", change.ratio, RATIOS), ("failures", change.failures, FAILURES)] {
        if !range.contains(&value) {
            let problem = format!("{name} is {value}; allowed is {} to {}", range.start(), range.end());
            return (StatusCode::BAD_REQUEST, problem).into_response();
        }
    }
    send(&changes, Change::To(change))
}

/// Likewise; the body is a story's name.
async fn play(State(changes): State<mpsc::Sender<Change>>, Json(name): Json<String>) -> Response {
    match Scenario::from_str(&name, false) {
        Ok(scenario) => send(&changes, Change::Play(scenario)),
        Err(_) => {
            let names = Scenario::value_variants().iter().filter_map(Scenario::to_possible_value);
            let names: Vec<_> = names.map(|value| value.get_name().to_owned()).collect();
            let problem = format!("there is no story {name:?}; allowed is one of {}", names.join(", "));
            (StatusCode::BAD_REQUEST, problem).into_response()
        }
    }
}

fn send(changes: &mpsc::Sender<Change>, change: Change) -> Response {
    match changes.try_send(change) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the demo is ending, or busy with earlier changes").into_response(),
    }
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
    use crate::plan::Plan;
    use crate::schedule::Schedule;
    use tracelift_envoy::client::{Client, Request};

    fn model() -> Shared {
        let schedule = Schedule::new(Plan { seed: 1, failures: 0.05, slow: 0.0, applications: true });
        Arc::new(Mutex::new(Model::new(Settings::default(), schedule, Instant::now())))
    }

    fn address(page: &Page) -> SocketAddr {
        page.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn the_page_and_its_json_are_served() {
        let page = Page::start(Some(0), model()).await.unwrap();
        let (client, address) = (Client::new(), address(&page));
        for (path, kind) in [
            ("/", "text/html"),
            ("/style.css", "text/css"),
            ("/app.js", "text/javascript"),
            ("/figures.js", "text/javascript"),
            ("/trace.js", "text/javascript"),
            ("/controls.js", "text/javascript"),
            ("/story.js", "text/javascript"),
        ] {
            let reply = client.send(Request::get(address, path)).await.unwrap();
            assert_eq!(reply.status, 200, "{path}");
            assert!(reply.header("content-type").unwrap().starts_with(kind));
            assert!(!reply.text().contains("https://"), "{path} reaches out");
        }
        let state = client.send(Request::get(address, "/api/state")).await.unwrap().json();
        assert_eq!(state["requests"]["answered"], 0);
        for id in ["1", "x", "0123456789abcdef0123456789abcdef"] {
            let reply = client.send(Request::get(address, &format!("/api/trace/{id}"))).await.unwrap();
            assert_eq!(reply.status, 404, "{id}");
        }
    }

    #[tokio::test]
    async fn a_port_that_was_asked_for_and_is_taken_is_an_error_that_says_what_to_do() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let Err(error) = Page::start(Some(port), model()).await else { panic!("the port is taken") };
        let error = error.to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
    }

    #[tokio::test]
    async fn where_the_usual_port_is_taken_a_free_one_is_and_it_is_known() {
        // Whoever has the port, we or another program on this machine: a page that did not ask for it starts.
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await;
        let page = Page::start(None, model()).await.unwrap();
        assert!(page.moved && address(&page).port() != PORT);
    }

    #[tokio::test]
    async fn only_settings_that_make_sense_are_passed_on() {
        let mut page = Page::start(Some(0), model()).await.unwrap();
        let (client, address) = (Client::new(), address(&page));
        let post = async |body: &str, kind: &str| {
            let request = Request::post(address, "/api/settings", body.to_owned()).header("content-type", kind);
            client.send(request).await.unwrap()
        };
        for (body, problem) in [
            (r#"{"ratio":0,"failures":0.5}"#, "ratio is 0; allowed is 0.0001 to 1"),
            (r#"{"ratio":0.5,"failures":1.5}"#, "failures is 1.5; allowed is 0 to 1"),
            (r#"{"ratio":0.5}"#, "missing field `failures`"),
        ] {
            let reply = post(body, "application/json").await;
            assert!((400..500).contains(&reply.status) && reply.text().contains(problem), "{}", reply.text());
        }
        let good = r#"{"ratio":0.25,"failures":0.5}"#;
        assert_eq!(post(good, "text/plain").await.status, 415, "what any page could send");
        assert_eq!(post(good, "application/json").await.status, 204);
        assert_eq!(page.changes.recv().await, Some(Change::To(Wanted { ratio: 0.25, failures: 0.5 })));
    }

    #[tokio::test]
    async fn a_story_is_begun_by_its_name() {
        let mut page = Page::start(Some(0), model()).await.unwrap();
        let (client, address) = (Client::new(), address(&page));
        let post = async |body: &str| {
            let request =
                Request::post(address, "/api/story", body.to_owned()).header("content-type", "application/json");
            client.send(request).await.unwrap()
        };
        let bad = post("\"storm\"").await;
        assert_eq!(bad.status, 400);
        assert_eq!(bad.text(), "there is no story \"storm\"; allowed is one of load-step, outage, slow");
        assert_eq!(post("\"load-step\"").await.status, 204);
        assert_eq!(page.changes.recv().await, Some(Change::Play(Scenario::LoadStep)));
    }
}
