//! `cargo xtask bench`: the levels that need a real Envoy, and the report of all seven.

mod callgrind;
mod extent;
mod load;
mod machine;
mod memory;
mod options;
mod process;
mod report;
mod rounds;
mod stage;
mod statistics;
mod steps;
mod ticks;
mod traffic;
mod valgrind;
mod variant;
mod workers;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tracelift_envoy::process::module;

use crate::options::{Level, Options};
use crate::rounds::Scene;
use crate::stage::{Processors, Stage};
use crate::variant::Variant;

fn main() -> Result<()> {
    let options = Options::parse();
    let processors = Processors::divide()?;
    // One thread: the load is to be as even as can be.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(LocalSet::new().run_until(run(&options, processors)))?;
    let path = report::write(&report)?;
    print!("{}", report::markdown(&report));
    println!("\nThe same as JSON: {}", path.display());
    Ok(())
}

async fn run(options: &Options, processors: Processors) -> Result<Value> {
    let mut report = json!({});
    let wants_callgrind = options.wants(Level::Callgrind);
    ensure!(wants_callgrind || !options.steps, "--steps is counted by Valgrind: add `--level callgrind`");
    if options.wants(Level::Instructions) {
        report["instructions"] = report::instructions()?;
    }
    if options.wants(Level::Micro) {
        report["micro"] = report::micro()?;
    }
    let (wants_rounds, wants_memory) = (options.wants(Level::Envoy), options.wants(Level::Memory));
    let (wants_workers, wants_ticks) = (options.wants(Level::Workers), options.wants(Level::Ticks));
    let wants_stage = wants_rounds || wants_memory || wants_workers || wants_ticks;
    let variants = Variant::chosen(&options.against, &options.only);
    let scenes = scenes(options)?;
    if wants_callgrind {
        // First, because a machine on which Valgrind does not work is to say so soon.
        let version = valgrind::version().await?;
        report["callgrind"] = callgrind::measure(processors, &variants, &scenes, options.counted()).await?;
        if options.steps {
            report["steps"] = steps::measure(processors, options.counted()).await?;
        }
        report["valgrind"] = version.into();
    }
    if wants_stage {
        let stage = Stage::build(processors).await?;
        if wants_rounds {
            report["envoy"] = rounds::measure(&stage, &variants, &scenes, options.extent()).await?;
        }
        if wants_memory {
            let (requests, starts) = options.weights();
            report["start"] = memory::start(&stage, &variants, starts).await?;
            report["memory"] = memory::weigh(&stage, &variants, requests).await?;
        }
        if wants_workers {
            report["workers"] = workers::measure(&stage, processors, &variants, options.crowd()).await?;
        }
        if wants_ticks {
            report["ticks"] = ticks::measure(&stage, processors.count, options.bursts()).await?;
        }
    }
    if wants_stage || wants_callgrind {
        report["machine"] = machine::describe(&module()?, processors)?;
    }
    Ok(report)
}

/// The scenes asked for.
fn scenes(options: &Options) -> Result<Vec<Scene>> {
    let wanted = |scene: &Scene| options.scene.as_deref().is_none_or(|text| scene.name().contains(text));
    let scenes: Vec<Scene> = Scene::ALL.into_iter().filter(wanted).collect();
    ensure!(!scenes.is_empty(), "no scene has {:?} in its name", options.scene);
    Ok(scenes)
}
