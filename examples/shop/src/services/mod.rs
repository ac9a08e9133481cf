//! The shop: applications without any tracing of their own, but for the cart, which may have an SDK. Like any application in a
//! mesh they pass the trace headers on; beyond that they only note for [`Truth`] what happened to them.

mod bank;
mod cart;
mod catalog;
mod payment;
mod python;
mod storefront;

use crate::plan::Visit;
use crate::schedule::Schedule;
use crate::truth::{Arrival, Call, Event, Moment, Outcome, SeenContext, Truth};
use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use python::Python;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracelift_envoy::client::Reply;
use tracelift_envoy::{Client, client};

pub(crate) use python::interpreter;
pub use tracelift_envoy::python::Interpreter;

/// What an application passes on from the request it serves to the calls it makes.
const TRACE_HEADERS: [&str; 5] = ["traceparent", "tracestate", "b3", "x-amzn-trace-id", "x-request-id"];
/// The number of a probe, whose path has none.
pub const VISIT_HEADER: &str = "x-shop-visit";

/// The services in the mesh, callees first.
pub const MESHED: [&str; 4] = ["catalog", "payment", "cart", "storefront"];
/// The service that may be a Python application.
pub const CART: &str = "cart";
/// The service that the mesh does not know from within.
pub const BANK: &str = "bank";

/// What the cart is.
pub enum Cart {
    /// A service that copies headers, as the others are.
    Copying,
    /// A Python application with an OpenTelemetry SDK.
    Python(Interpreter),
}

/// All applications, running. Dropping it stops them.
pub struct Services {
    apps: BTreeMap<&'static str, App>,
    python: Option<Python>,
    _servers: JoinSet<()>,
}

struct App {
    address: SocketAddr,
    sidecar: Arc<OnceLock<SocketAddr>>,
}

/// What the handlers of one service know.
#[derive(Clone)]
pub(crate) struct Service {
    name: &'static str,
    schedule: Schedule,
    truth: Truth,
    client: Client,
    /// Outbound listener of the sidecar; set once it runs.
    sidecar: Arc<OnceLock<SocketAddr>>,
}

impl Services {
    /// Starts all of them, each on a free port of the loopback interface; a Python application only begins to answer when its
    /// sidecar runs, see [`Self::start_python`].
    pub async fn start(schedule: &Schedule, truth: &Truth, cart: Cart) -> io::Result<Self> {
        let mut services = Self { apps: BTreeMap::new(), python: None, _servers: JoinSet::new() };
        let application = Arc::new(OnceLock::new());
        let routes_of_cart = match cart {
            Cart::Copying => cart::routes(),
            Cart::Python(_) => python::routes(application.clone()),
        };
        for (name, routes) in [
            ("storefront", storefront::routes()),
            (CART, routes_of_cart),
            ("catalog", catalog::routes()),
            ("payment", payment::routes()),
            (BANK, bank::routes()),
        ] {
            let sidecar = Arc::new(OnceLock::new());
            let (truth, client, schedule) = (truth.clone(), Client::new(), schedule.clone());
            let service = Service { name, schedule, truth, client, sidecar: sidecar.clone() };
            if let (CART, Cart::Python(interpreter)) = (name, &cart) {
                let outbound = services.serve(python::outbound(service.clone())).await?;
                services.python = Some(Python::new(interpreter.clone(), application.clone(), outbound));
            }
            let app = routes.layer(middleware::from_fn_with_state(service.clone(), note_arrival)).with_state(service);
            let address = services.serve(app).await?;
            services.apps.insert(name, App { address, sidecar });
        }
        Ok(services)
    }

    async fn serve(&mut self, app: Router) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        self._servers.spawn(async move {
            // Only ends with the listener, which is ours.
            let _ = axum::serve(listener, app).await;
        });
        Ok(address)
    }

    /// Starts the Python application, if there is one, when its sidecar is known.
    pub async fn start_python(&mut self, collector: SocketAddr) -> Result<()> {
        let Some(python) = &mut self.python else { return Ok(()) };
        let sidecar = self.apps[CART].sidecar.get().copied();
        python.start(sidecar.context("its sidecar does not run")?, collector).await
    }

    /// Whether the cart is a Python application.
    pub fn has_python(&self) -> bool {
        self.python.is_some()
    }

    /// What the Python application logged; it logs what is wrong alone.
    pub fn complaints(&self) -> Vec<String> {
        let logged = self.python.iter().flat_map(Python::complaints);
        logged.map(|line| format!("{CART}, the application: {line}")).collect()
    }

    /// Where a service listens, behind its sidecar. Panics for a name that is none of ours.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.apps[name].address
    }

    /// Tells a service where its sidecar takes outgoing calls.
    pub fn set_sidecar(&self, name: &str, outbound: SocketAddr) {
        // Set once per run: a second value could only be the same.
        let _ = self.apps[name].sidecar.set(outbound);
    }
}

