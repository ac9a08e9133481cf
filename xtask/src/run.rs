//! Runs child commands. An error quotes the command line that a person can paste to see the failure again.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a finished command's output may stay open before we say that it left a process behind.
const LEFTOVER_GRACE: Duration = Duration::from_secs(10);

/// Runs to the end with our own standard streams; an exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| not_started(command))?;
    check(command, status)
}

/// Runs quietly and returns standard output as text, trimmed. Standard error is part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| not_started(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ({})\n{}", shell_line(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs with a time limit; the command is ended when it is over. For what may wait for a network that never answers.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| not_started(command))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return check(command, status);
        }
        if deadline <= Instant::now() {
            child.kill()?;
            child.wait()?;
            bail!("{} did not end within {} s", shell_line(command), limit.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs to the end, shows standard output as it comes and hands each line to `see`. The exit status is the caller's to judge.
pub(crate) fn run_seen(command: &mut Command, mut see: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| not_started(command))?;
    let pipe = child.stdout.take().context("standard output was piped")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || forward_lines(pipe, &sender));
    let ended = thread::spawn(move || child.wait());
    let mut ended_at = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                println!("{line}");
                see(&line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) if ended.is_finished() => {
                let since = *ended_at.get_or_insert_with(Instant::now);
                if LEFTOVER_GRACE < since.elapsed() {
                    bail!("{} ended, but a process that it started still runs", shell_line(command));
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
    std::io::stdout().flush()?;
    Ok(ended.join().expect("waiting for a child does not panic")?)
}

/// Becomes the command, so that a Ctrl-C or SIGTERM meets it directly and no process of ours stands between.
#[cfg(unix)]
pub(crate) fn become_command(command: &mut Command) -> Result<()> {
    let error = std::os::unix::process::CommandExt::exec(command);
    Err(error).with_context(|| not_started(command))
}

/// Runs the command to its end, where a process cannot be replaced.
#[cfg(not(unix))]
pub(crate) fn become_command(command: &mut Command) -> Result<()> {
    run(command)
}

/// The exit status as an error that quotes the command.
pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("failed ({status}). To see it again:\n  {}", shell_line(command));
    }
    Ok(())
}

/// The command as a line for a POSIX shell, with the folder and the variables that it was given.
pub(crate) fn shell_line(command: &Command) -> String {
    let mut line = String::new();
    if let Some(dir) = command.get_current_dir() {
        line.push_str(&format!("cd {} && ", quote(dir.as_os_str())));
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            line.push_str(&format!("{}={} ", name.to_string_lossy(), quote(value)));
        }
    }
    line.push_str(&quote(command.get_program()));
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&quote(argument));
    }
    line
}

/// First executable file of that name on `PATH`.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    all_on_path(name).into_iter().next()
}

/// Every executable file of that name on `PATH`, in order.
pub(crate) fn all_on_path(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(name)).filter(|file| is_executable(file)).collect()
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

fn not_started(command: &Command) -> String {
    format!("could not start {}", shell_line(command))
}

/// Test output may hold any bytes, so lines are read as bytes and shown with replacements.
fn forward_lines(pipe: impl Read, sender: &mpsc::Sender<String>) {
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        if sender.send(text).is_err() {
            return;
        }
    }
}

/// The word as a shell reads it back: POSIX, but for control characters, which a terminal would swallow.
pub(crate) fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.into_owned()
    } else if word.contains(|letter: char| letter.is_ascii_control()) {
        let escape = |letter: char| {
            if letter.is_ascii_control() { format!("\\x{:02x}", letter as u32) } else { letter.to_string() }
        };
        format!("$'{}'", word.replace('\\', r"\\").replace('\'', r"\'").chars().map(escape).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_so_that_a_shell_reads_it_back() {
        let mut command = Command::new("cargo");
        command.args(["test", "it's one word", "", "two\u{1f}flags"]).env("FLAGS", "-L a").current_dir("/a b");
        assert_eq!(shell_line(&command), r"cd '/a b' && FLAGS='-L a' cargo test 'it'\''s one word' '' $'two\x1fflags'");
    }

    #[test]
    fn a_failure_names_the_command_and_its_status() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c 'exit 3'") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_command_that_never_answers_is_ended_at_its_limit() {
        let started = Instant::now();
        let error = run_within(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn lines_are_seen_with_bytes_that_are_not_utf_8_and_the_status_is_kept() {
        let mut seen = Vec::new();
        let status = run_seen(Command::new("sh").args(["-c", r"printf 'a\n\377b\nlast'; exit 4"]), |line| {
            seen.push(line.to_owned())
        });
        assert_eq!(status.unwrap().code(), Some(4));
        assert_eq!(seen, ["a", "\u{fffd}b", "last"]);
    }
}
