//! Functions that are Envoy's own: of those, expressions.

use wasmtime::{Caller, Linker, Result};

use super::properties;
use crate::Status;
use crate::expression::Expression;
use crate::guest::{Guest, hostcall};
use crate::status::Stop;
use crate::vm::{Root, VmState};

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |call: Call<'_>, name_at: u32, name_len: u32, args_at: u32, args_len: u32, at: u32, len_at: u32| {
            hostcall(call, "proxy_call_foreign_function", |guest| {
                let (name, argument) = (guest.read_text(name_at, name_len)?, guest.read(args_at, args_len)?);
                let result = match name.as_str() {
                    "expr_create" => create(guest, &argument),
                    "expr_evaluate" => evaluate(guest, &argument),
                    _ => Err(Status::NotFound.into()),
                }?;
                guest.return_bytes(&result, at, len_at)
            })
        },
    )?;
    Ok(())
}

fn create(guest: &mut Guest<'_>, text: &[u8]) -> Result<Vec<u8>, Stop> {
    let text = std::str::from_utf8(text).map_err(|_| Status::BadArgument)?;
    let expression = Expression::parse(text).ok_or(Status::BadArgument)?;
    let root = root(guest)?;
    root.expressions.push(expression.into());
    Ok((root.expressions.len() as u32).to_le_bytes().to_vec())
}

/// Tokens are those of the stream's root, and count from one.
fn evaluate(guest: &mut Guest<'_>, token: &[u8]) -> Result<Vec<u8>, Stop> {
    let token = u32::from_le_bytes(token.try_into().map_err(|_| Status::BadArgument)?);
    let index = (token as usize).checked_sub(1).ok_or(Status::NotFound)?;
    let expression = root(guest)?.expressions.get(index).cloned().ok_or(Status::NotFound)?;
    Ok(expression.evaluate(|path| properties::read(guest, path))?)
}

fn root<'a>(guest: &'a mut Guest<'_>) -> Result<&'a mut Root, Stop> {
    let vm = guest.vm();
    let root = vm.root_of(vm.effective).ok_or(Status::BadArgument)?;
    vm.root_mut(root).ok_or(Status::BadArgument.into())
}
