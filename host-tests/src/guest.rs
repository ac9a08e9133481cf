//! The door from a hostcall to the module that made it: its memory, its allocator, and the count of its calls.

use wasmtime::{AsContextMut, Caller, Extern, Memory, TypedFunc};

use crate::Headers;
use crate::fault::Hostcall;
use crate::process::Process;
use crate::status::{Status, Stop};
use crate::stream::Stream;
use crate::vm::{Context, VmState};

/// One hostcall in progress.
pub(crate) struct Guest<'a> {
    caller: Caller<'a, VmState>,
}

/// Runs a hostcall's body: counts it, lets fault rules answer first, and turns its result into the ABI's status.
pub(crate) fn hostcall(
    mut caller: Caller<'_, VmState>,
    name: &'static str,
    body: impl FnOnce(&mut Guest<'_>) -> Result<(), Stop>,
) -> wasmtime::Result<u32> {
    let state = caller.data_mut();
    state.cost.count(name, 1);
    let mut call = Hostcall { name, vm: state.id, context: state.effective, shared_data: &mut state.process.shared };
    if let Some(status) = state.process.faults.status_of(&mut call) {
        return Ok(status as u32);
    }
    match body(&mut Guest { caller }) {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Stop::Answer(status)) => Ok(status as u32),
        Err(Stop::Trap(error)) => Err(error),
    }
}

impl Guest<'_> {
    pub(crate) fn vm(&mut self) -> &mut VmState {
        self.caller.data_mut()
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.caller.data_mut().process
    }

    /// The effective context's stream, or the one that Envoy's access log shows to a root; `BadArgument` if there is none.
    pub(crate) fn stream(&mut self) -> Result<&mut Stream, Stop> {
        let state = self.caller.data_mut();
        match state.contexts.get_mut(&state.readable(state.effective)) {
            Some(Context::Stream(stream)) => Ok(stream),
            _ => Err(Status::BadArgument.into()),
        }
    }

    pub(crate) fn read(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Stop> {
        let memory = self.memory()?;
        memory
            .data(&self.caller)
            .get(address as usize..)
            .and_then(|rest| rest.get(..length as usize))
            .map(<[u8]>::to_vec)
            .ok_or(Status::InvalidMemoryAccess.into())
    }

    pub(crate) fn read_text(&mut self, address: u32, length: u32) -> Result<String, Stop> {
        let bytes = self.read(address, length)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A header map in the ABI's form.
    pub(crate) fn read_map(&mut self, address: u32, length: u32) -> Result<Headers, Stop> {
        let wire = self.read(address, length)?;
        Headers::from_pairs(&wire).ok_or(Status::BadArgument.into())
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Stop> {
        let memory = self.memory()?;
        memory.write(&mut self.caller, address as usize, bytes).map_err(|_| Status::InvalidMemoryAccess.into())
    }

    pub(crate) fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Stop> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Stop> {
        self.write(address, &value.to_le_bytes())
    }

    /// Hands a value over in memory that the guest allocates; an empty value needs none and comes as a null pointer.
    pub(crate) fn return_bytes(&mut self, bytes: &[u8], address_at: u32, length_at: u32) -> Result<(), Stop> {
        let mut address = 0;
        if !bytes.is_empty() {
            address = self.allocate(bytes.len() as u32)?;
            self.write(address, bytes)?;
        }
        self.write_u32(address_at, address)?;
        self.write_u32(length_at, bytes.len() as u32)
    }

    fn allocate(&mut self, length: u32) -> Result<u32, Stop> {
        self.vm().cost.returning += 1;
        let allocator = self.allocator()?;
        let address = allocator.call(self.caller.as_context_mut(), length).map_err(Stop::Trap)?;
        if address == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        Ok(address)
    }

    fn memory(&mut self) -> Result<Memory, Stop> {
        if let Some(memory) = self.vm().memory {
            return Ok(memory);
        }
        match self.caller.get_export("memory") {
            Some(Extern::Memory(memory)) => {
                self.vm().memory = Some(memory);
                Ok(memory)
            }
            _ => Err(Status::InvalidMemoryAccess.into()),
        }
    }

    /// `proxy_on_memory_allocate`, or `malloc` as modules without WASI have it.
    fn allocator(&mut self) -> Result<TypedFunc<u32, u32>, Stop> {
        if let Some(allocator) = &self.vm().allocator {
            return Ok(allocator.clone());
        }
        let found = ["proxy_on_memory_allocate", "malloc"]
            .into_iter()
            .find_map(|name| self.caller.get_export(name)?.into_func())
            .ok_or(Status::InvalidMemoryAccess)?;
        let allocator = found.typed::<u32, u32>(&self.caller).map_err(Stop::Trap)?;
        self.vm().allocator = Some(allocator.clone());
        Ok(allocator)
    }
}
