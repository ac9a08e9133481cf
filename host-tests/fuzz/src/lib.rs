//! Fuzz targets: what they do with an input, and what must hold whatever it was.
//!
//! The same functions run in two ways. `cargo xtask fuzz` gives them inputs that libFuzzer invents, guided by the branches
//! that an input reaches; `cargo test` gives them every input that is kept in `corpus/` and `found/`.

#[cfg(all(feature = "libfuzzer", feature = "streams"))]
mod coverage;
mod input;
pub mod kept;
mod targets;

pub use input::Input;

/// One thing to fuzz.
#[derive(Clone, Copy)]
pub struct Target {
    /// What `cargo xtask fuzz --target` calls it, and its folder in `corpus/` and `found/`.
    pub name: &'static str,
    /// Runs one input. Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Most bytes of an input.
    pub max_len: usize,
}

/// Every target of this build.
pub const TARGETS: &[Target] = targets::ALL;

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
