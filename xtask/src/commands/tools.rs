//! `cargo xtask tools`: fetches what is missing and says where everything is.

use anyhow::Result;

use crate::tools::tracelift_otel::TraceliftOtel;
use crate::tools::wasm_toolchain::WasmToolchain;
use crate::tools::{collector, envoy, moto};
use crate::{cache, run, workspace};

/// The last lines are variables that a shell can take, for running one test by hand.
pub(crate) fn execute() -> Result<()> {
    let toolchain = WasmToolchain::ensure()?;
    let envoy = envoy::ensure()?;
    let (moto, collector) = (moto::ensure()?, collector::XRAY.ensure()?);
    let package = TraceliftOtel::ensure()?;
    println!("module built by  {}", toolchain.describe());
    println!("cache folder     {}", cache::dir().display());
    println!("export TRACELIFT_WASM={}", run::quote(workspace::module().as_os_str()));
    println!("export {}={}", envoy::VARIABLE, run::quote(envoy.as_os_str()));
    println!("export {}={}", moto::VARIABLE, run::quote(moto.as_os_str()));
    println!("export {}={}", collector::XRAY.variable, run::quote(collector.as_os_str()));
    for (name, path) in package.variables() {
        println!("export {name}={}", run::quote(path.as_os_str()));
    }
    Ok(())
}
