//! A compiled module, checked against the ABI before anything runs.

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use wasmtime::{Config, Engine, ExternType, InstancePre, Store};

use crate::process::VmId;
use crate::vm::VmState;
use crate::{abi, cache};

/// A compiled module whose imports are all known. Cheap to clone; start as many processes from it as you like.
#[derive(Clone)]
pub struct Module {
    pre: InstancePre<VmState>,
    size: usize,
}

/// Why a module cannot run here.
#[derive(Debug)]
pub enum ModuleError {
    /// The file cannot be read.
    Read(std::io::Error),
    /// The bytes are no valid module.
    Compile(wasmtime::Error),
    /// It imports what neither the ABI nor the part of WASI that Envoy offers has; each as `module.name`.
    UnknownImports(Vec<String>),
    /// An import has the right name and a wrong type.
    ImportType(wasmtime::Error),
    /// It does not say `proxy_abi_version_0_2_1`.
    AbiVersion,
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the module cannot be read: {error}"),
            Self::Compile(error) => write!(f, "the module does not compile: {error:#}"),
            Self::UnknownImports(names) => {
                write!(f, "the module imports what Envoy does not offer: {}", names.join(", "))
            }
            Self::ImportType(error) => write!(f, "an import has a wrong type: {error:#}"),
            Self::AbiVersion => write!(f, "the module does not export proxy_abi_version_0_2_1"),
        }
    }
}

impl std::error::Error for ModuleError {}

impl Module {
    /// Reads and compiles a module.
    ///
    /// # Errors
    /// If the file cannot be read, or as [`Module::from_wasm`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ModuleError> {
        let wasm = std::fs::read(path).map_err(ModuleError::Read)?;
        Self::from_wasm(&wasm)
    }

    /// Compiles a module and checks its imports.
    ///
    /// # Errors
    /// If it is no module, imports something unknown, or is of another ABI version.
    pub fn from_wasm(wasm: &[u8]) -> Result<Self, ModuleError> {
        let engine = engine();
        let module = cache::compile(engine, wasm).map_err(ModuleError::Compile)?;
        let linker = abi::linker(engine);
        let mut store = Store::new(engine, VmState::new(VmId::Canary, 0, Vec::new()));
        let unknown: Vec<String> = module
            .imports()
            .filter(|import| {
                let known = linker.get(&mut store, import.module(), import.name());
                known.is_err()
            })
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect();
        if !unknown.is_empty() {
            return Err(ModuleError::UnknownImports(unknown));
        }
        if module.get_export("proxy_abi_version_0_2_1").is_none() {
            return Err(ModuleError::AbiVersion);
        }
        let pre = linker.instantiate_pre(&module).map_err(ModuleError::ImportType)?;
        let size = wasm.len();
        Ok(Self { pre, size })
    }

    /// Length of the `.wasm` in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Every import as `module.name`, sorted.
    pub fn imports(&self) -> Vec<String> {
        let module = self.pre.module();
        let names = module.imports().map(|import| format!("{}.{}", import.module(), import.name()));
        sorted(names)
    }

    /// Every export's name, sorted.
    pub fn exports(&self) -> Vec<String> {
        let module = self.pre.module();
        sorted(module.exports().map(|export| export.name().to_owned()))
    }

    /// Whether the module exports a function of this name.
    pub fn exports_function(&self, name: &str) -> bool {
        let export = self.pre.module().get_export(name);
        matches!(export, Some(ExternType::Func(_)))
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }

    pub(crate) fn instance_pre(&self) -> &InstancePre<VmState> {
        &self.pre
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a module of {} bytes", self.size)
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// One engine for all modules of the test process, so that compiled code can be shared.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).expect("an engine for this processor")
    })
}
