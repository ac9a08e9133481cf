//! The state that all VMs of one Envoy process share.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::callout::{Callout, CalloutId, CalloutKind, CalloutState, Cluster, Reply};
use crate::fault::Faults;
use crate::foreign::Function;
use crate::metrics::Metrics;
use crate::property::Properties;
use crate::shared::{SharedData, SharedQueues};
use crate::{Headers, Status, Trap};

/// One VM of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VmId {
    /// The short-lived VM in which Envoy tries a configuration before it goes anywhere else.
    Canary,
    /// The main thread's: it ticks and never sees a request.
    Main,
    /// A worker thread's, from 0.
    Worker(usize),
}

/// Proxy-Wasm log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// Finest.
    Trace = 0,
    /// For developers.
    Debug = 1,
    /// Envoy's default for modules; what a module writes to stdout comes as this.
    Info = 2,
    /// Something is wrong and goes on.
    Warn = 3,
    /// Something failed; what a module writes to stderr comes as this.
    Error = 4,
    /// The process is in danger.
    Critical = 5,
}

impl LogLevel {
    pub(crate) fn from_abi(level: u32) -> Option<Self> {
        use LogLevel::*;
        [Trace, Debug, Info, Warn, Error, Critical].into_iter().find(|known| *known as u32 == level)
    }
}

/// One line of Envoy's log that a module wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub vm: VmId,
    /// How grave it is.
    pub level: LogLevel,
    /// Its text, invalid UTF-8 replaced.
    pub message: String,
}

/// A callback that the host owes somebody, run after the current one has returned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owed {
    QueueReady { vm: VmId, context: u32, queue: u32 },
    Done { vm: VmId, context: u32 },
}

pub(crate) type AnsweringRule = Box<dyn FnMut(&Callout) -> Reply + Send>;

#[derive(Default)]
pub(crate) struct Process {
    /// Virtual time since the epoch.
    pub(crate) now: Duration,
    pub(crate) started: Duration,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) traps: Vec<Trap>,
    pub(crate) metrics: Metrics,
    pub(crate) shared: SharedData,
    pub(crate) queues: SharedQueues,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) environment: Vec<(String, String)>,
    /// Readable in every context: the node and what the test set for all.
    pub(crate) properties: Properties,
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) callouts: Vec<Callout>,
    pub(crate) forgotten: usize,
    /// Ids of callouts that wait, so that moving time need not look at all of history.
    pub(crate) waiting: Vec<CalloutId>,
    pub(crate) answering: Option<AnsweringRule>,
    pub(crate) warm: Vec<(VmId, String)>,
    pub(crate) faults: Faults,
    /// Foreign functions that a test put in the place of Envoy's.
    pub(crate) foreign: BTreeMap<String, Function>,
    pub(crate) owed: Vec<Owed>,
}

/// What a hostcall says of the call it wants made.
pub(crate) struct Dispatch {
    pub(crate) kind: CalloutKind,
    pub(crate) vm: VmId,
    pub(crate) context: u32,
    pub(crate) root: u32,
    pub(crate) token: u32,
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) timeout: Option<Duration>,
}

impl Process {
    pub(crate) fn log(&mut self, vm: VmId, level: LogLevel, message: &[u8]) {
        if self.log_level() <= level {
            let message = String::from_utf8_lossy(message).into_owned();
            self.logs.push(LogLine { vm, level, message });
        }
    }

    pub(crate) fn log_level(&self) -> LogLevel {
        self.log_level.unwrap_or(LogLevel::Info)
    }

    /// Sends a callout, or refuses it as Envoy does for a cluster that it does not know or that has no host.
    pub(crate) fn dispatch(&mut self, dispatch: Dispatch) -> Result<(), Status> {
        match self.clusters.get(&dispatch.cluster) {
            Some(Cluster::Ready) => {}
            Some(Cluster::WithoutHost) => return Err(Status::InternalFailure),
            None if dispatch.kind == CalloutKind::Http => return Err(Status::BadArgument),
            None => return Err(Status::ParseFailure),
        }
        let id = CalloutId(self.forgotten + self.callouts.len());
        let warm = self.warm.iter().any(|(vm, cluster)| *vm == dispatch.vm && *cluster == dispatch.cluster);
        let mut callout = Callout {
            id,
            kind: dispatch.kind,
            vm: dispatch.vm,
            context: dispatch.context,
            root: dispatch.root,
            token: dispatch.token,
            cluster: dispatch.cluster,
            headers: dispatch.headers,
            body: dispatch.body,
            trailers: dispatch.trailers,
            timeout: dispatch.timeout,
            sent_at: self.now,
            state: CalloutState::Waiting,
            warm,
            taken: false,
            due: None,
        };
        if let Some(rule) = &mut self.answering
            && let Reply::After(latency, answer) = rule(&callout)
        {
            callout.due = Some((self.now + latency, answer));
        }
        self.callouts.push(callout);
        self.waiting.push(id);
        Ok(())
    }

    /// The callout of an id, unless its history was forgotten.
    pub(crate) fn callout_mut(&mut self, id: CalloutId) -> Option<&mut Callout> {
        id.0.checked_sub(self.forgotten).and_then(|index| self.callouts.get_mut(index))
    }

    /// Takes a callout out of those that wait.
    pub(crate) fn settle(&mut self, id: CalloutId, state: CalloutState) {
        self.waiting.retain(|waiting| *waiting != id);
        if let Some(callout) = self.callout_mut(id) {
            callout.due = None;
            callout.state = state;
        }
    }

    /// Cancels what a context still waits for. `sent` tells whether cold connections had time to open.
    pub(crate) fn cancel_of(&mut self, vm: VmId, context: Option<u32>, sent: bool) {
        for id in self.waiting.clone() {
            let Some(callout) = self.callout_mut(id) else {
                continue;
            };
            if callout.vm == vm && context.is_none_or(|context| callout.context == context) {
                let delivered = sent || callout.warm;
                self.settle(id, CalloutState::Cancelled { delivered });
            }
        }
    }

    pub(crate) fn open_connection(&mut self, vm: VmId, cluster: &str) {
        if !self.warm.iter().any(|(v, c)| *v == vm && c == cluster) {
            self.warm.push((vm, cluster.to_owned()));
        }
    }
}
