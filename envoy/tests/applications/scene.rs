//! The Envoys, the application between them, and what is around.

use crate::application::{Application, Service, Variables};
use crate::mesh::{SOON, settings, settle, shipped, start};
use crate::peer::{CAME_WITH, Peer};
use crate::trace::Trace;
use serde_json::json;
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Client, Collector, Envoy, Reply, Request, Shipped, Stats};

/// The client's own span, which is exported nowhere.
pub const CLIENT: &str = "00f067aa0ba902b7";
const POLL: Duration = Duration::from_millis(20);

/// What the application asks its sidecar with.
const APPLICATION_TOKEN: &str = "a-token-of-the-pod";

/// What the application does of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// Nothing: OpenTelemetry as it comes.
    None,
    /// It holds and releases, and reads and writes the signal, but does not ask its sidecar.
    Signals,
    /// All of it.
    Whole,
}

/// What differs between stories.
pub struct Setup {
    service: Service,
    contract: Contract,
    variables: Variables,
    ratio: f64,
    recall: Option<&'static str>,
    upgrades_per_second: u64,
}

impl Setup {
    pub fn new(service: Service, contract: Contract) -> Self {
        Self { service, contract, variables: Vec::new(), ratio: 0.0, recall: None, upgrades_per_second: 1_000 }
    }

    /// One more variable for the application.
    pub fn variable(mut self, name: &'static str, value: impl ToString) -> Self {
        self.variables.push((name, value.to_string()));
        self
    }

    /// What the gateway samples.
    pub fn ratio(self, ratio: f64) -> Self {
        Self { ratio, ..self }
    }

    /// The filters ask each other for spans that they hold.
    pub fn recall(self, token: &'static str) -> Self {
        Self { recall: Some(token), ..self }
    }

    /// What each Envoy upgrades for its own failures.
    pub fn upgrades_per_second(self, upgrades_per_second: u64) -> Self {
        Self { upgrades_per_second, ..self }
    }

    /// A shipped configuration as this story wants it.
    pub fn bootstrap(&self, which: Shipped, service: &str, collector: &Collector) -> Bootstrap {
        let mut bootstrap = shipped(which, collector);
        settings(&mut bootstrap, |json| {
            json["service_name"] = service.into();
            json["sampling"]["ratio"] = if service == "gateway" { self.ratio } else { 0.0 }.into();
            json["upgrade"] = json!({ "traces_per_second": self.upgrades_per_second });
        });
        if let Some(token) = self.recall {
            bootstrap.recall(token).unwrap();
        }
        bootstrap
    }

    pub async fn start(self) -> Scene {
        let (proxies, sdk) = (Collector::start().await.unwrap(), Collector::start().await.unwrap());
        let peer = Peer::start();
        let mut ratings = self.bootstrap(Shipped::Sidecar, "ratings", &proxies);
        ratings.endpoints("application", &[peer.address]).unwrap();
        let ratings = start(&ratings).await;

        let port = RefusingPort::any().unwrap();
        let mut reviews = self.bootstrap(Shipped::Sidecar, "reviews", &proxies);
        reviews.endpoints("application", &[port.address()]).unwrap();
        reviews.add_outbound("ratings", ratings.address("inbound").unwrap()).unwrap();
        reviews.add_outbound("translator", peer.address).unwrap();
        show_what_came(&mut reviews);
        if self.contract == Contract::Whole {
            let applications = json!({ "enabled": true, "token": APPLICATION_TOKEN });
            settings(&mut reviews, |json| json["upgrade"]["applications"] = applications.clone());
        }
        let reviews = start(&reviews).await;

        let mut gateway = self.bootstrap(Shipped::Gateway, "gateway", &proxies);
        gateway.endpoints("frontend", &[reviews.address("inbound").unwrap()]).unwrap();
        let gateway = start(&gateway).await;

        let variables = self.variables(reviews.address("outbound").unwrap());
        let application = Application::start(self.service, port.address(), sdk.address(), &variables).await;
        let scene = Scene {
            gateway,
            reviews,
            ratings,
            application,
            proxies,
            sdk,
            peer,
            client: Client::new(),
            traces: Cell::new(0),
            command: (self.service, variables),
            port,
        };
        if self.contract == Contract::Whole {
            let asked = |stats: &Stats| (0 < stats.tracelift("applications.polls.answered")).then_some(());
            let asked = scene.reviews.admin().wait_for_stats(SOON, asked).await.unwrap();
            asked.unwrap_or_else(|| {
                panic!("the application did not ask its sidecar: {}", scene.application.last_logged())
            });
        }
        scene
    }

