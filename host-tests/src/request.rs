//! Requests: Envoy's callbacks for one stream, in Envoy's order.

use crate::envoy::Envoy;
use crate::finished::Finished;
use crate::matcher;
use crate::process::VmId;
use crate::property::{Property, PropertyPath};
use crate::response::{LocalReply, Response, flags};
use crate::spec::RequestSpec;
use crate::stream::{LocalResponse, Phase, Stream, grpc_status_of_http};
use crate::vm::{Context, Vm};
use crate::{Cost, Headers};

/// A request in flight. Its methods take the [`Envoy`] it runs in; those that end it consume it.
#[derive(Debug)]
#[must_use = "a request stays open until one of its endings"]
pub struct Request {
    vm: VmId,
    context: u32,
}

/// The phase that a callback of a stream runs in.
pub(crate) fn phase_of(export: &str) -> Phase {
    match export {
        "proxy_on_request_headers" => Phase::RequestHeaders,
        "proxy_on_request_body" => Phase::RequestBody,
        "proxy_on_request_trailers" => Phase::RequestTrailers,
        "proxy_on_response_headers" => Phase::ResponseHeaders,
        "proxy_on_response_body" => Phase::ResponseBody,
        "proxy_on_response_trailers" => Phase::ResponseTrailers,
        "proxy_on_log" => Phase::Log,
        "proxy_on_done" | "proxy_on_delete" => Phase::Done,
        _ => Phase::Between,
    }
}

impl Envoy {
    /// A request without a body arrives on worker 0: the module sees its creation and its headers.
    pub fn request(&mut self, listener: &str, headers: impl Into<Headers>) -> Request {
        self.open(RequestSpec::new(listener, headers))
    }

    /// A request arrives. If the module answers it itself, the module has also seen the response callbacks of that answer.
    ///
    /// # Panics
    /// After [`Envoy::shutdown`], or if there is no such listener or worker.
    pub fn open(&mut self, spec: RequestSpec) -> Request {
        let headers = spec.headers.clone();
        let count = headers.len() as u32;
        let end = spec.end_of_stream.into();
        let request = self.create(spec, Some(headers));
        request.run(self, "proxy_on_request_headers", &[count, end]);
        request.run_local_response(self);
        request
    }

    /// A request that Envoy's codec refuses: the module hears of it at the log only, with status 400 and no request map.
    pub fn codec_error(&mut self, listener: &str) -> Finished {
        let spec = RequestSpec::new(listener, Headers::new());
        let request = self.create(spec, None);
        let stream = request.stream_mut(self);
        stream.response_seen = true;
        stream.code = Some(400);
        stream.code_details = Some("http1.codec_error".to_owned());
        stream.flags = flags::DPE;
        stream.upstream_chosen = false;
        request.end(self)
    }

    /// `proxy_on_context_create`, under the listener's newest root.
    fn create(&mut self, spec: RequestSpec, headers: Option<Headers>) -> Request {
        assert!(!self.down, "a request after the process has ended");
        let listener = self.listener_index(&spec.listener);
        let vm_id = VmId::Worker(spec.worker);
        let index = self.vm_index(vm_id);
        let vm = &mut self.vms[index];
        let serving = vm.state().roots().filter(|(_, root)| root.listener == listener && !root.draining);
        let root = serving.map(|(id, _)| id).last().unwrap_or(0);
        let mut stream = Stream::new(root, listener, self.process.now);
        stream.request_headers = headers;
        stream.overrides = spec.properties;
        let context = vm.state_mut().new_context(Context::Stream(Box::new(stream)));
        vm.call(&mut self.process, "proxy_on_context_create", context, &[context, root]);
        self.settle();
        Request { vm: vm_id, context }
    }

