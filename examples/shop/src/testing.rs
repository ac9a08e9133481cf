//! Short ways to write spans and events down in tests.

use crate::span::{Kind, Span, threshold};
use crate::truth::{Arrival, Call, Outcome, SeenContext};

pub struct SpanBuilder(Span);

pub fn span(service: &str, kind: Kind, trace_id: u128, span_id: u64, parent_id: Option<u64>) -> SpanBuilder {
    SpanBuilder(Span {
        trace_id,
        span_id,
        parent_id,
        unrecorded_parent_id: None,
        service: service.to_owned(),
        application: false,
        name: "GET".to_owned(),
        kind,
        start: 0,
        end: 1_000_000,
        error: false,
        status: Some(200),
        flags: None,
        trigger: None,
        reason: None,
        peer: None,
        th: None,
        tracestate: String::new(),
        priority: None,
        sampled: true,
        attributes: vec![("http.request.method".to_owned(), "GET".to_owned())],
    })
}

impl SpanBuilder {
    pub fn peer(mut self, peer: &str) -> Self {
        self.0.peer = Some(peer.to_owned());
        self
    }

    pub fn ms(mut self, start: u64, end: u64) -> Self {
        (self.0.start, self.0.end) = (start * 1_000_000, end * 1_000_000);
        self
    }

    pub fn tracestate(mut self, tracestate: &str) -> Self {
        self.0.th = threshold(tracestate);
        self.0.tracestate = tracestate.to_owned();
        self
    }

    pub fn upgraded(mut self, status: i64) -> Self {
        self.0.trigger = Some("http_status".to_owned());
        (self.0.status, self.0.error, self.0.priority) = (Some(status), true, Some(1));
        self.tracestate("ot=th:0")
    }

    pub fn signalled(mut self) -> Self {
        (self.0.trigger, self.0.priority) = (Some("signal".to_owned()), Some(1));
        self
    }

    pub fn recalled(mut self) -> Self {
        (self.0.trigger, self.0.priority) = (Some("recall".to_owned()), Some(1));
        self
    }

    /// A span of the service's own SDK.
    pub fn of_application(mut self, name: &str) -> Self {
        (self.0.application, self.0.name) = (true, name.to_owned());
        self
    }

    /// One that was released after all.
    pub fn released(mut self, trigger: &str) -> Self {
        (self.0.trigger, self.0.priority) = (Some(trigger.to_owned()), Some(1));
        self
    }

    pub fn reason(mut self, reason: &str) -> Self {
        self.0.reason = Some(reason.to_owned());
        self
    }

    pub fn build(self) -> Span {
        self.0
    }
}

pub fn context(trace_id: u128, span_id: u64) -> SeenContext {
    SeenContext { trace_id, span_id, sampled: false, tracestate: String::new(), amazon: String::new() }
}

pub fn arrival(service: &'static str, trace_id: u128, span_id: u64, outcome: Outcome) -> Arrival {
    Arrival { visit: 0, service, context: context(trace_id, span_id), outcome }
}

pub fn call(service: &'static str, peer: &'static str, trace_id: u128, parent_id: u64, outcome: Outcome) -> Call {
    Call { visit: 0, service, peer, trace_id, parent_id, sampled: false, outcome, began: 0, ended: 0 }
}
