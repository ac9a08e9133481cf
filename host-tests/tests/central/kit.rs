//! A process whose sampling rules come from a stand-in of X-Ray.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tracelift_host::{
    Answer, Envoy, EnvoyBuilder, Finished, LogLevel, Reply, RequestSpec, SamplingService, SpanBalance, VmId, testing,
};

pub const PROXY: &str = "xray_proxy";
const COLLECTOR: &str = "otel_collector";
const LATENCY: Duration = Duration::from_millis(20);

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// X-Ray's rules decide; where they do not, nothing is sampled.
pub fn configuration() -> Value {
    json!({"service_name": "cart", "span_kind": "server", "sampling": {"ratio": 0, "xray": {"enabled": true, "jitter_percent": 0}}})
}

pub struct Process {
    pub envoy: Envoy,
    service: Arc<Mutex<SamplingService>>,
}

impl Process {
    /// A process with two workers, and these rules at X-Ray.
    pub fn new(rules: impl IntoIterator<Item = Value>) -> Self {
        Self::with(SamplingService::with_rules(rules), |builder| builder.inbound(configuration().to_string()))
    }

    pub fn with(service: SamplingService, change: impl FnOnce(EnvoyBuilder) -> EnvoyBuilder) -> Self {
        let service = Arc::new(Mutex::new(service));
        let answering = Arc::clone(&service);
        let builder = Envoy::builder(testing::module()).workers(2).seed(7).cluster(PROXY).cluster(COLLECTOR);
        let builder = change(builder).answer_with(move |callout| {
            if callout.cluster != PROXY {
                return Reply::accept(callout, LATENCY);
            }
            let mut service = answering.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = service.answer(&callout.path(), &callout.body, callout.sent_at);
            let mut reply = Answer::status(answer.status).header("content-type", "application/json").body(answer.body);
            for (name, value) in answer.headers {
                reply = reply.header(name, value);
            }
            Reply::After(LATENCY, reply)
        });
        Self { envoy: builder.start().unwrap_or_else(|refused| panic!("{refused}")), service }
    }

    /// The same, with the rules fetched and known to every VM.
    pub fn ready(rules: impl IntoIterator<Item = Value>) -> Self {
        let mut process = Self::new(rules);
        process.envoy.advance(seconds(5));
        assert_eq!(process.service().calls_of("/GetSamplingRules"), 1);
        process
    }

    pub fn service(&self) -> MutexGuard<'_, SamplingService> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Duration {
        self.envoy.now()
    }

    /// A request that begins a trace, answered with 200.
    pub fn root(&mut self, worker: usize, path: &str) -> Finished {
        self.request(worker, path, &[], 200)
    }

    pub fn request(&mut self, worker: usize, path: &str, more: &[(&str, &str)], status: u16) -> Finished {
        let usual = [(":method", "GET"), (":path", path), (":authority", "cart.example"), (":scheme", "http")];
        let headers: Vec<_> = usual.into_iter().chain(more.iter().copied()).collect();
        let request = self.envoy.open(RequestSpec::new("inbound", headers).worker(worker));
        let finished = request.respond(&mut self.envoy, status);
        assert_eq!((finished.status, finished.vm_failed), (Some(status), false));
        finished
    }

    /// So many roots, workers taking turns; how many of them were sampled.
    pub fn roots(&mut self, count: usize, path: &str) -> usize {
        (0..count).filter(|n| is_sampled(&self.root(n % 2, path))).count()
    }

    pub fn counter(&mut self, name: &str) -> u64 {
        self.envoy.tick_all();
        self.envoy.counter(&format!("tracelift.{name}"))
    }

    pub fn warnings(&self) -> Vec<&str> {
        self.envoy.messages_from(LogLevel::Warn)
    }

    /// Which VM asks X-Ray, by the latest call.
    pub fn leader(&self) -> VmId {
        self.envoy.callouts().iter().rev().find(|callout| callout.cluster == PROXY).expect("a call to X-Ray").vm
    }

    /// Nothing trapped, every span is accounted for, and X-Ray had nothing to complain about.
    #[track_caller]
    pub fn books(&mut self) -> SpanBalance {
        assert!(self.envoy.traps().is_empty(), "{:?}", self.envoy.traps());
        assert_eq!(self.service().violations, Vec::<String>::new());
        self.envoy.assert_conservation()
    }
}

pub fn rule(changes: Value) -> Value {
    SamplingService::rule(changes)
}

/// Everything, or nothing, and no reservoir.
pub fn flat(name: &str, priority: u32, path: &str, rate: f64) -> Value {
    rule(json!({"RuleName": name, "Priority": priority, "URLPath": path, "FixedRate": rate, "ReservoirSize": 0}))
}

pub fn is_sampled(finished: &Finished) -> bool {
    finished.request_headers.traceparent().is_sampled()
}

pub fn tracestate(finished: &Finished) -> Option<&str> {
    finished.request_headers.text("tracestate")
}
