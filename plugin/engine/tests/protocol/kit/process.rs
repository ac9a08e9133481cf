//! A process: workers with the engine in them, and the callbacks that a host makes. The span balance is checked after each.

use std::cell::Cell;
use std::rc::Rc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use tracelift::border::{ASKED, Condition, NOTABLE};
use tracelift::config::Environment;
use tracelift::door::{Attribute, Exchange, Level, Refused, Side};
use tracelift::process::{Setup, Worker};
use tracelift::request::Answered;
use tracelift::shared::Arrival;
use tracelift::span::NodeMetadata;

use super::collector::{self, COLLECTOR};
use super::exchange::{Lines, SimExchange};
use super::faults::Operation;
use super::host::{Call, Reply, SimHost, State};

/// Sat, 21 Nov 2026 10:00:00 GMT, in Unix nanoseconds.
pub const START: u64 = 1_795_255_200_000_000_000;
/// Nanoseconds.
pub const MILLISECOND: u64 = 1_000_000;
/// Nanoseconds.
pub const SECOND: u64 = 1_000 * MILLISECOND;

/// As the shipped matcher has it.
fn is_notable(exchange: &SimExchange) -> bool {
    let has = |Condition { header, prefix }: &Condition| {
        let begins = |value: &String| value.to_ascii_lowercase().starts_with(prefix.unwrap_or_default());
        exchange.values(Side::Response, header).iter().any(begins)
    };
    NOTABLE.iter().any(has) || exchange.noted(ASKED)
}

/// A stream, by where it runs.
pub struct Stream {
    /// Its worker.
    pub worker: usize,
    /// Its context.
    pub context: u32,
    /// Its side of the door.
    pub exchange: SimExchange,
    /// Its root.
    root: u32,
    /// Its answer goes past the filter.
    passes: Cell<bool>,
}

/// What stands in front of the filter when an answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matcher {
    /// Nothing.
    #[default]
    Absent,
    /// One as it is shipped, with the access log beside it.
    Shipped,
    /// One that sends every answer past the filter, with the same access log.
    Wrong,
}

/// One worker.
pub struct SimWorker {
    /// The engine.
    pub engine: Worker,
    /// Its host.
    pub host: SimHost,
    roots: Vec<u32>,
    contexts: u32,
}

/// The process.
pub struct Process {
    /// What the workers share.
    pub state: Rc<State>,
    /// They.
    pub workers: Vec<SimWorker>,
    /// Spans that a collector has acknowledged.
    pub exported: Vec<Span>,
    /// What is in front of the filter in each listener.
    pub matcher: Matcher,
    /// Exports of metrics that it has acknowledged.
    pub measured: Vec<ExportMetricsServiceRequest>,
}

impl Process {
    /// A process with so many workers, none of them configured.
    pub fn new(workers: usize) -> Self {
        let state = Rc::new(State::default());
        state.now.set(START);
        let worker = |number| SimWorker {
            engine: Worker::default(),
            host: SimHost::new(Rc::clone(&state), number),
            roots: Vec::new(),
            contexts: 0,
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            state,
            exported: Vec::new(),
            matcher: Matcher::Absent,
            measured: Vec::new(),
        }
    }

    /// One worker whose one listener has this configuration: the usual story.
    pub fn with(configuration: &str) -> (Self, u32) {
        let mut process = Self::new(1);
        let root = process.listener(0, "inbound", configuration);
        (process, root)
    }

    /// A root of a worker, configured. Answers its context.
    pub fn listener(&mut self, worker: usize, plugin: &str, configuration: &str) -> u32 {
        let root = self.root(worker);
        assert!(self.configure(worker, root, plugin, configuration), "{:?}", self.state.logs.borrow());
        root
    }

    /// A root of a worker without a configuration.
    pub fn root(&mut self, worker: usize) -> u32 {
        let at = &mut self.workers[worker];
        at.contexts += 1;
        at.engine.context_created(at.contexts, 0);
        at.roots.push(at.contexts);
        at.contexts
    }

    /// Gives a root a configuration; `false` when it was refused.
    pub fn configure(&mut self, worker: usize, root: u32, plugin: &str, configuration: &str) -> bool {
        self.configure_in(worker, root, plugin, Ok(configuration.into()), &[])
    }

