//! Header maps and buffers, each only in the phases in which Envoy has it.

use wasmtime::{Caller, Linker, Result};

use crate::guest::{Guest, hostcall};
use crate::status::Stop;
use crate::stream::{Phase, StreamMap};
use crate::vm::{Context, OpenAnswer, VmState};
use crate::{Headers, Status};

type Call<'a> = Caller<'a, VmState>;

/// Proxy-Wasm `proxy_map_type_t`.
enum Map {
    Stream(StreamMap),
    AnswerHeaders { grpc: bool },
    AnswerTrailers { grpc: bool },
}

fn map_of(number: u32) -> Result<Map, Stop> {
    Ok(match number {
        0 => Map::Stream(StreamMap::RequestHeaders),
        1 => Map::Stream(StreamMap::RequestTrailers),
        2 => Map::Stream(StreamMap::ResponseHeaders),
        3 => Map::Stream(StreamMap::ResponseTrailers),
        4 => Map::AnswerHeaders { grpc: true },
        5 => Map::AnswerTrailers { grpc: true },
        6 => Map::AnswerHeaders { grpc: false },
        7 => Map::AnswerTrailers { grpc: false },
        _ => return Err(Status::BadArgument.into()),
    })
}

fn open_answer<'a>(guest: &'a mut Guest<'_>, grpc: bool) -> Option<&'a OpenAnswer> {
    let vm = guest.vm();
    let effective = vm.effective;
    let answer = vm.open_answer.as_ref()?;
    (answer.context == effective && answer.grpc == grpc).then_some(answer)
}

fn readable<'a>(guest: &'a mut Guest<'_>, map: u32) -> Result<Option<&'a Headers>, Stop> {
    Ok(match map_of(map)? {
        Map::Stream(map) => guest.stream().ok().and_then(|stream| stream.readable(map)),
        Map::AnswerHeaders { grpc } => open_answer(guest, grpc).map(|answer| &answer.headers),
        Map::AnswerTrailers { grpc } => open_answer(guest, grpc).map(|answer| &answer.trailers),
    })
}

fn writable<'a>(guest: &'a mut Guest<'_>, map: u32) -> Result<&'a mut Headers, Stop> {
    match map_of(map)? {
        Map::Stream(map) => guest.stream()?.writable(map).ok_or(Status::BadArgument.into()),
        Map::AnswerHeaders { .. } | Map::AnswerTrailers { .. } => Err(Status::BadArgument.into()),
    }
}

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    define_reads(linker)?;
    define_writes(linker)?;
    define_buffers(linker)
}

fn define_reads(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap("env", "proxy_get_header_map_pairs", |call: Call<'_>, map: u32, at: u32, len_at: u32| {
        hostcall(call, "proxy_get_header_map_pairs", |guest| {
            // A map that is not there reads as an empty one.
            let map = readable(guest, map)?.filter(|map| !map.is_empty());
            let wire = map.map(Headers::to_pairs).unwrap_or_default();
            guest.return_bytes(&wire, at, len_at)
        })
    })?;
    linker.func_wrap("env", "proxy_get_header_map_size", |call: Call<'_>, map: u32, size_at: u32| {
        hostcall(call, "proxy_get_header_map_size", |guest| {
            let size = readable(guest, map)?.ok_or(Status::BadArgument)?.byte_size();
            guest.write_u32(size_at, size as u32)
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |call: Call<'_>, map: u32, name_at: u32, name_len: u32, at: u32, len_at: u32| {
            hostcall(call, "proxy_get_header_map_value", |guest| {
                let name = guest.read(name_at, name_len)?;
                let at_log = guest.stream().is_ok_and(|stream| stream.phase == Phase::Log);
                let absent = if at_log { Status::NotFound } else { Status::BadArgument };
                let map = readable(guest, map)?.ok_or(absent)?;
                let value = map.get(&name).ok_or(Status::NotFound)?.to_vec();
                guest.return_bytes(&value, at, len_at)
            })
        },
    )?;
    Ok(())
}

fn define_writes(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap("env", "proxy_set_header_map_pairs", |call: Call<'_>, map: u32, at: u32, len: u32| {
        hostcall(call, "proxy_set_header_map_pairs", |guest| {
            let pairs = guest.read_map(at, len)?;
            *writable(guest, map)? = pairs;
            Ok(())
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |call: Call<'_>, map: u32, name_at: u32, name_len: u32, at: u32, len: u32| {
            hostcall(call, "proxy_add_header_map_value", |guest| {
                let (name, value) = (guest.read(name_at, name_len)?, guest.read(at, len)?);
                writable(guest, map)?.add(name, value);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |call: Call<'_>, map: u32, name_at: u32, name_len: u32, at: u32, len: u32| {
            hostcall(call, "proxy_replace_header_map_value", |guest| {
                let (name, value) = (guest.read(name_at, name_len)?, guest.read(at, len)?);
                writable(guest, map)?.replace(name, value);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |call: Call<'_>, map: u32, name_at: u32, name_len: u32| {
            hostcall(call, "proxy_remove_header_map_value", |guest| {
                let name = guest.read(name_at, name_len)?;
                writable(guest, map)?.remove(name);
                Ok(())
            })
        },
    )?;
    Ok(())
}

/// The bytes of a buffer that exists now. Proxy-Wasm `proxy_buffer_type_t`.
fn buffer(guest: &mut Guest<'_>, number: u32) -> Result<Vec<u8>, Stop> {
    match number {
        0 | 1 => {
            let phase = [Phase::RequestBody, Phase::ResponseBody][number as usize];
            let stream = guest.stream()?;
            if stream.phase == phase {
                return Ok(stream.body_chunk.clone());
            }
        }
        4 | 5 => {
            if let Some(answer) = open_answer(guest, number == 5) {
                return Ok(answer.body.clone());
            }
        }
        6 => return Ok(guest.process().vm_configuration.clone()),
        7 => {
            let vm = guest.vm();
            if let Some(Context::Root(root)) = vm.contexts.get(&vm.effective) {
                return Ok(root.configuration.clone());
            }
        }
        _ => return Err(Status::BadArgument.into()),
    }
    Err(Status::NotFound.into())
}

fn define_buffers(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |call: Call<'_>, number: u32, start: u32, max_len: u32, at: u32, len_at: u32| {
            hostcall(call, "proxy_get_buffer_bytes", |guest| {
                let bytes = buffer(guest, number)?;
                let start = (start as usize).min(bytes.len());
                let end = start.saturating_add(max_len as usize).min(bytes.len());
                guest.return_bytes(&bytes[start..end], at, len_at)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_get_buffer_status", |call: Call<'_>, number: u32, len_at: u32, flags_at: u32| {
        hostcall(call, "proxy_get_buffer_status", |guest| {
            let length = buffer(guest, number)?.len() as u32;
            guest.write_u32(len_at, length)?;
            guest.write_u32(flags_at, 0)
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |call: Call<'_>, number: u32, start: u32, size: u32, at: u32, len: u32| {
            hostcall(call, "proxy_set_buffer_bytes", |guest| {
                let bytes = guest.read(at, len)?;
                buffer(guest, number)?;
                if 1 < number {
                    return Err(Status::BadArgument.into());
                }
                let chunk = &mut guest.stream()?.body_chunk;
                let start = (start as usize).min(chunk.len());
                let end = start.saturating_add(size as usize).min(chunk.len());
                chunk.splice(start..end, bytes);
                Ok(())
            })
        },
    )?;
    Ok(())
}
