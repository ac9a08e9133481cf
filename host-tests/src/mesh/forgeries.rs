//! Recalls of those who lie: what they ask of others, and what they answer when they are asked.

use super::hop::Side;
use super::simulation::Mesh;
use super::topology::{PodId, WORKERS};
use crate::{Answer, Callout, Headers, RequestSpec, Response};

/// How often an application that lies in an answer sends a recall of its own, too.
const SOMETIMES: f64 = 0.2;
/// Requests that liars have received and remember.
const CAPTURED: usize = 32;
/// Version and trace-ids of a request, version of an answer.
const HEADER: &str = "x-tracelift-recall";

impl Mesh {
    /// An instance that lies is asked: `None` is no answer at all.
    pub(crate) fn false_answer(&mut self, callout: &Callout) -> Option<Answer> {
        let liars = &mut self.liars;
        liars.captured.push_front(callout.headers.clone());
        liars.captured.truncate(CAPTURED);
        match liars.random.below(4) {
            0 => None,
            1 => Some(Answer::status(503)),
            2 => Some(Answer::status(200).header("x-huge", "x".repeat(60_000))),
            _ => Some(Answer::status(200).header(HEADER, [0xff, b';', b'9'])),
        }
    }

    /// A pod that lies asks another for what is not its own: without a MAC, with a wrong one, or with one that somebody else
    /// had sent to it.
    pub(crate) fn forge_recall(&mut self) {
        if !self.options.recall || !self.liars.random.chance(SOMETIMES) {
            return;
        }
        let count = self.topology.pods.len();
        let to = 1 + self.liars.random.below(count - 1);
        let headers = self.forged(to);
        let worker = self.liars.random.below(WORKERS);
        if self.topology.pods[to].down[worker] {
            return;
        }
        let address = self.topology.pods[to].address.clone();
        let spec = RequestSpec::new(Side::Inbound.listener(), headers).worker(worker);
        let spec = spec.property("destination.address", address);
        let Some(answer) = self.with_envoy(to, |envoy| envoy.receive(spec, Response::status(404))) else { return };
        self.liars.figures.recalls += 1;
        if answer.headers.get(":status") == Some(b"200") && answer.headers.get(HEADER).is_some() {
            self.violations.add(self.now - self.started, "a forged recall was followed", format!("by pod {to}"));
        }
    }

    fn forged(&mut self, to: PodId) -> Headers {
        let liars = &mut self.liars;
        let (number, trace) = (liars.random.below(4), liars.another());
        let address = self.topology.pods[to].address.clone();
        let pick = liars.random.below(CAPTURED);
        // To another instance than it was meant for.
        let stolen = liars.captured.get(pick).filter(|headers| headers.get(":authority") != Some(address.as_bytes()));
        if let Some(stolen) = stolen.filter(|_| number == 0) {
            return stolen.clone();
        }
        let version = if number == 1 { 1 } else { 2 };
        let mut headers = Headers::from([(":method", "HEAD"), (":path", "/.well-known/tracelift/recall")]);
        headers.add(":authority", &address);
        headers.add("x-envoy-original-dst-host", &address);
        headers.add("traceparent", format!("ff-tracelift-recall-{version}"));
        headers.add(HEADER, format!("{version};{trace:032x}"));
        headers.add("x-tracelift-token", "a-guess");
        if number == 2 {
            let seconds = self.now.as_secs();
            headers.add("x-tracelift-mac", format!("1;{seconds};{trace:032x}{trace:032x}"));
        }
        headers
    }
}
