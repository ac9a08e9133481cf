//! On which side of the application a listener is, and so which signs of an upgrade can reach it. Each sign costs a hostcall
//! for every dropped request.

use super::facts;
use crate::span::{KindSetting, ListenerDirection};

/// Which signs are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The answer's header: behind this hop is another proxy.
    pub header: bool,
    /// The process's table at the answer: behind this hop is an application, whose calls another listener saw.
    pub join: bool,
    /// The process's table at the request: in front of this hop is an application, whose trace may have failed already.
    pub forward: bool,
}

impl Signs {
    const ALL: Self = Self { header: true, join: true, forward: true };
    const INBOUND: Self = Self { header: false, join: true, forward: false };
    const OUTBOUND: Self = Self { header: true, join: false, forward: true };
    const GATEWAY: Self = Self { header: true, join: false, forward: false };
}

/// Streams of a new root whose direction is asked for, and then each of so many.
const PROBES: u32 = 16;
const PROBE_EVERY: u32 = 64;

/// What is known of the listeners that share a root. Envoy shares one among listeners with the same configuration, so
/// that a root may have both directions; then all signs are looked for.
#[derive(Default)]
pub struct Role {
    streams: u32,
    inbound: bool,
    outbound: bool,
    unspecified: bool,
}

impl Role {
    /// The signs for a stream that was counted at its request.
    pub fn known(&self, kind: KindSetting) -> Signs {
        match (kind, self.inbound, self.outbound, self.unspecified) {
            (KindSetting::Both, ..) => Signs::GATEWAY,
            (_, true, false, false) => Signs::INBOUND,
            (_, false, true, false) => Signs::OUTBOUND,
            _ => Signs::ALL,
        }
    }

    /// The signs for one more stream. The direction is asked of the first streams and now and then: it is a property of the
    /// listener, and a listener does not turn around.
    pub fn signs(&mut self, kind: KindSetting) -> Signs {
        if kind != KindSetting::Both {
            self.probe();
        }
        self.known(kind)
    }

    fn probe(&mut self) {
        if self.streams < PROBES || self.streams.is_multiple_of(PROBE_EVERY) {
            match facts::direction() {
                ListenerDirection::Inbound => self.inbound = true,
                ListenerDirection::Outbound => self.outbound = true,
                ListenerDirection::Unspecified => self.unspecified = true,
            }
        }
        self.streams = self.streams.wrapping_add(1).max(1);
    }
}
