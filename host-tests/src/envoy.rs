//! One Envoy process: its VMs, its listeners, its life from start to exit.

use std::fmt;

use crate::Trap;
use crate::builder::EnvoyBuilder;
use crate::foreign::Expressions;
use crate::listener::Listener;
use crate::module::Module;
use crate::process::{LogLine, Owed, Process, VmId};
use crate::vm::{Context, Root, Vm, VmState};

/// An Envoy process with the module in it. Nothing runs by itself: tests move time and answer callouts.
pub struct Envoy {
    pub(crate) module: Module,
    pub(crate) process: Box<Process>,
    /// The main thread's VM, then the workers'.
    pub(crate) vms: Vec<Vm>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) seed: u64,
    pub(crate) log_after_done: bool,
    pub(crate) down: bool,
}

/// The module would not run with what it was given.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The callback that returned false or trapped.
    pub callback: &'static str,
    /// The listener whose configuration it was.
    pub listener: String,
    /// The trap, if it was one.
    pub trap: Option<Box<Trap>>,
    /// Everything logged since the start or the update began.
    pub logs: Vec<LogLine>,
}

/// Envoy does not start.
pub type StartError = Refused;
/// Envoy rejects the update, and the old configuration keeps serving.
pub type Nack = Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of listener {} failed", self.callback, self.listener)?;
        if let Some(trap) = &self.trap {
            write!(f, ": {trap}")?;
        }
        for line in &self.logs {
            write!(f, "\n  {:?} {:?}: {}", line.vm, line.level, line.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

impl Envoy {
    /// Describes a process that will run `module`.
    pub fn builder(module: &Module) -> EnvoyBuilder {
        EnvoyBuilder::new(module)
    }

    pub(crate) fn from_builder(builder: EnvoyBuilder) -> Result<Self, StartError> {
        let mut envoy = Self {
            module: builder.module,
            process: builder.process,
            vms: Vec::new(),
            listeners: builder.listeners,
            seed: builder.seed,
            log_after_done: builder.log_after_done,
            down: false,
        };
        for index in 0..envoy.listeners.len() {
            let configuration = envoy.listeners[index].configuration.clone();
            envoy.try_in_canary(index, &configuration)?;
        }
        for id in std::iter::once(VmId::Main).chain((0..builder.workers).map(VmId::Worker)) {
            let vm = envoy.start_vm(id)?;
            envoy.vms.push(vm);
        }
        envoy.settle();
        Ok(envoy)
    }

    /// Runs a configuration in a VM that is thrown away afterwards, as Envoy does before it believes one.
    fn try_in_canary(&mut self, listener: usize, configuration: &[u8]) -> Result<(), Refused> {
        let logged = self.process.logs.len();
        let mut canary = self.new_vm(VmId::Canary);
        let started = self.start_root(&mut canary, listener, configuration);
        self.process.cancel_of(VmId::Canary, None, false);
        self.settle();
        started.map(|_| ()).map_err(|refused| Refused { logs: self.process.logs[logged..].to_vec(), ..refused })
    }

    fn new_vm(&mut self, id: VmId) -> Vm {
        let state = VmState::new(id, self.seed, self.listeners.clone());
        Vm::start(&self.module, state, &mut self.process)
    }

    fn start_vm(&mut self, id: VmId) -> Result<Vm, Refused> {
        let mut vm = self.new_vm(id);
        for index in 0..self.listeners.len() {
            let configuration = self.listeners[index].configuration.clone();
            self.start_root(&mut vm, index, &configuration)?;
        }
        Ok(vm)
    }

    /// Makes a root context and configures it.
    fn start_root(&mut self, vm: &mut Vm, listener: usize, configuration: &[u8]) -> Result<u32, Refused> {
        let process = &mut self.process;
        let root = vm.state_mut().new_context(Context::Root(Root {
            listener,
            configuration: configuration.to_vec(),
            tick_period: 0,
            next_tick: None,
            draining: false,
            expressions: Expressions::default(),
        }));
        let vm_size = process.vm_configuration.len() as u32;
        let plugin_size = configuration.len() as u32;
        vm.call(process, "proxy_on_context_create", root, &[root, 0]);
        for (callback, size) in [("proxy_on_vm_start", vm_size), ("proxy_on_configure", plugin_size)] {
            let accepted = vm.call(process, callback, root, &[root, size]);
            if vm.failed || accepted == Some(0) {
                let trap = process.traps.last().filter(|_| vm.failed).cloned().map(Box::new);
                return Err(Refused {
                    callback,
                    listener: self.listeners[listener].name.clone(),
                    trap,
                    logs: process.logs.clone(),
                });
            }
        }
        Ok(root)
    }

    /// Gives a listener a new plugin configuration: each VM makes a new root context, the old one serves its streams and
    /// ticks until [`Envoy::drain`].
    ///
    /// # Errors
    /// If the canary refuses it; then nothing has changed.
    pub fn update_config(&mut self, listener: &str, configuration: impl AsRef<[u8]>) -> Result<(), Nack> {
        let index = self.listener_index(listener);
        let configuration = configuration.as_ref();
        self.try_in_canary(index, configuration)?;
        self.listeners[index].configuration = configuration.to_vec();
        for mut vm in std::mem::take(&mut self.vms) {
            let replaced = vm.state().roots().filter(|(_, root)| root.listener == index);
            for old in replaced.map(|(id, _)| id).collect::<Vec<_>>() {
                if let Some(root) = vm.state_mut().root_mut(old) {
                    root.draining = true;
                }
            }
            // A live VM that refuses what the canary took has trapped or depends on its past; `traps` and the log tell.
            let _ = self.start_root(&mut vm, index, configuration);
            self.vms.push(vm);
        }
        self.settle();
        Ok(())
    }

    /// Configures the root contexts of a listener anew where they are, as hosts may that do not make new ones.
    pub fn configure_again(&mut self, listener: &str, configuration: impl AsRef<[u8]>) {
        let index = self.listener_index(listener);
        let configuration = configuration.as_ref();
        for vm in &mut self.vms {
            let roots = vm.state().roots().filter(|(_, root)| root.listener == index);
            for id in roots.map(|(id, _)| id).collect::<Vec<_>>() {
                if let Some(root) = vm.state_mut().root_mut(id) {
                    root.configuration = configuration.to_vec();
                }
                vm.call(&mut self.process, "proxy_on_configure", id, &[id, configuration.len() as u32]);
            }
        }
        self.settle();
    }

    /// Ends the drain of replaced configurations: their last streams are cut, then their roots are done and deleted.
    pub fn drain(&mut self) {
        for index in 0..self.vms.len() {
            let roots = self.vms[index].state().roots();
            let old: Vec<u32> = roots.filter(|(_, root)| root.draining).map(|(id, _)| id).collect();
            for root in old {
                self.cut_streams_of(index, root);
                self.end_root(index, root);
            }
        }
        self.settle();
    }

    /// Ends the process: `proxy_on_done` for every root, workers first. What roots send now goes out over open
    /// connections only, and no answer comes back.
    pub fn shutdown(&mut self) {
        self.down = true;
        let main_last = (1..self.vms.len()).chain([0]);
        for index in main_last {
            let roots: Vec<u32> = self.vms[index].state().roots().map(|(id, _)| id).collect();
            for root in roots {
                self.end_root(index, root);
            }
            let id = self.vms[index].id();
            self.process.cancel_of(id, None, false);
        }
    }

    fn end_root(&mut self, index: usize, root: u32) {
        let vm = &mut self.vms[index];
        let done = vm.call(&mut self.process, "proxy_on_done", root, &[root]);
        if let Some(state) = vm.state_mut().root_mut(root) {
            state.tick_period = 0;
            state.next_tick = None;
        }
        if done == Some(0) {
            vm.state_mut().lingering.push(root);
        } else {
            self.delete(index, root);
        }
    }

    /// `proxy_on_delete`; what the context still waits for is cancelled.
    pub(crate) fn delete(&mut self, index: usize, context: u32) -> Option<Context> {
        let vm = &mut self.vms[index];
        vm.call(&mut self.process, "proxy_on_delete", context, &[context]);
        let removed = vm.state_mut().contexts.remove(&context);
        let is_stream = matches!(removed, Some(Context::Stream(_)));
        let id = vm.id();
        self.process.cancel_of(id, Some(context), is_stream);
        removed
    }

    /// Fails a worker's VM as a trap would, between two callbacks. Its streams stay until they are ended, and see no
    /// callback any more; [`Envoy::reload`] replaces the VM.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn crash(&mut self, worker: usize) {
        let vm = VmId::Worker(worker);
        let index = self.vm_index(vm);
        self.vms[index].failed = true;
        self.process.cancel_of(vm, None, true);
    }

    /// Replaces a failed worker's VM, as `FAIL_RELOAD` does once its backoff has passed.
    ///
    /// # Errors
    /// If the module refuses its configuration now.
    pub fn reload(&mut self, worker: usize) -> Result<(), Refused> {
        self.seed = self.seed.wrapping_add(1); // A system's random source does not begin anew.
        self.process.cancel_of(VmId::Worker(worker), None, true);
        let vm = self.start_vm(VmId::Worker(worker))?;
        self.vms[worker + 1] = vm;
        self.settle();
        Ok(())
    }

    /// Runs an export with any arguments, in any order; the first argument is the context. Contexts need not exist.
    /// `None` if the module has no such export or its VM has failed; a trap is in [`Envoy::traps`].
    ///
    /// # Panics
    /// If there is no such VM.
    pub fn callback(&mut self, vm: VmId, export: &'static str, args: &[u32]) -> Option<u32> {
        let index = self.vm_index(vm);
        let context = args.first().copied().unwrap_or(0);
        let phase = crate::request::phase_of(export);
        let result = self.vms[index].call_in(&mut self.process, phase, export, context, args);
        self.settle();
        result
    }

    /// Runs what earlier callbacks asked for: queue notices and deferred deletions.
    pub(crate) fn settle(&mut self) {
        while !self.process.owed.is_empty() {
            for owed in std::mem::take(&mut self.process.owed) {
                let (Owed::QueueReady { vm, .. } | Owed::Done { vm, .. }) = owed;
                let Some(index) = self.vms.iter().position(|known| known.id() == vm) else {
                    continue; // The canary is gone.
                };
                match owed {
                    Owed::QueueReady { context, queue, .. } => {
                        let args = [context, queue];
                        let vm = &mut self.vms[index];
                        vm.call(&mut self.process, "proxy_on_queue_ready", context, &args);
                    }
                    Owed::Done { context, .. } => {
                        let lingering = &mut self.vms[index].state_mut().lingering;
                        lingering.retain(|waiting| *waiting != context);
                        self.delete(index, context);
                    }
                }
            }
        }
    }

    pub(crate) fn vm_index(&self, vm: VmId) -> usize {
        let found = self.vms.iter().position(|known| known.id() == vm);
        found.unwrap_or_else(|| panic!("this Envoy has no {vm:?}"))
    }

    pub(crate) fn listener_index(&self, name: &str) -> usize {
        let found = self.listeners.iter().position(|listener| listener.name == name);
        found.unwrap_or_else(|| panic!("this Envoy has no listener {name:?}"))
    }
}
