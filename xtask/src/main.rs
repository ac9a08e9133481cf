//! `cargo xtask …`: every command of a developer or user of Tracelift.

mod artefact;
mod cache;
mod commands;
mod run;
mod stage;
mod tools;
mod unchanged;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::Xtask::parse().command.execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nxtask: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
