//! An OTLP collector that answers as it is told: HTTP/protobuf with gzip and gRPC on one port, decoded by the generated types.

/// Request metrics.
pub mod measured;

use crate::ports::{self, RefusingPort};
use crate::server::Server;
use crate::spans::ReceivedSpan;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::codec::CompressionEncoding;

/// What the collector says to an export.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Takes everything.
    Accept,
    /// Takes everything, but only after that time.
    AcceptAfter(Duration),
    /// Refuses with an HTTP status and headers, such as 429 with `retry-after`.
    Refuse {
        /// 100 to 999.
        status: u16,
        /// Lower-case names.
        headers: Vec<(&'static str, String)>,
    },
    /// Refuses a gRPC call with a status code and, if given, a RetryInfo.
    RefuseGrpc {
        /// The status code by its number.
        code: i32,
        /// The delay of the RetryInfo.
        retry_after: Option<Duration>,
    },
    /// Takes all but the last `rejected` spans, or points of metrics.
    PartialSuccess {
        /// How many are not taken, at most.
        rejected: usize,
        /// The answer's `error_message`.
        message: &'static str,
    },
    /// Says 200 with a body that is no protobuf, and takes nothing.
    Garbage,
    /// Says 200 with a body of so many bytes, at most 128 MiB, and takes nothing.
    Flood {
        /// Of the body.
        bytes: usize,
    },
    /// Never answers, and takes nothing.
    Silence,
    /// Takes everything, and ends the connection (on HTTP/2 the stream) instead of an answer.
    HangUp,
}

/// One export request, taken or not.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The path, which tells the protocol.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// What it was answered.
    pub answer: Answer,
}

/// What [`Collector::wait_for`] was waiting for did not come.
#[derive(Debug)]
pub struct NotReceived {
    /// How long.
    pub waited: Duration,
    /// How many spans had been taken by then.
    pub spans: usize,
    /// How many export requests had come by then.
    pub attempts: usize,
}

impl fmt::Display for NotReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { waited, spans, attempts } = self;
        write!(f, "not received within {waited:?}; so far {spans} spans in {attempts} exports")
    }
}

impl std::error::Error for NotReceived {}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    store: Store,
    door: Mutex<Door>,
}

#[derive(Debug)]
enum Door {
    Open(Server),
    Shut { _port: RefusingPort },
}

#[derive(Clone, Debug)]
struct Store {
    inner: Arc<Mutex<Inner>>,
    /// Counts exports, for those who wait.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    always: Answer,
    next: VecDeque<Answer>,
    spans: Vec<ReceivedSpan>,
    attempts: Vec<Attempt>,
    measured: Vec<ExportMetricsServiceRequest>,
}

impl Collector {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> io::Result<Self> {
        Self::start_at(ports::any_loopback()).await
    }

    /// Listens on `address`.
    pub async fn start_at(address: SocketAddr) -> io::Result<Self> {
        let (spans, attempts, measured) = (Vec::new(), Vec::new(), Vec::new());
        let inner = Inner { always: Answer::Accept, next: VecDeque::new(), spans, attempts, measured };
        let store = Store { inner: Arc::new(Mutex::new(inner)), changes: watch::Sender::new(0) };
        let listener = ports::listen(address)?;
        let address = listener.local_addr()?;
        let server = serve(listener, store.clone());
        Ok(Self { address, store, door: Mutex::new(Door::Open(server)) })
    }

    /// Where it listens, or will again.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every export so from now on.
    pub fn always(&self, answer: Answer) {
        self.store.lock().always = answer;
    }

