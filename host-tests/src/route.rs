//! Callouts that lead to another simulated Envoy: taken here, received there, answered here.
//!
//! A host runs one process, so a mesh of them is the test's: it takes the calls that leave one Envoy, decides which Envoy
//! stands at the address they name, lets it [`Envoy::receive`] them, and hands the answer back after a latency of its
//! choice. A call that it takes and never answers is a lost message: the module is told when its timeout has passed.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tracelift_host::{Answer, Envoy, RequestSpec, Response};
//! # fn exchange(caller: &mut Envoy, callee: &mut Envoy) {
//! for call in caller.take_calls("tracelift_recall") {
//!     let at = RequestSpec::new("inbound", call.headers.clone()).worker(0);
//!     let answer = callee.receive(at, Response::status(404));
//!     caller.answer_after(call.id, Duration::from_millis(2), answer);
//! }
//! # }
//! ```

use std::time::Duration;

use crate::callout::{Answer, Callout, CalloutId};
use crate::envoy::Envoy;
use crate::response::Response;
use crate::spec::RequestSpec;

impl Envoy {
    /// The callouts to `cluster` that were sent since this was asked last and still wait, oldest first. Each is handed out
    /// once; the module waits for [`Envoy::answer_after`] or [`Envoy::answer`], or for its timeout.
    pub fn take_calls(&mut self, cluster: &str) -> Vec<Callout> {
        let process = &mut self.process;
        let mut taken = Vec::new();
        for id in &process.waiting {
            let callout = id.0.checked_sub(process.forgotten).and_then(|index| process.callouts.get_mut(index));
            if let Some(callout) = callout.filter(|callout| !callout.taken && callout.cluster == cluster) {
                callout.taken = true;
                taken.push(callout.clone());
            }
        }
        taken
    }

    /// Answers a callout when this much virtual time has passed, unless its timeout comes first.
    ///
    /// # Panics
    /// If the module does not wait for it any more.
    pub fn answer_after(&mut self, id: CalloutId, latency: Duration, answer: impl Into<Answer>) {
        let due = self.process.now + latency;
        match self.process.callout_mut(id).filter(|callout| callout.is_waiting()) {
            Some(callout) => callout.due = Some((due, answer.into())),
            None => panic!("callout {} is not waiting for an answer", id.0),
        }
    }

    /// Another Envoy's callout arrives as a request: the module's own answer, or `application`'s when it lets the request
    /// through. A receiver whose VM fails looks like one that is down.
    pub fn receive(&mut self, request: RequestSpec, application: impl Into<Response>) -> Answer {
        let finished = self.open(request).respond(self, application);
        if finished.vm_failed {
            return Answer::connection_failure();
        }
        let mut answer = Answer::default();
        for (name, value) in finished.response_headers.iter() {
            answer = answer.header(name, value);
        }
        for (name, value) in finished.response_trailers.iter() {
            answer = answer.trailer(name, value);
        }
        answer.body(finished.body)
    }
}
