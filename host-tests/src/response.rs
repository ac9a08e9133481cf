//! Answers to requests: an upstream's, or one that Envoy makes up.

use crate::Headers;

/// Bits of `response.flags`, by their names in Envoy's access log.
pub mod flags {
    /// No healthy upstream.
    pub const UH: u64 = 0x2;
    /// Upstream request timeout.
    pub const UT: u64 = 0x4;
    /// Local reset.
    pub const LR: u64 = 0x8;
    /// Upstream remote reset.
    pub const UR: u64 = 0x10;
    /// Upstream connection failure.
    pub const UF: u64 = 0x20;
    /// Upstream connection termination.
    pub const UC: u64 = 0x40;
    /// Upstream overflow.
    pub const UO: u64 = 0x80;
    /// No route found.
    pub const NR: u64 = 0x100;
    /// Fault injected.
    pub const FI: u64 = 0x400;
    /// Rate limited.
    pub const RL: u64 = 0x800;
    /// Denied by the external authorizer.
    pub const UAEX: u64 = 0x1000;
    /// Downstream connection termination.
    pub const DC: u64 = 0x4000;
    /// Upstream retry limit exceeded.
    pub const URX: u64 = 0x8000;
    /// Downstream protocol error.
    pub const DPE: u64 = 0x40000;
    /// Upstream protocol error.
    pub const UPE: u64 = 0x80_0000;
    /// No cluster found.
    pub const NC: u64 = 0x100_0000;
}

/// An upstream's answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Headers>,
}

impl Response {
    /// An HTTP answer with nothing but a status.
    pub fn status(status: u16) -> Self {
        Self { headers: Headers::from([(":status", status.to_string())]), ..Self::default() }
    }

    /// A gRPC answer as it usually comes: headers, a message, the status in trailers.
    pub fn grpc(status: u32) -> Self {
        Self::status(200)
            .header("content-type", "application/grpc")
            .body([0, 0, 0, 0, 0])
            .trailer("grpc-status", status.to_string())
    }

    /// A gRPC answer of headers only, which hold the status: what servers send that fail at once.
    pub fn grpc_trailers_only(status: u32) -> Self {
        Self::status(200).header("content-type", "application/grpc").header("grpc-status", status.to_string())
    }

    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Adds a chunk of body.
    pub fn body(mut self, chunk: impl AsRef<[u8]>) -> Self {
        self.body.push(chunk.as_ref().to_vec());
        self
    }

    /// Adds a trailer.
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.trailers.get_or_insert_default().add(name, value);
        self
    }
}

impl From<u16> for Response {
    fn from(status: u16) -> Self {
        Self::status(status)
    }
}

/// An answer that Envoy itself makes. To a gRPC client it becomes a trailers-only answer with `:status` 200.
#[derive(Clone, Debug)]
pub struct LocalReply {
    pub(crate) status: u16,
    pub(crate) flags: u64,
    pub(crate) details: Option<String>,
    pub(crate) upstream_chosen: bool,
    pub(crate) transport_failure: Option<String>,
}

impl LocalReply {
    /// Any local reply; `details` is `response.code_details`. No upstream host was chosen.
    pub fn new(status: u16, flags: u64, details: &str) -> Self {
        Self { status, flags, details: Some(details.to_owned()), upstream_chosen: false, transport_failure: None }
    }

    fn with_upstream(mut self) -> Self {
        self.upstream_chosen = true;
        self
    }

    /// The upstream refused the connection, and retries did not help.
    pub fn connect_failure() -> Self {
        let details = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";
        let mut reply = Self::new(503, flags::URX | flags::UF, details).with_upstream();
        reply.transport_failure = Some("delayed connect error: Connection refused".to_owned());
        reply
    }

    /// The route's timeout passed.
    pub fn timeout() -> Self {
        Self::new(504, flags::UT, "response_timeout").with_upstream()
    }

    /// The upstream closed the connection before it answered.
    pub fn upstream_reset() -> Self {
        let details = "upstream_reset_before_response_started{connection_termination}";
        Self::new(503, flags::UC, details).with_upstream()
    }

    /// The cluster's circuit breaker is open.
    pub fn overflow() -> Self {
        Self::new(503, flags::UO, "upstream_reset_before_response_started{overflow}")
    }

    /// The cluster has no healthy host.
    pub fn no_healthy_upstream() -> Self {
        Self::new(503, flags::UH, "no_healthy_upstream")
    }

    /// No route matches.
    pub fn no_route() -> Self {
        Self::new(404, flags::NR, "route_not_found")
    }

    /// The route names a cluster that does not exist.
    pub fn no_cluster() -> Self {
        Self::new(503, flags::NC, "cluster_not_found")
    }

    /// The route answers by itself.
    pub fn direct_response(status: u16) -> Self {
        Self::new(status, 0, "direct_response")
    }
}
