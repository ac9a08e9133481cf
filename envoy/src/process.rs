//! A real Envoy as a child process: started with a configuration, ready when it returns, gone when dropped.

use crate::admin::Admin;
use crate::client::ClientError;
use crate::config::Bootstrap;
use crate::filter::Filter;
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// How often a condition is looked at that nothing announces.
const POLL: Duration = Duration::from_millis(10);

/// Why there is no running Envoy.
#[derive(Debug)]
pub enum EnvoyError {
    /// A file that is needed was not found; where it was looked for, and what to do.
    Missing {
        /// Which file.
        what: &'static str,
        /// What to do.
        advice: String,
    },
    /// The run's directory or the process could not be made.
    Io(io::Error),
    /// Envoy exited before it was ready; its log.
    Refused {
        /// How it exited.
        status: ExitStatus,
        /// Its log.
        log: String,
    },
    /// Neither ready nor gone in time; its log.
    NotReady {
        /// How long.
        waited: Duration,
        /// Its log.
        log: String,
    },
    /// Still running so long after SIGTERM.
    NotGone {
        /// How long.
        waited: Duration,
    },
    /// No such line in the log; the log.
    NotLogged {
        /// What was looked for.
        text: String,
        /// The whole log.
        log: String,
    },
    /// No listener of that name.
    NoListener {
        /// The name looked for.
        name: String,
        /// The names there are.
        bound: Vec<String>,
    },
    /// The admin port does not answer.
    Admin(ClientError),
}

impl fmt::Display for EnvoyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, advice } => write!(f, "no {what}: {advice}"),
            Self::Io(error) => write!(f, "cannot run Envoy: {error}"),
            Self::Refused { status, log } => write!(f, "Envoy stopped at start ({status}):\n{log}"),
            Self::NotReady { waited, log } => write!(f, "Envoy was not ready after {waited:?}:\n{log}"),
            Self::NotGone { waited } => write!(f, "Envoy still runs {waited:?} after SIGTERM"),
            Self::NotLogged { text, log } => write!(f, "no {text:?} in Envoy's log:\n{log}"),
            Self::NoListener { name, bound } => write!(f, "no listener {name:?}, only {bound:?}"),
            Self::Admin(error) => write!(f, "Envoy's admin port: {error}"),
        }
    }
}

impl std::error::Error for EnvoyError {}

impl From<io::Error> for EnvoyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ClientError> for EnvoyError {
    fn from(error: ClientError) -> Self {
        Self::Admin(error)
    }
}

/// The module under test: `TRACELIFT_WASM`, else `target/tracelift.wasm`.
pub fn module() -> Result<PathBuf, EnvoyError> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tracelift.wasm");
    let path = variable("TRACELIFT_WASM").unwrap_or(default);
    path.canonicalize().map_err(|_| EnvoyError::Missing {
        what: "tracelift.wasm",
        advice: format!("{} does not exist; run `cargo xtask build`, or set TRACELIFT_WASM", path.display()),
    })
}

/// Envoy's binary: `TRACELIFT_ENVOY`, else the one that `cargo xtask tools` fetched, else `envoy` on the PATH.
pub fn binary() -> Result<PathBuf, EnvoyError> {
    let named = variable("TRACELIFT_ENVOY");
    let paths = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&paths).map(|directory| directory.join("envoy"));
    named.into_iter().chain(fetched()).chain(on_path).find(|path| path.is_file()).ok_or_else(|| EnvoyError::Missing {
        what: "Envoy",
        advice: "run `cargo xtask tools`, set TRACELIFT_ENVOY to its binary, or put it on the PATH".to_owned(),
    })
}

/// `envoy-<version>/envoy` in the cache folder of `cargo xtask`.
fn fetched() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cache = variable("TRACELIFT_CACHE")
        .map(|directory| root.join(directory))
        .or_else(|| variable("XDG_CACHE_HOME").map(|home| home.join("tracelift")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/tracelift")));
    let entries = cache.and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("envoy-"))
        .map(|entry| entry.path().join("envoy"))
}

pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// How to start an Envoy.
#[derive(Clone, Debug)]
pub struct Launch {
    binary: PathBuf,
    filter: Filter,
    workers: u32,
    node: String,
    environment: Vec<(String, OsString)>,
    drain_seconds: u32,
    patience: Duration,
    processor: Option<usize>,
    wrapper: Vec<OsString>,
}

