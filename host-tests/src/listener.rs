//! Listeners, each with the filter in its chain.

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
}

impl Listener {
    /// A listener that tests call by `name`; `configuration` is the filter's, as bytes.
    pub fn new(name: &str, direction: Direction, configuration: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.to_owned(),
            direction,
            plugin_name: "tracelift".to_owned(),
            configuration: configuration.as_ref().to_vec(),
        }
    }

    /// Sets the property `plugin_name`.
    pub fn plugin_name(mut self, name: &str) -> Self {
        self.plugin_name = name.to_owned();
        self
    }
}
