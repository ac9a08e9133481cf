//! Shared data and shared queues.

use wasmtime::{Caller, Linker, Result};

use crate::Status;
use crate::guest::hostcall;
use crate::process::Owed;
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |call: Call<'_>, key_at: u32, key_len: u32, at: u32, len_at: u32, cas_at: u32| {
            hostcall(call, "proxy_get_shared_data", |guest| {
                let key = guest.read(key_at, key_len)?;
                let (value, cas) = guest.process().shared.get(&key).ok_or(Status::NotFound)?;
                let value = value.to_vec();
                guest.return_bytes(&value, at, len_at)?;
                guest.write_u32(cas_at, cas)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |call: Call<'_>, key_at: u32, key_len: u32, at: u32, len: u32, cas: u32| {
            hostcall(call, "proxy_set_shared_data", |guest| {
                let (key, value) = (guest.read(key_at, key_len)?, guest.read(at, len)?);
                Ok(guest.process().shared.set(key, &value, cas)?)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |call: Call<'_>, name_at: u32, name_len: u32, id_at: u32| {
            hostcall(call, "proxy_register_shared_queue", |guest| {
                let name = guest.read(name_at, name_len)?;
                let vm = guest.vm();
                let root = vm.root_of(vm.effective).ok_or(Status::BadArgument)?;
                let consumer = (vm.id, root);
                let id = guest.process().queues.register(&name, consumer);
                guest.write_u32(id_at, id)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |call: Call<'_>, vm_at: u32, vm_len: u32, name_at: u32, name_len: u32, id_at: u32| {
            hostcall(call, "proxy_resolve_shared_queue", |guest| {
                let vm_id = guest.read_text(vm_at, vm_len)?;
                let name = guest.read(name_at, name_len)?;
                if vm_id != guest.process().vm_id {
                    return Err(Status::NotFound.into());
                }
                let id = guest.process().queues.resolve(&name).ok_or(Status::NotFound)?;
                guest.write_u32(id_at, id)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_enqueue_shared_queue", |call: Call<'_>, id: u32, at: u32, len: u32| {
        hostcall(call, "proxy_enqueue_shared_queue", |guest| {
            let item = guest.read(at, len)?;
            let (vm, context) = guest.process().queues.enqueue(id, item)?;
            let owed = Owed::QueueReady { vm, context, queue: id };
            guest.process().owed.push(owed);
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_dequeue_shared_queue", |call: Call<'_>, id: u32, at: u32, len_at: u32| {
        hostcall(call, "proxy_dequeue_shared_queue", |guest| {
            let item = guest.process().queues.dequeue(id)?;
            guest.return_bytes(&item, at, len_at)
        })
    })?;
    Ok(())
}
