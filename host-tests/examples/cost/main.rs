//! `cargo xtask bench --level instructions`: what the release module costs, counted exactly: the same module gives the same figures.
//!
//! `--accept` makes today's figures those that the test suite compares with.

mod figures;
mod measure;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use figures::Figures;

fn main() -> Result<(), Box<dyn Error>> {
    let accept = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--accept" => true,
        other => return Err(format!("unknown options {other:?}; there is --accept").into()),
    };
    let figures = measure::all();
    print_table(&figures);
    let text = format!("{:#}\n", figures.to_json());
    let report = report_path();
    if let Some(directory) = report.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&report, &text)?;
    println!("\nThe same as JSON: {}", report.display());
    if accept {
        fs::write(figures::accepted_path(), &text)?;
        println!("Accepted: {}", figures::accepted_path().display());
        return Ok(());
    }
    let accepted = fs::read_to_string(figures::accepted_path()).ok().and_then(|text| serde_json::from_str(&text).ok());
    let rises = figures::rises(&accepted.unwrap_or_default(), &figures.to_json());
    if !rises.is_empty() {
        println!(
            "\nMore than 5 % above what was accepted (`cargo xtask bench --level instructions --accept` accepts it):"
        );
        rises.iter().for_each(|rise| println!("  {rise}"));
    }
    Ok(())
}

/// `target/bench/cost.json` of the workspace.
fn report_path() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("target"));
    target.join("bench").join("cost.json")
}

fn print_table(figures: &Figures) {
    println!("{:<38} {:>9} {:>9} {:>10} {:>10}", "one request", "hostcalls", "returning", "fuel", "worst fuel");
    for (name, it) in &figures.requests {
        println!("{name:<38} {:>9} {:>9} {:>10} {:>10}", it.hostcalls, it.returning, it.fuel, it.worst_fuel);
    }
    println!(
        "\n{:<38} {:>9} {:>9} {:>10} {:>10} {:>10}",
        "one export and its answer", "hostcalls", "returning", "fuel", "fuel/span", "body bytes"
    );
    for (name, it) in &figures.exports {
        let (hostcalls, returning) = (it.hostcalls, it.returning);
        println!(
            "{name:<38} {hostcalls:>9} {returning:>9} {:>10} {:>10} {:>10}",
            it.fuel, it.fuel_per_span, it.body_bytes
        );
    }
    println!();
    for (name, bytes) in [
        ("module", figures.module_bytes),
        ("worker at start", figures.worker_bytes_at_start),
        ("worker after 10,000 requests", figures.worker_bytes_after_10000_requests),
    ] {
        println!("{name:<38} {bytes:>9} bytes");
    }
    println!("{:<38} {:>9} fuel", "idle tick", figures.idle_tick_fuel);
}