impl Launch {
    /// One worker; the binary is looked for as [`binary`] says.
    pub fn new() -> Result<Self, EnvoyError> {
        let node = "tracelift-test".to_owned();
        let patience = Duration::from_secs(60);
        Ok(Self {
            binary: binary()?,
            filter: Filter::of_this_run()?,
            workers: 1,
            node,
            environment: Vec::new(),
            drain_seconds: 1,
            patience,
            processor: None,
            wrapper: Vec::new(),
        })
    }

    /// Runs this filter, whatever the run is about.
    pub fn filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// Worker threads, each of which has a VM of its own.
    pub fn workers(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    /// Envoy's node id and cluster.
    pub fn node(self, node: &str) -> Self {
        Self { node: node.to_owned(), ..self }
    }

    /// Keeps all its threads on one processor, counted from 0.
    pub fn on_processor(self, processor: usize) -> Self {
        Self { processor: Some(processor), ..self }
    }

    /// Runs Envoy under another program, such as Valgrind: its name and arguments, before Envoy's own. It must become Envoy's
    /// process or hold it, for its process id is taken for Envoy's.
    pub fn under<T: Into<OsString>>(self, wrapper: impl IntoIterator<Item = T>) -> Self {
        Self { wrapper: wrapper.into_iter().map(Into::into).collect(), ..self }
    }

    /// How long a start, or a check of a configuration, may take; 60 s unless set.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long a replaced listener goes on; 1 s unless set.
    pub fn drain_seconds(self, drain_seconds: u32) -> Self {
        Self { drain_seconds, ..self }
    }

    /// Adds a variable to Envoy's environment.
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Checks a configuration as `envoy --mode validate` does.
    pub async fn validate(&self, bootstrap: &Bootstrap) -> Result<(), EnvoyError> {
        let (mut child, directory) = self.spawn(bootstrap, &["--mode", "validate"])?;
        let status = child.wait_until_gone(self.patience).await;
        let log = read(&directory.path().join(LOG));
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(EnvoyError::Refused { status, log }),
            None => Err(EnvoyError::NotReady { waited: self.patience, log }),
        }
    }

    /// What `envoy --mode validate` makes of a file of this name, whose end says how it is read, with this text.
    pub async fn validate_text(&self, name: &str, text: &str) -> Result<Validation, EnvoyError> {
        let (mut child, directory) = self.spawn_text(name, text, &["--mode", "validate"])?;
        let status = child.wait_until_gone(self.patience).await;
        // It prints some of it, and logs the rest.
        let log = [LOG, ACCESS_LOG].map(|file| read(&directory.path().join(file))).concat();
        match status {
            Some(status) => Ok(Validation { accepted: status.success(), log }),
            None => Err(EnvoyError::NotReady { waited: self.patience, log }),
        }
    }

    /// Starts Envoy and returns when all its workers take traffic.
    pub async fn start(&self, bootstrap: &Bootstrap) -> Result<Envoy, EnvoyError> {
        let (mut child, directory) = self.spawn(bootstrap, &[])?;
        let log = directory.path().join(LOG);
        let started = Instant::now();
        let mut admin: Option<Admin> = None;
        loop {
            if let Some(status) = child.0.try_wait()? {
                return Err(EnvoyError::Refused { status, log: read(&log) });
            }
            if self.patience < started.elapsed() {
                return Err(EnvoyError::NotReady { waited: self.patience, log: read(&log) });
            }
            match &admin {
                None => admin = read(&directory.path().join(ADMIN)).trim().parse().ok().map(Admin::new),
                Some(admin) if admin.is_ready().await => {
                    let listeners = admin.listeners().await?;
                    return Ok(Envoy { child, directory, admin: admin.clone(), listeners });
                }
                Some(_) => {}
            }
            sleep(POLL).await;
        }
    }

    fn spawn(&self, bootstrap: &Bootstrap, more: &[&str]) -> Result<(Group, TempDir), EnvoyError> {
        let mut value = bootstrap.as_value().clone();
        let environment = self.filter.put_into(&mut value);
        self.spawn_with("bootstrap.json", &value.to_string(), more, &environment)
    }

    fn spawn_text(&self, name: &str, text: &str, more: &[&str]) -> Result<(Group, TempDir), EnvoyError> {
        self.spawn_with(name, text, more, &[])
    }

