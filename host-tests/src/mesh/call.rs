//! The side of a call that makes it: a client outside, or an application, through its pod's Envoy.

use std::time::Duration;

use super::context::Context;
use super::hop::{HopId, Side, When};
use super::marks;
use super::serving::ServingId;
use super::simulation::{Event, Mesh, RequestId};
use super::topology::{GATEWAY, PodId, ServiceId};
use crate::{Envoy, Finished, Headers, LocalReply, Request};

/// Names a call; never reused.
pub(crate) type CallId = u64;

/// What every route waits for headers.
const TIMEOUT: Duration = Duration::from_secs(1);
const IMPATIENCE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(40));
const REFUSAL: Duration = Duration::from_micros(500);
/// gRPC statuses that are failures, as the filter's default has them.
const FAILED_GRPC: [&[u8]; 6] = [b"2", b"4", b"12", b"13", b"14", b"15"];

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Client,
    Application(ServingId),
    /// Work after an answer: nobody.
    Nobody,
}

/// A call that is not over.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: RequestId,
    pub(crate) pod: PodId,
    pub(crate) maker: Maker,
    pub(crate) service: ServiceId,
    pub(crate) depth: u32,
    /// What the maker sent.
    came: Context,
    /// What left the pod.
    pub(crate) sent: Context,
    /// The stream in the pod's Envoy, if that has the filter.
    pub(crate) stream: Option<(HopId, Request)>,
    attempt: u32,
    /// What the route may still try.
    retries: u32,
    /// What the application may still try.
    tries: u32,
    /// Who serves the attempt, and the hop in front of it.
    pub(crate) serving: Option<ServingId>,
    pub(crate) callee: Option<HopId>,
    headed: bool,
    failed: bool,
    /// The application that answers this attempt has lied.
    pub(crate) lied: bool,
}

impl Mesh {
    /// A client outside sends a request through the gateway, and the next is planned.
    pub(crate) fn client(&mut self) {
        if !self.is_open() {
            return;
        }
        let request = self.requests.len();
        self.requests.push(Default::default());
        let lie = self.liars.context();
        let lies = lie.is_some();
        // Some clients bring a trace context; the edge believes its ids and not its flag.
        let mut context = lie.unwrap_or_default();
        if !lies && self.random.chance(0.3) {
            let flags = self.random.below(2);
            let (high, low, span) = (self.random.next(), self.random.next() | 1, self.random.next() | 1);
            context.headers.add("traceparent", format!("00-{high:016x}{low:016x}-{span:016x}-0{flags}"));
        }
        let service = self.topology.callee(None, &mut self.random);
        let call = self.call(request, (GATEWAY, Side::Gateway), Maker::Client, &context, service, (0, 0));
        if lies && let Some(hop) = self.requests[request].hops.first().copied() {
            self.count_choice(hop);
        }
        if self.random.chance(self.odds.leaves) {
            let patience = self.random.between(IMPATIENCE.0, IMPATIENCE.1);
            self.plan(patience, request, Event::Leave { call });
        }
        if self.is_open() {
            let pause = self.options.pause();
            let pause = self.random.between(Duration::ZERO, pause * 2);
            self.plan_aside(pause, Event::Client);
        }
    }

    /// Makes a call at a depth, with so many tries left to the application.
    pub(crate) fn call(
        &mut self,
        request: RequestId,
        (pod, side): (PodId, Side),
        maker: Maker,
        context: &Context,
        service: ServiceId,
        (depth, tries): (u32, u32),
    ) -> CallId {
        let id = self.new_id();
        let own = self.as_sent(pod, side, context);
        let retries = u32::from(self.random.chance(self.odds.envoy_retries)) * 2;
        let mut call = Call {
            request,
            pod,
            maker,
            service,
            depth,
            came: context.clone(),
            sent: own.unheard(),
            stream: None,
            attempt: 0,
            retries,
            tries,
            serving: None,
            callee: None,
            headed: false,
            failed: false,
            lied: false,
        };
        let mut down = false;
        if self.topology.pods[pod].envoy.is_some() {
            let headers = request_headers(service, &own.headers);
            match self.open(request, pod, side, &own, headers) {
                Some((stream, hop, sent)) => {
                    call.stream = Some((hop, stream));
                    call.sent = sent;
                }
                None => down = true,
            }
        }
        self.calls.insert(id, call);
        if down {
            self.plan(REFUSAL, request, Event::Leave { call: id });
            return id;
        }
        self.plan(TIMEOUT, request, Event::Timeout { call: id });
        if self.random.chance(self.odds.impatient) {
            let patience = self.random.between(IMPATIENCE.0, IMPATIENCE.1);
            self.plan(patience, request, Event::Leave { call: id });
        }
        self.try_callee(id);
        id
    }

