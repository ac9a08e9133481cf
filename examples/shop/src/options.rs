//! The command line. `cargo xtask demo` reads this file too, so that help needs no build: nothing but clap in here.

use clap::{Parser, ValueEnum};
use std::ops::RangeInclusive;

/// A shop of four services behind Envoys with Tracelift, its traffic, and what its traces show and cost
#[derive(Clone, Debug, Parser)]
#[command(name = "tracelift-shop")]
pub struct Options {
    /// Stop after this many requests instead of running until Ctrl-C
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    requests: Option<u64>,
    /// Unattended: no live view; verify what the collector got against what happened, fail on any difference
    #[arg(long)]
    pub check: bool,
    /// Play a story in which the rate steers itself; with --check it is verified, without it the page shows it
    #[arg(long, value_enum, value_name = "STORY", conflicts_with_all = ["requests", "rate", "failures", "ratio"])]
    pub scenario: Option<Scenario>,
    /// Requests per second [default: 30, with --check 150]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Share of requests that meet a failure somewhere in the mesh, 0 to 1; the page can change it
    #[arg(long, default_value_t = 0.05, value_parser = share)]
    pub failures: f64,
    /// Share of traces that the head samples, 0.0001 to 1; the page can change it
    #[arg(long, default_value_t = 0.01, value_parser = ratio)]
    pub ratio: f64,
    /// Port of the web page on 127.0.0.1; 0 takes a free one [default: 7878, or a free one when that is taken]
    #[arg(long)]
    pub port: Option<u16>,
    /// No Python: the cart is a Rust service that copies headers, as the others do
    ///
    /// Otherwise it is a Flask application with an OpenTelemetry SDK, whose own spans appear between those of the proxies.
    #[arg(long)]
    pub without_python: bool,
    /// Chooses which request does what and which fails
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// A story. The gateway has a target of traces a second instead of a fixed ratio, and the traffic changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Six times the load for a while: the rate falls, what is kept stays at the target
    LoadStep,
    /// One request in ten fails for a while: a boost raises the rate, and every failed trace is whole
    Outage,
    /// One service is slow for one request in ten: it is named the culprit, and the trace is whole
    Slow,
}

impl Options {
    /// How many requests, if there is an end.
    pub fn requests(&self) -> Option<u64> {
        self.requests.or(self.check.then_some(2000))
    }

    /// Requests per second. A check is unattended, so it need not be slow enough to watch.
    pub fn rate(&self) -> f64 {
        self.rate.unwrap_or(if self.check { 150.0 } else { 30.0 })
    }
}

/// Shares of requests that may fail.
pub const FAILURES: RangeInclusive<f64> = 0.0..=1.0;
/// Shares of traces that the head may sample.
pub const RATIOS: RangeInclusive<f64> = 0.0001..=1.0;

fn share(text: &str) -> Result<f64, String> {
    within(text, FAILURES)
}

fn ratio(text: &str) -> Result<f64, String> {
    within(text, RATIOS)
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, 0.1..=2000.0)
}

fn within(text: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if range.contains(&number) { Ok(number) } else { Err(format!("must be {} to {}", range.start(), range.end())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["shop"], arguments].concat())
    }

    #[test]
    fn a_check_has_an_end_and_a_live_run_has_none() {
        assert_eq!(parse(&[]).unwrap().requests(), None);
        assert_eq!(parse(&["--check"]).unwrap().requests(), Some(2000));
        assert_eq!(parse(&["--requests", "7", "--check"]).unwrap().requests(), Some(7));
    }

    #[test]
    fn a_story_has_its_own_traffic() {
        assert_eq!(parse(&["--scenario", "load-step"]).unwrap().scenario, Some(Scenario::LoadStep));
        for bad in
            [["--scenario", "storm"], ["--rate", "20"], ["--failures", "0.5"], ["--requests", "7"], ["--ratio", "0.5"]]
        {
            let arguments = [&["--scenario", "outage"][..], &bad].concat();
            assert!(parse(if bad[0] == "--scenario" { &bad } else { &arguments }).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for bad in [["--ratio", "0"], ["--ratio", "1.1"], ["--failures", "-1"], ["--rate", "NaN"], ["--requests", "0"]]
        {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
