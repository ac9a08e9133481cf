//! Listeners, each with the filter in its chain.

use crate::matcher::Around;

/// `traffic_direction` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Direction {
    /// A gateway's.
    Unspecified = 0,
    /// A sidecar's, towards its own service.
    Inbound = 1,
    /// A sidecar's, towards others.
    Outbound = 2,
}

/// One listener with the filter: it has a root context in every VM.
#[derive(Clone, Debug)]
pub struct Listener {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    pub(crate) plugin_name: String,
    pub(crate) configuration: Vec<u8>,
    pub(crate) around: Around,
}

impl Listener {
    /// A listener that tests call by `name`; `configuration` is the filter's, as bytes.
    pub fn new(name: &str, direction: Direction, configuration: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.to_owned(),
            direction,
            plugin_name: "tracelift".to_owned(),
            configuration: configuration.as_ref().to_vec(),
            around: Around::Nothing,
        }
    }

    /// Wraps the filter in a matcher, which sends answers without anything notable past it, and has Envoy's access log show it what failed.
    pub fn wrapped(mut self) -> Self {
        self.around = Around::Matcher;
        self
    }

    /// The same with the matcher of the mesh's edge.
    pub fn wrapped_at_edge(mut self) -> Self {
        self.around = Around::EdgeMatcher;
        self
    }

    /// Sets the property `plugin_name`.
    pub fn plugin_name(mut self, name: &str) -> Self {
        self.plugin_name = name.to_owned();
        self
    }
}
