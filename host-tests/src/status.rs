//! Results of hostcalls, as the guest sees them.

use std::fmt;

/// What a hostcall answers. Proxy-Wasm ABI 0.2.1, `proxy_status_t`; the numbers that Envoy adds are here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Status {
    /// The call did what it was asked to.
    Ok = 0,
    /// No such header, property, key, queue, metric or function.
    NotFound = 1,
    /// A wrong argument, or a map that does not exist in this phase.
    BadArgument = 2,
    /// A property that has no byte form.
    SerializationFailure = 3,
    /// Bytes that do not parse; also an unknown cluster of a gRPC call.
    ParseFailure = 4,
    /// A pointer or length outside the guest's memory.
    InvalidMemoryAccess = 6,
    /// The shared queue has nothing in it.
    Empty = 7,
    /// Shared data changed since it was read.
    CasMismatch = 8,
    /// The host could not do it; also a cluster without hosts.
    InternalFailure = 10,
    /// A call that this host does not offer.
    Unimplemented = 12,
}

/// Why a hostcall ended early: with an answer, or with a trap that ends the callback.
pub(crate) enum Stop {
    Answer(Status),
    Trap(wasmtime::Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Stop::Answer(status)
    }
}

/// A module reached a state that no callback can leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The VM that is lost.
    pub vm: crate::VmId,
    /// The export that was running.
    pub callback: String,
    /// The context it ran for.
    pub context: u32,
    /// Wasmtime's reason, with the guest's stack where names are known.
    pub reason: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} trapped in {} of context {}: {}", self.vm, self.callback, self.context, self.reason)
    }
}

impl std::error::Error for Trap {}
