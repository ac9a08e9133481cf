//! Virtual time: ticks, answers and timeouts in the order in which they are due.

use std::time::Duration;

use crate::callout::{Answer, Callout, CalloutId, CalloutKind, CalloutState, Cluster, Reply};
use crate::envoy::Envoy;
use crate::vm::OpenAnswer;

/// What happens next. Answers come before ticks of the same instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Answer(CalloutId),
    Timeout(CalloutId),
    Tick { vm: usize, root: u32 },
}

impl Envoy {
    /// Virtual time since the epoch.
    pub fn now(&self) -> Duration {
        self.process.now
    }

    /// Moves time on. Every VM ticks at the period that its roots asked for, due callouts are answered, and those whose
    /// timeout passes are told so.
    pub fn advance(&mut self, by: Duration) {
        let end = self.process.now + by;
        while let Some((at, event)) = self.next_event().filter(|(at, _)| *at <= end) {
            self.process.now = self.process.now.max(at);
            match event {
                Event::Answer(id) => {
                    let callout = self.process.callout_mut(id);
                    if let Some((_, answer)) = callout.and_then(|callout| callout.due.take()) {
                        self.deliver(id, answer, false);
                    }
                }
                Event::Timeout(id) => self.time_out(id),
                Event::Tick { vm, root } => self.tick(vm, root),
            }
        }
        self.process.now = end;
    }

    /// When [`Envoy::advance`] will next run a callback; `None` when nothing ticks and nothing is awaited.
    pub fn next_due(&self) -> Option<Duration> {
        self.next_event().map(|(at, _)| at)
    }

    fn next_event(&self) -> Option<(Duration, Event)> {
        let callouts = self.waiting_callouts().into_iter().filter_map(|callout| {
            let answer = callout.due.as_ref().map(|(at, _)| (*at, Event::Answer(callout.id)));
            let timeout = callout.deadline().map(|at| (at, Event::Timeout(callout.id)));
            answer.into_iter().chain(timeout).min()
        });
        let ticks = self.vms.iter().enumerate().filter(|(_, vm)| !vm.failed);
        let ticks = ticks.flat_map(|(index, vm)| {
            vm.state().roots().filter_map(move |(root, state)| {
                let tick = Event::Tick { vm: index, root };
                state.next_tick.map(|at| (at, tick))
            })
        });
        callouts.chain(ticks).min()
    }

    fn tick(&mut self, index: usize, root: u32) {
        let now = self.process.now;
        let vm = &mut self.vms[index];
        if let Some(state) = vm.state_mut().root_mut(root) {
            state.next_tick = state.period().map(|period| now + period);
        }
        vm.call(&mut self.process, "proxy_on_tick", root, &[root]);
        self.settle();
    }

    /// Ticks every root of every VM once, now, whatever its period.
    pub fn tick_all(&mut self) {
        for index in 0..self.vms.len() {
            let roots: Vec<u32> = self.vms[index].state().roots().map(|(id, _)| id).collect();
            for root in roots {
                self.tick(index, root);
            }
        }
    }

    /// Every callout so far, oldest first.
    pub fn callouts(&self) -> &[Callout] {
        &self.process.callouts
    }

    /// Callouts that the module waits for, oldest first.
    pub fn waiting_callouts(&self) -> Vec<&Callout> {
        let process = &self.process;
        let waiting = process.waiting.iter();
        waiting.filter_map(|id| process.callouts.get(id.0.checked_sub(process.forgotten)?)).collect()
    }

    /// The only callout that the module waits for.
    ///
    /// # Panics
    /// If there is none or more than one.
    pub fn only_callout(&self) -> &Callout {
        match self.waiting_callouts()[..] {
            [callout] => callout,
            ref others => panic!("expected one callout in flight, there are {}", others.len()),
        }
    }

    /// Drops the history of callouts, up to the first that still waits: for long runs.
    pub fn forget_callouts(&mut self) {
        let process = &mut self.process;
        let settled = process.callouts.iter().take_while(|callout| !callout.is_waiting());
        let settled = settled.count();
        process.callouts.drain(..settled);
        process.forgotten += settled;
    }

    /// Answers a callout now.
    ///
    /// # Panics
    /// If the module does not wait for it any more.
    pub fn answer(&mut self, id: CalloutId, answer: impl Into<Answer>) {
        let waits = self.process.callout_mut(id).is_some_and(|callout| callout.is_waiting());
        assert!(waits, "callout {} is not waiting for an answer", id.0);
        self.deliver(id, answer.into(), false);
    }

    /// Forgets a callout: it went out, and the module hears neither of an answer nor of a timeout.
    pub fn lose(&mut self, id: CalloutId) {
        self.process.settle(id, CalloutState::Cancelled { delivered: true });
    }

    /// Changes the rule that decides on new callouts.
    pub fn answer_with(&mut self, rule: impl FnMut(&Callout) -> Reply + Send + 'static) {
        self.process.answering = Some(Box::new(rule));
    }

    /// Changes what Envoy knows of a cluster; `None` makes it unknown.
    pub fn set_cluster(&mut self, name: &str, cluster: Option<Cluster>) {
        match cluster {
            Some(cluster) => self.process.clusters.insert(name.to_owned(), cluster),
            None => self.process.clusters.remove(name),
        };
    }

    /// An HTTP timeout looks like a 504 answer; a gRPC one like status 14.
    fn time_out(&mut self, id: CalloutId) {
        let Some(callout) = self.process.callout_mut(id) else {
            return;
        };
        let answer = match callout.kind {
            CalloutKind::Http => Answer::timeout(),
            CalloutKind::Grpc { .. } | CalloutKind::GrpcStream { .. } => {
                Answer::grpc(14, "upstream request timeout{response_timeout}")
            }
        };
        self.deliver(id, answer, true);
    }

    fn deliver(&mut self, id: CalloutId, answer: Answer, timed_out: bool) {
        let Some(callout) = self.process.callout_mut(id) else {
            return;
        };
        let (context, token, vm) = (callout.context, callout.token, callout.vm);
        let (kind, cluster) = (callout.kind.clone(), callout.cluster.clone());
        let state = if timed_out { CalloutState::TimedOut } else { CalloutState::Answered(answer.clone()) };
        self.process.settle(id, state);
        if !timed_out && answer != Answer::connection_failure() {
            self.process.open_connection(vm, &cluster);
        }
        let index = self.vm_index(vm);
        let vm = &mut self.vms[index];
        let is_grpc = kind != CalloutKind::Http;
        let (headers, trailers) = (answer.headers.len() as u32, answer.trailers.len() as u32);
        let size = answer.body.len() as u32;
        let (status, message) = answer.grpc.clone().unwrap_or_default();
        if is_grpc && status != 0 {
            vm.state_mut().grpc_status = (status, message);
        }
        vm.state_mut().open_answer = Some(OpenAnswer {
            context,
            headers: answer.headers,
            body: answer.body,
            trailers: answer.trailers,
            grpc: is_grpc,
        });
        let (callback, args) = match (is_grpc, status) {
            (false, _) => ("proxy_on_http_call_response", &[context, token, headers, size, trailers][..]),
            (true, 0) => ("proxy_on_grpc_receive", &[context, token, size][..]),
            (true, _) => ("proxy_on_grpc_close", &[context, token, status][..]),
        };
        vm.call(&mut self.process, callback, context, args);
        vm.state_mut().open_answer = None;
        self.settle();
    }
}
