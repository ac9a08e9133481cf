//! What runs the filter's own code outside a proxy, for the command-line tool and the playground.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![deny(clippy::disallowed_methods, clippy::allow_attributes_without_reason)]

pub mod explain;
pub mod forecast;
pub mod manifest;
pub mod recorder;
#[cfg(feature = "schema")]
pub mod reference;