    /// Cuts every stream of a root, as a listener does whose drain time is over.
    pub(crate) fn cut_streams_of(&mut self, index: usize, root: u32) {
        let vm = self.vms[index].id();
        let contexts = self.vms[index].state().contexts.iter();
        let streams: Vec<u32> = contexts
            .filter(|(_, context)| matches!(context, Context::Stream(stream) if stream.root == root))
            .map(|(id, _)| *id)
            .collect();
        for context in streams {
            let request = Request { vm, context };
            let stream = request.stream_mut(self);
            stream.flags |= flags::DC;
            stream.code_details = Some("downstream_local_disconnect".to_owned());
            request.end(self);
        }
    }
}

/// What a test can ask about it, and the single steps of its life.
impl Request {
    /// The VM that handles it.
    pub fn vm(&self) -> VmId {
        self.vm
    }

    /// Its context id.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// The request headers as the upstream gets them.
    pub fn forwarded_headers(&self, envoy: &Envoy) -> Headers {
        self.stream(envoy).request_headers.clone().unwrap_or_default()
    }

    /// The response headers as the client gets them; empty before they came.
    pub fn answered_headers(&self, envoy: &Envoy) -> Headers {
        self.stream(envoy).response_headers.clone().unwrap_or_default()
    }

    /// The answer that the module gave instead of the upstream.
    pub fn local_response<'a>(&self, envoy: &'a Envoy) -> Option<&'a LocalResponse> {
        self.stream(envoy).local_response.as_ref()
    }

    /// What it has cost so far.
    pub fn cost<'a>(&self, envoy: &'a Envoy) -> &'a Cost {
        &self.stream(envoy).cost
    }

    /// Overrides a property from now on.
    pub fn set_property(&self, envoy: &mut Envoy, path: impl Into<PropertyPath>, value: impl Into<Property>) {
        self.stream_mut(envoy).overrides.set(path.into(), value.into());
    }

    /// A chunk of the request's body.
    pub fn body(&self, envoy: &mut Envoy, chunk: impl AsRef<[u8]>, end_of_stream: bool) {
        let chunk = chunk.as_ref();
        let stream = self.stream_mut(envoy);
        stream.request_body_size += chunk.len() as u64;
        stream.body_chunk = chunk.to_vec();
        let args = [chunk.len() as u32, end_of_stream.into()];
        self.run(envoy, "proxy_on_request_body", &args);
    }

    /// The request's trailers.
    pub fn trailers(&self, envoy: &mut Envoy, trailers: impl Into<Headers>) {
        let trailers = trailers.into();
        let count = trailers.len() as u32;
        self.stream_mut(envoy).request_trailers = Some(trailers);
        self.run(envoy, "proxy_on_request_trailers", &[count]);
    }

    /// The upstream's response headers, alone.
    pub fn response_headers(&self, envoy: &mut Envoy, headers: impl Into<Headers>, end_of_stream: bool) {
        let headers = headers.into();
        let now = envoy.process.now;
        let stream = self.stream_mut(envoy);
        let status = headers.get(":status").and_then(|status| std::str::from_utf8(status).ok());
        stream.code = stream.code.or_else(|| status?.parse().ok());
        stream.first_response_byte = Some(now);
        stream.response_seen = true;
        let count = headers.len() as u32;
        let (listener, is_asked) = (stream.listener, stream.filter_state.contains_key(matcher::ASKED.as_bytes()));
        stream.response_headers = Some(headers.clone());
        let skipped = envoy.listeners[listener].around.skips(&headers, is_asked);
        self.stream_mut(envoy).skipped = skipped;
        let args = [count, end_of_stream.into()];
        self.run_answer(envoy, "proxy_on_response_headers", &args);
    }

    /// A chunk of the response's body.
    pub fn response_body(&self, envoy: &mut Envoy, chunk: impl AsRef<[u8]>, end_of_stream: bool) {
        let chunk = chunk.as_ref();
        let stream = self.stream_mut(envoy);
        stream.response_body_size += chunk.len() as u64;
        stream.body_chunk = chunk.to_vec();
        let args = [chunk.len() as u32, end_of_stream.into()];
        self.run_answer(envoy, "proxy_on_response_body", &args);
        let stream = self.stream_mut(envoy);
        let sent = std::mem::take(&mut stream.body_chunk);
        stream.response_body.extend(sent);
    }

    /// The response's trailers.
    pub fn response_trailers(&self, envoy: &mut Envoy, trailers: impl Into<Headers>) {
        let trailers = trailers.into();
        let count = trailers.len() as u32;
        self.stream_mut(envoy).response_trailers = Some(trailers);
        self.run_answer(envoy, "proxy_on_response_trailers", &[count]);
    }
}

