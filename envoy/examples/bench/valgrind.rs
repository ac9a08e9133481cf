//! An Envoy under Valgrind's callgrind: started, told when to count, asked for what it counted.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use tracelift_envoy::Launch;

/// How long Envoy may take to start: here it is about fifty times as slow, and another compiler may run beside it.
const START: Duration = Duration::from_secs(240);

/// How long Valgrind may take to do as told; a dump takes a second.
const CONTROL: Duration = Duration::from_secs(60);

/// The files of one process.
pub struct Callgrind {
    files: TempDir,
}

impl Callgrind {
    /// Fails where Valgrind is missing.
    pub async fn new() -> Result<Self> {
        version().await?;
        Ok(Self { files: tempfile::Builder::new().prefix("tracelift-callgrind-").tempdir()? })
    }

    /// Starts whatever it is under callgrind, which does not count yet.
    pub fn wrap(&self, launch: Launch) -> Launch {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        launch.patience(START).under([
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            // V8 writes code, and writes over it.
            "--smc-check=all-non-file".to_owned(),
            "--instr-atstart=no".to_owned(),
            format!("--callgrind-out-file={}", path("out")),
            format!("--vgdb-prefix={}", path("vgdb")),
        ])
    }

    /// Counts from now on; before, Envoy is only half as slow.
    pub async fn switch_on(&self, id: u32) -> Result<()> {
        self.tell(id, &["instrumentation", "on"]).await
    }

    /// Forgets what was counted.
    pub async fn zero(&self, id: u32) -> Result<()> {
        self.tell(id, &["zero"]).await
    }

    /// Instructions of all threads since the last call, or since [`Self::zero`].
    pub async fn take(&self, id: u32) -> Result<u64> {
        self.tell(id, &["dump"]).await?;
        let mut sum = None;
        for entry in fs::read_dir(self.files.path())? {
            let path = entry?.path();
            if path.file_stem().is_some_and(|name| name == "out") && path.extension().is_some() {
                let dump = fs::read_to_string(&path)?;
                sum = Some(sum.unwrap_or(0) + total(&dump).with_context(|| format!("{}", path.display()))?);
                fs::remove_file(&path)?;
            }
        }
        sum.context("callgrind was told to dump, and wrote nothing")
    }

    async fn tell(&self, id: u32, words: &[&str]) -> Result<()> {
        let mut command = Command::new("vgdb");
        command.arg(format!("--pid={id}"));
        command.arg(format!("--vgdb-prefix={}", self.files.path().join("vgdb").display())).args(words);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let advice =
            "Valgrind's vgdb reaches a waiting process by ptrace: in a container that needs `--cap-add SYS_PTRACE`";
        let Ok(output) = timeout(CONTROL, command.output()).await else {
            bail!("Valgrind did not take {words:?} within {CONTROL:?}; {advice}");
        };
        let output = output.context("cannot run vgdb, which comes with Valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "Valgrind did not take {words:?} ({}): {}; {advice}",
            output.status,
            said.trim()
        );
        Ok(())
    }
}

/// `valgrind-3.19.0`.
pub async fn version() -> Result<String> {
    let output = Command::new("valgrind").arg("--version").stdin(Stdio::null()).output().await;
    let output = output.context("no Valgrind on the PATH; `cargo xtask bench --level callgrind` installs it")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The last line of a whole dump: the cost of all its functions, without what they called.
fn total(dump: &str) -> Result<u64> {
    let events = dump.lines().find_map(|line| line.strip_prefix("events: "));
    ensure!(events.is_some_and(|events| events.trim() == "Ir"), "not a dump of instructions: events are {events:?}");
    let line = dump.lines().rev().find_map(|line| line.strip_prefix("totals: ")).context("the dump has no end")?;
    line.trim().parse().with_context(|| format!("{line:?} is no number of instructions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_tells_its_total_and_a_torn_one_is_found_out() {
        let dump = "# callgrind format\nversion: 1\npart: 1\n\npositions: line\nevents: Ir\nsummary: 12\n\nfn=(1) main\n0 9\n\
                    calls=1 0 \n0 3\n\nfn=(2) work\n0 3\n\ntotals: 12\n";
        assert_eq!(total(dump).unwrap(), 12);
        let torn = dump.split_once("totals").unwrap().0;
        assert!(total(torn).unwrap_err().to_string().contains("no end"));
        assert!(total(&dump.replace("events: Ir", "events: Ir Dr")).is_err());
    }
}
