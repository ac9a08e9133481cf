//! Metrics.

use wasmtime::{Caller, Linker, Result};

use crate::guest::hostcall;
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |call: Call<'_>, kind: u32, name_at: u32, name_len: u32, id_at: u32| {
            hostcall(call, "proxy_define_metric", |guest| {
                let name = guest.read_text(name_at, name_len)?;
                let id = guest.process().metrics.define(kind, name)?;
                guest.write_u32(id_at, id)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_increment_metric", |call: Call<'_>, id: u32, offset: i64| {
        hostcall(call, "proxy_increment_metric", |guest| {
            let vm = guest.vm().id;
            Ok(guest.process().metrics.increment(vm, id, offset)?)
        })
    })?;
    linker.func_wrap("env", "proxy_record_metric", |call: Call<'_>, id: u32, value: u64| {
        hostcall(call, "proxy_record_metric", |guest| {
            let vm = guest.vm().id;
            Ok(guest.process().metrics.record(vm, id, value)?)
        })
    })?;
    linker.func_wrap("env", "proxy_get_metric", |call: Call<'_>, id: u32, value_at: u32| {
        hostcall(call, "proxy_get_metric", |guest| {
            let value = guest.process().metrics.value(id)?;
            guest.write_u64(value_at, value)
        })
    })?;
    Ok(())
}