    /// Answers the next exports so, one each, before what [`Self::always`] says.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.store.lock().next.extend(answers);
    }

    /// Breaks all connections and refuses new ones; the port stays ours.
    pub async fn stop_listening(&self) -> io::Result<()> {
        let port = RefusingPort::at(self.address)?;
        if let Door::Open(server) = self.replace_door(Door::Shut { _port: port }) {
            server.stop().await;
        }
        Ok(())
    }

    /// Takes connections again on the same port.
    pub async fn listen_again(&self) -> io::Result<()> {
        let server = serve(ports::listen(self.address)?, self.store.clone());
        self.replace_door(Door::Open(server));
        Ok(())
    }

    fn replace_door(&self, door: Door) -> Door {
        std::mem::replace(&mut self.door.lock().unwrap_or_else(PoisonError::into_inner), door)
    }

    /// Every span taken so far, in order of arrival.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.store.lock().spans.clone()
    }

    /// Every span taken since the last call, and forgets them: for those who run for ever.
    pub fn take_spans(&self) -> Vec<ReceivedSpan> {
        let mut inner = self.store.lock();
        inner.attempts.clear();
        std::mem::take(&mut inner.spans)
    }

    /// The spans of one trace (32 lower-case hexadecimal digits).
    pub fn trace(&self, trace_id: &str) -> Vec<ReceivedSpan> {
        self.spans_where(|span| span.trace_id() == trace_id)
    }

    /// The spans with that string attribute.
    pub fn spans_with(&self, key: &str, value: &str) -> Vec<ReceivedSpan> {
        self.spans_where(|span| span.text(key) == Some(value))
    }

    /// The spans for which `condition` holds.
    pub fn spans_where(&self, condition: impl Fn(&ReceivedSpan) -> bool) -> Vec<ReceivedSpan> {
        self.store.lock().spans.iter().filter(|span| condition(span)).cloned().collect()
    }

    /// Every export request so far, whatever it was answered.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.store.lock().attempts.clone()
    }

    /// Waits until `find` finds something in the spans taken so far.
    pub async fn wait_for<T>(
        &self,
        deadline: Duration,
        find: impl FnMut(&[ReceivedSpan]) -> Option<T>,
    ) -> Result<T, NotReceived> {
        let mut find = find;
        self.wait(deadline, |inner| find(&inner.spans)).await
    }

    /// Waits until that many spans were taken, and hands all of them over.
    pub async fn wait_for_spans(&self, count: usize, deadline: Duration) -> Result<Vec<ReceivedSpan>, NotReceived> {
        self.wait_for(deadline, |spans| (count <= spans.len()).then(|| spans.to_vec())).await
    }

    /// Waits until that many export requests have come, taken or not.
    pub async fn wait_for_attempts(&self, count: usize, deadline: Duration) -> Result<Vec<Attempt>, NotReceived> {
        self.wait(deadline, |inner| (count <= inner.attempts.len()).then(|| inner.attempts.clone())).await
    }

    async fn wait<T>(&self, deadline: Duration, mut find: impl FnMut(&Inner) -> Option<T>) -> Result<T, NotReceived> {
        let mut changes = self.store.changes.subscribe();
        let search = async {
            loop {
                if let Some(found) = find(&self.store.lock()) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match timeout(deadline, search).await {
            Ok(found) => Ok(found),
            Err(_) => {
                let inner = self.store.lock();
                Err(NotReceived { waited: deadline, spans: inner.spans.len(), attempts: inner.attempts.len() })
            }
        }
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the request and says what to answer.
    fn begin(&self, path: &str, headers: &HeaderMap) -> Answer {
        let mut inner = self.lock();
        let answer = inner.next.pop_front().unwrap_or_else(|| inner.always.clone());
        inner.attempts.push(Attempt { path: path.to_owned(), headers: headers.clone(), answer: answer.clone() });
        drop(inner);
        self.changes.send_modify(|count| *count += 1);
        answer
    }

    /// Keeps what the answer takes, and makes the message that says so.
    fn take(&self, export: ExportTraceServiceRequest, answer: &Answer) -> ExportTraceServiceResponse {
        let mut spans = ReceivedSpan::from_export(export);
        let mut partial_success = None;
        if let Answer::PartialSuccess { rejected, message } = answer {
            let rejected = spans.split_off(spans.len().saturating_sub(*rejected)).len();
            let rejected_spans = i64::try_from(rejected).unwrap_or(i64::MAX);
            partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: (*message).to_owned() });
        }
        self.lock().spans.extend(spans);
        self.changes.send_modify(|count| *count += 1);
        ExportTraceServiceResponse { partial_success }
    }
}

/// Marks an answer that is not to leave.
#[derive(Clone)]
struct Unsaid;

