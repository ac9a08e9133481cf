//! Which Tracelift this is: told in the log by each VM that starts, and written into the module for those who hold the
//! file. `cargo xtask package --inspect FILE` reads it back.

/// The crate's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that a release was built from, 40 hexadecimal digits, with `-dirty` behind them when the tree was changed.
/// A build that nobody told is `unreleased`.
pub const COMMIT: &str = match option_env!("TRACELIFT_COMMIT") {
    Some(commit) => commit,
    None => "unreleased",
};

/// The proxy-wasm ABI that the module speaks.
pub const ABI: &str = "0.2.1";

/// The same in the module's custom sections, which hosts ignore and tools can list.
#[cfg(target_arch = "wasm32")]
mod sections {
    use super::{COMMIT, VERSION};

    #[used]
    #[unsafe(link_section = "tracelift.version")]
    static VERSION_SECTION: [u8; VERSION.len()] = bytes_of(VERSION);

    #[used]
    #[unsafe(link_section = "tracelift.commit")]
    static COMMIT_SECTION: [u8; COMMIT.len()] = bytes_of(COMMIT);

    const fn bytes_of<const N: usize>(text: &str) -> [u8; N] {
        match text.as_bytes().first_chunk::<N>() {
            Some(bytes) => *bytes,
            None => [0; N], // Not reached: each caller's N is the text's own length.
        }
    }
}