/// The endings.
impl Request {
    /// The upstream answers, and the stream ends well. A request that the module answered itself just ends.
    pub fn respond(self, envoy: &mut Envoy, response: impl Into<Response>) -> Finished {
        self.send_response(envoy, response.into(), true);
        self.end(envoy)
    }

    /// The upstream answers with headers and the body given, then breaks off: Envoy can only reset the client.
    pub fn break_off(self, envoy: &mut Envoy, response: impl Into<Response>) -> Finished {
        self.send_response(envoy, response.into(), false);
        self.upstream_reset(envoy)
    }

    /// The upstream breaks off after its headers: Envoy can only reset the client.
    pub fn upstream_reset(self, envoy: &mut Envoy) -> Finished {
        let stream = self.stream_mut(envoy);
        stream.flags |= flags::UPE;
        stream.code_details = Some("upstream_reset_after_response_started{protocol_error}".to_owned());
        self.end(envoy)
    }

    /// Envoy answers itself.
    pub fn local_reply(self, envoy: &mut Envoy, reply: LocalReply) -> Finished {
        let stream = self.stream_mut(envoy);
        if stream.local_response.is_some() {
            return self.end(envoy);
        }
        stream.code = Some(reply.status.into());
        stream.code_details = reply.details;
        stream.flags |= reply.flags;
        stream.upstream_chosen = reply.upstream_chosen;
        if let Some(reason) = reply.transport_failure {
            let path = PropertyPath::from("upstream.transport_failure_reason");
            stream.overrides.set(path, reason.into());
        }
        let text = "upstream connect error or disconnect/reset before headers";
        if stream.is_grpc() {
            let status = grpc_status_of_http(reply.status.into()).to_string();
            let headers = [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", &status[..]),
                ("grpc-message", text),
            ];
            self.response_headers(envoy, headers, true);
            self.stream_mut(envoy).code = Some(200); // Only the log sees what the client saw.
        } else {
            let status = reply.status.to_string();
            let length = text.len().to_string();
            let headers = [(":status", &status[..]), ("content-length", &length[..]), ("content-type", "text/plain")];
            self.response_headers(envoy, headers, false);
            self.response_body(envoy, text, true);
        }
        self.stream_mut(envoy).first_response_byte = None; // No upstream byte: no backend latency.
        self.end(envoy)
    }

    /// The client leaves. No response callback runs for it.
    pub fn client_disconnect(self, envoy: &mut Envoy) -> Finished {
        let stream = self.stream_mut(envoy);
        stream.flags |= flags::DC;
        stream.code_details = Some("downstream_remote_disconnect".to_owned());
        self.end(envoy)
    }

    /// The stream ends as it stands: `proxy_on_log`, `proxy_on_done`, `proxy_on_delete`.
    pub fn end(self, envoy: &mut Envoy) -> Finished {
        let now = envoy.process.now;
        self.stream_mut(envoy).ended = Some(now);
        let done = if envoy.log_after_done {
            let done = self.run(envoy, "proxy_on_done", &[]);
            self.log(envoy);
            done
        } else {
            self.log(envoy);
            self.run(envoy, "proxy_on_done", &[])
        };
        let index = envoy.vm_index(self.vm);
        if done == Some(0) {
            let vm = &mut envoy.vms[index];
            vm.state_mut().lingering.push(self.context);
            let finished = Finished::of(self.stream(envoy), envoy.vms[index].failed);
            envoy.settle();
            return finished;
        }
        // Deleting costs too, so it is entered before the bill is written.
        self.run(envoy, "proxy_on_delete", &[]);
        let vm = &mut envoy.vms[index];
        let failed = vm.failed;
        let removed = vm.state_mut().contexts.remove(&self.context);
        envoy.process.cancel_of(self.vm, Some(self.context), true);
        envoy.settle();
        match removed {
            Some(Context::Stream(stream)) => Finished::of(&stream, failed),
            _ => panic!("{self:?} has ended already"),
        }
    }

