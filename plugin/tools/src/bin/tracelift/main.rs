//! `tracelift`: checks configurations, explains decisions, forecasts what a policy costs. Runs the filter's own code.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![deny(clippy::disallowed_methods, clippy::allow_attributes_without_reason)]

mod check;
mod choice;
mod curve;
mod env;
mod explain;
mod file;
mod forecast;
mod schema;
mod style;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks configurations of the Tracelift filter, explains its decisions and forecasts what they cost, by the filter's own
/// code.
///
/// Exit codes: 0 all is well, 1 something was found (an error, a refused configuration), 2 the command line was wrong or a
/// file could not be read.
#[derive(Parser)]
#[command(name = "tracelift", version)]
struct Arguments {
    /// Write JSON instead of text for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

// Each says what it is in its own file. Said here as well, it would be all that `--help` shows of it.
#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Explain(explain::Explain),
    Forecast(forecast::Forecast),
    Schema(schema::Schema),
    Env(env::Env),
    Token(token::Token),
}

/// What a command came to.
enum Outcome {
    /// Exit code 0.
    Fine,
    /// Exit code 1.
    Findings,
}

fn main() -> ExitCode {
    let Arguments { json, command } = Arguments::parse(); // Ends with 2 by itself on a wrong command line.
    let outcome = match command {
        Command::Check(check) => check.execute(json),
        Command::Explain(explain) => explain.execute(json),
        Command::Forecast(forecast) => forecast.execute(json),
        Command::Schema(schema) => schema.execute(),
        Command::Env(env) => env.execute(json),
        Command::Token(token) => token.execute(json),
    };
    match outcome {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tracelift: {error:#}");
            ExitCode::from(if error.is::<choice::Refused>() { 1 } else { 2 })
        }
    }
}
