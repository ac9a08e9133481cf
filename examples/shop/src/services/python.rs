//! The cart as an application with an OpenTelemetry SDK: a Python process that knows nothing of the demo's bookkeeping. It stands
//! between two relays, which note what passes as the other services note it themselves.

use super::{CART, MESHED, PATIENT, Routes, Service, Serving, serving};
use crate::mesh::APPLICATION_TOKEN;
use crate::plan::Fault;
use anyhow::{Context, Result, bail};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;
use tracelift_envoy::client::{self, Reply};
use tracelift_envoy::python::{Interpreter, PYTHON};

/// The application.
const SCRIPT: &str = "shop_cart.py";
/// Milliseconds that its spans wait for a batch: the page wants them soon.
const EXPORT_DELAY_MS: u32 = 250;
/// How the application begins the line that says where it listens.
const LISTENS: &str = "listening on http://";
/// Tells the application what goes wrong.
const FAULT_HEADER: &str = "x-shop-fault";
/// OpenTelemetry logs a configurator that was not chosen.
const NO_COMPLAINT: &str = "tracelift already loaded";
/// It imports a great deal of Python first, maybe on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lines of its log that are kept.
const LOGGED: usize = 50;
/// What belongs to a connection, and is not passed on (RFC 9110, 7.6.1; the length is written anew).
const OF_CONNECTION: [&str; 5] = ["connection", "content-length", "te", "transfer-encoding", "upgrade"];

/// As `cargo xtask demo` names it.
pub(crate) fn interpreter() -> Result<Interpreter> {
    Interpreter::from_environment().context("The shop's Python service cannot start. To leave it out: --without-python")
}

/// The process and the way to it. Dropping it ends the process.
#[derive(Debug)]
pub struct Python {
    interpreter: Interpreter,
    /// Where the application listens; set once it does.
    application: Arc<OnceLock<SocketAddr>>,
    /// Where the application's calls are noted.
    outbound: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
    process: Option<Child>,
}

impl Python {
    /// Not running yet. `application` will say where it listens; its calls will go to `outbound`.
    pub fn new(interpreter: Interpreter, application: Arc<OnceLock<SocketAddr>>, outbound: SocketAddr) -> Self {
        Self { interpreter, application, outbound, log: Arc::default(), process: None }
    }

    /// Starts the process and returns when it takes requests.
    pub async fn start(&mut self, sidecar: SocketAddr, collector: SocketAddr) -> Result<()> {
        let mut process = self.command(sidecar, collector).spawn().with_context(|| {
            format!("cannot start {}; {PYTHON} names it", Path::new(&self.interpreter.python).display())
        })?;
        let said = process.stdout.take().context("standard output was piped")?;
        let logged = process.stderr.take().context("standard error was piped")?;
        let keeping = tokio::spawn(keep(BufReader::new(logged).lines(), self.log.clone()));
        self.process = Some(process);
        let listens = timeout(PATIENCE, listens(said)).await;
        match listens {
            Ok(Ok(Some(address))) => {
                // Started once a run.
                let _ = self.application.set(address);
                Ok(())
            }
            Ok(Ok(None)) => {
                // Why it ended is the last that it says; another process of its may hold the pipe, so not for ever.
                let _ = timeout(Duration::from_secs(1), keeping).await;
                bail!("the cart ended before it listened:\n{}", self.complaints().join("\n"))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("the cart did not say within {PATIENCE:?} where it listens"),
        }
    }

    /// Its last log lines; it logs what is wrong alone.
    pub fn complaints(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// It ends with its standard input, so with us, however we end.
    fn command(&self, sidecar: SocketAddr, collector: SocketAddr) -> Command {
        let mut command = self.interpreter.instrumented(SCRIPT, collector, EXPORT_DELAY_MS);
        command
            .env("OUTBOUND", format!("http://{}", self.outbound))
            .env("OTEL_SERVICE_NAME", CART)
            .env("OTEL_PYTHON_CONFIGURATOR", "tracelift")
            .env("TRACELIFT_SIDECAR", format!("http://{sidecar}"))
            .env("TRACELIFT_APPLICATION_TOKEN", APPLICATION_TOKEN);
        command
    }
}

/// Reads the line; none if the process ends without it. Goes on reading, or the process would wait for us some day.
async fn listens(said: ChildStdout) -> Result<Option<SocketAddr>> {
    let mut lines = BufReader::new(said).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix(LISTENS) {
            let address = address.trim().parse().with_context(|| format!("the cart's address in {line:?}"))?;
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Some(address));
        }
    }
    Ok(None)
}

async fn keep(mut lines: Lines<BufReader<ChildStderr>>, log: Arc<Mutex<VecDeque<String>>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains(NO_COMPLAINT) {
            continue;
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_back(line);
        if LOGGED < log.len() {
            log.pop_front();
        }
    }
}

/// What comes from the sidecar goes to the application.
pub(crate) fn routes(application: Arc<OnceLock<SocketAddr>>) -> Routes {
    let arrive = move |Extension(serving): Extension<Serving>| arrive(application.clone(), serving);
    Router::new().route("/carts/{visit}", get(arrive))
}

/// What the application calls goes to the sidecar.
pub(crate) fn outbound(service: Service) -> Router {
    Router::new().fallback(call).with_state(service)
}

