//! The filter's own worker behind the engine's door, in native memory: clock, ids and shared values are given, and all that comes
//! through the door is recorded.
//!
//! Nothing of the protocol of a request is here. `explain`, `forecast` and the playground are made of these records.

#![allow(clippy::disallowed_methods, reason = "one thread, and no borrow outlives its line")]

mod exchange;
mod headers;
mod host;
mod ids;
mod otlp;
mod proxy;
mod shared;

pub use exchange::{Change, Recording, Surroundings, Write};
pub use headers::HeaderList;
pub use host::{Call, RecorderHost};
pub use ids::Ids;
pub use proxy::{Proxy, Reply};
pub use shared::{Access, SharedValues};
