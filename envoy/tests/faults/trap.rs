//! A module that traps. The release module has nothing that makes it, so a copy is taken in which a request with very many
//! headers does: what the failure policy of the shipped configurations then costs, and that the next VM starts clean.

use crate::stage::{SOON, Stage, balanced, inbound};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;
use tracelift_envoy::process::module;
use tracelift_envoy::{Client, Collector, Load, Request};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{BlockType, CodeSection, Instruction};
use wasmparser::{ExternalKind, FunctionBody, Parser, Payload, TypeRef};

/// A request with as many headers traps; none of a load has.
const TRAPS_AT: i32 = 60;

/// Puts `if TRAPS_AT <= num_headers { unreachable }` in front of `proxy_on_request_headers(context, num_headers, …)`.
struct Trapping {
    callback: u32,
    function: u32,
}

impl Reencode for Trapping {
    type Error = std::convert::Infallible;

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        let function = self.function;
        self.function += 1;
        if function != self.callback {
            return utils::parse_function_body(self, code, body);
        }
        let mut trapping = self.new_function_with_parsed_locals(&body)?;
        for instruction in [
            Instruction::LocalGet(1),
            Instruction::I32Const(TRAPS_AT),
            Instruction::I32GeU,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
        ] {
            trapping.instruction(&instruction);
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            trapping.instruction(&self.instruction(operators.read()?)?);
        }
        code.function(&trapping);
        Ok(())
    }
}

/// The release module with that one trap in it.
pub fn trapping(wasm: &[u8]) -> Vec<u8> {
    let (mut imported, mut callback) = (0, None);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map(Result::unwrap);
                imported = imports.filter(|import| matches!(import.ty, TypeRef::Func(_))).count() as u32;
            }
            Payload::ExportSection(exports) => {
                let mut exports = exports.into_iter().map(Result::unwrap);
                let found = exports
                    .find(|export| export.name == "proxy_on_request_headers" && export.kind == ExternalKind::Func);
                callback = found.map(|export| export.index);
            }
            _ => {}
        }
    }
    let mut trapping = Trapping { callback: callback.expect("the callback is exported"), function: imported };
    let mut module = wasm_encoder::Module::new();
    trapping.parse_core_module(&mut module, Parser::new(0), wasm).unwrap();
    module.finish()
}

async fn stage(module: &Path) -> Stage {
    let collector = Collector::start().await.unwrap();
    Stage::start_with(collector, |_| {}, |bootstrap| bootstrap.set_module(module)).await
}

pub fn with_many_headers(to: SocketAddr) -> Request {
    let request = Request::get(to, "/status/200");
    (0..TRAPS_AT).fold(request, |request, number| request.header(&format!("x-{number}"), "1"))
}

#[tokio::test]
async fn the_release_module_serves_what_makes_the_test_module_trap() {
    let stage = stage(&module().unwrap()).await;
    let reply = Client::new().send(with_many_headers(inbound(&stage.with))).await.unwrap();
    assert_eq!(reply.status, 200);
    stage.closed(1).await;
    stage.settle().await;
}

#[tokio::test]
async fn a_trap_costs_one_worker_a_moment_and_the_next_vm_starts_clean() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trapping.wasm");
    std::fs::write(&path, trapping(&std::fs::read(module().unwrap()).unwrap())).unwrap();
    let stage = stage(&path).await;
    let loads = stage.load("/status/200");
    loads.go_on(200).await;
    stage.until("spans arrive", |stats| 0 < stats.ledger().exported).await;
    let created = |stats: &tracelift_envoy::Stats| stats.get("wasm.envoy.wasm.runtime.v8.created");
    let before = created(&stage.with.admin().stats().await.unwrap());

    let reply = Client::new().send(with_many_headers(inbound(&stage.with))).await.unwrap();
    assert_eq!(reply.status, 503, "the request that trapped");
    // Envoy makes it anew when the next request comes to that worker. Which worker a connection meets is the kernel's choice.
    let started = Instant::now();
    let reloaded = loop {
        let status = Client::new().send(Request::get(inbound(&stage.with), "/status/200")).await.unwrap().status;
        assert!([200, 503].contains(&status), "{status}");
        let stats = stage.with.admin().stats().await.unwrap();
        if before < created(&stats) {
            break stats;
        }
        assert!(started.elapsed() < SOON, "the VM is not made anew\n{}", stage.with.log());
    };
    assert_eq!(created(&reloaded), before + 1, "one worker's, and no other's");

    // From here on everything is served again. Two traffic's worth apart, so that what was on the way has ended.
    loads.go_on(200).await;
    let both = loads.stop("a worker's VM traps").await;
    let failed = both.with.statuses.get(&503).copied().unwrap_or(0);
    println!("  {failed} requests of the other connections got 503 until the VM was there again");
    assert!(both.with.broken.is_none() && both.with.statuses.keys().all(|status| [200, 503].contains(status)));
    assert!(both.without.is_all(200));

    // Over many connections, so that both workers get some.
    let to = inbound(&stage.with);
    let request = move |_| Request::get(to, "/after").header("connection", "close");
    let load = Load::start(crate::stage::CONNECTIONS, request);
    assert!(load.goes_on(400, SOON).await);
    let after = load.stop().await;
    assert!(after.is_all(200), "{after}");
    let of_after = |span: &&tracelift_envoy::ReceivedSpan| span.text("url.path") == Some("/after");
    let all = |spans: &[tracelift_envoy::ReceivedSpan]| {
        (after.answered() == spans.iter().filter(of_after).count() as u64).then_some(())
    };
    stage.collector.wait_for(SOON, all).await.expect("the new VM exports all that it serves");
    // The dead VM's gauges stay where they were, since nobody can take them back; its counters stay lawful.
    println!("  {}", balanced(&stage.with).await);
}
