//! Log, time, ticks, contexts, and the control of streams.

use wasmtime::{Caller, Linker, Result};

use crate::Status;
use crate::guest::hostcall;
use crate::process::{LogLevel, Owed};
use crate::stream::LocalResponse;
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap("env", "proxy_log", |call: Call<'_>, level: u32, at: u32, len: u32| {
        hostcall(call, "proxy_log", |guest| {
            let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
            let message = guest.read(at, len)?;
            let vm = guest.vm().id;
            guest.process().log(vm, level, &message);
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_get_log_level", |call: Call<'_>, level_at: u32| {
        hostcall(call, "proxy_get_log_level", |guest| {
            let level = guest.process().log_level();
            guest.write_u32(level_at, level as u32)
        })
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |call: Call<'_>, time_at: u32| {
        hostcall(call, "proxy_get_current_time_nanoseconds", |guest| {
            let now = guest.process().now.as_nanos() as u64;
            guest.write_u64(time_at, now)
        })
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |call: Call<'_>, period: u32| {
        hostcall(call, "proxy_set_tick_period_milliseconds", |guest| {
            let now = guest.process().now;
            let vm = guest.vm();
            let root = vm.root_of(vm.effective).ok_or(Status::BadArgument)?;
            let root = vm.root_mut(root).ok_or(Status::BadArgument)?;
            root.tick_period = period; // Whole milliseconds; a new period starts its timer anew.
            root.next_tick = root.period().map(|period| now + period);
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_set_effective_context", |call: Call<'_>, context: u32| {
        hostcall(call, "proxy_set_effective_context", |guest| {
            let vm = guest.vm();
            if !vm.contexts.contains_key(&context) {
                return Err(Status::BadArgument.into());
            }
            vm.effective = context;
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_done", |call: Call<'_>| {
        hostcall(call, "proxy_done", |guest| {
            let (vm, context) = (guest.vm().id, guest.vm().effective);
            if !guest.vm().lingering.contains(&context) {
                return Err(Status::NotFound.into());
            }
            guest.process().owed.push(Owed::Done { vm, context });
            Ok(())
        })
    })?;
    define_stream_control(linker)
}

fn define_stream_control(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap("env", "proxy_continue_stream", |call: Call<'_>, _stream: u32| {
        hostcall(call, "proxy_continue_stream", |guest| {
            guest.stream()?.paused = false;
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_close_stream", |call: Call<'_>, _stream: u32| {
        hostcall(call, "proxy_close_stream", |guest| {
            guest.stream()?;
            Err(Status::Unimplemented.into())
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |call: Call<'_>,
         status: u32,
         details_at: u32,
         details_len: u32,
         body_at: u32,
         body_len: u32,
         headers_at: u32,
         headers_len: u32,
         grpc_status: i32| {
            hostcall(call, "proxy_send_local_response", |guest| {
                let details = guest.read(details_at, details_len)?;
                let body = guest.read(body_at, body_len)?;
                let headers = guest.read_map(headers_at, headers_len)?;
                guest.stream()?.local_response = Some(LocalResponse { status, details, body, headers, grpc_status });
                Ok(())
            })
        },
    )?;
    Ok(())
}