    /// A call that nobody waits for.
    pub(crate) fn call_after(
        &mut self,
        request: RequestId,
        pod: PodId,
        context: &Context,
        service: ServiceId,
        depth: u32,
    ) {
        self.call(request, (pod, Side::Outbound), Maker::Nobody, context, service, (depth, 0));
    }

    /// Sends the next attempt to a pod of the service.
    fn try_callee(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let pods = &self.topology.services[call.service];
        let callee = pods[self.random.below(pods.len())];
        let (request, attempt, pod) = (call.request, call.attempt, call.pod);
        call.serving = None;
        call.callee = None;
        call.lied = false;
        let refused = self.random.chance(self.odds.refused);
        if let Some((hop, stream)) = &call.stream {
            let reached = self.topology.pods[callee].envoy.is_some() && !refused;
            self.hops[*hop].reached = reached.then_some(callee);
            let address = self.topology.pods[callee].address.clone();
            if let Some(envoy) = self.topology.pods[pod].envoy.as_mut() {
                stream.set_property(envoy, "upstream.address", address);
            }
        }
        if refused {
            self.plan(REFUSAL, request, Event::Refuse { call: id, attempt });
        } else {
            self.send(request, Event::Arrive { call: id, attempt, pod: callee });
        }
    }

    /// The call, if it still waits for this attempt.
    pub(crate) fn waiting(&mut self, id: CallId, attempt: u32) -> Option<&mut Call> {
        self.calls.get_mut(&id).filter(|call| call.attempt == attempt)
    }

    /// Whether the route tries once more; the answer that was there is then seen by nobody.
    fn tries_again(&mut self, id: CallId) -> bool {
        let Some(call) = self.calls.get_mut(&id).filter(|call| 0 < call.retries) else { return false };
        call.retries -= 1;
        call.attempt += 1;
        self.try_callee(id);
        true
    }

    pub(crate) fn refuse(&mut self, id: CallId, attempt: u32) {
        if self.waiting(id, attempt).is_some() && !self.tries_again(id) {
            self.give_up(id, LocalReply::connect_failure());
        }
    }

    pub(crate) fn time_out(&mut self, id: CallId) {
        if self.calls.get(&id).is_some_and(|call| !call.headed) {
            self.give_up(id, LocalReply::timeout());
        }
    }

