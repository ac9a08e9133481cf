//! `cargo xtask soak`: one Envoy, mixed traffic without a pause, and a fault after the other. A line each ten seconds, a
//! verdict at the end, which is the exit code.

mod phase;
mod scene;
mod verdict;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use phase::Phase;
use scene::Scene;
use verdict::Verdict;

/// How long a phase lasts, and how far apart the lines are.
const PHASE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let minutes = match std::env::args().nth(1).map(|text| text.parse::<u64>()) {
        Some(Ok(minutes)) if minutes != 0 => minutes,
        other => {
            eprintln!("usage: soak MINUTES (a whole number above 0; found {other:?})");
            return ExitCode::from(2);
        }
    };
    match soak(Duration::from_secs(minutes * 60)).await {
        Ok(verdict) if verdict.passed() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the soak could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(length: Duration) -> Result<Verdict, Box<dyn std::error::Error>> {
    let scene = Scene::start().await?;
    let mut verdict = Verdict::default();
    let loads = scene.loads();
    println!("{}", verdict::HEADINGS);
    let started = Instant::now();
    for phase in Phase::ALL.into_iter().cycle() {
        let until = started + (started.elapsed() + PHASE).min(length);
        phase.run(&scene, until).await?;
        let line = scene.look(started.elapsed(), phase.name(), &loads).await?;
        println!("{line}");
        verdict.see(&line);
        if length <= started.elapsed() {
            break;
        }
    }
    phase::Phase::Calm.run(&scene, Instant::now() + Duration::from_secs(2)).await?;
    let tally = loads.stop().await;
    println!("\n{tally}");
    let last = scene.settle(started.elapsed()).await?;
    println!("{last}");
    verdict.conclude(&last, &tally);
    println!("{verdict}");
    Ok(verdict)
}
