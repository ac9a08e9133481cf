//! Calls that a module sends out through Envoy's clusters, and the answers tests give.

use std::time::Duration;

use crate::{Headers, VmId};

/// Names one callout of an [`Envoy`](crate::Envoy); never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalloutId(pub(crate) usize);

/// Which hostcall sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalloutKind {
    /// `proxy_http_call`.
    Http,
    /// `proxy_grpc_call`: one message each way.
    Grpc {
        /// Full name of the service.
        service: String,
        /// Name of the method.
        method: String,
    },
    /// `proxy_grpc_stream`; what `proxy_grpc_send` adds is appended to the body.
    GrpcStream {
        /// Full name of the service.
        service: String,
        /// Name of the method.
        method: String,
    },
}

/// Where a callout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalloutState {
    /// Sent; the module still waits.
    Waiting,
    /// The module got this answer.
    Answered(Answer),
    /// Its timeout passed, and the module was told as Envoy tells it.
    TimedOut,
    /// Its context ended first, so the module never hears of it. What a stream sent has gone out; what a root context sends
    /// from `on_done` goes out only over a connection that is open already.
    Cancelled {
        /// Whether the receiver got the request.
        delivered: bool,
    },
}

/// One request that a module sent.
#[derive(Clone, Debug)]
pub struct Callout {
    /// Its name in this process.
    pub id: CalloutId,
    /// The hostcall.
    pub kind: CalloutKind,
    /// The VM that sent it.
    pub vm: VmId,
    /// The effective context, which the answer goes to.
    pub context: u32,
    /// The root context of that one.
    pub root: u32,
    /// What the module was given to recognise the answer by.
    pub token: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// Request headers; for gRPC the initial metadata.
    pub headers: Headers,
    /// Request body; for gRPC the message without its frame.
    pub body: Vec<u8>,
    /// Request trailers.
    pub trailers: Headers,
    /// `None` means that Envoy waits for ever (a timeout of 0).
    pub timeout: Option<Duration>,
    /// Virtual time of sending, since the epoch.
    pub sent_at: Duration,
    /// Where it stands.
    pub state: CalloutState,
    /// Whether a connection to the cluster was open: an earlier answer of this VM's came from it.
    pub warm: bool,
    /// Handed out by [`Envoy::take_calls`](crate::Envoy::take_calls).
    pub(crate) taken: bool,
    pub(crate) due: Option<(Duration, Answer)>,
}

impl Callout {
    /// Whether the receiver got the request.
    pub fn delivered(&self) -> bool {
        self.state != CalloutState::Cancelled { delivered: false }
    }

    /// Whether the module still waits for the answer.
    pub fn is_waiting(&self) -> bool {
        self.state == CalloutState::Waiting
    }

    /// The `:path`, for gRPC `/service/method`.
    pub fn path(&self) -> String {
        match &self.kind {
            CalloutKind::Http => self.headers.text(":path").unwrap_or_default().to_owned(),
            CalloutKind::Grpc { service, method } | CalloutKind::GrpcStream { service, method } => {
                format!("/{service}/{method}")
            }
        }
    }

    /// When the module is to be told that nobody answered.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.timeout.map(|timeout| self.sent_at + timeout)
    }
}

/// What comes back for a callout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Response headers with `:status`; empty as hosts did before Envoy 1.1x to say that the call failed.
    pub headers: Headers,
    /// Response body.
    pub body: Vec<u8>,
    /// Response trailers.
    pub trailers: Headers,
    /// For a gRPC call: its status and message.
    pub grpc: Option<(u32, String)>,
}

impl Answer {
    /// An HTTP answer without a body.
    pub fn status(status: u16) -> Self {
        Self { headers: Headers::from([(":status", status.to_string())]), ..Self::default() }
    }

    /// What Envoy makes up when the host is down or resets: a 503 with a text.
    pub fn connection_failure() -> Self {
        Self::status(503)
            .header("content-type", "text/plain")
            .body("upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")
    }

    /// What Envoy makes up when the timeout has passed: a 504 with a text.
    pub fn timeout() -> Self {
        Self::status(504).header("content-type", "text/plain").body("upstream request timeout")
    }

    /// A failure as older hosts report it: no headers at all.
    pub fn no_headers() -> Self {
        Self::default()
    }

    /// The answer to `proxy_grpc_call`: with status 0 the body is the message, else `message` is the error's text.
    pub fn grpc(status: u32, message: &str) -> Self {
        Self { grpc: Some((status, message.to_owned())), ..Self::default() }
    }

    /// The answer to a gRPC request that went over `proxy_http_call`: framed messages, status in the trailers.
    pub fn framed_grpc(status: u32, message: &str) -> Self {
        let answer = Self::status(200).header("content-type", "application/grpc");
        let answer = if status == 0 {
            answer.body([0; 5]) // One uncompressed, empty message.
        } else {
            answer
        };
        let answer = answer.trailer("grpc-status", status.to_string());
        if message.is_empty() { answer } else { answer.trailer("grpc-message", message) }
    }

    /// Adds a response header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Adds a response trailer.
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.trailers.add(name, value);
        self
    }

    /// Whether a collector would mean "taken" by it: 2xx and, for gRPC, status 0.
    pub fn is_success(&self) -> bool {
        if let Some((status, _)) = &self.grpc {
            return *status == 0;
        }
        let grpc_status = self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"));
        let http_ok = self.headers.get(":status").is_some_and(|s| s.starts_with(b"2"));
        http_ok && grpc_status.is_none_or(|status| status == b"0")
    }
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self::status(status)
    }
}

/// What a test's answering rule wants done with a callout that was just sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answer after this virtual time.
    After(Duration, Answer),
    /// Leave it to the test, and to the timeout.
    ByHand,
}

impl Reply {
    /// Takes every export, whatever the protocol, after `latency`.
    pub fn accept(callout: &Callout, latency: Duration) -> Self {
        let framed = callout.headers.get("content-type").is_some_and(|value| value.starts_with(b"application/grpc"));
        let answer = match callout.kind {
            CalloutKind::Http if framed => Answer::framed_grpc(0, ""),
            CalloutKind::Http => Answer::status(200),
            CalloutKind::Grpc { .. } | CalloutKind::GrpcStream { .. } => Answer::grpc(0, ""),
        };
        Reply::After(latency, answer)
    }
}

/// What Envoy knows of a cluster that callouts go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// It has a host, so calls go out.
    Ready,
    /// It has none: the hostcall itself fails with `InternalFailure`.
    WithoutHost,
}