/// One request in one service: the plan's visit, and the headers to pass on.
#[derive(Clone)]
pub(crate) struct Serving {
    service: Service,
    pub(crate) visit: Visit,
    headers: HeaderMap,
    context: Option<SeenContext>,
}

impl Serving {
    /// Calls a peer through the sidecar; what it answered, or 504 when it did not within `patience`.
    async fn call(&self, peer: &'static str, method: Method, path: &str, patience: Duration) -> StatusCode {
        let Some(sidecar) = self.service.sidecar.get().copied() else { return StatusCode::SERVICE_UNAVAILABLE };
        let mut request = match method {
            Method::Get => client::Request::get(sidecar, path),
            Method::Post => client::Request::post(sidecar, path, ""),
        }
        .host(peer);
        for name in TRACE_HEADERS {
            for value in self.headers.get_all(name) {
                request = request.header(name, value.as_bytes());
            }
        }
        match self.exchange(peer, request, patience).await {
            Ok(reply) => StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY),
            Err(status) => status,
        }
    }

    /// Sends a call of this request, and notes it.
    async fn exchange(
        &self,
        peer: &'static str,
        request: client::Request,
        patience: Duration,
    ) -> Result<Reply, StatusCode> {
        let began = self.service.truth.moment();
        let mut note = CallNote { serving: self, peer, outcome: Outcome::Abandoned, began };
        // Dropping the call at the end of our patience closes its connection.
        match timeout(patience, self.service.client.send(request)).await {
            Ok(Ok(reply)) => {
                note.outcome = Outcome::Status(reply.status);
                Ok(reply)
            }
            Ok(Err(_)) => Err(StatusCode::BAD_GATEWAY),
            Err(_) => Err(StatusCode::GATEWAY_TIMEOUT),
        }
    }
}

/// Enough for any call that is not meant to fail.
pub(crate) const PATIENT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
pub(crate) enum Method {
    Get,
    Post,
}

/// Notes a call when it is over, also when that is because our own caller hung up and we are dropped.
struct CallNote<'a> {
    serving: &'a Serving,
    peer: &'static str,
    outcome: Outcome,
    began: Moment,
}

impl Drop for CallNote<'_> {
    fn drop(&mut self) {
        let Serving { service, visit, context, .. } = self.serving;
        if let Some(context) = context {
            service.truth.note(Event::Call(Call {
                visit: visit.number,
                service: service.name,
                peer: self.peer,
                trace_id: context.trace_id,
                parent_id: context.span_id,
                sampled: context.sampled,
                outcome: self.outcome,
                began: self.began,
                ended: service.truth.moment(),
            }));
        }
    }
}

/// Notes an arrival when it was answered, or when its caller hung up.
struct ArrivalNote {
    serving: Serving,
    outcome: Outcome,
}

impl Drop for ArrivalNote {
    fn drop(&mut self) {
        let Serving { service, visit, context, .. } = &self.serving;
        if let Some(context) = context.clone() {
            let (visit, service, truth) = (visit.number, service.name, &service.truth);
            truth.note(Event::Arrival(Arrival { visit, service, context, outcome: self.outcome }));
        }
    }
}

async fn note_arrival(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let Some(serving) = serving(service, &request) else { return StatusCode::NOT_FOUND.into_response() };
    request.extensions_mut().insert(serving.clone());
    let mut note = ArrivalNote { serving, outcome: Outcome::Abandoned };
    let response = next.run(request).await;
    note.outcome = Outcome::Status(response.status().as_u16());
    response
}

/// None without a visit's number, in the path or in the header of a probe.
fn serving(service: Service, request: &Request) -> Option<Serving> {
    let headers = request.headers();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let from_path = request.uri().path().rsplit('/').next().and_then(|number| number.parse().ok());
    let number = from_path.or_else(|| header(VISIT_HEADER).parse().ok())?;
    let context = SeenContext::parse(header("traceparent"), header("tracestate"), header("x-amzn-trace-id"));
    let visit = service.schedule.visit(number);
    Some(Serving { service, visit, headers: headers.clone(), context })
}

/// What a service answers when a callee did not do its part.
pub(crate) fn or_bad_gateway(callee: StatusCode) -> StatusCode {
    if callee.is_server_error() { StatusCode::BAD_GATEWAY } else { callee }
}

pub(crate) type Routes = Router<Service>;
