//! The demo: a shop of four services, one of which has an OpenTelemetry SDK, an Envoy with Tracelift beside each and one at the edge,
//! strangers who visit it, and a collector whose traces are shown, priced and, on request, checked.

mod check;
pub mod feed;
mod hops;
mod load;
mod mesh;
mod model;
mod options;
mod plan;
mod play;
mod reading;
mod request;
mod run;
mod scenario;
mod schedule;
mod services;
mod span;
#[cfg(test)]
mod testing;
mod truth;
mod view;

use clap::Parser;
use options::Options;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The program: reads the command line, runs, and ends everything that it started.
pub async fn main() -> ExitCode {
    let options = Options::parse();
    match run::run(&options, ended()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C, SIGTERM, or the terminal's end.
async fn ended() -> &'static str {
    let on = |kind| signal(kind).ok();
    match (on(SignalKind::interrupt()), on(SignalKind::terminate()), on(SignalKind::hangup())) {
        (Some(mut interrupt), Some(mut terminate), Some(mut hangup)) => tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        },
        // Without handlers the default action ends us, and the kernel ends the Envoys with us.
        _ => std::future::pending().await,
    }
}
