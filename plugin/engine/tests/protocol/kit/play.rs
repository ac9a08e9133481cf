//! Any sequence of callbacks, answers and faults, chosen by somebody else: a property's generator, or a fuzzer.

use tracelift::door::{Attribute, Side};

use super::exchange::Lines;
use super::faults::Operation;
use super::host::Reply;
use super::process::{MILLISECOND, Process, SECOND, Stream, get, lines};

/// Where choices come from. Where it has ended, everything is zero or empty.
pub trait Source {
    /// Nothing is left.
    fn is_empty(&self) -> bool;

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize;

    /// Some bytes.
    fn bytes(&mut self) -> Vec<u8>;
}

/// Every room of the engine is entered by one of them.
const CONFIGURATIONS: [&str; 15] = [
    r#"{"sampling": {"ratio": 0.5}, "upgrade": {"latency_ms": 1000}, "export": {"max_export_batch_size": 3, "scheduled_delay_ms": 200}}"#,
    r#"{"sampling": {"ratio": 1}, "export": {"max_queue_size": 4, "max_export_batch_size": 2}}"#,
    r#"{"sampling": {"ratio": 0}, "propagators": ["xray", "b3", "tracecontext"], "upgrade": {"traces_per_second": 2}}"#,
    r#"{"sampling": {"ratio": 0.1, "rules": [{"name": "a", "match": {"path": {"prefix": "/a"}}, "ratio": 1, "latency_ms": 5}, {"name": "b", "match": {"method": ["POST"]}, "ratio": 0, "upgrade": false}]}}"#,
    r#"{"edge": true, "span_kind": "both", "sampling": {"mode": "independent", "ratio": 0.5}}"#,
    r#"{"span_kind": "client", "sampling": {"ratio": 0}, "upgrade": {"signal": {"accept_previous": true}}}"#,
    r#"{"sampling": {"ratio": 0}, "upgrade": {"recall": {"enabled": true, "cluster": "tracelift_recall", "token": "secret-of-the-mesh", "accept_previous": true}}}"#,
    r#"{"sampling": {"ratio": 0.2}, "span_kind": "client", "upgrade": {"recall": {"enabled": true, "token": "secret-of-the-mesh", "clusters": ["*"], "hold_ms": 300, "max_bytes": 3000}}, "export": {"max_queue_bytes": 1024}}"#,
    r#"{"sampling": {"ratio": 0.1}, "shadow": {"sampling": {"ratio": 0.5}, "upgrade": {"http_status": ["4xx"], "latency_ms": 5, "traces_per_second": 2}}}"#,
    r#"{"span_kind": "client", "sampling": {"ratio": 0}, "upgrade": {"applications": {"enabled": true, "token": "secret-of-the-mesh"}}}"#,
    r#"{"sampling": {"ratio": 0.3, "xray": {"enabled": true, "cluster": "xray_proxy", "targets_interval_ms": 1000, "timeout_ms": 50}}}"#,
    r#"{"sampling": {"ratio": 0.1}, "metrics": {"enabled": true, "interval_ms": 1000, "max_series": 10, "routes": ["/a"], "route_header": "x-route", "temporality": "delta"}}"#,
    r#"{"sampling": {"ratio": 0.1}, "metrics": {"routes": ["/a"], "route_header": "x-route"}, "upgrade": {"response_headers": {"x-keep": {"present": true}}, "coverage": {"enabled": true, "latency": true, "per_window": 2, "window_s": 10, "where": "all"}}, "shadow": {"upgrade": {"coverage": {"enabled": true}}}}"#,
    r#"{"edge": true, "sampling": {"ratio": 0.1, "session": {"cookie": "sid", "key": "a-secret-of-the-gateways"}}, "force": {"keys": [{"id": "dev", "secret": "a-secret-of-the-developers"}], "traces_per_second": 2}, "metrics": {"routes": ["/a"]}, "upgrade": {"slow": {"enabled": true}}, "shadow": {"upgrade": {"slow": {"enabled": true, "per": "side"}}}}"#,
    r#"{"span_kind": "server", "sampling": {"ratio": 0.5, "target": {"traces_per_second": 2, "min_ratio": 0, "by": "route"}, "boost": {"max_ratio": 0.9, "hold_s": 5, "cooldown_s": 0, "min_requests": 10}}, "metrics": {"routes": ["/a"]}, "upgrade": {"slow": {"enabled": true}}, "shadow": {"sampling": {"target": {"spans_per_month": 1000000}}}}"#,
];