    /// The same with environment variables, or without bytes.
    pub fn configure_in(
        &mut self,
        worker: usize,
        root: u32,
        plugin: &str,
        configuration: Result<Vec<u8>, Refused>,
        environment: &[(&str, &str)],
    ) -> bool {
        let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let setup = Setup {
            configuration,
            environment: variables.collect::<Environment>(),
            node: NodeMetadata::default(),
            plugin: plugin.to_owned(),
        };
        self.callback(worker, root, true, |engine, host| engine.configure(host, root, setup))
    }

    /// The roots of a worker.
    pub fn roots(&self, worker: usize) -> &[u32] {
        &self.workers[worker].roots
    }

    /// A stream of that root, before its first header.
    pub fn stream(&mut self, worker: usize, root: u32) -> Stream {
        let at = &mut self.workers[worker];
        at.contexts += 1;
        at.engine.context_created(at.contexts, root);
        let exchange = SimExchange::new(at.host.clone(), at.contexts);
        exchange.set_number(Attribute::StartTime, self.state.now.get().cast_signed());
        Stream { worker, context: at.contexts, exchange, root, passes: Cell::new(false) }
    }

    /// The head of a request; `true` when the engine answered it.
    pub fn head(&mut self, stream: &Stream, lines: Lines) -> bool {
        stream.exchange.came(Side::Request, lines);
        let Stream { worker, context, exchange, .. } = stream;
        self.callback(*worker, *context, false, |engine, _| engine.request_headers(exchange, *context))
    }

    /// The head of an answer.
    pub fn answer(&mut self, stream: &Stream, lines: Lines, end_of_stream: bool) {
        stream.exchange.came(Side::Response, lines);
        let status = stream.exchange.values(Side::Response, ":status").first().and_then(|status| status.parse().ok());
        if let Some(status) = status.filter(|_| self.matcher != Matcher::Absent) {
            stream.exchange.set_number(Attribute::ResponseCode, status);
        }
        stream.passes.set(match self.matcher {
            Matcher::Absent => false,
            Matcher::Shipped => !is_notable(&stream.exchange),
            Matcher::Wrong => true,
        });
        self.answered(stream, Answered::Head { end_of_stream });
    }

    /// Its trailers.
    pub fn trailers(&mut self, stream: &Stream, lines: Lines) {
        stream.exchange.came(Side::Trailers, lines);
        self.answered(stream, Answered::Trailers);
    }

    fn answered(&mut self, stream: &Stream, which: Answered) {
        let Stream { worker, context, exchange, .. } = stream;
        if !stream.passes.get() {
            self.callback(*worker, *context, false, |engine, _| engine.answered(exchange, *context, which));
        }
    }

    /// The last byte of the answer.
    pub fn body_end(&mut self, stream: &Stream) {
        if !stream.passes.get() {
            self.callback(stream.worker, stream.context, false, |engine, _| engine.response_body_ended(stream.context));
        }
    }

    /// The stream's end.
    pub fn log(&mut self, stream: &Stream) {
        let Stream { worker, context, exchange, .. } = stream;
        self.callback(*worker, *context, false, |engine, _| engine.log(exchange, *context));
        let number = |attribute| exchange.number(attribute).unwrap_or_default();
        let is_logged = number(Attribute::ResponseFlags) != 0 || 500 <= number(Attribute::ResponseCode);
        if self.matcher != Matcher::Absent && is_logged {
            // Envoy's access log, on behalf of the root.
            self.callback(*worker, stream.root, true, |engine, _| engine.log(exchange, stream.root));
        }
    }

    /// The last callback of a context.
    pub fn done(&mut self, worker: usize, context: u32) -> bool {
        let is_root = self.workers[worker].roots.contains(&context);
        self.workers[worker].host.forget(context);
        self.callback(worker, context, is_root, |engine, host| engine.done(host, context))
    }

    /// A root's tick.
    pub fn tick(&mut self, worker: usize, root: u32) {
        self.workers[worker].host.settle();
        self.callback(worker, root, true, |engine, host| engine.tick(host, root));
    }

    /// The VM of a worker traps: nothing of it is left, and no answer finds it. Its part of the gauges is gone with it.
    pub fn trap(&mut self, worker: usize) {
        self.state.calls.borrow_mut().retain(|call| call.worker != worker);
        let at = &mut self.workers[worker];
        at.engine = Worker::default();
        at.host = SimHost::new(Rc::clone(&self.state), worker);
        at.roots.clear();
    }

