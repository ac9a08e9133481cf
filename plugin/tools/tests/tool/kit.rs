//! Runs the tool as a person or a CI job does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run said.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A folder of these tests.
pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tool").join(name)
}

/// A file of these tests.
pub fn file(name: &str) -> PathBuf {
    folder("files").join(name)
}

/// Runs it in the folder of the files, with nothing in its environment and nothing to read.
pub fn tracelift(arguments: &[&str]) -> Ran {
    tracelift_with(arguments, "", &[])
}

/// The same, with something to read and something in its environment.
pub fn tracelift_with(arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Ran {
    tracelift_in(&folder("files"), arguments, input, environment)
}

/// The same in another folder.
pub fn tracelift_in(folder: &Path, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Ran {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelift"));
    command.args(arguments).current_dir(folder).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tool starts");
    // A tool that reads nothing may be gone before all is written.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the tool ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
