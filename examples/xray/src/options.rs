//! The command line. `cargo xtask demo` reads this file too, so that help needs no build: nothing but clap in here.

use clap::Parser;

/// The shop's traces in AWS X-Ray: moto in its place by default, the real one with --aws
#[derive(Debug, Parser)]
#[command(name = "tracelift-xray")]
pub struct Options {
    /// Requests to send
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub requests: u64,
    /// Write to the real X-Ray of AWS_REGION with the credentials of the environment; needs a collector
    #[arg(long)]
    pub aws: bool,
    /// Share of requests that meet a failure somewhere in the mesh, 0 to 1
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub failures: f64,
    /// Share of traces that the head samples, 0.0001 to 1
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    pub ratio: f64,
    /// Chooses which request does what and which fails
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("must be 0 to 1".to_owned()) }
}
