//! One listener's worker, driven as Envoy drives it.

use std::cell::RefCell;
use std::rc::Rc;

use opentelemetry_proto::tonic::trace::v1::Span;
use tracelift::door::{Host, Side};
use tracelift::metrics::Waiting;
use tracelift::otlp::{Compression, Protocol};
use tracelift::policy::Policy;
use tracelift::process::Worker;
use tracelift::request::Answered;
use tracelift::shared::Arrival;
use tracelift::span::NodeMetadata;

use super::exchange::Recorder;
use super::{HeaderList, Ids, RecorderHost, Recording, SharedValues, otlp};

/// The name of the filter, as the shipped configurations have it.
const PLUGIN: &str = "tracelift";
const ROOT: u32 = 1;
/// Beyond the wait for a batch, so that a tick finds it due.
const SLACK_MS: u64 = 1000;
/// Longer than a call waits for its place in the tree.
const SETTLE_MS: u64 = 6000;

/// An answer as it comes to the filter.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Its headers.
    pub headers: HeaderList,
    /// Its trailers.
    pub trailers: Option<HeaderList>,
    /// It passes whole; otherwise it breaks off behind its headers.
    pub whole: bool,
}

/// A worker with one listener.
pub struct Proxy {
    worker: Worker,
    host: RecorderHost,
    collector: String,
    delay_ms: u64,
    last: u32,
    exported: Vec<Vec<u8>>,
}

impl Proxy {
    /// Takes up a policy. Exports are neither compressed nor framed, so that they can be read here: the spans are the same.
    pub fn start(mut policy: Policy, now: u64, ids: Rc<RefCell<Ids>>, shared: SharedValues) -> Self {
        policy.export.compression = Compression::None;
        policy.export.protocol = Protocol::HttpProtobuf;
        let (collector, delay_ms) = (policy.export.cluster.clone(), policy.export.scheduled_delay_ms);
        let host = RecorderHost::new(now, ids, shared);
        let mut worker = Worker::default();
        worker.take_up(&host, ROOT, policy, &NodeMetadata::default(), PLUGIN);
        Self { worker, host, collector, delay_ms, last: ROOT, exported: Vec::new() }
    }

    /// The name under which it shares values with others of its process.
    pub fn plugin(&self) -> &'static str {
        PLUGIN
    }

    /// Its host.
    pub fn host(&self) -> &RecorderHost {
        &self.host
    }

    /// A request arrives.
    pub fn request(&mut self, headers: HeaderList) -> Recording {
        self.last = self.last.wrapping_add(1).max(ROOT + 1);
        let recording = Recording::new(self.last, self.host.now(), headers);
        self.worker.context_created(recording.id, ROOT);
        self.worker.request_headers(&Recorder { host: &self.host, recording: &recording }, recording.id);
        recording
    }

    /// It is answered.
    pub fn respond(&mut self, recording: &mut Recording, reply: Reply) {
        let Reply { headers, trailers, whole } = reply;
        recording.came(Side::Response, headers);
        self.answered(recording, Answered::Head { end_of_stream: whole && trailers.is_none() });
        if let Some(trailers) = trailers.filter(|_| whole) {
            recording.came(Side::Trailers, trailers);
            self.answered(recording, Answered::Trailers);
        }
    }

    fn answered(&mut self, recording: &Recording, which: Answered) {
        self.worker.answered(&Recorder { host: &self.host, recording }, recording.id, which);
    }

    /// It ends.
    pub fn end(&mut self, recording: &Recording) {
        self.worker.log(&Recorder { host: &self.host, recording }, recording.id);
        self.worker.done(&self.host, recording.id);
        self.acknowledge();
    }

    /// In which series requests were counted since the last tick.
    pub fn counted(&self) -> impl Iterator<Item = &Waiting> {
        self.worker.counted()
    }

    /// Lets what is queued be exported and the counts be shown.
    pub fn flush(&mut self) {
        for pause in [SETTLE_MS, self.delay_ms.saturating_add(SLACK_MS)] {
            self.host.advance(pause.saturating_mul(1_000_000));
            self.worker.tick(&self.host, ROOT);
        }
        self.acknowledge();
        self.worker.tick(&self.host, ROOT);
    }

    /// Takes the spans that were exported since the last time.
    pub fn take_spans(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.exported).iter().flat_map(|body| otlp::spans(body)).collect()
    }

    /// Forgets what was recorded beside the requests themselves.
    pub fn forget(&mut self) {
        self.exported.clear();
        self.host.take_accesses();
        self.host.take_logged();
    }

    /// A collector answers at once; nobody else does.
    fn acknowledge(&mut self) {
        loop {
            let calls = self.host.take_calls();
            if calls.is_empty() {
                break;
            }
            for call in calls.into_iter().filter(|call| call.cluster == self.collector) {
                self.exported.push(call.body);
                let arrival = Arrival { token: call.token, has_headers: true, body_size: 0 };
                self.worker.call_answered(&self.host, arrival);
            }
        }
    }
}
