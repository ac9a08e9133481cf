//! Tells the fuzzer which branches of the module an input has reached.
//!
//! A second memory is added to the module, and beside each branch the instructions that count one of its bytes up. The code
//! is otherwise the release module's. libFuzzer looks at [`COUNTERS`] after each input as at those of native code.

use std::sync::OnceLock;

use tracelift_host::{Envoy, Module, testing};
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, Instruction, MemArg, MemArgTarget, MemorySection, MemoryType,
};
use wasmparser::{ExportSectionReader, FunctionBody, MemorySectionReader, Operator};

/// Name of the export.
const MEMORY: &str = "coverage";
/// Bytes of the memory, which are one page: more branches than the module has.
const SIZE: usize = 65_536;

/// libFuzzer's "extra counters".
#[cfg_attr(target_os = "linux", unsafe(link_section = "__libfuzzer_extra_counters"))]
static mut COUNTERS: [u8; SIZE] = [0; SIZE];

/// The release module with counters in it.
pub(crate) fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = testing::module_path();
        let wasm = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; run `cargo xtask build` first, or name a module in TRACELIFT_WASM", path.display())
        });
        let counted = instrument(&wasm).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Module::from_wasm(&counted).unwrap_or_else(|error| panic!("{} with counters: {error}", path.display()))
    })
}

/// Adds what the VMs of this Envoy have counted.
pub(crate) fn collect(envoy: &mut Envoy) {
    for vm in envoy.vms() {
        let Some(counted) = envoy.exported_memory(vm, MEMORY) else { continue };
        let counters = &raw mut COUNTERS;
        // SAFETY: libFuzzer runs one input at a time on one thread, and looks at the counters between inputs only.
        let counters = unsafe { &mut *counters };
        // Most branches are not reached: eight at a time are looked at.
        for (counters, counted) in counters.chunks_exact_mut(8).zip(counted.chunks_exact(8)) {
            if counted != [0; 8] {
                for (counter, more) in counters.iter_mut().zip(counted) {
                    *counter = counter.saturating_add(*more);
                }
            }
        }
    }
}

/// A copy of the module that counts.
fn instrument(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut counting = Counting::default();
    let mut module = wasm_encoder::Module::new();
    counting.parse_core_module(&mut module, wasmparser::Parser::new(0), wasm)?;
    assert!(usize::try_from(counting.branches).is_ok_and(|branches| branches < SIZE), "{} branches", counting.branches);
    Ok(module.finish())
}

#[derive(Default)]
struct Counting {
    memories: u32,
    branches: u32,
}

impl Counting {
    /// Counts this branch; leaves the operand stack as it was.
    fn count(&mut self, function: &mut Function) {
        let target = MemArgTarget::Memory(self.memories);
        let place = MemArg { offset: self.branches.into(), align: 0, target, ordering: None };
        self.branches += 1;
        function.instruction(&Instruction::I32Const(0));
        function.instruction(&Instruction::I32Const(0));
        function.instruction(&Instruction::I32Load8U(place));
        function.instruction(&Instruction::I32Const(1));
        function.instruction(&Instruction::I32Add);
        function.instruction(&Instruction::I32Store8(place));
    }
}

impl Reencode for Counting {
    type Error = std::convert::Infallible;

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        section: MemorySectionReader<'_>,
    ) -> Result<(), Error> {
        self.memories = section.count();
        wasm_encoder::reencode::utils::parse_memory_section(self, memories, section)?;
        let page = MemoryType { minimum: 1, maximum: Some(1), memory64: false, shared: false, page_size_log2: None };
        memories.memory(page);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        wasm_encoder::reencode::utils::parse_export_section(self, exports, section)?;
        exports.export(MEMORY, ExportKind::Memory, self.memories);
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        self.count(&mut function);
        let mut depth = 0_usize;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            let branch = match operator {
                Operator::If { .. } | Operator::Loop { .. } => {
                    depth += 1;
                    true
                }
                Operator::Block { .. } => {
                    depth += 1;
                    false
                }
                Operator::End => {
                    let inside = depth != 0; // Nothing may follow the function's own end.
                    depth = depth.saturating_sub(1);
                    inside
                }
                Operator::Else | Operator::BrIf { .. } => true,
                _ => false,
            };
            function.instruction(&self.instruction(operator)?);
            if branch {
                self.count(&mut function);
            }
        }
        code.function(&function);
        Ok(())
    }
}
