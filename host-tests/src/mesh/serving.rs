//! The side of a call that serves it: a pod's Envoy and the application behind it.

use std::time::Duration;

use super::applications::Application;
use super::call::{CallId, Ending, Maker, is_grpc, shows_failure};
use super::context::Context;
use super::hop::{HopId, Side, When};
use super::options::Sabotage;
use super::script::Script;
use super::simulation::{Event, Mesh, RequestId};
use super::topology::{PodId, ServiceId};
use crate::{Headers, Request};

/// Names a request that is served; never reused.
pub(crate) type ServingId = u64;

const AFTER: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// A request that an application works on.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) request: RequestId,
    pub(crate) pod: PodId,
    /// The trace that it was called in.
    pub(crate) trace: Option<u128>,
    service: ServiceId,
    depth: u32,
    /// Whom the answer goes to.
    pub(crate) call: CallId,
    pub(crate) attempt: u32,
    /// The application has lied in its answer.
    pub(crate) lied: bool,
    /// The stream in the pod's Envoy, if that has the filter, until it is over.
    pub(crate) stream: Option<(HopId, Request)>,
    /// What the application sends along with its calls.
    context: Context,
    script: Script,
    /// The next group of calls.
    at: usize,
    /// Calls that it waits for.
    pub(crate) outstanding: usize,
    /// One of them failed.
    pub(crate) failed: bool,
    /// Nobody waits for the answer any more.
    pub(crate) gone: bool,
    /// How the answer will end, once its head has left.
    ending: Option<Ending>,
}

impl Mesh {
    /// A call reaches a pod.
    pub(crate) fn arrive(&mut self, call_id: CallId, attempt: u32, pod: PodId) {
        let Some(call) = self.waiting(call_id, attempt) else { return };
        let (request, service, depth, sent) = (call.request, call.service, call.depth, call.sent.clone());
        let mut stream = None;
        let mut context = sent.unheard();
        if self.topology.pods[pod].envoy.is_some() {
            let mut headers = Headers::from([(":method", "GET"), (":path", "/"), (":authority", "service")]);
            if is_grpc(service) {
                headers.add("content-type", "application/grpc");
            }
            for (name, value) in sent.headers.iter() {
                headers.add(name, value);
            }
            match self.open(request, pod, Side::Inbound, &sent, headers) {
                Some((opened, hop, forwarded)) => {
                    stream = Some((hop, opened));
                    context = forwarded;
                }
                None => return self.unserved(request, call_id, attempt),
            }
        }
        let trace = context.trace();
        if self.topology.pods[pod].application == Application::Deaf {
            context = Context::default();
        }
        self.forge(&mut context);
        let storm = self.weather.storms_in(service, self.now);
        let script = Script::write(&mut self.random, &self.odds, depth, storm);
        let id = self.new_id();
        if let Some(call) = self.calls.get_mut(&call_id) {
            call.serving = Some(id);
            call.callee = stream.as_ref().map(|(hop, _)| *hop);
        }
        let serving = Serving {
            request,
            pod,
            trace,
            service,
            depth,
            call: call_id,
            attempt,
            lied: false,
            stream,
            context,
            script,
            at: 0,
            outstanding: 0,
            failed: false,
            gone: false,
            ending: None,
        };
        self.servings.insert(id, serving);
        self.think(id);
    }

    /// The worker's VM is down: Envoy refuses what it would have to see.
    fn unserved(&mut self, request: RequestId, call: CallId, attempt: u32) {
        let headers = Headers::from([(":status", "503")]);
        let latency = self.send(request, Event::Head { call, attempt, headers, ends: true });
        self.plan(latency, request, Event::End { call, attempt, ending: Ending::Nothing });
    }

    /// An application that sets `sampled` where nobody sampled.
    fn forge(&mut self, context: &mut Context) {
        if self.options.sabotage == Some(Sabotage::SampledForged)
            && self.random.chance(0.01)
            && let Some(sent) = context.headers.get("traceparent").map(<[u8]>::to_vec)
            && let Some((_, ids)) = sent.split_last()
        {
            context.headers.replace("traceparent", [ids, b"1"].concat());
        }
    }

    /// The application thinks before its next group of calls, or before its answer.
    pub(crate) fn think(&mut self, id: ServingId) {
        let Some(serving) = self.servings.get(&id) else { return };
        let thinking = serving.script.steps.get(serving.at).map_or(serving.script.thinking, |step| step.thinking);
        self.plan(thinking, serving.request, Event::Work { serving: id });
    }

    pub(crate) fn work(&mut self, id: ServingId) {
        let Some(serving) = self.servings.get_mut(&id) else { return };
        let Some(step) = serving.script.steps.get(serving.at).copied() else { return self.answer(id) };
        serving.at += 1;
        serving.outstanding = step.calls;
        let (request, pod, service, depth) = (serving.request, serving.pod, serving.service, serving.depth);
        let context = serving.context.clone();
        for _ in 0..step.calls {
            let callee = self.topology.callee(Some(service), &mut self.random);
            let tries = u32::from(self.random.chance(self.odds.application_retries));
            let maker = Maker::Application(id);
            self.call(request, (pod, Side::Outbound), maker, &context, callee, (depth + 1, tries));
        }
    }