const PLUGINS: [&str; 2] = ["inbound", "outbound"];
const STATUSES: [&str; 7] = ["200", "404", "429", "500", "503", "101", "0"];
const REPLIES: [Option<u16>; 6] = [Some(200), Some(404), Some(429), Some(503), Some(400), None];

/// Two traces, so that streams meet in one.
const REQUESTS: [(&str, &str); 20] = [
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02"),
    ("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("traceparent", "ff-tracelift-recall-1"),
    ("traceparent", "ff-tracelift-recall-2"),
    ("traceparent", "ff-tracelift-upgrades-1"),
    (":path", "/.well-known/tracelift/upgrades?cursor=9f2c41d07b5e8a63.1041"),
    ("x-tracelift-mac", "1;1795255200;e041ad112d5c0e59ff6533e1e2b02ee2abe382f2dff636d540ac0ad1f36861a3"),
    ("tracestate", "ot=th:8;rv:0123456789abcd,vendor=x"),
    ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?"),
    ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d"),
    ("x-tracelift-recall", "1;0af7651916cd43dd8448eb211c80319c,4bf92f3577b34da6a3ce929d0e0e4736"),
    ("x-tracelift-token", "secret-of-the-mesh"),
    ("x-tracelift-mac", "1;1795255200;6847dad0975839e8e31d5a58bbe1ad210d0fd6a6795a21f4439e80b250531b3d"),
    ("x-forwarded-for", "203.0.113.9"),
    (":path", "/a?sig=1"),
    (":method", "CONNECT"),
    ("cookie", "theme=dark; sid=user-1"),
    ("x-tracelift-force", "1.dev.1795258800..hZZErTvWG52biXhM9y19Jw"),
];

const ANSWERS: [(&str, &str); 10] = [
    ("x-tracelift-signal", "2;upgraded;0af7651916cd43dd8448eb211c80319c"),
    ("x-tracelift-signal", "2;shed;4bf92f3577b34da6a3ce929d0e0e4736"),
    ("x-tracelift-signal", "2;kept;0af7651916cd43dd8448eb211c80319c,2;here;4bf92f3577b34da6a3ce929d0e0e4736"),
    ("traceresponse", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("traceresponse", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ("server-timing", "db;dur=5, trace;desc=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("grpc-status", "14"),
    ("content-type", "application/grpc"),
    ("x-route", "/a/{b}"),
    ("x-keep", "1"),
];

const HEADERS_OF_REPLIES: [(&str, &str); 5] = [
    ("x-tracelift-recall", "1"),
    ("retry-after", "1"),
    ("content-type", "application/x-protobuf"),
    ("grpc-status", "8"),
    ("date", "Sat, 21 Nov 2026 10:00:00 GMT"),
];

/// Two rules, one of them with a reservoir.
const RULES: &str = r#"{"SamplingRuleRecords": [{"SamplingRule": {"RuleName": "a", "RuleARN": "arn:a", "Priority": 1, "FixedRate": 0.5, "ReservoirSize": 2, "ServiceName": "*", "ServiceType": "*", "ResourceARN": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "/a*", "Version": 1, "Attributes": {}}, "ModifiedAt": 1.0}, {"SamplingRule": {"RuleName": "Default", "RuleARN": "arn:d", "Priority": 10000, "FixedRate": 0.1, "ReservoirSize": 1, "ServiceName": "*", "ServiceType": "*", "ResourceARN": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1, "Attributes": {}}, "ModifiedAt": 1.0}]}"#;
const TARGETS: &str = r#"{"SamplingTargetDocuments": [{"RuleName": "a", "FixedRate": 0.2, "ReservoirQuota": 1, "ReservoirQuotaTTL": 1795255210.0, "Interval": 1}], "LastRuleModification": 1.0}"#;

/// Streams open at once.
const MOST_OPEN: usize = 6;

/// A process whose host does as it is told.
pub struct Play {
    process: Process,
    open: Vec<Stream>,
}

impl Play {
    /// Runs the whole of it, and then sees whether every span is accounted for.
    pub fn run(source: &mut impl Source) {
        let mut play = Self::start(source);
        while !source.is_empty() {
            play.step(source);
        }
        play.finish();
    }

    fn start(source: &mut impl Source) -> Self {
        let mut process = Process::new(1 + source.below(2));
        let configurations = PLUGINS.map(|plugin| (plugin, CONFIGURATIONS[source.below(CONFIGURATIONS.len())]));
        for worker in 0..process.workers.len() {
            for (plugin, configuration) in configurations {
                process.listener(worker, plugin, configuration);
            }
        }
        Self { process, open: Vec::new() }
    }

    fn step(&mut self, source: &mut impl Source) {
        match source.below(16) {
            0 | 1 => self.open(source),
            2..=5 => self.callback(source),
            6 | 7 => self.end(source),
            8 => self.process.advance(source.below(3_000) as u64 * MILLISECOND),
            9 => self.set_clock_back(source),
            10 | 11 => self.reply(source),
            12 => self.root(source),
            13 => self.configure(source),
            14 => self.fault(source),
            _ => self.overwrite(source),
        }
    }

    fn open(&mut self, source: &mut impl Source) {
        if MOST_OPEN <= self.open.len() {
            return;
        }
        let worker = source.below(self.process.workers.len());
        let roots = self.process.roots(worker);
        let root = roots[source.below(roots.len())];
        let stream = self.process.stream(worker, root);
        let direction = source.below(3);
        stream.exchange.set_number(Attribute::ListenerDirection, direction as i64);
        stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
        if source.below(4) != 0 {
            self.process.head(&stream, with(get(&[]), &REQUESTS, source));
        }
        self.open.push(stream);
    }

    /// One callback of one stream, in whatever order.
    fn callback(&mut self, source: &mut impl Source) {
        let Some(at) = self.one(source) else { return };
        let stream = &self.open[at];
        let process = &mut self.process;
        match source.below(7) {
            0 => {
                process.head(stream, with(get(&[]), &REQUESTS, source));
            }
            1 | 2 => {
                let status = STATUSES[source.below(STATUSES.len())];
                let head = with(lines(&[(":status", status)]), &ANSWERS, source);
                process.answer(stream, head, source.below(2) == 0);
            }
            3 => process.body_end(stream),
            4 => process.trailers(stream, with(Lines::new(), &ANSWERS, source)),
            5 => {
                let flags = 1_i64 << source.below(30);
                stream.exchange.set_number(Attribute::ResponseFlags, flags);
            }
            _ => {
                process.done(stream.worker, stream.context);
            }
        }
    }

    fn end(&mut self, source: &mut impl Source) {
        let Some(at) = self.one(source) else { return };
        let stream = if source.below(4) == 0 { &self.open[at] } else { &self.open.swap_remove(at) };
        self.process.log(stream);
        self.process.done(stream.worker, stream.context);
    }

    fn one(&self, source: &mut impl Source) -> Option<usize> {
        (!self.open.is_empty()).then(|| source.below(self.open.len()))
    }

    fn set_clock_back(&mut self, source: &mut impl Source) {
        let now = &self.process.state.now;
        now.set(now.get().saturating_sub(source.below(20) as u64 * SECOND));
        self.process.tick_all();
    }

    /// Answers a call, now and then one that nobody made.
    fn reply(&mut self, source: &mut impl Source) {
        let calls = self.process.state.calls.borrow().clone();
        if calls.is_empty() {
            return;
        }
        let mut call = calls[source.below(calls.len())].clone();
        if source.below(16) == 0 {
            call.token = call.token.wrapping_add(1_000);
        }
        let mut reply = Reply { status: REPLIES[source.below(REPLIES.len())], ..Reply::default() };
        reply.headers = with(Lines::new(), &HEADERS_OF_REPLIES, source);
        reply.body = match source.below(4) {
            0 => RULES.into(),
            1 => TARGETS.into(),
            2 => source.bytes(),
            _ => Vec::new(),
        };
        self.process.reply(&call, reply);
    }

    /// A root ends, or another one begins.
    fn root(&mut self, source: &mut impl Source) {
        let worker = source.below(self.process.workers.len());
        if source.below(2) == 0 {
            let plugin = PLUGINS[source.below(2)];
            let configuration = CONFIGURATIONS[source.below(CONFIGURATIONS.len())];
            self.process.listener(worker, plugin, configuration);
        } else {
            let roots = self.process.roots(worker);
            let root = roots[source.below(roots.len())];
            self.process.done(worker, root);
        }
    }

    fn configure(&mut self, source: &mut impl Source) {
        let worker = source.below(self.process.workers.len());
        let roots = self.process.roots(worker);
        let root = roots[source.below(roots.len())];
        let configuration = match source.below(CONFIGURATIONS.len() + 1) {
            0 => r#"{"sampling": {"ratio": 2}}"#,
            number => CONFIGURATIONS[number - 1],
        };
        self.process.configure(worker, root, PLUGINS[source.below(2)], configuration);
    }

    fn fault(&mut self, source: &mut impl Source) {
        let faults = &self.process.state.faults;
        let operation = Operation::ALL[source.below(Operation::ALL.len())];
        match (source.below(3), operation) {
            (0, _) | (_, Operation::Define) => self.process.repair(),
            _ => faults.set(operation, 1 + source.below(3) as u32),
        }
    }

    /// As another version of the filter would.
    fn overwrite(&mut self, source: &mut impl Source) {
        let shared = &self.process.state.shared;
        let keys = shared.keys();
        if !keys.is_empty() {
            shared.swap(&keys[source.below(keys.len())], &source.bytes(), 0);
        }
    }

    /// Whatever was done: requests are traced, and at the end every span is accounted for.
    fn finish(mut self) {
        self.process.repair();
        for stream in std::mem::take(&mut self.open) {
            self.process.log(&stream);
        }
        let root = self.process.listener(0, "last", r#"{"sampling": {"ratio": 1}}"#);
        let stream = self.process.stream(0, root);
        assert!(!self.process.head(&stream, get(&[])));
        let forwarded = stream.exchange.values(Side::Request, "traceparent");
        assert!(matches!(&forwarded[..], [one] if one.len() == 55), "{forwarded:?}");
        self.process.log(&stream);
        self.process.export();
        for worker in 0..self.process.workers.len() {
            for root in self.process.roots(worker).to_vec() {
                self.process.done(worker, root);
            }
        }
        self.process.collect();
        self.process.check();
    }
}

/// These headers and up to four more: known ones as they are or with any value.
fn with(mut headers: Lines, known: &[(&str, &str)], source: &mut impl Source) -> Lines {
    for _ in 0..source.below(5) {
        let (name, value) = known[source.below(known.len())];
        headers.retain(|(key, _)| !name.starts_with(':') || key != name.as_bytes());
        headers.push((name.into(), if source.below(4) == 0 { header_value(source.bytes()) } else { value.into() }));
    }
    headers
}

/// Bytes as a codec lets them into a header: nothing that ends a value.
fn header_value(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.retain(|byte| !matches!(byte, b'\0' | b'\r' | b'\n'));
    bytes
}