    fn send_response(&self, envoy: &mut Envoy, response: Response, whole: bool) {
        let stream = self.stream_mut(envoy);
        if stream.local_response.is_some() {
            return;
        }
        stream.code_details = Some("via_upstream".to_owned());
        let nothing_follows = whole && response.body.is_empty() && response.trailers.is_none();
        self.response_headers(envoy, response.headers, nothing_follows);
        let last = response.body.len();
        for (number, chunk) in (1..).zip(response.body) {
            let end = whole && number == last && response.trailers.is_none();
            self.response_body(envoy, chunk, end);
        }
        if let Some(trailers) = response.trailers.filter(|_| whole) {
            self.response_trailers(envoy, trailers);
        }
    }

    /// Sends the module's own answer, which passes through the same filter.
    fn run_local_response(&self, envoy: &mut Envoy) {
        let stream = self.stream_mut(envoy);
        let Some(answer) = stream.local_response.clone() else {
            return;
        };
        stream.upstream_chosen = false;
        let mut headers = Headers::from([(":status", answer.status.to_string())]);
        for (name, value) in answer.headers.iter() {
            headers.add(name, value);
        }
        let empty = answer.body.is_empty();
        self.response_headers(envoy, headers, empty);
        if !empty {
            self.response_body(envoy, answer.body, true);
        }
        self.stream_mut(envoy).first_response_byte = None;
    }

    /// Logs the stream: to its filter, and then in the access log to the root, where a matcher is around the filter and something failed.
    fn log(&self, envoy: &mut Envoy) {
        self.run(envoy, "proxy_on_log", &[]);
        let Stream { root, listener, flags, code, .. } = *self.stream(envoy);
        if !envoy.listeners[listener].around.shows(flags, code) {
            return;
        }
        let index = envoy.vm_index(self.vm);
        let vm: &mut Vm = &mut envoy.vms[index];
        if let Some(stream) = vm.state_mut().stream_mut(self.context) {
            stream.phase = Phase::Log;
        }
        vm.state_mut().shown = Some(self.context);
        vm.call(&mut envoy.process, "proxy_on_log", root, &[root]);
        vm.state_mut().shown = None;
        if let Some(stream) = vm.state_mut().stream_mut(self.context) {
            stream.phase = Phase::Between;
        }
        envoy.settle();
    }

    /// A callback of the answer, which a filter does not see that is skipped.
    fn run_answer(&self, envoy: &mut Envoy, export: &'static str, args: &[u32]) {
        if !self.stream(envoy).skipped {
            self.run(envoy, export, args);
        }
    }

    fn run(&self, envoy: &mut Envoy, export: &'static str, args: &[u32]) -> Option<u32> {
        let index = envoy.vm_index(self.vm);
        let args = [&[self.context], args].concat();
        let vm: &mut Vm = &mut envoy.vms[index];
        let result = vm.call_in(&mut envoy.process, phase_of(export), export, self.context, &args);
        envoy.settle();
        result
    }

    fn stream<'a>(&self, envoy: &'a Envoy) -> &'a Stream {
        let index = envoy.vm_index(self.vm);
        match envoy.vms[index].state().contexts.get(&self.context) {
            Some(Context::Stream(stream)) => stream,
            _ => panic!("{self:?} has ended already"),
        }
    }

    fn stream_mut<'a>(&self, envoy: &'a mut Envoy) -> &'a mut Stream {
        let index = envoy.vm_index(self.vm);
        let state = envoy.vms[index].state_mut();
        state.stream_mut(self.context).unwrap_or_else(|| panic!("{self:?} has ended already"))
    }
}
