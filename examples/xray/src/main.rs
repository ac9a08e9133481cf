//! The demo all the way into X-Ray: the shop, its Envoys, a collector, and what X-Ray then has.

mod options;

use anyhow::{Context, Result, bail};
use clap::Parser;
use options::Options;
use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tracelift_shop::feed::{Feed, Recorded};
use tracelift_xray::collector::{Destination, Settings};
use tracelift_xray::stored::{console_link, xray_id};
use tracelift_xray::{Pipeline, RealCollector, StoredTrace};

/// How long the last segments may take to X-Ray.
const SOON: Duration = Duration::from_secs(20);
/// Traces that are shown whole.
const SHOWN: usize = 3;
/// Links that are printed at most.
const LINKS: usize = 20;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = tokio::select! {
        outcome = run(&options) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    if options.aws { into_aws(options).await } else { into_moto(options).await }
}

async fn visits(options: &Options, collector: SocketAddr) -> Result<Vec<Recorded>> {
    println!("Starting the shop and its 5 Envoys …");
    let feed = Feed::open(collector, options.seed, options.failures, options.ratio).await?;
    println!("Sending {} requests …", options.requests);
    let recorded = feed.send(options.requests, 50.0).await?;
    feed.close().await;
    let failed = recorded.iter().filter(|trace| trace.failed).count();
    println!(
        "{failed} requests failed; with the head's {} % that makes {} traces.\n",
        options.ratio * 100.0,
        recorded.len()
    );
    Ok(recorded)
}

async fn into_moto(options: &Options) -> Result<()> {
    println!("Starting moto as X-Ray's API, and an OpenTelemetry Collector …");
    let pipeline = Pipeline::start().await?;
    let recorded = visits(options, pipeline.otlp()).await?;
    let mut missing = Vec::new();
    let mut whole: Vec<(&Recorded, StoredTrace)> = Vec::new();
    for trace in &recorded {
        let spans = trace.stops.len();
        match pipeline.trace(&format!("{:032x}", trace.trace_id), SOON, |it| spans <= it.documents.len()).await {
            Ok(stored) => whole.push((trace, stored)),
            Err(error) => missing.push(format!("{}: {error:#}", trace.story)),
        }
    }
    for (trace, stored) in whole.iter().filter(|(trace, _)| trace.failed).take(SHOWN) {
        println!("{}  {}\n{}\n", stored.id, trace.story, stored.outline());
    }
    let documents: usize = whole.iter().map(|(_, stored)| stored.documents.len()).sum();
    println!(
        "BatchGetTraces: {} of {} traces are whole, {documents} segments and subsegments.",
        whole.len(),
        recorded.len()
    );
    missing.extend(pipeline.collector().losses());
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    println!(
        "They end with moto, here. Into the X-Ray of your account, with its credentials in the environment:\n  \
         AWS_REGION=eu-central-1 cargo xtask demo --xray -- --aws"
    );
    Ok(())
}

async fn into_aws(options: &Options) -> Result<()> {
    let region = env::var("AWS_REGION").or_else(|_| env::var("AWS_DEFAULT_REGION"));
    let region =
        region.context("--aws needs AWS_REGION, such as eu-central-1, and credentials for it in the environment")?;
    println!("Starting an OpenTelemetry Collector for X-Ray in {region} …");
    let collector = RealCollector::start(Destination::Aws, Settings::default()).await?;
    let recorded = visits(options, collector.otlp()).await?;
    // The last batch of the collector leaves a fifth of a second after its last span; give it its retries, too.
    tokio::time::sleep(Duration::from_secs(3)).await;
    if let Some(line) = collector.losses().first() {
        bail!("the collector could not write to X-Ray in {region}:\n{line}");
    }
    let failed: Vec<_> = recorded.iter().filter(|trace| trace.failed).collect();
    for trace in failed.iter().take(LINKS) {
        let id = xray_id(&format!("{:032x}", trace.trace_id));
        println!("{id}  {}\n  {}", trace.story, console_link(&region, &id));
    }
    if let Some(first) = failed.first() {
        let id = xray_id(&format!("{:032x}", first.trace_id));
        println!(
            "\nOn the map within a minute. The first of them as JSON:\n  aws xray batch-get-traces --region {region} --trace-ids {id}"
        );
    }
    Ok(())
}
