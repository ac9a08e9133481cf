//! Taking down what a hop did, as seen from outside: its headers, its answer, its line in the access log.

use super::call::trace_flag;
use super::collector::id_of_hex;
use super::context::{Context, randomness_in, verdict_in};
use super::hop::{Hop, HopId, Kept, Side, When};
use super::simulation::{Mesh, RequestId};
use super::topology::PodId;
use crate::{Finished, Headers, Request, RequestSpec, VmId};
use std::time::Duration;

/// Failures are counted over this time, as the budget is.
const SECOND: Duration = Duration::from_secs(1);

impl Mesh {
    /// Opens a stream in a pod's Envoy and begins its record. `None` if the worker's VM is down: Envoy answers 503 then.
    pub(crate) fn open(
        &mut self,
        request: RequestId,
        pod: PodId,
        side: Side,
        context: &Context,
        headers: Headers,
    ) -> Option<(Request, HopId, Context)> {
        let worker = self.random.below(super::topology::WORKERS);
        if self.topology.pods[pod].down[worker] {
            return None;
        }
        let spec = RequestSpec::new(side.listener(), headers).worker(worker);
        let (stream, forwarded) = self.with_envoy(pod, |envoy| {
            let stream = envoy.open(spec);
            let forwarded = stream.forwarded_headers(envoy);
            (stream, forwarded)
        })?;
        let traceparent = forwarded.traceparent();
        let hop = Hop {
            pod,
            worker,
            generation: self.topology.pods[pod].generation[worker],
            side,
            trace: id_of_hex(&traceparent.trace_id),
            span: id_of_hex(&traceparent.parent_id) as u64,
            parent: context.hop,
            came_with: context.own,
            relayed: context.relays,
            incoming: trace_flag(&context.headers),
            sampled: traceparent.is_sampled(),
            randomness: randomness_in(&forwarded, id_of_hex(&traceparent.trace_id)),
            head: None,
            ended: None,
            failed: None,
            crowded: false,
            heard: None,
            said: [None; 2],
            lied: [None; 2],
            kept: Kept::No,
            lost: false,
            told: false,
            triggered: false,
            reached: None,
        };
        self.digest.add(self.now.as_nanos() as u64);
        self.digest.add(hop.span ^ hop.trace as u64);
        let id = self.hops.len();
        self.hops.push(hop);
        self.requests[request].hops.push(id);
        self.check_beginning(id, context);
        self.check_secret("a request", &forwarded);
        self.check_request(side, &forwarded);
        Some((stream, id, Context::from_hop(id, &forwarded)))
    }

    /// The head of an answer has passed a hop; `failed` says whether it shows a failure.
    pub(crate) fn head_passed(&mut self, id: HopId, passed: &Headers, failed: bool) {
        self.hops[id].head = Some((self.step, self.now));
        let said = verdict_in(passed, self.hops[id].trace, self.hops[id].span);
        self.hops[id].said[0] = said;
        if said == Some(true) {
            // A sampled hop may tell its caller no more than its context.
            let known = if self.hops[id].sampled { &mut self.perhaps_upgraded } else { &mut self.upgraded };
            known.insert((self.hops[id].pod, self.hops[id].trace));
        }
        if failed {
            self.failure(id, When::Head);
        }
    }

    /// A hop could see for itself that its request failed. The first time counts.
    pub(crate) fn failure(&mut self, id: HopId, when: When) {
        if self.hops[id].failed.is_some() {
            return;
        }
        let (now, budget) = (self.now, self.options.budget as usize);
        let failures = &mut self.topology.pods[self.hops[id].pod].failures;
        failures.push_back(now);
        while failures.front().is_some_and(|first| *first + SECOND < now) {
            failures.pop_front();
        }
        self.hops[id].crowded = budget < failures.len();
        self.hops[id].failed = Some(when);
    }

    /// A stream is over.
    pub(crate) fn stream_ended(&mut self, id: HopId, finished: &Finished) {
        let hop = &mut self.hops[id];
        hop.ended = Some((self.step, self.now));
        hop.lost |= finished.vm_failed;
        hop.said[1] = verdict_in(&finished.response_trailers, hop.trace, hop.span);
        hop.kept = match finished.wanted_state("tracelift.decision") {
            None => Kept::No,
            Some(b"sampled") => Kept::Head,
            Some(decision) => {
                let text = String::from_utf8_lossy(decision);
                Kept::Upgraded(text.strip_prefix("upgraded.").unwrap_or(&text).to_owned())
            }
        };
        let kept = hop.is_kept();
        if kept {
            *self.kept.entry((hop.pod, VmId::Worker(hop.worker))).or_default() += 1;
        }
        if hop.is_upgraded() {
            self.upgraded.insert((hop.pod, hop.trace));
        }
        self.digest.add(self.step << 1 | u64::from(kept));
    }
}
