//! A Python with OpenTelemetry's SDK and our package, and applications that run in it as users run them: by
//! `opentelemetry-instrument` and environment variables.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Names a Python that has the packages of `examples/python/requirements.txt`.
pub const PYTHON: &str = "TRACELIFT_OTEL_PYTHON";
/// Names the folder with the package `tracelift-otel`, as installed.
pub const PACKAGE: &str = "TRACELIFT_OTEL_PATH";
/// What the script `opentelemetry-instrument` runs. The script names a Python by its path, and environments move.
const INSTRUMENT: &str = "from opentelemetry.instrumentation.auto_instrumentation import run; run()";

/// What an application is started with.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// A Python that has the SDK and its instrumentations.
    pub python: OsString,
    /// The folder with `tracelift-otel`, for `PYTHONPATH`.
    pub package: OsString,
}

/// A variable that is not set; what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSet(&'static str);

impl fmt::Display for NotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not set, which applications in Python need. `cargo xtask test` and `cargo xtask demo` set it; by hand:\n  \
             eval \"$(cargo xtask tools | grep ^export)\"",
            self.0
        )
    }
}

impl std::error::Error for NotSet {}

impl Interpreter {
    /// As `cargo xtask` names it.
    pub fn from_environment() -> Result<Self, NotSet> {
        let variable = |name: &'static str| env::var_os(name).filter(|path| !path.is_empty()).ok_or(NotSet(name));
        Ok(Self { python: variable(PYTHON)?, package: variable(PACKAGE)? })
    }

    /// Runs a service of `examples/python/services` under `opentelemetry-instrument`. It exports traces to `collector`, by
    /// batches that wait `delay_ms` at most, and neither metrics nor logs. Whether it follows the application contract is the
    /// caller's to say, by further variables. Standard input, output and error are piped; the process ends when the command's
    /// child is dropped, and has a process group of its own, so that a Ctrl-C is ours to handle.
    pub fn instrumented(&self, service: &str, collector: SocketAddr, delay_ms: u32) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-c", INSTRUMENT]).arg(&self.python).arg(script(service));
        // What a developer set for other programs would change what is seen.
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_telemetry(name)) {
            command.env_remove(name);
        }
        command
            .env("PYTHONPATH", &self.package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OTEL_TRACES_EXPORTER", "otlp")
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_LOGS_EXPORTER", "none")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
            .env("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
            .env("OTEL_BSP_SCHEDULE_DELAY", delay_ms.to_string())
            // Everything that it talks to is on this machine.
            .envs([("NO_PROXY", "*"), ("no_proxy", "*")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

fn script(service: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/services").join(service)
}

fn is_of_telemetry(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("OTEL_") || name.starts_with("TRACELIFT_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_file_and_an_interpreter_that_is_not_set_says_how_to_set_it() {
        assert!(script("flask_service.py").is_file());
        let advice = NotSet(PYTHON).to_string();
        assert!(
            advice.starts_with("TRACELIFT_OTEL_PYTHON is not set") && advice.contains("cargo xtask tools"),
            "{advice}"
        );
    }
}
