//! An upstream that answers as its path says, over HTTP/1.1 and h2c.
//!
//! | path | answer |
//! |---|---|
//! | `/status/<code>` | that status |
//! | `/delay/<ms>` | 200 after that time |
//! | `/silence` | none, ever |
//! | `/close` | none: the connection breaks |
//! | `/break` | 200 and half a body, then the connection breaks |
//! | `/answer.Trailers/Status<code>` | gRPC: a message, then `grpc-status` as a trailer |
//! | `/answer.TrailersOnly/Status<code>` | gRPC: `grpc-status` in the headers, no body |
//! | anything else | 200 with the request as JSON: `{"method", "path", "headers": [[name, value]...]}` |
//!
//! A request's `x-answer-header: name=value` lines become headers of its answer.

use crate::client::grpc_frame;
use crate::ports;
use crate::server::Server;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A running upstream that remembers what it was asked.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Seen,
    _server: Server,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
}

impl Arrival {
    /// The bytes of a header, its lines joined by `,` as the receiver of a list must.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        let lines: Vec<&[u8]> = self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        (!lines.is_empty()).then(|| lines.join(b",".as_slice()))
    }

    /// The same as text, with U+FFFD for what is none; empty when absent.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.header(name).unwrap_or_default()).into_owned()
    }

    fn json(&self) -> Value {
        let headers: Vec<_> =
            self.headers.iter().map(|(n, v)| json!([n.as_str(), String::from_utf8_lossy(v.as_bytes())])).collect();
        json!({ "method": self.method, "path": self.path, "headers": headers })
    }
}

#[derive(Clone, Debug)]
struct Seen {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    count: watch::Sender<usize>,
}

impl Upstream {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> io::Result<Self> {
        let listener = ports::listen(ports::any_loopback())?;
        let address = listener.local_addr()?;
        let seen = Seen { arrivals: Arc::default(), count: watch::Sender::new(0) };
        let remembered = seen.clone();
        let server = Server::start(
            listener,
            service_fn(move |request| {
                let seen = remembered.clone();
                async move { answer(request, &seen).await }
            }),
        );
        Ok(Self { address, seen, _server: server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, in order of arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest request.
    pub fn last(&self) -> Option<Arrival> {
        self.seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// Forgets all requests so far: for those who run for long. Only their number is kept.
    pub fn forget(&self) {
        self.seen.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until `count` requests have arrived; false when that did not happen in time.
    pub async fn wait_for(&self, count: usize, deadline: Duration) -> bool {
        let mut counts = self.seen.count.subscribe();
        timeout(deadline, counts.wait_for(|seen| count <= *seen)).await.is_ok()
    }
}

impl Seen {
    fn remember(&self, arrival: Arrival) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.push(arrival);
        self.count.send_modify(|count| *count += 1);
    }
}

async fn answer(request: Request<Incoming>, seen: &Seen) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    // A whole request first: a body that is cut off is the client's doing, and no arrival.
    body.collect().await.map_err(io::Error::other)?;
    let path = head.uri.path().to_owned();
    let arrival = Arrival { method: head.method.to_string(), path: path.clone(), headers: head.headers };
    seen.remember(arrival.clone());

    let mut words = path.trim_start_matches('/').split('/');
    let (verb, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let number: u64 = word.parse().unwrap_or_default();
    let mut response = match verb {
        "status" => with_status(number),
        "delay" => {
            sleep(Duration::from_millis(number)).await;
            Response::new(Body::empty())
        }
        "silence" => std::future::pending().await,
        "close" => return Err(io::Error::other("told to close")),
        "break" => half_a_body(),
        "answer.Trailers" => grpc(Some(grpc_frame(b"")), word.trim_start_matches("Status")),
        "answer.TrailersOnly" => grpc(None, word.trim_start_matches("Status")),
        _ => Response::new(Body::from(arrival.json().to_string())),
    };
    for line in arrival.headers.get_all("x-answer-header") {
        let Some((name, value)) = line.to_str().ok().and_then(|line| line.split_once('=')) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

fn with_status(code: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if let Some(status) = u16::try_from(code).ok().and_then(|code| code.try_into().ok()) {
        *response.status_mut() = status;
    }
    response
}

fn half_a_body() -> Response<Body> {
    let half = Frame::data(Bytes::from_static(b"half"));
    let mut response = Response::new(Body::new(Frames::new([Ok(half), Err(io::Error::other("told to break off"))])));
    response.headers_mut().insert("content-length", HeaderValue::from_static("8"));
    response
}

fn grpc(message: Option<Vec<u8>>, code: &str) -> Response<Body> {
    let status = HeaderValue::from_str(code).unwrap_or(HeaderValue::from_static("2"));
    let mut response = match message {
        Some(message) => {
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), status)]);
            Response::new(Body::new(Frames::new([
                Ok(Frame::data(Bytes::from(message))),
                Ok(Frame::trailers(trailers)),
            ])))
        }
        None => {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("grpc-status", status);
            response
        }
    };
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A body of known frames, each of which is on the wire before the next is looked at.
struct Frames {
    frames: VecDeque<io::Result<Frame<Bytes>>>,
    flushed: bool,
}

impl Frames {
    fn new(frames: impl Into<VecDeque<io::Result<Frame<Bytes>>>>) -> Self {
        Self { frames: frames.into(), flushed: false }
    }
}

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.flushed = !self.flushed;
        if self.flushed {
            // hyper flushes when a body has nothing for the moment.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front())
    }
}
