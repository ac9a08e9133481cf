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

/// What a flavour of the module may lack. A flavour without it refuses a configuration that asks for it, and has none of its code: an
/// Envoy compiles what is there before it takes traffic.
pub mod flavour {
    /// AWS X-Ray's central sampling: `sampling.xray`.
    pub const CENTRAL: bool = cfg!(feature = "central");
    /// `upgrade.recall`.
    pub const RECALL: bool = cfg!(feature = "recall");
    /// `shadow`.
    pub const SHADOW: bool = cfg!(feature = "shadow");
    /// `export.compression` = `gzip`.
    pub const GZIP: bool = cfg!(feature = "gzip");
}

/// The `user-agent` of exports. OTLP specification, "User Agent".
pub const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Tracelift/", env!("CARGO_PKG_VERSION"));

/// The proxy-wasm ABI that the module speaks.
pub const ABI: &str = "0.2.1";
