//! On which side of the application a listener is, and so which signs of an upgrade can reach it. Each sign costs a hostcall
//! for every dropped request, so that a listener looks for one of them besides the answer's own header.

use crate::span::KindSetting;

/// Which signs are looked for, besides what the answer itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The process's table at the answer: behind this hop is an application, whose calls another listener saw.
    pub join: bool,
    /// The process's table at the request: in front of this hop is an application, whose trace may have failed already.
    pub forward: bool,
}

impl Signs {
    /// What the configuration says. The listener's direction would say it too, but costs a returned value to ask for, and
    /// cannot be remembered: Envoy shares a root context among listeners with the same configuration. So `auto` does
    /// without the one sign that no kept trace depends on.
    pub fn of(kind: KindSetting) -> Self {
        match kind {
            KindSetting::Auto | KindSetting::Server => Self { join: true, forward: false },
            KindSetting::Client => Self { join: false, forward: true },
            KindSetting::Both => Self { join: false, forward: false },
        }
    }
}
