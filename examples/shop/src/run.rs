//! One run from start to end: applications, collector, Envoys, traffic, views or check.

use crate::check::{self, Evidence};
use crate::load;
use crate::mesh::Mesh;
use crate::model::{Model, Settings};
use crate::options::Options;
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::services::{Cart, Services, interpreter};
use crate::span::Span;
use crate::truth::Truth;
use crate::view::terminal::{self, Terminal};
use crate::view::web::{Page, Shared};
use anyhow::{Context, Result};
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracelift_envoy::Collector;

/// How often spans and events are fetched.
const FETCH: Duration = Duration::from_millis(250);
/// How long the last spans may take to arrive.
const SETTLING: Duration = Duration::from_secs(30);

/// Everything that runs.
struct Running {
    mesh: Mesh,
    collector: Collector,
    truth: Truth,
    schedule: Schedule,
    services: Services,
}

/// Prints a line. A reader that left, as `head` does, is an error and no panic.
pub fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Runs until the requests are used up or a signal comes; the signal alone ends it without a number of them. The exit code is
/// the check's verdict.
pub async fn run(options: &Options, ended: impl Future<Output = &'static str>) -> Result<ExitCode> {
    tokio::pin!(ended);
    let running = tokio::select! {
        running = start(options) => running?,
        signal = &mut ended => return stopped(signal),
    };
    if !options.check {
        return watched(options, running, ended).await;
    }
    tokio::select! {
        outcome = checked(options, running) => outcome,
        signal = &mut ended => stopped(signal),
    }
}

/// Dropping what runs ends it.
fn stopped(signal: &str) -> Result<ExitCode> {
    // Nobody may be reading any more.
    let _ = say(format_args!("\nEnding on {signal}: stopping the Envoys."));
    Ok(ExitCode::SUCCESS)
}

async fn start(options: &Options) -> Result<Running> {
    let began = Instant::now();
    let cart = if options.without_python { Cart::Copying } else { Cart::Python(interpreter()?) };
    let applications = !options.without_python;
    let schedule = Schedule::new(Plan { seed: options.seed, failures: options.failures, applications });
    let truth = Truth::default();
    say(format_args!("Starting four services, a bank and an OTLP collector …"))?;
    if options.without_python {
        say("  without Python: the cart is a service that copies headers, and no trace has spans of an application")?;
    }
    let mut services = Services::start(&schedule, &truth, cart).await.context("cannot start the services")?;
    let collector = Collector::start().await.context("cannot start the collector")?;
    say(format_args!("Starting 5 Envoys, each compiles the module for its two workers: half a minute …"))?;
    let mesh = Mesh::start(&services, collector.address(), options.ratio, |name| {
        say(format_args!("  {:>5.1} s  Envoy of {name}", began.elapsed().as_secs_f64()))
    })
    .await?;
    if services.has_python() {
        say("Starting the cart, a Flask application with an OpenTelemetry SDK …")?;
        services.start_python(collector.address()).await.context("cannot start the cart")?;
    }
    say(format_args!("  {:>5.1} s  all are ready", began.elapsed().as_secs_f64()))?;
    Ok(Running { mesh, collector, truth, schedule, services })
}

async fn watched(
    options: &Options,
    mut running: Running,
    ended: impl Future<Output = &'static str>,
) -> Result<ExitCode> {
    let (rate, requests) = (options.rate(), options.requests());
    let python = running.services.has_python();
    let settings = Settings { ratio: options.ratio, rate, failures: options.failures, seed: options.seed, python };
    let model = Model::new(settings, running.schedule.clone(), Instant::now());
    let model: Shared = Arc::new(Mutex::new(model));
    let mut page = Page::start(options.port, model.clone()).await.context("cannot serve the web page")?;
    let moved = if page.moved { "Port 7878 is taken, so the page is on another one.\n" } else { "" };
    say(format_args!("\n{moved}The shop is open. Watch it at {}\n", page.url))?;

    let mut terminal = Terminal::new(page.url.clone());
    let mut drawing = interval(Duration::from_secs(terminal.period()));
    let mut counting = interval(Duration::from_secs(1));
    let mut fetching = interval(FETCH);
    for ticks in [&mut drawing, &mut counting, &mut fetching] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let entrance = running.mesh.entrance()?;
    let traffic = load::run(running.schedule.clone(), entrance, rate, requests, running.truth.clone());
    tokio::pin!(traffic, ended);
    let lock = || model.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last: Option<Instant> = None;
    let why = loop {
        tokio::select! {
            signal = &mut ended => break format!("Ended by {signal}"),
            () = &mut traffic, if last.is_none() => last = Some(Instant::now()),
            _ = fetching.tick() => running.fetch(&mut lock()),
            _ = counting.tick() => {
                let counted = running.mesh.counted().await?;
                lock().count(counted);
            }
            Some(change) = page.changes.recv() => {
                running.mesh.set_ratio(change.ratio)?;
                lock().change(Instant::now(), change.ratio, change.failures);
            }
            _ = drawing.tick() => terminal.draw(&lock().snapshot(Instant::now()))?,
        }
        // The last spans are on their way for about two seconds.
        if last.is_some_and(|last| Duration::from_secs(3) < last.elapsed()) {
            break "All requests are done".to_owned();
        }
    };
    let sum = terminal::sum(&lock().snapshot(Instant::now()));
    // After a hang-up nobody may be reading any more.
    let _ = say(format_args!("\n{why}.\n{sum}\nStopping the Envoys."));
    running.mesh.stop().await;
    Ok(ExitCode::SUCCESS)
}

impl Running {
    /// What has happened and what has arrived since the last time, for the views.
    fn fetch(&self, model: &mut Model) {
        let (now, events, spans) = (Instant::now(), self.truth.take(), self.collector.take_spans());
        events.iter().for_each(|event| model.note(now, event));
        model.receive(now, spans.iter().map(Span::from));
    }
}

async fn checked(options: &Options, running: Running) -> Result<ExitCode> {
    let requests = options.requests().unwrap_or_default();
    let rate = options.rate();
    say(format_args!(
        "Sending {requests} requests, {rate} a second (seed {}, failures {}, ratio {}) …",
        options.seed, options.failures, options.ratio
    ))?;
    let began = Instant::now();
    let mut evidence = Evidence { python: running.services.has_python(), ..Evidence::new(options.ratio) };
    let entrance = running.mesh.entrance()?;
    load::run(running.schedule.clone(), entrance, rate, Some(requests), running.truth.clone()).await;
    say(format_args!(
        "  {:>5.1} s  all answered; waiting for the last spans and counters …",
        began.elapsed().as_secs_f64()
    ))?;
    let waiting = Instant::now();
    loop {
        evidence.events(running.truth.take());
        evidence.spans.extend(running.collector.take_spans().iter().map(Span::from));
        evidence.counted = running.mesh.counted().await?;
        if evidence.is_settled() || SETTLING < waiting.elapsed() {
            break;
        }
        sleep(FETCH).await;
    }
    say(format_args!("  {:>5.1} s  checking\n", began.elapsed().as_secs_f64()))?;
    evidence.complaints = [running.mesh.complaints(), running.services.complaints()].concat();
    let checks = check::all(&evidence);
    say(format_args!("{}", check::table(&checks)))?;
    running.mesh.stop().await;
    Ok(if checks.iter().all(check::Check::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
