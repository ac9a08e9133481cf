//! HTTP and gRPC callouts.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use crate::callout::{CalloutKind, CalloutState};
use crate::guest::{Guest, hostcall};
use crate::process::Dispatch;
use crate::status::Stop;
use crate::vm::VmState;
use crate::{CalloutId, Headers, Status};

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    define_http(linker)?;
    define_grpc(linker)?;
    define_grpc_streams(linker)
}

/// What both kinds have in common: the context that the answer will go to, and a new token.
fn dispatch(
    guest: &mut Guest<'_>,
    kind: CalloutKind,
    cluster: String,
    headers: Headers,
    timeout: u32,
) -> Result<Dispatch, Stop> {
    let vm = guest.vm();
    let context = vm.effective;
    let root = vm.root_of(context).ok_or(Status::BadArgument)?;
    let token = vm.next_token;
    vm.next_token += 1;
    Ok(Dispatch {
        kind,
        vm: vm.id,
        context,
        root,
        token,
        cluster,
        headers,
        body: Vec::new(),
        trailers: Headers::new(),
        timeout: (timeout != 0).then(|| Duration::from_millis(timeout.into())),
    })
}

fn define_http(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |call: Call<'_>,
         cluster_at: u32,
         cluster_len: u32,
         headers_at: u32,
         headers_len: u32,
         body_at: u32,
         body_len: u32,
         trailers_at: u32,
         trailers_len: u32,
         timeout: u32,
         token_at: u32| {
            hostcall(call, "proxy_http_call", |guest| {
                let cluster = guest.read_text(cluster_at, cluster_len)?;
                let headers = guest.read_map(headers_at, headers_len)?;
                let body = guest.read(body_at, body_len)?;
                let trailers = guest.read_map(trailers_at, trailers_len)?;
                let required = [":method", ":path", ":authority"];
                if required.iter().any(|name| headers.get(name).is_none()) {
                    return Err(Status::BadArgument.into());
                }
                let mut dispatch = dispatch(guest, CalloutKind::Http, cluster, headers, timeout)?;
                dispatch.body = body;
                dispatch.trailers = trailers;
                let token = dispatch.token;
                guest.process().dispatch(dispatch)?;
                guest.write_u32(token_at, token)
            })
        },
    )?;
    Ok(())
}

fn define_grpc(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |call: Call<'_>,
         cluster_at: u32,
         cluster_len: u32,
         service_at: u32,
         service_len: u32,
         method_at: u32,
         method_len: u32,
         metadata_at: u32,
         metadata_len: u32,
         message_at: u32,
         message_len: u32,
         timeout: u32,
         token_at: u32| {
            hostcall(call, "proxy_grpc_call", |guest| {
                let cluster = guest.read_text(cluster_at, cluster_len)?;
                let kind = CalloutKind::Grpc {
                    service: guest.read_text(service_at, service_len)?,
                    method: guest.read_text(method_at, method_len)?,
                };
                let metadata = guest.read_map(metadata_at, metadata_len)?;
                let message = guest.read(message_at, message_len)?;
                let mut dispatch = dispatch(guest, kind, cluster, metadata, timeout)?;
                dispatch.body = message;
                let token = dispatch.token;
                guest.process().dispatch(dispatch)?;
                guest.write_u32(token_at, token)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_get_status", |call: Call<'_>, code_at: u32, message_at: u32, len_at: u32| {
        hostcall(call, "proxy_get_status", |guest| {
            // Only a failure sets it, so after a success it is the last failure's.
            let (code, message) = guest.vm().grpc_status.clone();
            guest.return_bytes(message.as_bytes(), message_at, len_at)?;
            guest.write_u32(code_at, code)
        })
    })?;
    Ok(())
}

fn waiting(guest: &mut Guest<'_>, token: u32) -> Result<CalloutId, Stop> {
    let vm = guest.vm().id;
    let process = guest.process();
    let found = process.callouts.iter().find(|callout| {
        callout.vm == vm && callout.token == token && callout.is_waiting() && callout.kind != CalloutKind::Http
    });
    Ok(found.ok_or(Status::NotFound)?.id)
}

fn define_grpc_streams(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |call: Call<'_>,
         cluster_at: u32,
         cluster_len: u32,
         service_at: u32,
         service_len: u32,
         method_at: u32,
         method_len: u32,
         metadata_at: u32,
         metadata_len: u32,
         token_at: u32| {
            hostcall(call, "proxy_grpc_stream", |guest| {
                let cluster = guest.read_text(cluster_at, cluster_len)?;
                let kind = CalloutKind::GrpcStream {
                    service: guest.read_text(service_at, service_len)?,
                    method: guest.read_text(method_at, method_len)?,
                };
                let metadata = guest.read_map(metadata_at, metadata_len)?;
                let dispatch = dispatch(guest, kind, cluster, metadata, 0)?;
                let token = dispatch.token;
                guest.process().dispatch(dispatch)?;
                guest.write_u32(token_at, token)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_send", |call: Call<'_>, token: u32, at: u32, len: u32, _end: u32| {
        hostcall(call, "proxy_grpc_send", |guest| {
            let message = guest.read(at, len)?;
            let id = waiting(guest, token)?;
            let callout = guest.process().callout_mut(id).ok_or(Status::NotFound)?;
            callout.body.extend(message);
            Ok(())
        })
    })?;
    for name in ["proxy_grpc_cancel", "proxy_grpc_close"] {
        linker.func_wrap("env", name, move |call: Call<'_>, token: u32| {
            hostcall(call, name, |guest| {
                let id = waiting(guest, token)?;
                let state = CalloutState::Cancelled { delivered: true };
                guest.process().settle(id, state);
                Ok(())
            })
        })?;
    }
    Ok(())
}
