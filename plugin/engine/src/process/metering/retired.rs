//! Streams of settings that were replaced. Requests that began under the old settings still end and are counted, in workers that learn of
//! the change later: who works on under the new ones exports that as well.

use std::collections::VecDeque;

use super::{MILLISECOND, Metering, Occasion};
use crate::door::Host;
use crate::shared::CallAnswer;
use crate::telemetry::Metrics;

/// Streams at most; the oldest makes room.
const MOST: usize = 4;
/// How long one is looked after, milliseconds: longer than Envoy drains a listener by default.
const KEEP_MS: u64 = 900_000;

/// The streams, each with the Unix milliseconds of its replacement.
#[derive(Default)]
pub(in crate::process) struct Retired(VecDeque<(Box<Metering>, u64)>);

impl Retired {
    /// Takes over what a root that ends has, and what that one had taken over. An export whose answer is awaited stays where it is.
    pub(in crate::process) fn adopt(
        &mut self,
        (current, ending): (Option<&Metering>, &mut Option<Box<Metering>>),
        theirs: &mut Self,
        host: &impl Host,
    ) {
        let now = host.now() / MILLISECOND;
        let is_other = |metering: &mut Box<Metering>| {
            !metering.is_awaiting() && current.is_none_or(|current| current.identity != metering.identity)
        };
        let replaced = ending.take_if(is_other).map(|mut metering| {
            metering.export.retire();
            (metering, now)
        });
        self.0.extend(theirs.0.drain(..).chain(replaced));
        self.0.drain(..self.0.len().saturating_sub(MOST));
    }

    /// Exports what came since.
    pub(in crate::process) fn tick(&mut self, host: &impl Host, metrics: &mut Metrics) {
        if self.0.is_empty() {
            return; // As nearly always.
        }
        let now = host.now() / MILLISECOND;
        for (metering, since) in &mut self.0 {
            if now.saturating_sub(*since) < KEEP_MS {
                metering.lead(host, false, now, metrics);
            } else {
                metering.export.stop(metrics);
            }
        }
        self.0.retain(|(_, since)| now.saturating_sub(*since) < KEEP_MS);
    }

    /// The same at once, unless another root works on.
    pub(in crate::process) fn flush(&mut self, host: &impl Host, occasion: Occasion, metrics: &mut Metrics) {
        if occasion != Occasion::Replaced {
            self.0.iter_mut().for_each(|(metering, _)| metering.finish(host, occasion, metrics));
        }
    }

    /// Whether this is the token of a call of ours.
    pub(in crate::process) fn awaits(&self, token: u32) -> bool {
        self.0.iter().any(|(metering, _)| metering.awaits(token))
    }

    /// Whether an answer is awaited.
    pub(in crate::process) fn is_awaiting(&self) -> bool {
        self.0.iter().any(|(metering, _)| metering.is_awaiting())
    }

    /// The answer to our call came, or its absence.
    pub(in crate::process) fn answered(
        &mut self,
        host: &impl Host,
        token: u32,
        answer: &CallAnswer,
        metrics: &mut Metrics,
    ) {
        if let Some((metering, _)) = self.0.iter_mut().find(|(metering, _)| metering.awaits(token)) {
            metering.answered(host, answer, metrics);
        }
    }
}
