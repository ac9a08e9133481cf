//! One run from start to end: applications, collector, Envoys, traffic, views or check.

use crate::check::{self, Evidence};
use crate::load;
use crate::mesh::{Mesh, Sampling};
use crate::model::{Model, Settings};
use crate::options::{Options, Scenario};
use crate::plan::Plan;
use crate::play::{Play, Turn};
use crate::reading::Reading;
use crate::schedule::Schedule;
use crate::services::{Cart, Services, interpreter};
use crate::span::Span;
use crate::truth::Truth;
use crate::view::terminal::{self, Terminal};
use crate::view::web::{Change, Page, Shared, Wanted};
use anyhow::{Context, Result};
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracelift_envoy::{Collector, Filter};

/// How often spans and events are fetched.
const FETCH: Duration = Duration::from_millis(250);
/// How often counters are read.
const SECOND: Duration = Duration::from_secs(1);
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
        outcome = verdict(options, running) => outcome,
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
    let schedule = Schedule::new(Plan { seed: options.seed, failures: options.failures, slow: 0.0, applications });
    let truth = Truth::default();
    say(format_args!("Starting four services, a bank and an OTLP collector …"))?;
    if options.without_python {
        say("  without Python: the cart is a service that copies headers, and no trace has spans of an application")?;
    }
    let mut services = Services::start(&schedule, &truth, cart).await.context("cannot start the services")?;
    let collector = Collector::start().await.context("cannot start the collector")?;
    say(format_args!("Starting 5 Envoys, each compiles the module for its two workers: half a minute …"))?;
    // The usual check knows of every request beforehand what must be kept: not of one that happens to be slow.
    let learns = !options.check || options.scenario == Some(Scenario::Slow);
    let sampling = Sampling { ratio: options.ratio, learns };
    let mesh = Mesh::start(&services, collector.address(), sampling, |name| {
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
    let dynamic_module = Filter::of_this_run()?.is_dynamic();
    let Options { ratio, failures, seed, .. } = *options;
    let settings = Settings { ratio, rate, failures, seed, python, dynamic_module };
    let model = Model::new(settings, running.schedule.clone(), Instant::now());
    let model: Shared = Arc::new(Mutex::new(model));
    let mut page = Page::start(options.port, model.clone()).await.context("cannot serve the web page")?;
    let moved = if page.moved { "Port 7878 is taken, so the page is on another one.\n" } else { "" };
    say(format_args!("\n{moved}The shop is open. Watch it at {}\n", page.url))?;

    let mut terminal = Terminal::new(page.url.clone());
    let mut drawing = every(Duration::from_secs(terminal.period()));
    let mut counting = every(SECOND);
    let mut fetching = every(FETCH);
    let entrance = running.mesh.entrance()?;
    let (pace, load) = watch::channel(rate);
    let traffic = load::run(running.schedule.clone(), entrance, load, requests, running.truth.clone());
    tokio::pin!(traffic, ended);
    let lock = || model.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last: Option<Instant> = None;
    let mut play = None;
    if let Some(scenario) = options.scenario {
        play = Some(running.play(scenario, &mut lock())?);
    }
    let why = loop {
        tokio::select! {
            signal = &mut ended => break format!("Ended by {signal}"),
            () = &mut traffic, if last.is_none() => last = Some(Instant::now()),
            _ = fetching.tick() => running.fetch(&mut lock()),
            _ = counting.tick() => {
                let counted = running.mesh.counted().await?;
                lock().count(Instant::now(), counted);
                let turn = play.as_mut().and_then(|play| play.turn(Instant::now()));
                turn.into_iter().for_each(|turn| running.turn(turn, options, &pace, &mut lock()));
            }
            Some(change) = page.changes.recv() => match change {
                Change::To(Wanted { ratio, failures }) => {
                    play = None;
                    running.mesh.set_ratio(ratio)?;
                    pace.send_replace(rate);
                    lock().turn(None, rate, failures);
                    lock().change(Instant::now(), ratio, failures);
                }
                Change::Play(scenario) => play = Some(running.play(scenario, &mut lock())?),
            },
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

/// Ticks that are not made up for after a pause of the machine.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Running {
    /// A story begins.
    fn play(&mut self, scenario: Scenario, model: &mut Model) -> Result<Play> {
        self.mesh.steer(scenario)?;
        let now = Instant::now();
        model.begin(now, scenario);
        Ok(Play::new(scenario, now))
    }

    /// The traffic is another one; after the story it is what the command line says.
    fn turn(&self, turn: Turn, options: &Options, pace: &watch::Sender<f64>, model: &mut Model) {
        let (phase, rate, failures, slow) = match turn {
            Turn::To(phase) => (Some(phase), phase.traffic.rate, phase.traffic.failures, phase.traffic.slow),
            Turn::Over => (None, options.rate(), options.failures, 0.0),
        };
        pace.send_replace(rate);
        self.schedule.set_faults(failures, slow);
        model.turn(phase, rate, failures);
    }

    /// What has happened and what has arrived since the last time, for the views.
    fn fetch(&self, model: &mut Model) {
        let (now, events, spans) = (Instant::now(), self.truth.take(), self.collector.take_spans());
        events.iter().for_each(|event| model.note(now, event));
        model.receive(now, spans.iter().map(Span::from));
    }
}

async fn verdict(options: &Options, running: Running) -> Result<ExitCode> {
    match options.scenario {
        Some(scenario) => played(options, scenario, running).await,
        None => checked(options, running).await,
    }
}

/// Plays a story to its end, and checks what came of it.
async fn played(options: &Options, scenario: Scenario, mut running: Running) -> Result<ExitCode> {
    running.mesh.steer(scenario)?;
    let evidence = Evidence { python: running.services.has_python(), ..Evidence::new(options.ratio) };
    let (pace, load) = watch::channel(options.rate());
    let entrance = running.mesh.entrance()?;
    let traffic = load::run(running.schedule.clone(), entrance, load, None, running.truth.clone());
    tokio::pin!(traffic);
    let (mut play, mut readings) = (Play::new(scenario, Instant::now()), Vec::new());
    let mut pace = Some(pace);
    let mut counting = every(SECOND);
    loop {
        tokio::select! {
            // It ends when nobody sets its rate any more.
            () = &mut traffic => break,
            _ = counting.tick(), if pace.is_some() => {
                let at_s = play.began.elapsed().as_secs_f64();
                readings.push(Reading::of(at_s, &running.mesh.counted().await?));
                match play.turn(Instant::now()) {
                    Some(Turn::To(phase)) => {
                        say(format_args!("  {at_s:>5.1} s  {}: {} requests a second", phase.name, phase.traffic.rate))?;
                        pace.iter().for_each(|pace| _ = pace.send_replace(phase.traffic.rate));
                        running.schedule.set_faults(phase.traffic.failures, phase.traffic.slow);
                    }
                    Some(Turn::Over) => pace = None,
                    None => {}
                }
            }
        }
    }
    let evidence = settled(evidence, &running, play.began).await?;
    conclude(running, check::story(&evidence, scenario, &readings)).await
}

async fn checked(options: &Options, running: Running) -> Result<ExitCode> {
    let requests = options.requests().unwrap_or_default();
    let rate = options.rate();
    say(format_args!(
        "Sending {requests} requests, {rate} a second (seed {}, failures {}, ratio {}) …",
        options.seed, options.failures, options.ratio
    ))?;
    let began = Instant::now();
    let evidence = Evidence { python: running.services.has_python(), ..Evidence::new(options.ratio) };
    let entrance = running.mesh.entrance()?;
    let (_steady, load) = watch::channel(rate);
    load::run(running.schedule.clone(), entrance, load, Some(requests), running.truth.clone()).await;
    let evidence = settled(evidence, &running, began).await?;
    conclude(running, check::all(&evidence)).await
}

/// Waits for the last spans and counters of a run that began then.
async fn settled(mut evidence: Evidence, running: &Running, began: Instant) -> Result<Evidence> {
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
    Ok(evidence)
}

/// The verdict, and the end.
async fn conclude(running: Running, checks: Vec<check::Check>) -> Result<ExitCode> {
    say(format_args!("{}", check::table(&checks)))?;
    running.mesh.stop().await;
    Ok(if checks.iter().all(check::Check::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