    /// Everything works again, and what the host had not counted is passed once more.
    pub fn repair(&mut self) {
        self.state.faults.clear();
        (0..self.workers.len()).for_each(|worker| self.tick(worker, 0));
    }

    /// A tick of every root, so that every count is shown.
    pub fn tick_all(&mut self) {
        for worker in 0..self.workers.len() {
            for root in self.workers[worker].roots.clone() {
                self.tick(worker, root);
            }
        }
    }

    /// The clock moves, and every root ticks.
    pub fn advance(&mut self, nanos: u64) {
        self.state.now.set(self.state.now.get().saturating_add(nanos));
        self.tick_all();
    }

    /// The oldest call to that cluster that awaits its answer.
    pub fn call_to(&self, cluster: &str) -> Option<Call> {
        self.state.calls.borrow().iter().find(|call| call.cluster == cluster).cloned()
    }

    /// The answer to a call comes. One that was answered already is answered again.
    pub fn reply(&mut self, call: &Call, reply: Reply) {
        let was_awaited = {
            let mut calls = self.state.calls.borrow_mut();
            let before = calls.len();
            calls.retain(|known| known.token != call.token);
            calls.len() < before
        };
        if was_awaited && call.cluster == COLLECTOR && reply.status == Some(200) {
            self.exported.extend(collector::spans(call));
            self.measured.extend(collector::metrics(call));
        }
        let arrival = Arrival { token: call.token, has_headers: reply.status.is_some(), body_size: reply.body.len() };
        self.workers[call.worker].host.show_answer(reply);
        self.callback(call.worker, call.root, true, |engine, host| engine.call_answered(host, arrival));
    }

    /// Every call to the collector is acknowledged, for as long as there are some.
    pub fn collect(&mut self) {
        while let Some(call) = self.call_to(COLLECTOR) {
            self.reply(&call, Reply::status(200));
        }
    }

    /// Time enough for every batch, every answer given: the spans that the collector has by then.
    pub fn export(&mut self) -> &[Span] {
        for _ in 0..3 {
            self.advance(SECOND);
            self.collect();
        }
        self.tick_all();
        self.check();
        &self.exported
    }

    /// A metric, summed over all workers.
    pub fn metric(&self, name: &str) -> i64 {
        self.workers.iter().map(|worker| worker.host.metric(name)).sum()
    }

    /// Whether a line of that level with this in it was logged.
    pub fn logged(&self, level: Level, part: &str) -> bool {
        self.state.logs.borrow().iter().any(|(_, known, text)| *known == level && text.contains(part))
    }

    /// The span balance of each worker, as its metrics show it. Where the host did not take a count, it holds again after a tick.
    pub fn check(&self) {
        if self.state.faults.failed(Operation::Define) != 0 {
            return; // A metric that the host does not know shows nothing.
        }
        for (number, SimWorker { host, .. }) in self.workers.iter().enumerate().filter(|(_, it)| !it.host.owes()) {
            let offered = host.metric("spans.offered");
            let known = [
                host.metric("spans.exported"),
                host.sum_of("spans.discarded."),
                host.metric("queue.spans"),
                host.metric("exports.in_flight_spans"),
            ];
            assert_eq!(offered, known.iter().sum::<i64>(), "worker {number}: {offered} offered, {known:?}");
        }
    }

    fn callback<T>(
        &mut self,
        worker: usize,
        context: u32,
        is_root: bool,
        work: impl FnOnce(&mut Worker, &SimHost) -> T,
    ) -> T {
        let SimWorker { engine, host, .. } = &mut self.workers[worker];
        host.enter(context, is_root);
        let result = work(engine, host);
        self.check();
        result
    }
}

/// Lines of headers, from texts.
pub fn lines(headers: &[(&str, &str)]) -> Lines {
    headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// The head of a GET without a caller, with more headers.
pub fn get(more: &[(&str, &str)]) -> Lines {
    let usual = [(":method", "GET"), (":path", "/cart"), (":authority", "cart.shop"), (":scheme", "http")];
    lines(&[&usual[..], more].concat())
}

/// The head of an answer.
pub fn status(status: u16, more: &[(&str, &str)]) -> Lines {
    let status = status.to_string();
    lines(&[&[(":status", status.as_str())][..], more].concat())
}
