//! Which spans a listener makes.

use super::SpanKind;
use crate::json::names;

names! {
    /// Which side of a call a span describes.
    pub enum KindSetting {
        /// By the direction of the listener: inbound SERVER, outbound CLIENT, neither SERVER.
        Auto = "auto",
        /// SERVER.
        Server = "server",
        /// CLIENT.
        Client = "client",
        /// SERVER with a CLIENT child whose id goes upstream: for a gateway.
        Both = "both",
    }
}

/// Envoy's `xds.listener_direction` (`TrafficDirection` in `envoy/config/core/v3/base.proto`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenerDirection {
    /// Not stated, or not readable.
    #[default]
    Unspecified,
    /// Towards the workload beside this proxy.
    Inbound,
    /// Away from it.
    Outbound,
}

impl ListenerDirection {
    /// Reads the property's number; what Envoy does not define is unspecified.
    pub const fn from_property(value: i64) -> Self {
        match value {
            1 => Self::Inbound,
            2 => Self::Outbound,
            _ => Self::Unspecified,
        }
    }
}

/// The spans of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// One span of this kind.
    One(SpanKind),
    /// A SERVER span and its CLIENT child.
    ServerAndClient,
}

#[allow(clippy::derivable_impls, reason = "the macro makes no defaults")]
impl Default for KindSetting {
    fn default() -> Self {
        Self::Auto
    }
}

impl KindSetting {
    /// What this setting means on a listener of that direction.
    pub const fn kinds(self, direction: ListenerDirection) -> Kinds {
        match (self, direction) {
            (Self::Both, _) => Kinds::ServerAndClient,
            (Self::Client, _) | (Self::Auto, ListenerDirection::Outbound) => Kinds::One(SpanKind::Client),
            (Self::Server | Self::Auto, _) => Kinds::One(SpanKind::Server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_follows_the_listener_and_the_others_do_not() {
        use Kinds::{One, ServerAndClient};
        use SpanKind::{Client, Server};
        for (setting, unspecified, inbound, outbound) in [
            (KindSetting::Auto, One(Server), One(Server), One(Client)),
            (KindSetting::Server, One(Server), One(Server), One(Server)),
            (KindSetting::Client, One(Client), One(Client), One(Client)),
            (KindSetting::Both, ServerAndClient, ServerAndClient, ServerAndClient),
        ] {
            let of = |direction| setting.kinds(ListenerDirection::from_property(direction));
            assert_eq!((of(0), of(1), of(2)), (unspecified, inbound, outbound), "{setting:?}");
            assert_eq!((of(-1), of(3), of(i64::MAX)), (unspecified, unspecified, unspecified), "{setting:?}");
        }
    }
}