fn serve(listener: TcpListener, store: Store) -> Server {
    let router = TowerToHyperService::new(router(store));
    let service = service_fn(move |request| {
        let answered = router.call(request);
        async move {
            match answered.await {
                Ok(response) if response.extensions().get::<Unsaid>().is_none() => Ok(response),
                _ => Err(io::Error::other("told to hang up")),
            }
        }
    });
    Server::start(listener, service)
}

fn router(store: Store) -> Router {
    let grpc = TraceServiceServer::new(Grpc(store.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(64 << 20);
    let measured = MetricsServiceServer::new(Grpc(store.clone())).accept_compressed(CompressionEncoding::Gzip);
    tonic::service::Routes::new(grpc)
        .add_service(measured)
        .into_axum_router()
        .route("/v1/metrics", post(measured::over_http).with_state(store.clone()))
        // Another signal's path, or a wrong one: this collector has no pipeline behind it.
        .route("/v1/{signal}", post(async || StatusCode::NOT_FOUND))
        .route("/v1/traces", post(over_http).with_state(store.clone()))
        .layer(middleware::from_fn_with_state(store, answer_as_told))
        .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
}

/// Nothing but zeros, made once for all answers.
static FLOOD: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; 128 << 20]));

/// Answers that need no look at the spans; the others go on with what was chosen.
async fn answer_as_told(State(store): State<Store>, mut request: Request, next: Next) -> Response {
    let answer = store.begin(request.uri().path(), request.headers());
    match &answer {
        Answer::Silence => return std::future::pending().await,
        Answer::Flood { bytes } => return Response::new(Body::from(FLOOD.slice(..FLOOD.len().min(*bytes)))),
        Answer::Garbage => {
            let mut response = Response::new(Body::from(&b"\xff\xfenot protobuf"[..]));
            if let Some(kind) = request.headers().get(header::CONTENT_TYPE) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
            }
            return response;
        }
        Answer::Refuse { status, headers } => {
            let mut response =
                StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::from_str(value) {
                    response.headers_mut().append(HeaderName::from_static(name), value);
                }
            }
            return response;
        }
        Answer::AcceptAfter(delay) => sleep(*delay).await,
        Answer::Accept | Answer::PartialSuccess { .. } | Answer::RefuseGrpc { .. } | Answer::HangUp => {}
    }
    let hangs_up = matches!(answer, Answer::HangUp);
    request.extensions_mut().insert(answer);
    let mut response = next.run(request).await;
    if hangs_up {
        response.extensions_mut().insert(Unsaid);
    }
    response
}

async fn over_http(
    State(store): State<Store>,
    Extension(answer): Extension<Answer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let export =
        plain(&headers, body).and_then(|plain| ExportTraceServiceRequest::decode(plain).map_err(io::Error::other));
    match export {
        Ok(export) => {
            let body = store.take(export, &answer).encode_to_vec();
            ([(header::CONTENT_TYPE, "application/x-protobuf")], body).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// The body without its compression.
fn plain(headers: &HeaderMap, body: Bytes) -> io::Result<Bytes> {
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        Some(b"gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).map(|_| Bytes::from(plain))
        }
        None => Ok(body),
        Some(_) => Err(io::Error::other("unknown content-encoding")),
    }
}

struct Grpc(Store);

fn answer_of<T>(request: &tonic::Request<T>) -> Answer {
    request.extensions().get::<Answer>().cloned().unwrap_or(Answer::Accept)
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let answer = answer_of(&request);
        if let Answer::RefuseGrpc { code, retry_after } = answer {
            return Err(refusal(code, retry_after));
        }
        Ok(tonic::Response::new(self.0.take(request.into_inner(), &answer)))
    }
}

/// `google.rpc.Status`, which travels in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

fn refusal(code: i32, retry_after: Option<Duration>) -> tonic::Status {
    let message = "told to refuse".to_owned();
    let details = retry_after.and_then(|delay| prost_types::Duration::try_from(delay).ok()).map(|delay| {
        let info = RetryInfo { retry_delay: Some(delay) };
        prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        }
    });
    let status = RpcStatus { code, message: message.clone(), details: details.into_iter().collect() };
    tonic::Status::with_details(tonic::Code::from(code), message, status.encode_to_vec().into())
}