    fn spawn_with(
        &self,
        name: &str,
        text: &str,
        more: &[&str],
        environment: &[(String, String)],
    ) -> Result<(Group, TempDir), EnvoyError> {
        let directory = tempfile::Builder::new().prefix("tracelift-envoy-").tempdir()?;
        let file = |name: &str| directory.path().join(name);
        fs::write(file(name), text)?;
        let mut words = self.wrapper.iter().map(OsString::as_os_str).chain([self.binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .arg("-c")
            .arg(file(name))
            .args(["--concurrency", &self.workers.to_string()])
            .args(["--service-node", &self.node, "--service-cluster", &self.node])
            // No shared memory region, hence nothing that two Envoys could fight over.
            .arg("--disable-hot-restart")
            .arg("--admin-address-path")
            .arg(file(ADMIN))
            // An old listener must be gone before a test's patience is; an access log line must come soon.
            .args(["--drain-time-s", &self.drain_seconds.to_string(), "--file-flush-interval-msec", "20"])
            .args(more)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(file(ACCESS_LOG))?)
            .stderr(File::create(file(LOG))?)
            // A group of its own: a Ctrl-C meant for us reaches Envoy only through us.
            .process_group(0);
        if let Some(processor) = self.processor {
            let mut only = CpuSet::new();
            only.set(processor);
            // SAFETY: between fork and exec only the one system call is made, which is async-signal-safe.
            unsafe { command.pre_exec(move || Ok(sched_setaffinity(None, &only)?)) };
        }
        Ok((Group(spawn_from_lasting_thread(command)?), directory))
    }
}

/// What a check of a configuration came to.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Whether Envoy would start with it.
    pub accepted: bool,
    /// All that it said.
    pub log: String,
}

const LOG: &str = "envoy.log";
const ACCESS_LOG: &str = "access.log";
const ADMIN: &str = "admin-address";

/// A running Envoy. Dropping it kills it.
#[derive(Debug)]
pub struct Envoy {
    child: Group,
    directory: TempDir,
    admin: Admin,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Envoy {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Its admin port.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Where a listener is bound. For listeners that came after the start ask [`Admin::listeners`].
    pub fn address(&self, listener: &str) -> Result<SocketAddr, EnvoyError> {
        self.listeners.get(listener).copied().ok_or_else(|| EnvoyError::NoListener {
            name: listener.to_owned(),
            bound: self.listeners.keys().cloned().collect(),
        })
    }

    /// Envoy's log so far.
    pub fn log(&self) -> String {
        read(&self.directory.path().join(LOG))
    }

    /// The access log so far, one line a request.
    pub fn access_log(&self) -> String {
        read(&self.directory.path().join(ACCESS_LOG))
    }

    /// The first log line with `text` in it, as soon as there is one.
    pub async fn wait_for_log(&self, text: &str, deadline: Duration) -> Result<String, EnvoyError> {
        wait_for_line(|| self.log(), text, deadline).await
    }

    /// The first access log line with `text` in it, as soon as there is one.
    pub async fn wait_for_access_log(&self, text: &str, deadline: Duration) -> Result<String, EnvoyError> {
        wait_for_line(|| self.access_log(), text, deadline).await
    }

    /// Resident memory of the process in bytes, from `/proc`; 0 where there is none, and when Envoy is gone.
    pub fn resident_bytes(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.child.0.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }

    /// Sends SIGTERM and waits for the exit. Logs are gone afterwards; read them before.
    pub async fn terminate(mut self, deadline: Duration) -> Result<ExitStatus, EnvoyError> {
        self.child.signal(Signal::TERM);
        self.child.wait_until_gone(deadline).await.ok_or(EnvoyError::NotGone { waited: deadline })
    }
}

async fn wait_for_line(log: impl Fn() -> String, text: &str, deadline: Duration) -> Result<String, EnvoyError> {
    let started = Instant::now();
    loop {
        let log = log();
        if let Some(line) = log.lines().find(|line| line.contains(text)) {
            return Ok(line.to_owned());
        }
        if deadline < started.elapsed() {
            return Err(EnvoyError::NotLogged { text: text.to_owned(), log });
        }
        sleep(POLL).await;
    }
}

/// Replaces a file by rename, which is what Envoy watches for.
pub fn replace_file(path: &Path, content: &str) -> io::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, content)?;
    fs::rename(next, path)
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A child that leads a process group of its own, and does not outlive us.
#[derive(Debug)]
struct Group(Child);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // An error means that it is gone already, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }

    async fn wait_until_gone(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            if deadline < started.elapsed() {
                return None;
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.signal(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Starts a process that dies with us, however we die. The kernel binds its life to the *thread* that started it, and a
/// runtime's threads come and go, so one thread that stays starts them all.
fn spawn_from_lasting_thread(mut command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    // SAFETY: between fork and exec only the one system call prctl is made, which is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
    let (reply, answer) = channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
