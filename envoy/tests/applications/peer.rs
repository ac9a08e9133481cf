//! The services that the application calls: `ratings` and the translator. A number in the path says what they answer.
//!
//! | number | answer |
//! |---|---|
//! | 400 to 599 | that status |
//! | [`SWALLOWS`] | 200 with the signal: an exception that was caught further down |
//! | [`HANGS`] | none, ever |
//! | [`WAITS`] | 200, once [`Peer::answer_waiting`] is called |
//! | another | 200 |

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracelift_envoy::ports;

pub const SWALLOWS: u16 = 700;
pub const HANGS: u16 = 600;
pub const WAITS: u16 = 601;

/// The context with which the application's call came to its sidecar; see [`crate::scene`].
pub const CAME_WITH: &str = "x-came-with";

/// Both of them, on one port.
pub struct Peer {
    pub address: SocketAddr,
    arrivals: Arc<Mutex<Vec<HeaderMap>>>,
    going: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Peer {
    pub fn start() -> Self {
        let listener = ports::listen(ports::any_loopback()).unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let seen = arrivals.clone();
        let going = watch::Sender::new(false);
        let waiting = going.clone();
        let router = Router::new().fallback(move |request: Request| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.headers().clone());
            answer(request, waiting.subscribe())
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a listener") });
        Self { address, arrivals, going, server }
    }

    /// Answers the calls that wait, and those that will come.
    pub fn answer_waiting(&self) {
        self.going.send_replace(true);
    }

    /// How many calls of that trace have arrived.
    pub fn calls(&self, trace_id: &str) -> usize {
        self.contexts(trace_id, "traceparent").len()
    }

    /// The parent-id that the application gave its only call of that trace.
    pub fn span_id_of_sdk(&self, trace_id: &str) -> String {
        let contexts = self.contexts(trace_id, CAME_WITH);
        let [context] = &contexts[..] else { panic!("not one call of {trace_id}: {contexts:?}") };
        context[36..52].to_owned()
    }

    /// What the calls of that trace bear in a header.
    pub fn contexts(&self, trace_id: &str, header: &str) -> Vec<String> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let values = arrivals.iter().filter_map(|headers| headers.get(header)?.to_str().ok());
        values.filter(|context| context.get(3..35) == Some(trace_id)).map(str::to_owned).collect()
    }
}

async fn answer(request: Request, mut going: watch::Receiver<bool>) -> Response {
    let number = request.uri().path().rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    match number {
        400..=599 => (StatusCode::from_u16(number).expect("a status"), "0").into_response(),
        SWALLOWS => {
            let trace_id = request.headers().get("traceparent").and_then(|context| context.to_str().ok()?.get(3..35));
            ([("x-tracelift-signal", format!("2;upgraded;{}", trace_id.unwrap_or_default()))], "3").into_response()
        }
        HANGS => std::future::pending().await,
        WAITS => {
            // An error is a test that has ended.
            let _ = going.wait_for(|going| *going).await;
            "3".into_response()
        }
        _ => "3".into_response(),
    }
}