    fn variables(&self, outbound: SocketAddr) -> Variables {
        let mut variables = vec![("OUTBOUND", format!("http://{outbound}"))];
        if self.contract != Contract::None {
            variables.push(("OTEL_PYTHON_CONFIGURATOR", "tracelift".to_owned()));
            // A test machine may be busy.
            variables.push(("TRACELIFT_HOLD_SECONDS", "30".to_owned()));
        }
        if self.contract == Contract::Whole {
            variables.push(("TRACELIFT_SIDECAR", format!("http://{outbound}")));
            variables.push(("TRACELIFT_APPLICATION_TOKEN", APPLICATION_TOKEN.to_owned()));
        }
        variables.extend(self.variables.iter().cloned());
        variables
    }
}

/// Has Envoy write into another header, before its filters run, which context the application's call had.
fn show_what_came(bootstrap: &mut Bootstrap) {
    let mutation = json!({ "append": { "header": { "key": CAME_WITH, "value": "%REQ(TRACEPARENT)%" } } });
    bootstrap.connection_manager("outbound").unwrap()["early_header_mutation_extensions"] = json!([{
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [mutation],
        },
    }]);
}

pub struct Scene {
    pub gateway: Envoy,
    pub reviews: Envoy,
    pub ratings: Envoy,
    pub application: Application,
    /// Of the Envoys.
    pub proxies: Collector,
    /// Of the application.
    pub sdk: Collector,
    pub peer: Peer,
    client: Client,
    traces: Cell<u64>,
    command: (Service, Variables),
    /// Where the application listens, kept for it.
    port: RefusingPort,
}

impl Scene {
    /// A trace-id that no other request of the scene has.
    pub fn new_trace(&self) -> String {
        self.traces.set(self.traces.get() + 1);
        format!("4bf92f3577b34da6{:016x}", self.traces.get())
    }

    /// A request to the gateway, in a trace that the client began.
    pub fn request(&self, trace_id: &str, path: &str) -> Request {
        let edge = self.gateway.address("edge").unwrap();
        Request::get(edge, path).header("traceparent", format!("00-{trace_id}-{CLIENT}-00"))
    }

    /// Sends it; the trace-id is new.
    pub async fn get(&self, path: &str) -> (String, Reply) {
        let trace_id = self.new_trace();
        let reply = self.send(self.request(&trace_id, path)).await;
        (trace_id, reply)
    }

    /// The same, with a fault of the application's own.
    pub async fn get_with(&self, fault: &str, path: &str) -> (String, Reply) {
        let trace_id = self.new_trace();
        let reply = self.send(self.request(&trace_id, path).header("x-demo-fault", fault)).await;
        (trace_id, reply)
    }

    pub async fn send(&self, request: Request) -> Reply {
        self.client.send(request).await.unwrap_or_else(|error| panic!("{error}\n{}", self.gateway.log()))
    }

    /// The trace, as soon as so many spans of proxies have come and the application's of those names, and it hangs together.
    pub async fn whole(&self, trace_id: &str, proxies: usize, application: &[&str]) -> Trace {
        let started = Instant::now();
        loop {
            let trace = Trace::of(trace_id, &self.proxies, &self.sdk);
            let defect = trace.defect(CLIENT, proxies, application);
            let Some(defect) = defect else { return trace };
            assert!(started.elapsed() < SOON, "{defect}\n{trace}\n{}", self.application.last_logged());
            sleep(POLL).await;
        }
    }

    /// Waits until a condition holds that nothing announces.
    pub async fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < SOON, "not within {SOON:?}: {what}\n{}", self.application.last_logged());
            sleep(POLL).await;
        }
    }

    /// Starts the application once more, where the one before was.
    pub async fn restart_application(&mut self) {
        let (service, variables) = &self.command;
        self.application = Application::start(*service, self.port.address(), self.sdk.address(), variables).await;
    }

    /// Closes the books of the proxies.
    pub async fn settle(&self, exported: usize) {
        settle(&[&self.gateway, &self.reviews, &self.ratings], &self.proxies, exported, 0).await;
    }
}