    /// The caller's Envoy answers instead of the callee.
    fn give_up(&mut self, id: CallId, reply: LocalReply) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        if let Some((hop, stream)) = call.stream.take() {
            let finished = self.with_envoy(call.pod, |envoy| stream.local_reply(envoy, reply));
            if let Some(finished) = finished {
                self.check_answer(call.maker, &finished.response_headers);
                self.head_passed(hop, &finished.response_headers, true);
                self.stream_ended(hop, &finished);
            }
        }
        self.abandon(&call);
        self.answered(&call, true);
    }

    /// Tells the callee that nobody waits any more.
    fn abandon(&mut self, call: &Call) {
        if let Some(serving) = call.serving {
            self.send(call.request, Event::Cancel { serving });
        }
    }

    pub(crate) fn head(&mut self, id: CallId, attempt: u32, headers: Headers, ends: bool) {
        if self.waiting(id, attempt).is_none() || headers.get(":status") == Some(b"503") && self.tries_again(id) {
            return;
        }
        let failed = shows_failure(&headers, ends);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.headed = true;
        call.failed = failed;
        let (pod, maker, callee, lied) = (call.pod, call.maker, call.callee, call.lied);
        let Some((hop, stream)) = call.stream.take() else { return };
        if let Some(callee) = callee {
            self.hops[callee].heard = Some(When::Head);
        }
        if lied {
            self.hear_lie(hop, 0, &headers);
        }
        let passed = self.with_envoy(pod, |envoy| {
            stream.response_headers(envoy, headers, ends);
            stream.answered_headers(envoy)
        });
        if let Some(call) = self.calls.get_mut(&id) {
            call.stream = Some((hop, stream));
        }
        if let Some(passed) = passed {
            let trace = self.hops[hop].trace;
            if marks::read(&passed, trace) == Some(true) {
                self.release(pod, trace);
            }
            self.check_answer(maker, &passed);
            self.head_passed(hop, &passed, failed);
        }
    }

    pub(crate) fn end(&mut self, id: CallId, attempt: u32, ending: Ending) {
        if self.waiting(id, attempt).is_none() {
            return;
        }
        let Some(mut call) = self.calls.remove(&id) else { return };
        let trailers = matches!(ending, Ending::Trailers(_));
        let reset = matches!(ending, Ending::Reset);
        let failed = ending.shows_failure();
        if let Some((hop, stream)) = call.stream.take() {
            if let Some(callee) = call.callee.filter(|_| trailers) {
                self.hops[callee].heard = Some(When::Trailers);
            }
            if let Ending::Trailers(trailers) = &ending
                && call.lied
            {
                self.hear_lie(hop, 1, trailers);
            }
            let finished = self.with_envoy(call.pod, |envoy| ending.pass(stream, envoy));
            if failed {
                self.failure(hop, if reset { When::End } else { When::Trailers });
            }
            if let Some(finished) = finished {
                self.check_answer(call.maker, &finished.response_trailers);
                self.stream_ended(hop, &finished);
            }
        }
        self.answered(&call, call.failed || failed);
    }

    /// The maker leaves, or its Envoy could not even begin.
    pub(crate) fn leave(&mut self, id: CallId) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        if let Some((hop, stream)) = call.stream.take() {
            let finished = self.with_envoy(call.pod, |envoy| stream.client_disconnect(envoy));
            self.failure(hop, When::End);
            if let Some(finished) = finished {
                self.stream_ended(hop, &finished);
            }
        }
        self.abandon(&call);
        self.answered(&call, true);
    }

    /// The VM under a call's stream has trapped: the maker gets Envoy's 503.
    pub(crate) fn lose_call(&mut self, id: CallId) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        if let Some((hop, stream)) = call.stream.take() {
            self.lose_stream(call.pod, hop, stream);
        }
        self.abandon(&call);
        self.answered(&call, true);
    }

    /// The maker has its answer; an application may try again.
    fn answered(&mut self, call: &Call, failed: bool) {
        let Maker::Application(id) = call.maker else { return };
        let Some(serving) = self.servings.get_mut(&id) else { return };
        if failed && 0 < call.tries && !serving.gone {
            let place = (call.pod, Side::Outbound);
            self.call(call.request, place, call.maker, &call.came, call.service, (call.depth, call.tries - 1));
            return;
        }
        serving.failed |= failed;
        serving.outstanding -= 1;
        if serving.outstanding == 0 {
            self.think(id);
        }
    }
}

/// How an answer ends after its headers.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// The headers were all.
    Nothing,
    Body,
    Trailers(Headers),
    /// It breaks off.
    Reset,
}

impl Ending {
    pub(crate) fn shows_failure(&self) -> bool {
        match self {
            Self::Nothing | Self::Body => false,
            Self::Trailers(trailers) => shows_failure(trailers, true),
            Self::Reset => true,
        }
    }

    /// The last callbacks of a stream whose head has passed.
    pub(crate) fn pass(self, stream: Request, envoy: &mut Envoy) -> Finished {
        match self {
            Self::Nothing => {}
            Self::Body => stream.response_body(envoy, "the end", true),
            Self::Trailers(trailers) => stream.response_trailers(envoy, trailers),
            Self::Reset => return stream.upstream_reset(envoy),
        }
        stream.end(envoy)
    }
}

fn request_headers(service: ServiceId, context: &Headers) -> Headers {
    let path = format!("/service-{service}");
    let authority = format!("service-{service}");
    let mut headers = Headers::from([(":method", "GET"), (":path", &path), (":authority", &authority)]);
    headers.add(":scheme", "http");
    if is_grpc(service) {
        headers.add("content-type", "application/grpc");
    }
    for (name, value) in context.iter() {
        headers.add(name, value);
    }
    headers
}

/// A third of the services speak gRPC.
pub(crate) fn is_grpc(service: ServiceId) -> bool {
    service % 3 == 2
}

/// Whether headers, or trailers, tell of a failure; a gRPC status counts where nothing follows.
pub(crate) fn shows_failure(map: &Headers, last: bool) -> bool {
    let by_http = map.get(":status").is_some_and(|status| status.starts_with(b"5"));
    let by_grpc = last && map.get("grpc-status").is_some_and(|status| FAILED_GRPC.contains(&status));
    by_http || by_grpc
}

/// The flag in a `traceparent`.
pub(crate) fn trace_flag(headers: &Headers) -> Option<bool> {
    headers.get("traceparent").map(|value| value.last().is_some_and(|digit| matches!(digit, b'1' | b'3')))
}
