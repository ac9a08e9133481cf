//! The part of WASI preview 1 that Envoy offers, over virtual time and seeded randomness.

use wasmtime::{Caller, Linker, Result, bail};

use crate::guest::{Guest, hostcall};
use crate::process::LogLevel;
use crate::status::{Status, Stop};
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

const MODULE: &str = "wasi_snapshot_preview1";
/// WASI errno `badf`: no such descriptor.
const BAD_DESCRIPTOR: u32 = 8;
/// WASI errno `fault`: a pointer outside the memory.
const BAD_ADDRESS: u32 = 21;
/// WASI errno `inval`.
const INVALID: u32 = 28;
/// WASI errno `nosys`.
const NOT_SUPPORTED: u32 = 52;

/// A WASI call: its body's statuses become errnos, of which only the bad pointer can occur.
fn wasi(call: Call<'_>, name: &'static str, body: impl FnOnce(&mut Guest<'_>) -> Result<u32, Stop>) -> Result<u32> {
    let mut errno = 0;
    let status = hostcall(call, name, |guest| {
        errno = body(guest)?;
        Ok(())
    })?;
    Ok(match status {
        0 => errno,
        status if status == Status::InvalidMemoryAccess as u32 => BAD_ADDRESS,
        _ => INVALID,
    })
}

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    define_clock_and_random(linker)?;
    define_lists(linker)?;
    define_descriptors(linker)?;
    linker.func_wrap(MODULE, "proc_exit", |_: Call<'_>, code: u32| -> Result<()> {
        bail!("the module called proc_exit({code})")
    })?;
    linker.func_wrap(MODULE, "sched_yield", |call: Call<'_>| wasi(call, "sched_yield", |_| Ok(0)))?;
    linker.func_wrap(MODULE, "poll_oneoff", |call: Call<'_>, _in: u32, _out: u32, _count: u32, _done_at: u32| {
        wasi(call, "poll_oneoff", |_| Ok(NOT_SUPPORTED))
    })?;
    Ok(())
}

fn define_clock_and_random(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(MODULE, "clock_time_get", |call: Call<'_>, clock: u32, _precision: u64, time_at: u32| {
        wasi(call, "clock_time_get", |guest| {
            let process = guest.process();
            let time = match clock {
                0 => process.now,
                1 => process.now - process.started,
                _ => return Ok(INVALID),
            };
            guest.write_u64(time_at, time.as_nanos() as u64)?;
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "random_get", |call: Call<'_>, at: u32, len: u32| {
        wasi(call, "random_get", |guest| {
            guest.read(at, len)?; // Before a wild length is filled with randomness.
            let bytes = guest.vm().random.bytes(len as usize);
            guest.write(at, &bytes)?;
            Ok(0)
        })
    })?;
    Ok(())
}

/// Environment and arguments; Envoy gives no arguments.
fn define_lists(linker: &mut Linker<VmState>) -> Result<()> {
    fn environment(guest: &mut Guest<'_>) -> Vec<Vec<u8>> {
        let variables = guest.process().environment.iter();
        variables.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
    }
    fn write_list(guest: &mut Guest<'_>, list: &[Vec<u8>], pointers_at: u32, bytes_at: u32) -> Result<(), Stop> {
        let mut at = bytes_at;
        for (slot, entry) in (0u32..).zip(list) {
            guest.write_u32(pointers_at + 4 * slot, at)?;
            guest.write(at, entry)?;
            at += entry.len() as u32;
        }
        Ok(())
    }
    linker.func_wrap(MODULE, "environ_sizes_get", |call: Call<'_>, count_at: u32, size_at: u32| {
        wasi(call, "environ_sizes_get", |guest| {
            let list = environment(guest);
            guest.write_u32(count_at, list.len() as u32)?;
            guest.write_u32(size_at, list.iter().map(Vec::len).sum::<usize>() as u32)?;
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "environ_get", |call: Call<'_>, pointers_at: u32, bytes_at: u32| {
        wasi(call, "environ_get", |guest| {
            let list = environment(guest);
            write_list(guest, &list, pointers_at, bytes_at)?;
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "args_sizes_get", |call: Call<'_>, count_at: u32, size_at: u32| {
        wasi(call, "args_sizes_get", |guest| {
            guest.write_u32(count_at, 0)?;
            guest.write_u32(size_at, 0)?;
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "args_get", |call: Call<'_>, _pointers_at: u32, _bytes_at: u32| {
        wasi(call, "args_get", |_| Ok(0))
    })?;
    Ok(())
}

fn define_descriptors(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(MODULE, "fd_write", |call: Call<'_>, fd: u32, vectors_at: u32, count: u32, written_at: u32| {
        wasi(call, "fd_write", |guest| {
            let level = match fd {
                1 => LogLevel::Info,
                2 => LogLevel::Error,
                _ => return Ok(BAD_DESCRIPTOR),
            };
            let mut text = Vec::new();
            let vectors = guest.read(vectors_at, count.saturating_mul(8))?;
            for vector in vectors.chunks_exact(8) {
                let [at, len] = [0, 4].map(|offset| {
                    let bytes = vector[offset..offset + 4].try_into();
                    u32::from_le_bytes(bytes.expect("four bytes"))
                });
                text.extend(guest.read(at, len)?);
            }
            guest.write_u32(written_at, text.len() as u32)?;
            let line = text.strip_suffix(b"\n").unwrap_or(&text);
            let vm = guest.vm().id;
            guest.process().log(vm, level, line);
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "fd_close", |call: Call<'_>, _fd: u32| wasi(call, "fd_close", |_| Ok(BAD_DESCRIPTOR)))?;
    linker.func_wrap(MODULE, "fd_seek", |call: Call<'_>, _fd: u32, _offset: i64, _whence: u32, _at: u32| {
        wasi(call, "fd_seek", |_| Ok(BAD_DESCRIPTOR))
    })?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |call: Call<'_>, fd: u32, stat_at: u32| {
        wasi(call, "fd_fdstat_get", |guest| {
            if !(1..=2).contains(&fd) {
                return Ok(BAD_DESCRIPTOR);
            }
            let mut stat = [0; 24]; // `fdstat`: a character device that can be written.
            stat[0] = 2;
            stat[8] = 1 << 6;
            guest.write(stat_at, &stat)?;
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "fd_read", |call: Call<'_>, _fd: u32, _vectors: u32, _count: u32, _read_at: u32| {
        wasi(call, "fd_read", |_| Ok(BAD_DESCRIPTOR))
    })?;
    linker.func_wrap(MODULE, "fd_prestat_get", |call: Call<'_>, _fd: u32, _at: u32| {
        wasi(call, "fd_prestat_get", |_| Ok(BAD_DESCRIPTOR))
    })?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |call: Call<'_>, _fd: u32, _at: u32, _len: u32| {
        wasi(call, "fd_prestat_dir_name", |_| Ok(BAD_DESCRIPTOR))
    })?;
    Ok(())
}
