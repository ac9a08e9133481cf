//! A small HTTP client: HTTP/1.1, h2c and unary gRPC, trailers included, and one that leaves too early.

use axum::body::{Body, Bytes};
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long any call may take; far above what a healthy run needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client with a connection pool for each protocol. Clones share the pools.
#[derive(Clone, Debug)]
pub struct Client {
    http1: Pool<HttpConnector, Body>,
    http2: Arc<Mutex<HashMap<SocketAddr, http2::SendRequest<Body>>>>,
}

/// Why there is no reply: nobody answered, or not in time.
#[derive(Debug)]
pub enum ClientError {
    /// What was sent is no valid HTTP.
    Malformed(http::Error),
    /// No connection, or it broke before the response's headers.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// No complete response in 30 s.
    TimedOut,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "cannot make that request: {error}"),
            Self::Broken(error) => write!(f, "no response: {error:?}"),
            Self::TimedOut => write!(f, "no complete response within {PATIENCE:?}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// One request to send.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: Method,
    version: Version,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Request {
    /// A GET over HTTP/1.1 to `address`.
    pub fn get(address: SocketAddr, path: &str) -> Self {
        let (path, body) = (path.to_owned(), Bytes::new());
        Self { address, method: Method::GET, version: Version::HTTP_11, path, headers: Vec::new(), body }
    }

    /// A POST over HTTP/1.1 to `address`.
    pub fn post(address: SocketAddr, path: &str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(address, path) }
    }

    /// A unary gRPC call; `message` is the encoded message, framed here.
    pub fn grpc(address: SocketAddr, path: &str, message: &[u8]) -> Self {
        Self::post(address, path, grpc_frame(message))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .http2()
    }

    /// With another method.
    pub fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// Appends a header line; any bytes that HTTP allows in a value, UTF-8 or not.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the `Host` (`:authority`), which is the address otherwise.
    pub fn host(self, host: &str) -> Self {
        self.header("host", host)
    }

    /// Speaks HTTP/2 with prior knowledge.
    pub fn http2(mut self) -> Self {
        self.version = Version::HTTP_2;
        self
    }

    fn into_http(self) -> Result<http::Request<Body>, http::Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(&value)?);
        }
        // HTTP/1.1 takes the address from the URI and the name from the header; HTTP/2 has the name in the URI only.
        let authority = match headers.get(header::HOST).and_then(|host| host.to_str().ok()) {
            Some(host) if self.version == Version::HTTP_2 => host.to_owned(),
            _ => self.address.to_string(),
        };
        if self.version == Version::HTTP_2 {
            headers.remove(header::HOST);
        }
        let uri = format!("http://{authority}{}", self.path);
        let mut request =
            http::Request::builder().method(self.method).version(self.version).uri(uri).body(Body::from(self.body))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// With empty pools.
    pub fn new() -> Self {
        Self { http1: Pool::builder(TokioExecutor::new()).build_http(), http2: Arc::default() }
    }

    /// Sends the request and reads the whole response, or as much of it as comes.
    pub async fn send(&self, request: Request) -> Result<Reply, ClientError> {
        timeout(PATIENCE, self.exchange(request)).await.map_err(|_| ClientError::TimedOut)?
    }

    /// A unary gRPC call with an empty message.
    pub async fn grpc(&self, address: SocketAddr, path: &str) -> Result<Reply, ClientError> {
        self.send(Request::grpc(address, path, b"")).await
    }

    async fn exchange(&self, request: Request) -> Result<Reply, ClientError> {
        let (address, http2) = (request.address, request.version == Version::HTTP_2);
        let request = request.into_http().map_err(ClientError::Malformed)?;
        let response = if http2 {
            self.http2_connection(address)
                .await?
                .send_request(request)
                .await
                .map_err(|e| ClientError::Broken(e.into()))?
        } else {
            self.http1.request(request).await.map_err(|e| ClientError::Broken(e.into()))?
        };
        let (head, mut body) = response.into_parts();
        let mut reply = Reply { status: head.status.as_u16(), headers: head.headers, ..Reply::default() };
        while let Some(frame) = body.frame().await {
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => reply.body.extend_from_slice(&data),
                Ok(Err(frame)) => reply.trailers = frame.into_trailers().unwrap_or_default(),
                Err(error) => {
                    reply.broken_off = Some(format!("{error:?}"));
                    break;
                }
            }
        }
        Ok(reply)
    }

    /// The pool of hyper-util connects by the URI's authority, which would forbid a name of our own on HTTP/2.
    async fn http2_connection(&self, address: SocketAddr) -> Result<http2::SendRequest<Body>, ClientError> {
        let mut connections = self.http2.lock().await;
        if let Some(connection) = connections.get(&address).filter(|connection| connection.is_ready()) {
            return Ok(connection.clone());
        }
        let stream = TcpStream::connect(address).await.map_err(|e| ClientError::Broken(e.into()))?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|e| ClientError::Broken(e.into()))?;
        tokio::spawn(connection);
        sender.ready().await.map_err(|e| ClientError::Broken(e.into()))?;
        connections.insert(address, sender.clone());
        Ok(sender)
    }

    /// Sends a request over a connection of its own and hands that over: dropping it is a client that left.
    pub async fn send_and_hold(&self, request: Request) -> Result<TcpStream, ClientError> {
        let address = request.address;
        let request = request.into_http().map_err(ClientError::Malformed)?;
        let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri().path()).into_bytes();
        if !request.headers().contains_key(header::HOST) {
            text.extend_from_slice(format!("host: {address}\r\n").as_bytes());
        }
        for (name, value) in request.headers() {
            text.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        text.extend_from_slice(b"\r\n");
        Self::send_bytes(address, &text).await
    }

    /// Sends bytes as they are, valid HTTP or not, over a connection of its own.
    pub async fn send_bytes(address: SocketAddr, bytes: &[u8]) -> Result<TcpStream, ClientError> {
        let mut stream = TcpStream::connect(address).await.map_err(|e| ClientError::Broken(e.into()))?;
        stream.write_all(bytes).await.map_err(|e| ClientError::Broken(e.into()))?;
        Ok(stream)
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// As much of the body as came.
    pub body: Vec<u8>,
    /// The trailers, empty without any.
    pub trailers: HeaderMap,
    /// Set when the response ended before its end, with what the connection said.
    pub broken_off: Option<String>,
}

impl Reply {
    /// The body as text, with U+FFFD for what is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's first line as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The gRPC status, from the trailers or, when there was nothing else, from the headers.
    pub fn grpc_status(&self) -> Option<u16> {
        let value = self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"))?;
        value.to_str().ok()?.parse().ok()
    }
}

/// Length-prefixed message of gRPC over HTTP/2, uncompressed.
pub(crate) fn grpc_frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}
