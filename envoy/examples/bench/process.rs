//! What the kernel says of a process: processor time, resident memory, and the linear memories of its VMs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// A wasm memory is followed by its guard: address space that is reserved and may not be touched. Nothing else reserves so much.
const LEAST_GUARD: u64 = 3 << 30;

/// A thread of a process.
pub struct Thread {
    /// As the process has named it.
    pub name: String,
    /// Processor time since it began: what utime + stime count, in nanoseconds instead of ticks.
    pub spent: Duration,
}

/// All threads of a process, in one order.
pub fn threads(id: u32) -> Result<Vec<Thread>> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).with_context(|| format!("process {id} is gone"))?;
    let mut paths = tasks.map(|task| Ok(task?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let read = |path: PathBuf| {
        // A thread that has just ended is not worth an error.
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        let nanos = text.split_whitespace().next()?.parse().ok()?;
        let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        Some(Thread { name, spent: Duration::from_nanos(nanos) })
    };
    Ok(paths.into_iter().filter_map(read).collect())
}

/// Processor time of all threads since the process began.
pub fn processor_time(id: u32) -> Result<Duration> {
    Ok(threads(id)?.iter().map(|thread| thread.spent).sum())
}

/// Resident memory in bytes.
pub fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("process {id} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kilobytes << 10)
}

/// Bytes of all linear memories: what the VMs have asked for, touched or not.
pub fn linear_memory(id: u32) -> Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).with_context(|| format!("process {id} is gone"))?;
    Ok(linear_memories(&maps).iter().sum())
}

fn linear_memories(maps: &str) -> Vec<u64> {
    let mappings: Vec<Mapping> = maps.lines().filter_map(Mapping::parse).collect();
    let is_guard = |after: &Mapping| !after.accessible && LEAST_GUARD <= after.end - after.start;
    mappings
        .windows(2)
        .filter(|pair| pair[0].accessible && pair[0].end == pair[1].start && is_guard(&pair[1]))
        .map(|pair| pair[0].end - pair[0].start)
        .collect()
}

/// One line of `/proc/<id>/maps`.
struct Mapping {
    start: u64,
    end: u64,
    accessible: bool,
}

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self { start: number(start)?, end: number(end)?, accessible: rest.starts_with("rw-p") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_memory_is_what_lies_before_a_guard() {
        let maps = "100000000-100120000 rw-p 00000000 00:00 0 \n100120000-300000000 ---p 00000000 00:00 0 \n\
                    400000000-400010000 rw-p 00000000 00:00 0 \n400020000-700000000 ---p 00000000 00:00 0 \n\
                    800000000-800001000 rw-p 00000000 00:00 0 [heap]\n";
        assert_eq!(linear_memories(maps), [0x12_0000]);
    }

    #[test]
    fn our_own_figures_are_there_and_grow() {
        let id = std::process::id();
        assert!(1 << 20 < resident(id).unwrap());
        let before = processor_time(id).unwrap();
        let mut sum = 0_u64;
        while processor_time(id).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