    /// The application sends the head of its answer, unless nobody waits for it.
    fn answer(&mut self, id: ServingId) {
        self.plan_work_after(id);
        let Some(serving) = self.servings.get_mut(&id) else { return };
        if serving.gone {
            self.servings.remove(&id);
            return;
        }
        let fails = serving.script.fails || serving.failed && !serving.script.swallows;
        let failed_in = serving.trace.filter(|_| fails).map(|trace| (serving.pod, trace));
        let (mut headers, ending) = written_answer(fails, is_grpc(serving.service), self.random.below(20));
        let mut ending = if serving.script.breaks_off { Ending::Reset } else { ending };
        if let Some((pod, trace)) = failed_in {
            self.release(pod, trace);
        }
        self.lie(id, &mut headers, &mut ending);
        let Some(serving) = self.servings.get_mut(&id) else { return };
        let (request, pod, body) = (serving.request, serving.pod, serving.script.body);
        let ends = matches!(ending, Ending::Nothing);
        serving.ending = Some(ending);
        let (call, attempt, lied) = (serving.call, serving.attempt, serving.lied);
        let mut passed = headers.clone();
        if let Some((hop, stream)) = serving.stream.take() {
            let failed = shows_failure(&headers, ends);
            if lied {
                self.hear_lie(hop, 0, &headers);
            }
            passed = self
                .with_envoy(pod, |envoy| {
                    stream.response_headers(envoy, headers, ends);
                    stream.answered_headers(envoy)
                })
                .unwrap_or_default();
            self.head_passed(hop, &passed, failed);
            if let Some(serving) = self.servings.get_mut(&id) {
                serving.stream = Some((hop, stream));
            }
        }
        if self.options.sabotage == Some(Sabotage::SignalEaten) && self.random.chance(0.1) {
            passed.remove("x-tracelift-signal");
        }
        let latency = self.send(request, Event::Head { call, attempt, headers: passed, ends });
        // The end follows the head over the same way.
        self.plan(body.max(latency), request, Event::Finish { serving: id });
    }

    /// Some applications work on.
    fn plan_work_after(&mut self, id: ServingId) {
        let Some(serving) = self.servings.get(&id) else { return };
        let (request, pod, service, depth) = (serving.request, serving.pod, serving.service, serving.depth + 1);
        let context = serving.context.clone();
        for _ in 0..serving.script.after_answer {
            let service = self.topology.callee(Some(service), &mut self.random);
            let pause = self.random.between(AFTER.0, AFTER.1);
            self.plan(pause, request, Event::After { pod, context: context.clone(), service, depth });
        }
    }

    /// The application has sent its whole answer.
    pub(crate) fn finish_answer(&mut self, id: ServingId) {
        let Some(mut serving) = self.servings.remove(&id) else { return };
        let Some(mut ending) = serving.ending.take() else { return };
        if let Some((hop, stream)) = serving.stream.take() {
            let (failed, reset) = (ending.shows_failure(), matches!(ending, Ending::Reset));
            if let Ending::Trailers(trailers) = &ending
                && serving.lied
            {
                self.hear_lie(hop, 1, trailers);
            }
            let finished = self.with_envoy(serving.pod, |envoy| ending.clone().pass(stream, envoy));
            if failed {
                self.failure(hop, if reset { When::End } else { When::Trailers });
            }
            if let (Ending::Trailers(trailers), Some(finished)) = (&mut ending, &finished) {
                *trailers = finished.response_trailers.clone();
            }
            if let Some(finished) = finished {
                self.stream_ended(hop, &finished);
            }
        }
        if !serving.gone {
            self.send(serving.request, Event::End { call: serving.call, attempt: serving.attempt, ending });
        }
    }

    /// The caller has left.
    pub(crate) fn cancel(&mut self, id: ServingId) {
        let Some(serving) = self.servings.get_mut(&id).filter(|serving| !serving.gone) else { return };
        serving.gone = true;
        let (pod, persists, answered) = (serving.pod, serving.script.persists, serving.ending.is_some());
        if let Some((hop, stream)) = serving.stream.take() {
            let finished = self.with_envoy(pod, |envoy| stream.client_disconnect(envoy));
            self.failure(hop, When::End);
            if let Some(finished) = finished {
                self.stream_ended(hop, &finished);
            }
        }
        if answered || !persists {
            self.drop_work(id);
        }
    }

    /// An application that stops lets go of the calls that it made.
    fn drop_work(&mut self, id: ServingId) {
        self.servings.remove(&id);
        let made = self.calls.iter().filter(|(_, call)| call.maker == Maker::Application(id));
        let made: Vec<CallId> = made.map(|(call, _)| *call).collect();
        for call in made {
            self.leave(call);
        }
    }

    /// The VM under a request's stream has trapped: its caller gets Envoy's 503, or a reset if the head has left.
    pub(crate) fn lose_serving(&mut self, id: ServingId) {
        let Some(serving) = self.servings.get_mut(&id) else { return };
        let Some((hop, stream)) = serving.stream.take() else { return };
        serving.gone = true;
        let (request, pod, call, attempt) = (serving.request, serving.pod, serving.call, serving.attempt);
        let headed = serving.ending.is_some();
        self.lose_stream(pod, hop, stream);
        if headed {
            self.send(request, Event::End { call, attempt, ending: Ending::Reset });
            self.drop_work(id);
        } else {
            self.unserved(request, call, attempt);
        }
    }
}

/// What an application writes; `number` is from 0 to 19.
fn written_answer(fails: bool, grpc: bool, number: usize) -> (Headers, Ending) {
    if grpc {
        let mut headers = Headers::from([(":status", "200"), ("content-type", "application/grpc")]);
        let status = if fails { "13" } else { "0" };
        if fails && number < 8 {
            headers.add("grpc-status", status);
            return (headers, Ending::Nothing);
        }
        return (headers, Ending::Trailers(Headers::from([("grpc-status", status)])));
    }
    let status = match (fails, number) {
        (true, 0..8) => "500",
        (true, 8..14) => "502",
        (true, _) => "503",
        (false, 0) => "404",
        (false, _) => "200",
    };
    let mut headers = Headers::from([(":status", status)]);
    if number.is_multiple_of(4) {
        headers.add("server-timing", "db;dur=53");
    }
    (headers, Ending::Body)
}
