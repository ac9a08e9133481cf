//! What is compiled into the published files beside crates of `Cargo.lock`.

/// A library of others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    /// As scanners know it.
    pub(crate) name: &'static str,
    /// SPDX.
    pub(crate) licence: &'static str,
    /// Where its sources are.
    pub(crate) source: &'static str,
}

/// In both modules.
pub(crate) const RUST: Beside =
    Beside { name: "rust-std", licence: "MIT OR Apache-2.0", source: "https://github.com/rust-lang/rust" };
/// In the wasm module.
pub(crate) const WASI: Beside = Beside {
    name: "wasi-libc",
    licence: "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    source: "https://github.com/WebAssembly/wasi-libc",
};
/// In the dynamic module.
pub(crate) const UNWINDER: Beside = Beside {
    name: "libgcc",
    licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
    source: "https://gcc.gnu.org/git/gcc.git",
};
