//! `cargo xtask mesh`: a mesh of simulated Envoys with the release module in every one, judged while it runs.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use tracelift_host::mesh::{Mesh, Options, Report, Sabotage, Trouble};
use tracelift_host::{Module, StartError, testing};

mod arguments;
mod table;

use arguments::Arguments;

fn main() -> ExitCode {
    match simulate() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every invariant held.
fn simulate() -> Result<bool, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let read = arguments.other.as_ref().map(Module::from_file).transpose()?;
    let other = read.as_ref().unwrap_or_else(|| testing::module());
    let trouble = Trouble::from_name(&arguments.trouble).unwrap_or(Trouble::Everyday);
    let options = Options {
        seed: arguments.seed.unwrap_or_else(fresh_seed),
        pods: arguments.pods,
        requests: arguments.requests,
        ratio: arguments.ratio,
        budget: arguments.budget.unwrap_or(if trouble == Trouble::Storm { 5 } else { 1000 }),
        trouble,
        recall: arguments.recall,
        liars: arguments.liars,
        mixed: arguments.mixed,
        sabotage: arguments.sabotage.as_deref().and_then(Sabotage::from_name),
    };
    let reports = if arguments.growth {
        let sizes = [10, 50, 200, 500];
        sizes.into_iter().map(|pods| run(Options { pods, ..options.clone() }, other)).collect::<Result<Vec<_>, _>>()?
    } else {
        vec![run(options, other)?]
    };
    for report in &reports {
        println!("{}", table::of(report));
    }
    if arguments.growth {
        print_growth(&reports);
    }
    Ok(reports.iter().all(|report| report.violations.is_empty()))
}

fn run(options: Options, other: &Module) -> Result<Report, StartError> {
    println!("{options}");
    let (started, requests) = (Instant::now(), options.requests);
    // No Envoy starts with a configuration that is refused.
    let mesh = Mesh::start_mixed(options, [testing::module(), other])?;
    let report = mesh.run(|sent| {
        print!("\r{sent} of {requests} requests, {:.0} s", started.elapsed().as_secs_f64());
        let _ = std::io::stdout().flush(); // A progress line that is not seen does no harm.
    });
    println!("\r{requests} of {requests} requests, {:.1} s\n", started.elapsed().as_secs_f64());
    Ok(report)
}

fn print_growth(reports: &[Report]) {
    println!(
        "| pods | hops | failed traces | hops that can be reached, kept | all hops above a failure, kept | siblings kept | \
         whole traces | recall requests per trace | held per 1,000 dropped streams/s | spans of hops | largest VM |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for report in reports {
        let it = &report.figures;
        println!(
            "| {} | {} | {} | {:.2} % | {:.2} % | {:.2} % | {:.2} % | {:.1} | {:.1} MiB | {:.2} % | {} KiB |",
            report.options.pods,
            it.hops,
            it.error_traces,
            it.reached.percent(),
            it.ancestors.percent(),
            it.siblings.percent(),
            it.whole.percent(),
            report.messages_per_upgrade(),
            report.held_bytes_per_thousand() / f64::from(1 << 20),
            report.exported_percent(),
            it.largest_memory / 1024
        );
    }
}

/// Seeds are short, so that people can type them.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs() & 0xffff
}
