//! Foreign functions: `expr_create`, `expr_evaluate`, `expr_delete`, and what a test put in their place.

use wasmtime::{Caller, Linker, Result};

use super::properties;
use crate::Status;
use crate::guest::{Guest, hostcall};
use crate::status::Stop;
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |call: Call<'_>, name_at: u32, name_len: u32, argument_at: u32, argument_len: u32, at: u32, len_at: u32| {
            hostcall(call, "proxy_call_foreign_function", |guest| {
                let name = guest.read_text(name_at, name_len)?;
                let argument = guest.read(argument_at, argument_len)?;
                let answer = match guest.process().foreign.get_mut(&name) {
                    Some(function) => function(&argument)?,
                    None => run(guest, &name, &argument)?,
                };
                guest.return_bytes(&answer, at, len_at)
            })
        },
    )?;
    Ok(())
}

fn run(guest: &mut Guest<'_>, name: &str, argument: &[u8]) -> Result<Vec<u8>, Stop> {
    if !matches!(name, "expr_create" | "expr_evaluate" | "expr_delete") {
        return Err(Status::NotFound.into());
    }
    let vm = guest.vm();
    // Envoy asks the context of the callback here, whichever is in effect.
    let context = vm.current;
    let root = vm.root_of(context).ok_or(Status::BadArgument)?;
    let expressions = &mut vm.root_mut(root).ok_or(Status::BadArgument)?.expressions;
    if name == "expr_create" {
        return Ok(expressions.create(argument)?.to_le_bytes().to_vec());
    }
    let token = u32::from_le_bytes(argument.try_into().map_err(|_| Status::BadArgument)?);
    if name == "expr_delete" {
        expressions.delete(token);
        return Ok(Vec::new());
    }
    let reader = properties::reader(vm, context);
    let list = match vm.contexts.get(&root) {
        Some(crate::vm::Context::Root(root)) => root.expressions.get(token)?,
        _ => return Err(Status::BadArgument.into()),
    };
    Ok(list.evaluate(|path| reader.read(path))?)
}