async fn arrive(application: Arc<OnceLock<SocketAddr>>, serving: Serving) -> Response {
    let Some(address) = application.get().copied() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let path = format!("/carts/{}", serving.visit.number);
    let mut request = with_headers(client::Request::get(address, &path), &serving.headers);
    match serving.visit.fault {
        Some(Fault::Swallowed) => request = request.header(FAULT_HEADER, "swallowed"),
        Some(Fault::StalePrices) => request = request.header(FAULT_HEADER, "stale"),
        _ => {}
    }
    let answer = serving.service.client.send(request).await;
    answer.map_or(StatusCode::BAD_GATEWAY.into_response(), response)
}

async fn call(State(service): State<Service>, request: Request) -> Response {
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let peer = MESHED.into_iter().find(|name| *name == host);
    let (Some(peer), Some(sidecar)) = (peer, service.sidecar.get().copied()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let forwarded = with_headers(client::Request::get(sidecar, request.uri().path()), request.headers());
    let Some(serving) = serving(service, &request) else { return StatusCode::NOT_FOUND.into_response() };
    match serving.exchange(peer, forwarded, PATIENT).await {
        Ok(reply) => response(reply),
        Err(status) => status.into_response(),
    }
}

fn with_headers(request: client::Request, headers: &HeaderMap) -> client::Request {
    let passed_on = headers.iter().filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str()));
    passed_on.fold(request, |request, (name, value)| request.header(name.as_str(), value.as_bytes()))
}

fn response(mut reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for name in OF_CONNECTION {
        reply.headers.remove(name);
    }
    (status, reply.headers, reply.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::schedule::Schedule;
    use crate::services::{Cart, Services};
    use crate::truth::{Event, Outcome, Truth};
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;
    use tracelift_envoy::Client;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn an_interpreter() -> Interpreter {
        Interpreter { python: "python3".into(), package: "/nonexistent".into() }
    }

    async fn serve(app: Router) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    /// Answers 200, and by headers what it was asked.
    async fn echo(request: Request) -> Response {
        let asked = |name: &str| request.headers().get(name).cloned();
        let mut response = request.uri().path().to_owned().into_response();
        for name in ["host", "traceparent", "x-request-id", FAULT_HEADER] {
            if let Some(value) = asked(name) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    #[tokio::test]
    async fn what_passes_the_relays_is_noted_and_passed_on_in_both_directions() {
        let schedule = Schedule::new(Plan { seed: 1, failures: 1.0, slow: 0.0, applications: true });
        let stale = (0..).find(|number| schedule.visit(*number).fault == Some(Fault::StalePrices)).unwrap();
        let truth = Truth::default();
        let services = Services::start(&schedule, &truth, Cart::Python(an_interpreter())).await.unwrap();
        let python = services.python.as_ref().unwrap();
        let client = Client::new();
        let of = |address, path: &str, span_id: &str| {
            let context = format!("00-{TRACE}-{span_id}-00");
            client::Request::get(address, path).header("traceparent", context).header("x-request-id", "one")
        };
        let to_cart = || of(services.address(CART), &format!("/carts/{stale}"), "b7ad6b7169203331").host(CART);
        assert_eq!(client.send(to_cart()).await.unwrap().status, 503, "before the application runs");
        python.application.set(serve(Router::new().fallback(echo)).await).unwrap();
        services.set_sidecar(CART, serve(Router::new().fallback(echo)).await);
        truth.take();

        let answer = client.send(to_cart()).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, format!("/carts/{stale}")));
        assert_eq!((answer.header("x-request-id"), answer.header(FAULT_HEADER)), (Some("one"), Some("stale")));
        let call = of(python.outbound, &format!("/items/{stale}"), "00f067aa0ba902b7").host("catalog");
        let answer = client.send(call).await.unwrap();
        assert_eq!((answer.status, answer.header("host")), (200, Some("catalog")));
        assert_eq!(client.send(of(python.outbound, "/items/1", "1").host("strangers")).await.unwrap().status, 404);

        let events = truth.take();
        let [Event::Arrival(arrival), Event::Call(call)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((arrival.visit, arrival.service, arrival.outcome), (stale, CART, Outcome::Status(200)));
        assert_eq!(arrival.context.span_id, 0xb7ad_6b71_6920_3331);
        assert_eq!((call.visit, call.service, call.peer), (stale, CART, "catalog"));
        assert_eq!((call.parent_id, call.outcome), (0x00f0_67aa_0ba9_02b7, Outcome::Status(200)));
    }

    #[tokio::test]
    async fn an_application_that_cannot_start_is_an_error_that_says_why() {
        let nowhere = (Ipv4Addr::LOCALHOST, 1).into();
        let start = async |interpreter| {
            let mut python = Python::new(interpreter, Arc::default(), nowhere);
            format!("{:#}", python.start(nowhere, nowhere).await.unwrap_err())
        };
        let missing = start(Interpreter { python: "/nonexistent/python".into(), ..an_interpreter() }).await;
        assert!(missing.contains("/nonexistent/python") && missing.contains(PYTHON), "{missing}");
        // Ends as one does that lacks a package.
        let ended = start(Interpreter { python: "false".into(), ..an_interpreter() }).await;
        assert!(ended.starts_with("the cart ended before it listened"), "{ended}");
    }
}
