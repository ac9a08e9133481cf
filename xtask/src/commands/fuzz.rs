//! `cargo xtask fuzz`: coverage-guided fuzzing with libFuzzer, on a stable Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::commands::build;
use crate::stage::Stages;
use crate::tools::cxx;
use crate::{run, workspace};

/// The crate with the targets.
const CRATE: &str = "tracelift-fuzz";
/// Selects the target in the fuzzer.
const TARGET: &str = "TRACELIFT_FUZZ_TARGET";
/// LLVM's coverage, as `cargo fuzz` asks for it, without a sanitizer: all flags are stable.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// An input that runs longer is a finding.
const INPUT_SECONDS: u32 = 20;

/// How long, what, and what to do with what was found.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Seconds in all; whole streams get them beside the other targets, which share them
    #[arg(long, value_name = "N", default_value_t = 60, conflicts_with = "minutes")]
    seconds: u64,
    /// Minutes in all
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Fuzz this target; may be given more than once
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Replace host-tests/fuzz/corpus by the smallest set of inputs that reaches the same branches
    #[arg(long, conflicts_with = "keep")]
    minimise: bool,
    /// Keep an input that broke something: as a test named by --as, of the one --target
    #[arg(long, value_name = "FILE", requires = "name")]
    keep: Option<PathBuf>,
    /// A sentence about it, which becomes the test's name
    #[arg(long = "as", value_name = "SENTENCE", requires = "keep")]
    name: Option<String>,
}

/// A fuzzer that was built, and its targets.
struct Fuzzer {
    program: PathBuf,
    /// Name and most bytes of an input.
    targets: Vec<(String, usize)>,
}

/// What one target has seen.
struct Figures {
    target: String,
    inputs: u64,
    per_second: u64,
    finding: Option<PathBuf>,
}

impl Fuzz {
    /// What every test run does.
    pub(crate) fn minute() -> Self {
        Self { seconds: 60, minutes: None, targets: Vec::new(), minimise: false, keep: None, name: None }
    }

    pub(crate) fn execute(&self) -> Result<()> {
        if let (Some(file), Some(name)) = (&self.keep, &self.name) {
            return self.keep(file, name);
        }
        let fuzzers = build()?;
        self.check_names(&fuzzers)?;
        if self.minimise {
            return fuzzers.iter().try_for_each(|fuzzer| self.minimise(fuzzer));
        }
        let limit = Duration::from_secs(self.minutes.map_or(self.seconds, |minutes| minutes * 60));
        println!("Fuzzing for {} s on two lanes; logs and new inputs are in {} …", limit.as_secs(), work().display());
        // One lane for each fuzzer, so that both cores of a small machine are busy.
        let lanes: Vec<Result<Vec<Figures>>> = thread::scope(|scope| {
            let lanes: Vec<_> = fuzzers.iter().map(|fuzzer| scope.spawn(|| self.lane(fuzzer, limit))).collect();
            lanes.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect()
        });
        let figures: Vec<Figures> = lanes.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        conclude(&figures)
    }

    fn wants(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|wanted| wanted == target)
    }

    fn check_names(&self, fuzzers: &[Fuzzer]) -> Result<()> {
        let known: Vec<&str> =
            fuzzers.iter().flat_map(|fuzzer| &fuzzer.targets).map(|(name, _)| name.as_str()).collect();
        match self.targets.iter().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => bail!("there is no target {unknown:?}; there are {}", known.join(", ")),
            None => Ok(()),
        }
    }

    /// The targets of one fuzzer, one after the other, each for its share of the time.
    fn lane(&self, fuzzer: &Fuzzer, limit: Duration) -> Result<Vec<Figures>> {
        let targets: Vec<_> = fuzzer.targets.iter().filter(|(name, _)| self.wants(name)).collect();
        let seconds = limit.as_secs() / (targets.len() as u64).max(1);
        targets.into_iter().map(|(name, max_len)| fuzz(&fuzzer.program, name, *max_len, seconds.max(1))).collect()
    }

    /// Merges what is committed and what was found since into a new corpus. By branches alone, not by how often each is
    /// taken: a small corpus starts as well.
    fn minimise(&self, fuzzer: &Fuzzer) -> Result<()> {
        for (name, max_len) in fuzzer.targets.iter().filter(|(name, _)| self.wants(name)) {
            let merged = work().join("merged").join(name);
            if merged.exists() {
                fs::remove_dir_all(&merged)?;
            }
            fs::create_dir_all(&merged)?;
            let mut merge = Command::new(&fuzzer.program);
            merge.env(TARGET, name).env("TRACELIFT_WASM", workspace::module());
            merge.args(["-merge=1", "-use_counters=0", "-verbosity=0"]).arg(format!("-max_len={max_len}")).arg(&merged);
            merge.args([new_inputs(name), committed(name)].iter().filter(|folder| folder.is_dir()));
            run::output(&mut merge)?;
            let corpus = committed(name);
            if corpus.exists() {
                fs::remove_dir_all(&corpus)?;
            }
            fs::create_dir_all(&corpus)?;
            let mut count = 0;
            for entry in fs::read_dir(&merged)? {
                let entry = entry?;
                fs::copy(entry.path(), corpus.join(entry.file_name()))?;
                count += 1;
            }
            println!("{name}: {count} inputs");
        }
        Ok(())
    }

    fn keep(&self, file: &Path, name: &str) -> Result<()> {
        let [target] = &self.targets[..] else { bail!("--keep needs one --target: whose input is it?") };
        let name: String =
            name.to_lowercase().split(|letter: char| !letter.is_ascii_alphanumeric()).collect::<Vec<_>>().join("-");
        let folder = workspace::root().join("host-tests/fuzz/found").join(target);
        fs::create_dir_all(&folder)?;
        let kept = folder.join(&name);
        fs::copy(file, &kept).with_context(|| format!("could not copy {} to {}", file.display(), kept.display()))?;
        println!("Kept. Its test: cargo test -p {CRATE} --features streams --test corpus {name}");
        Ok(())
    }
}

