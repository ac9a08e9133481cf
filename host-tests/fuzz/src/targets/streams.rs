//! Whole streams through the release module: callbacks in and out of order, any header, any answer, hostcalls that fail.

use std::time::Duration;

use tracelift_host::{
    Answer, Cluster, Envoy, Headers, Hostcall, LocalReply, Module, Reply, Request, RequestSpec, Response, Status, VmId,
};

use super::stream_input::{self, CONFIGURATIONS, HOSTCALLS, PROPERTIES, STATUSES};
use crate::Input;

/// Every callback with the number of its arguments, the context first.
const CALLBACKS: [(&str, usize); 15] = [
    ("proxy_on_context_create", 2),
    ("proxy_on_vm_start", 2),
    ("proxy_on_configure", 2),
    ("proxy_on_tick", 1),
    ("proxy_on_request_headers", 3),
    ("proxy_on_request_body", 3),
    ("proxy_on_request_trailers", 2),
    ("proxy_on_response_headers", 3),
    ("proxy_on_response_body", 3),
    ("proxy_on_response_trailers", 2),
    ("proxy_on_http_call_response", 5),
    ("proxy_on_queue_ready", 2),
    ("proxy_on_log", 1),
    ("proxy_on_done", 1),
    ("proxy_on_delete", 1),
];
const LISTENERS: [&str; 3] = ["inbound", "outbound", "gateway"];
const COLLECTOR: &str = "otel_collector";
const RECALL: &str = "tracelift_recall";
const XRAY: &str = "xray_proxy";
/// Requests open at once.
const MOST_OPEN: usize = 8;

pub(crate) fn streams(bytes: &[u8]) {
    let mut play = Play::start(module(), Input::new(bytes));
    while !play.input.is_empty() {
        play.step();
        assert!(play.envoy.traps().is_empty(), "{:?}", play.envoy.traps());
    }
    play.finish();
}

#[cfg(feature = "libfuzzer")]
fn module() -> &'static Module {
    crate::coverage::module()
}

/// Replays take the very file that users deploy.
#[cfg(not(feature = "libfuzzer"))]
fn module() -> &'static Module {
    tracelift_host::testing::module()
}

struct Play<'a> {
    envoy: Envoy,
    input: Input<'a>,
    open: Vec<Request>,
    /// Contexts for callbacks out of order: unknown ones, the roots, and every stream that there was.
    contexts: Vec<u32>,
}

impl<'a> Play<'a> {
    fn start(module: &Module, mut input: Input<'a>) -> Self {
        let configuration = input.one_of(&CONFIGURATIONS);
        let workers = 1 + input.below(2);
        let by_hand = input.any::<bool>();
        let builder = Envoy::builder(module)
            .workers(workers)
            .seed(input.any::<u8>().into())
            .cluster(COLLECTOR)
            .cluster(RECALL)
            .cluster(XRAY);
        let builder = builder.answer_with(move |callout| {
            if by_hand { Reply::ByHand } else { Reply::accept(callout, Duration::from_millis(20)) }
        });
        let builder = builder.inbound(configuration).outbound(configuration).gateway(configuration);
        let envoy = builder.start().unwrap_or_else(|refused| panic!("{refused}"));
        Self { envoy, input, open: Vec::new(), contexts: vec![0, 1, 2, 3, 4, 5, 6, 1_000_000, u32::MAX] }
    }

    fn step(&mut self) {
        match self.input.below(20) {
            0..=3 => self.open(),
            4..=6 => self.respond(),
            7 => self.end_otherwise(),
            8 => self.respond_in_part(),
            9 => {
                let milliseconds = self.input.any::<u16>();
                self.envoy.advance(Duration::from_millis(milliseconds.into()));
            }
            10 | 11 => self.answer_callout(),
            12 => self.change_cluster(),
            13 | 14 => self.callback(),
            15 => {
                let configuration = self.input.one_of(&CONFIGURATIONS);
                let listener = self.input.one_of(&LISTENERS);
                // Refused where a hostcall fails that the configuration needs; the old one serves on.
                let _ = self.envoy.update_config(listener, configuration);
            }
            16 => {
                self.open.clear(); // Their streams may be cut now.
                self.envoy.drain();
            }
            17 => self.break_hostcalls(),
            18 => self.set_property(),
            _ => self.overwrite_shared_data(),
        }
    }

