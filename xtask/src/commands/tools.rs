//! `cargo xtask tools`: fetches what is missing and says where everything is.

use anyhow::Result;

use crate::tools::envoy;
use crate::tools::wasm_toolchain::WasmToolchain;
use crate::{cache, workspace};

/// The last lines are variables that a shell can take, for running one test by hand.
pub(crate) fn execute() -> Result<()> {
    let toolchain = WasmToolchain::ensure()?;
    let envoy = envoy::ensure()?;
    println!("module built by  {}", toolchain.describe());
    println!("cache folder     {}", cache::dir().display());
    println!("export TRACELIFT_WASM={}", workspace::module().display());
    println!("export {}={}", envoy::VARIABLE, envoy.display());
    Ok(())
}
