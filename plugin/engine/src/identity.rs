//! Which Tracelift this is: told in the log by each VM that starts, and written into the module for those who hold the
//! file. `cargo xtask package --inspect FILE` reads it back.

/// The crate's name: the instrumentation scope of its spans.
pub const NAME: &str = env!("CARGO_PKG_NAME");

/// The crate's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that a release was built from, 40 hexadecimal digits, with `-dirty` behind them when the tree was changed.
/// A build that nobody told is `unreleased`.
pub const COMMIT: &str = match option_env!("TRACELIFT_COMMIT") {
    Some(commit) => commit,
    None => "unreleased",
};

/// The `user-agent` of exports. OTLP specification, "User Agent".
pub const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Tracelift/", env!("CARGO_PKG_VERSION"));

/// The proxy-wasm ABI that the module speaks.
pub const ABI: &str = "0.2.1";
