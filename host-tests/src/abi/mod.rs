//! The imports that Envoy offers a module: the proxy-wasm ABI 0.2.1 and a part of WASI preview 1.

mod callouts;
mod foreign;
mod maps;
mod metrics;
mod plumbing;
mod properties;
mod shared;
mod wasi;

use wasmtime::{Engine, Linker};

use crate::vm::VmState;

/// Every import, with its exact type.
pub(crate) fn linker(engine: &Engine) -> Linker<VmState> {
    let mut linker = Linker::new(engine);
    let defined = plumbing::define(&mut linker)
        .and_then(|()| maps::define(&mut linker))
        .and_then(|()| properties::define(&mut linker))
        .and_then(|()| foreign::define(&mut linker))
        .and_then(|()| shared::define(&mut linker))
        .and_then(|()| metrics::define(&mut linker))
        .and_then(|()| callouts::define(&mut linker))
        .and_then(|()| wasi::define(&mut linker));
    defined.expect("each import is defined once");
    linker
}
