//! Single requests that really happened, given to the filter's own worker.

use std::cell::RefCell;
use std::rc::Rc;

use super::record::Record;
use crate::recorder::{HeaderList, Ids, Proxy, Reply, SharedValues};
use tracelift::door::Side;
use tracelift::policy::Policy;
use tracelift::sampling::Mode;
use tracelift::trace_context::{Propagator, SpanId, TraceFlags, TraceId, TraceParent};
use tracelift::upgrade::Budget;

/// Between two requests, so that the budget of this worker, which is the largest there is, always has room.
const APART_NANOS: u64 = 10_000_000;

/// One worker for all requests: starting one costs as much as a thousand of them.
pub(super) struct Judge {
    proxy: Proxy,
}

/// What the filter said of a request by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// The head would sample it, were it the root of its trace.
    pub(super) sampled: bool,
    /// Something in its answer or its end is a trigger.
    pub(super) failed: bool,
}

impl Judge {
    /// Each request is judged as the first of its trace and by itself: nothing is believed of a caller, nothing heard of other
    /// hops, and budgets are left to the replay, which knows when what happened where.
    pub(super) fn new(policy: &Policy) -> Self {
        let mut policy = policy.clone();
        // By the trace's own randomness: a recorded trace is what an edge has passed on.
        policy.edge = false;
        policy.sampling.mode = Mode::Independent;
        policy.propagators = vec![Propagator::TraceContext];
        policy.upgrade.budget = Budget::per_second(Budget::MAX_PER_SECOND).unwrap_or(policy.upgrade.budget);
        policy.upgrade.signal.emit = false;
        policy.upgrade.signal.accept = false;
        policy.upgrade.recall.enabled = false;
        policy.upgrade.coverage = None;
        policy.names = None;
        policy.shadow = None;
        policy.xray = None;
        // By the fixed ratio: the rate in force is the replay's to tell.
        policy.sampling.pace = None;
        policy.paced = None;
        let ids = Rc::new(RefCell::new(Ids::new(1)));
        Self { proxy: Proxy::start(policy, APART_NANOS, ids, SharedValues::default()) }
    }

    pub(super) fn judge(&mut self, record: &Record, trace_id: TraceId) -> Judged {
        let proxy = &mut self.proxy;
        proxy.forget();
        proxy.host().advance(APART_NANOS);
        let caller = TraceParent { trace_id, parent_id: SpanId::MIN, flags: TraceFlags::default() };
        let mut request = record.request.list();
        request.replace("traceparent", &caller.write());
        let mut recording = proxy.request(request);
        recording.flags = record.flags;
        proxy.host().advance(record.took);
        if record.is_whole {
            let status = record.status.map(|status| (":status", status.to_string()));
            let trailers = record.grpc_status.map(|status| [("grpc-status", status.code().to_string())]);
            let (headers, trailers) = (HeaderList::from_iter(status), trailers.map(HeaderList::from_iter));
            proxy.respond(&mut recording, Reply { headers, trailers, whole: true });
        }
        proxy.end(&recording);
        let forwarded = recording.headers(Side::Request);
        let sent = forwarded.first("traceparent").and_then(|value| TraceParent::parse(value).ok());
        Judged {
            sampled: sent.is_some_and(|sent| sent.flags.sampled()),
            failed: recording.noted("tracelift.decision").is_some_and(|note| note.starts_with("upgraded.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Request;
    use crate::forecast::Role;
    use crate::manifest;
    use tracelift::http::{GrpcStatus, ResponseFlags};

    fn judge(configuration: &str) -> Judge {
        let (_, policy) = manifest::check(configuration).policies().next().unwrap();
        Judge::new(&policy)
    }

    fn record(status: Option<u16>) -> Record {
        Record {
            trace_id: None,
            span_id: None,
            parent_id: None,
            started: 0,
            took: 0,
            request: Request { method: "GET".into(), path: "/cart".into(), host: "shop".into(), headers: Vec::new() },
            status,
            grpc_status: None,
            is_whole: status.is_some(),
            flags: ResponseFlags::default(),
            service: String::new(),
            weight: 1.0,
            bytes: None,
            role: Role::Hop,
        }
    }

    const LOW: TraceId = TraceId::MIN;

    #[test]
    fn requests_of_one_trace_are_judged_each_by_itself_and_whatever_the_budget_is() {
        let mut judge = judge(r#"{"sampling": {"ratio": 0}, "upgrade": {"traces_per_second": 0, "latency_ms": 800}}"#);
        let mut failed = |record: &Record| judge.judge(record, LOW).failed;
        for _ in 0..3 {
            assert!(failed(&record(Some(503))));
            assert!(!failed(&record(Some(200))));
            assert!(failed(&record(None)));
            assert!(failed(&Record { took: 800_000_000, ..record(Some(200)) }));
            assert!(!failed(&Record { took: 799_000_000, ..record(Some(200)) }));
            assert!(failed(&Record { grpc_status: GrpcStatus::from_code(2), ..record(Some(200)) }));
            assert!(failed(&Record { flags: ResponseFlags::CONNECTION_FAILURE, ..record(Some(503)) }));
        }
    }

    #[test]
    fn the_head_decides_by_the_traces_own_randomness() {
        let mut judge =
            judge(r#"{"sampling": {"ratio": 0.5, "rules": [{"match": {"path": {"exact": "/x"}}, "ratio": 1}]}}"#);
        let high = TraceId::from_u128(u128::MAX).unwrap();
        let mut sampled = |path: &str, id| {
            let mut record = record(Some(200));
            record.request.path = path.to_owned();
            judge.judge(&record, id).sampled
        };
        assert_eq!((sampled("/cart", LOW), sampled("/cart", high), sampled("/x", LOW)), (false, true, true));
    }
}
