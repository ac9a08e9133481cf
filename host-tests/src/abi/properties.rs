//! Properties: reading Envoy's attributes, writing filter state.

use wasmtime::{Caller, Linker, Result};

use crate::guest::{Guest, hostcall};
use crate::property::Reader;
use crate::status::Stop;
use crate::vm::{Context, VmState};
use crate::{Direction, Status};

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |call: Call<'_>, path_at: u32, path_len: u32, at: u32, len_at: u32| {
            hostcall(call, "proxy_get_property", |guest| {
                let path = guest.read(path_at, path_len)?;
                let value = read(guest, &path)?;
                guest.return_bytes(&value, at, len_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |call: Call<'_>, path_at: u32, path_len: u32, at: u32, len: u32| {
            hostcall(call, "proxy_set_property", |guest| {
                let (path, value) = (guest.read(path_at, path_len)?, guest.read(at, len)?);
                let is_root = guest.vm().shown.is_some();
                let stream = guest.stream().map_err(|_| Status::NotFound)?;
                if is_root {
                    stream.refused_state.insert(path, value);
                    return Err(Status::NotFound.into());
                }
                // A path of several parts becomes one key with NULs inside, as in Envoy.
                stream.filter_state.insert(path, value);
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn read(guest: &mut Guest<'_>, path: &[u8]) -> Result<Vec<u8>, Stop> {
    let vm = guest.vm();
    Ok(reader(vm, vm.effective).read(path)?)
}

/// What a context can read.
pub(super) fn reader(vm: &VmState, context: u32) -> Reader<'_> {
    let (listener, stream) = match vm.contexts.get(&vm.readable(context)) {
        Some(Context::Root(root)) => (Some(root.listener), None),
        Some(Context::Stream(stream)) => (Some(stream.listener), Some(&**stream)),
        None => (None, None),
    };
    let listener = listener.and_then(|index| vm.listeners.get(index));
    Reader {
        process: &vm.process.properties,
        plugin_name: listener.map_or("", |listener| &listener.plugin_name),
        vm_id: &vm.process.vm_id,
        direction: listener.map_or(Direction::Unspecified, |listener| listener.direction),
        stream,
        now: vm.process.now,
    }
}