/// Builds both fuzzers: one of instrumented native code, and one that drives the module, which brings its own counters.
fn build() -> Result<[Fuzzer; 2]> {
    let mut stages = Stages::new(3);
    stages.begin("Building the module", "about 2 minutes");
    build::execute()?;
    cxx::ensure()?;
    stages.begin("Building the native fuzzer, with counters at its branches", "2 minutes");
    let host = run::output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let mut native = cargo_build(&["libfuzzer"]);
    // The flags are for the target only: naming it keeps them from build scripts and macros. Optimised, because speed finds
    // more; checks and overflow checks stay.
    native
        .args(["--target", host])
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2")
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    run::run(&mut native).context("the native fuzzer did not build")?;
    stages.begin("Building the fuzzer of whole streams", "3 minutes: it brings a WebAssembly compiler");
    let mut streams = cargo_build(&["libfuzzer", "streams"]);
    for package in [CRATE, "tracelift-host"] {
        streams.args(["--config", &format!("profile.dev.package.{package}.opt-level=2")]);
    }
    run::run(&mut streams).context("the fuzzer of streams did not build")?;
    let target = workspace::target_dir();
    let native = Fuzzer::at(target.join(host).join("debug/fuzz"))?;
    let mut streams = Fuzzer::at(target.join("debug/fuzz"))?;
    streams.targets.retain(|found| !native.targets.contains(found));
    Ok([native, streams])
}

fn cargo_build(features: &[&str]) -> Command {
    let mut cargo = workspace::native_cargo();
    cargo.args(["build", "--package", CRATE, "--bin", "fuzz", "--features", &features.join(",")]);
    cargo
}

impl Fuzzer {
    fn at(program: PathBuf) -> Result<Self> {
        let listed = run::output(Command::new(&program).env(TARGET, "list"))?;
        let targets = listed
            .lines()
            .filter_map(|line| {
                let (name, max_len) = line.split_once(' ')?;
                Some((name.to_owned(), max_len.parse().ok()?))
            })
            .collect();
        Ok(Self { program, targets })
    }
}

/// Runs one target for so long, from what is committed and what earlier runs have found.
fn fuzz(program: &Path, name: &str, max_len: usize, seconds: u64) -> Result<Figures> {
    let (inputs, log) = (new_inputs(name), work().join(format!("{name}.log")));
    fs::create_dir_all(&inputs)?;
    fs::create_dir_all(committed(name))?;
    let findings = work().join("found").join(name);
    fs::create_dir_all(&findings)?;
    let mut fuzzer = Command::new(program);
    fuzzer.env(TARGET, name).env("TRACELIFT_WASM", workspace::module()).env("RUST_BACKTRACE", "0");
    fuzzer.args(["-print_final_stats=1", "-len_control=0", "-rss_limit_mb=4096"]);
    fuzzer.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-max_len={max_len}")).arg(format!("-artifact_prefix={}/", findings.display()));
    fuzzer.arg(&inputs).arg(committed(name));
    let output = fs::File::create(&log)?;
    fuzzer.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let status = fuzzer.status().with_context(|| format!("could not start {}", run::shell_line(&fuzzer)))?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let finding = said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.into());
    if !status.success() && finding.is_none() {
        bail!("{name}: the fuzzer failed ({status}); see {}", log.display());
    }
    let stat = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0);
    let figures = Figures {
        target: name.to_owned(),
        inputs: stat("stat::number_of_executed_units:"),
        per_second: stat("stat::average_exec_per_sec:"),
        finding,
    };
    println!("  {name}: {} inputs{}", figures.inputs, if figures.finding.is_some() { ", A FINDING" } else { "" });
    Ok(figures)
}

/// Prints the table, and how to keep each finding.
fn conclude(figures: &[Figures]) -> Result<()> {
    println!("\n{:<16} {:>12} {:>10} {:>9}", "target", "inputs", "a second", "findings");
    for Figures { target, inputs, per_second, finding } in figures {
        println!("{target:<16} {inputs:>12} {per_second:>10} {:>9}", u8::from(finding.is_some()));
    }
    let inputs: u64 = figures.iter().map(|figures| figures.inputs).sum();
    let found: Vec<_> =
        figures.iter().filter_map(|figures| Some((&figures.target, figures.finding.as_ref()?))).collect();
    println!("{:<16} {inputs:>12} {:>10} {:>9}", "all", "", found.len());
    for (target, file) in &found {
        println!("\n{target}: see {}. To keep the input as a test:", work().join(format!("{target}.log")).display());
        println!("  cargo xtask fuzz --target {target} --keep {} --as 'what was wrong'", file.display());
    }
    if !found.is_empty() {
        bail!("{} of {} targets broke", found.len(), figures.len());
    }
    Ok(())
}

/// Where runs leave what is not committed.
fn work() -> PathBuf {
    workspace::target_dir().join("fuzz")
}

fn new_inputs(target: &str) -> PathBuf {
    work().join("corpus").join(target)
}

fn committed(target: &str) -> PathBuf {
    workspace::root().join("host-tests/fuzz/corpus").join(target)
}
