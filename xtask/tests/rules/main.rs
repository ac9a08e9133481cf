//! Rules of the architecture, checked: which room may use which, how long a function may be, what the engine must not touch, and
//! which lints each crate of the plugin turns on.
//!
//! Each rule is data beside a function over what was found in the sources, so that its own tests can plant a violation. Code that
//! only tests compile is exempt from all of them.

mod crates;
mod functions;
mod lints;
mod purity;
mod rooms;
mod source;
mod tokens;
mod violation;