    fn open(&mut self) {
        if MOST_OPEN <= self.open.len() {
            return;
        }
        let workers = self.envoy.vms().len() - 1;
        let listener = self.input.one_of(&LISTENERS);
        let headers = stream_input::request(&mut self.input);
        let mut spec = RequestSpec::new(listener, headers).worker(self.input.below(workers));
        if self.input.any() {
            spec = spec.with_body();
        }
        let request = self.envoy.open(spec);
        self.contexts.push(request.context());
        self.open.push(request);
    }

    fn one_open(&mut self) -> Option<Request> {
        (!self.open.is_empty()).then(|| self.open.swap_remove(self.input.below(self.open.len())))
    }

    fn respond(&mut self) {
        let Some(request) = self.one_open() else { return };
        let mut response = Response::status(self.input.one_of(&STATUSES));
        for (name, value) in stream_input::response(&mut self.input) {
            response = response.header(name, value);
        }
        for _ in 0..self.input.below(3) {
            response = response.body(self.input.bytes());
        }
        for _ in 0..self.input.below(3) {
            let value = self.input.bytes();
            response = response.trailer(
                self.input.one_of(&["grpc-status", "grpc-message", "traceresponse", "x-tracelift-signal"]),
                value,
            );
        }
        let finished = if self.input.below(4) == 0 {
            request.break_off(&mut self.envoy, response)
        } else {
            request.respond(&mut self.envoy, response)
        };
        assert!(!finished.vm_failed, "{:?}", self.envoy.traps());
    }

    fn end_otherwise(&mut self) {
        let Some(request) = self.one_open() else { return };
        let reply = match self.input.below(8) {
            0 => LocalReply::connect_failure(),
            1 => LocalReply::timeout(),
            2 => LocalReply::upstream_reset(),
            3 => LocalReply::overflow(),
            4 => LocalReply::no_route(),
            5 => {
                let details = String::from_utf8_lossy(self.input.bytes()).into_owned();
                LocalReply::new(self.input.one_of(&STATUSES), self.input.any(), &details)
            }
            6 => {
                request.client_disconnect(&mut self.envoy);
                return;
            }
            _ => {
                request.end(&mut self.envoy);
                return;
            }
        };
        request.local_reply(&mut self.envoy, reply);
    }

    /// Single callbacks of an answer, in an order that Envoy may never choose.
    fn respond_in_part(&mut self) {
        let Some(request) = self.one_open() else { return };
        for _ in 0..self.input.below(4) {
            let (envoy, input) = (&mut self.envoy, &mut self.input);
            match input.below(5) {
                0 => {
                    let status = input.one_of(&STATUSES).to_string();
                    let mut headers = Headers::from([(":status", status)]);
                    for (name, value) in stream_input::response(input) {
                        headers.add(name, value);
                    }
                    request.response_headers(envoy, headers, input.any());
                }
                1 => request.response_body(envoy, input.bytes(), input.any()),
                2 => request.response_trailers(envoy, [("grpc-status", input.bytes())]),
                3 => request.body(envoy, input.bytes(), input.any()),
                _ => request.trailers(envoy, [("t", input.bytes())]),
            }
        }
        self.open.push(request);
    }

    fn answer_callout(&mut self) {
        let waiting: Vec<_> = self.envoy.waiting_callouts().iter().map(|callout| callout.id).collect();
        if waiting.is_empty() {
            return;
        }
        let id = waiting[self.input.below(waiting.len())];
        let mut answer = match self.input.below(4) {
            0 => Answer::no_headers(),
            1 => Answer::connection_failure(),
            2 => Answer::framed_grpc(self.input.any(), &String::from_utf8_lossy(self.input.bytes())),
            _ => Answer::status(self.input.one_of(&STATUSES)),
        };
        for _ in 0..self.input.below(3) {
            let name = self.input.one_of(&[
                "retry-after",
                "content-type",
                "grpc-status",
                "grpc-status-details-bin",
                "x-tracelift-recall",
            ]);
            answer = answer.header(name, self.input.bytes());
        }
        if self.input.any() {
            answer = answer.body(self.input.bytes());
        }
        self.envoy.answer(id, answer);
    }

