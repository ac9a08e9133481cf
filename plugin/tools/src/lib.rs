//! What runs the filter's own code outside a proxy, for the command-line tool and the playground.

pub mod explain;
pub mod forecast;
pub mod manifest;
#[cfg(feature = "schema")]
pub mod reference;
