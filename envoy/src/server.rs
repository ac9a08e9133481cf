//! The accept loop that the collector and the upstream share: HTTP/1.1 and h2c on one port.

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::error::Error;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A running server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct Server(JoinHandle<()>);

impl Server {
    pub(crate) fn start<S>(listener: TcpListener, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>> + Send + Sync,
    {
        Self(tokio::spawn(async move {
            // Owned by this task, so that the connections end with it.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        // Small answers must not wait for Nagle: the tests measure delays.
                        let _ = stream.set_nodelay(true);
                        let service = service.clone();
                        connections.spawn(async move {
                            let mut builder = Builder::new(TokioExecutor::new());
                            // A peer that has sent a whole request and left is served, as Go's server does.
                            builder.http1().half_close(true);
                            // An error here is a peer that left or a service that broke off on purpose.
                            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        }))
    }

    /// Closes everything and returns when the port is free.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}
