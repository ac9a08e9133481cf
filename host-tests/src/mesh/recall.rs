//! Recall requests on their way: sent by one Envoy, lost or answered by another.

use super::bounds::Payer;
use super::collector::id_of_hex;
use super::hop::Side;
use super::judge::{Moment, Teller, Told};
use super::options::Sabotage;
use super::simulation::{Event, Mesh};
use super::topology::{PodId, WORKERS};
use crate::{Answer, Callout, RequestSpec, Response};

/// Version and trace-ids of a request, version of an answer.
const HEADER: &str = "x-tracelift-recall";

/// A recall request that has left its Envoy.
#[derive(Debug)]
pub(crate) struct Message {
    from: PodId,
    to: PodId,
    callout: Callout,
}

/// What became of recall requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Requests that left an Envoy, repetitions included.
    pub sent: u64,
    /// Those that never arrived, or whose answer did not.
    pub lost: u64,
    /// Those that the filter of the other Envoy followed.
    pub followed: u64,
}

impl Mesh {
    /// An Envoy has sent a request to an address.
    pub(crate) fn post(&mut self, from: PodId, callout: Callout) {
        self.messages.sent += 1;
        self.check_secret("a recall", &callout.headers);
        let address = callout.headers.text("x-envoy-original-dst-host").unwrap_or_default();
        let Some(to) = self.topology.pod_at(address) else {
            let details = format!("{address:?}, by pod {from}");
            self.violations.add(self.now - self.started, "an address was asked that no pod has", details);
            return;
        };
        if self.random.chance(self.odds.lost_messages / 2.0) {
            self.messages.lost += 1;
            return;
        }
        let latency = self.latency();
        self.plan_aside(latency, Event::Recall { message: Box::new(Message { from, to, callout }) });
    }

    /// A request reaches a pod, and its answer goes back.
    pub(crate) fn deliver(&mut self, message: &Message) {
        let Some(answer) = self.answer_of(message) else { return };
        if self.random.chance(self.odds.lost_messages / 2.0) {
            self.messages.lost += 1;
            return;
        }
        let (latency, id) = (self.latency(), message.callout.id);
        self.with_envoy(message.from, |envoy| {
            let waits = envoy.waiting_callouts().iter().any(|callout| callout.id == id);
            if waits {
                envoy.answer_after(id, latency, answer);
            }
        });
    }

    fn answer_of(&mut self, message: &Message) -> Option<Answer> {
        let Message { to, callout, .. } = message;
        if self.liars.has(*to) && self.liars.random.chance(0.5) {
            return self.false_answer(callout);
        }
        let worker = self.random.below(WORKERS);
        if self.topology.pods[*to].down[worker] {
            return Some(Answer::connection_failure());
        }
        let spec = RequestSpec::new(Side::Inbound.listener(), callout.headers.clone()).worker(worker);
        let spec = spec.property("destination.address", &*self.topology.pods[*to].address);
        let answer = match self.options.sabotage {
            Some(Sabotage::RecallIgnored) => Answer::status(200).header(HEADER, "1"),
            Some(Sabotage::RecallDisowned) => Answer::status(404),
            // An application without the filter in front of it has no such path.
            _ => self
                .with_envoy(*to, |envoy| envoy.receive(spec, Response::status(404)))
                .unwrap_or_else(|| Answer::status(404)),
        };
        if answer.headers.get(":status") == Some(b"200") {
            self.messages.followed += 1;
            self.learn(*to, callout);
        }
        Some(answer)
    }

    /// A pod's Envoy says that it knows these traces as kept from now on.
    fn learn(&mut self, pod: PodId, callout: &Callout) {
        let text = callout.headers.text(HEADER).unwrap_or_default();
        let ids = text.split_once(';').map_or("", |(_, ids)| ids);
        for trace in ids.split(',').map(id_of_hex) {
            self.digest.add(trace as u64 ^ pod as u64);
            if self.upgraded.insert((pod, trace)) && !self.perhaps_upgraded.contains(&(pod, trace)) {
                self.charge(pod, Payer::Recalls, self.now);
            }
            self.reasoned.insert((pod, trace));
            self.recalled.entry((pod, trace)).or_insert(self.step);
            let now = self.now;
            self.learned.entry((pod, trace)).or_insert(now);
        }
    }

    /// What a recall had told the Envoy of an inbound hop before the head of its answer.
    pub(crate) fn recalled_before(&self, moment: &Moment) -> Option<Told> {
        let hop = &self.hops[moment.hop];
        let told = self.recalled.get(&(hop.pod, hop.trace)).is_some_and(|step| *step < moment.step);
        let by_recall = Told { upgraded: true, by: Teller::Table, lied: false };
        (told && moment.head && hop.side == Side::Inbound).then_some(by_recall)
    }
}