    fn change_cluster(&mut self) {
        let cluster = match self.input.below(3) {
            0 => None,
            1 => Some(Cluster::WithoutHost),
            _ => Some(Cluster::Ready),
        };
        let name = self.input.one_of(&[COLLECTOR, RECALL]);
        self.envoy.set_cluster(name, cluster);
    }

    fn callback(&mut self) {
        let (export, count) = self.input.one_of(&CALLBACKS);
        let mut arguments = vec![self.input.one_of(&self.contexts)];
        for _ in 1..count {
            arguments.push(match self.input.any::<u8>() {
                255 => self.input.any(),
                small => small.into(),
            });
        }
        self.envoy.callback(VmId::Worker(0), export, &arguments);
    }

    /// One hostcall answers with an error from now on, now and then or always; or all work again.
    fn break_hostcalls(&mut self) {
        const ERRORS: [Status; 6] = [
            Status::NotFound,
            Status::BadArgument,
            Status::SerializationFailure,
            Status::InternalFailure,
            Status::CasMismatch,
            Status::Unimplemented,
        ];
        if self.input.below(3) == 0 {
            self.envoy.clear_faults();
            return;
        }
        let (name, status) = (self.input.one_of(&HOSTCALLS), self.input.one_of(&ERRORS));
        let (every, mut calls) = (1 + self.input.below(4), 0);
        self.envoy.fault(move |call: &mut Hostcall<'_>| {
            calls += usize::from(call.name == name);
            (call.name == name && calls % every == 0).then_some(status)
        });
    }

    fn set_property(&mut self) {
        let (path, value) = (self.input.one_of(&PROPERTIES), self.input.bytes());
        match self.open.last() {
            Some(request) => request.set_property(&mut self.envoy, path, value),
            None => self.envoy.set_property(path, value),
        }
    }

    /// As another version of this plugin, or another plugin of the same `vm_id`, would.
    fn overwrite_shared_data(&mut self) {
        let keys: Vec<Vec<u8>> = self.envoy.shared_data().keys().map(<[u8]>::to_vec).collect();
        if !keys.is_empty() {
            let key = &keys[self.input.below(keys.len())];
            let value = self.input.bytes();
            // 0 writes whatever the number is that was read last.
            self.envoy.shared_data_mut().set(key, value, 0).expect("no number to compare");
        }
    }

    /// Whatever was done to it: the module still takes a configuration, still traces, and its books balance.
    fn finish(mut self) {
        self.envoy.clear_faults();
        for request in std::mem::take(&mut self.open) {
            request.end(&mut self.envoy);
        }
        self.envoy
            .update_config("inbound", r#"{"sampling": {"ratio": 1}}"#)
            .unwrap_or_else(|refused| panic!("{refused}"));
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "a")];
        let request = self.envoy.request("inbound", headers);
        let forwarded = request.forwarded_headers(&self.envoy);
        let finished = request.respond(&mut self.envoy, 200);
        assert_eq!(finished.status, Some(200));
        assert!(forwarded.text("traceparent").is_some_and(|value| value.len() == 55), "{forwarded:?}");
        for context in self.contexts {
            self.envoy.callback(VmId::Worker(0), "proxy_on_tick", &[context]);
        }
        self.envoy.advance(Duration::from_secs(1));
        self.envoy.assert_conservation();
        self.envoy.shutdown();
        assert!(self.envoy.traps().is_empty(), "{:?}", self.envoy.traps());
        #[cfg(feature = "libfuzzer")]
        crate::coverage::collect(&mut self.envoy);
    }
}
