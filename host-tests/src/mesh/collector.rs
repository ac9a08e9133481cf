//! One collector for the whole mesh: takes spans while it is there, and knows where each came from.

use std::collections::BTreeMap;
use std::time::Duration;

use super::options::Sabotage;
use super::topology::{COLLECTOR, PodId};
use crate::otlp::{self, SpanKind};
use crate::{Answer, Callout, Reply, VmId};

/// From a request to the answer.
const LATENCY: Duration = Duration::from_millis(15);

/// A span that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) pod: PodId,
    pub(crate) vm: VmId,
    pub(crate) trace: u128,
    pub(crate) parent: Option<u64>,
    pub(crate) kind: SpanKind,
    /// `tracelift.upgrade.trigger`.
    pub(crate) trigger: Option<String>,
    /// `tracelift.parent.unrecorded`.
    pub(crate) unrecorded: Option<u64>,
}

/// What arrived, by span-id.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub(crate) spans: BTreeMap<u64, Received>,
    /// How many were taken from each VM.
    pub(crate) taken: BTreeMap<(PodId, VmId), u64>,
    /// Spans that came again: a request whose answer was late is sent twice.
    pub(crate) repeated: u64,
    pub(crate) away: Option<Absence>,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) stolen: u32,
}

/// How a collector is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It says that it is busy.
    Busy,
    /// It does not answer.
    Silent,
}

impl Collector {
    /// Decides about a callout that a pod just sent; others than exports are left to the simulation.
    pub(crate) fn answer(&mut self, pod: PodId, callout: &Callout) -> Reply {
        if callout.cluster != COLLECTOR {
            return Reply::ByHand;
        }
        match self.away {
            Some(Absence::Busy) => return Reply::After(LATENCY, Answer::status(503)),
            Some(Absence::Silent) => return Reply::ByHand,
            None => {}
        }
        let export = otlp::decode(callout).expect("an export that the generated types can read");
        for exported in export.spans() {
            let span = &exported.span;
            let (Some(id), Some(trace)) = (id_of(&span.span_id), trace_of(&span.trace_id)) else {
                panic!("a span without ids was exported: {span:?}");
            };
            if self.sabotage == Some(Sabotage::SpansStolen) {
                self.stolen += 1;
                if self.stolen.is_multiple_of(50) {
                    continue;
                }
            }
            let trigger = match exported.attribute("tracelift.upgrade.trigger") {
                otlp::Value::Text(trigger) => Some(trigger),
                _ => None,
            };
            let unrecorded = match exported.attribute("tracelift.parent.unrecorded") {
                otlp::Value::Text(id) => Some(id_of_hex(&id) as u64),
                _ => None,
            };
            let (vm, parent) = (callout.vm, id_of(&span.parent_span_id));
            let received = Received { pod, vm, trace, parent, kind: exported.kind(), trigger, unrecorded };
            *self.taken.entry((pod, vm)).or_default() += 1;
            self.repeated += u64::from(self.spans.insert(id, received).is_some());
        }
        Reply::accept(callout, LATENCY)
    }
}

fn id_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn trace_of(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

/// An id as it is written in headers.
pub(crate) fn id_of_hex(hex: &str) -> u128 {
    u128::from_str_radix(hex, 16).expect("hex digits, as the module writes them")
}
