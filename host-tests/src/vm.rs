//! One VM: a module's instance with its contexts, entered for one callback at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use wasmtime::{Func, Instance, Memory, Store, TypedFunc, Val};

use crate::foreign::Expressions;
use crate::module::Module;
use crate::process::{Process, VmId};
use crate::random::SeededRandom;
use crate::stream::{Phase, Stream};
use crate::{Cost, Headers, Trap};

/// A callback may run this many instructions; one that needs more loops for ever.
const FUEL_LIMIT: u64 = 2_000_000_000;

/// What a context id stands for.
#[derive(Debug)]
pub(crate) enum Context {
    Root(Root),
    Stream(Box<Stream>),
}

#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) listener: usize,
    pub(crate) configuration: Vec<u8>,
    /// Milliseconds of virtual time; 0 is off.
    pub(crate) tick_period: u32,
    pub(crate) next_tick: Option<Duration>,
    /// Replaced by an update; serves its streams until the listener has drained.
    pub(crate) draining: bool,
    pub(crate) expressions: Expressions,
}

impl Root {
    pub(crate) fn period(&self) -> Option<Duration> {
        (self.tick_period != 0).then(|| Duration::from_millis(self.tick_period.into()))
    }
}

/// The answer to a callout while the module reads it.
#[derive(Debug)]
pub(crate) struct OpenAnswer {
    pub(crate) context: u32,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) grpc: bool,
}

/// What hostcalls of one VM see.
pub(crate) struct VmState {
    pub(crate) id: VmId,
    /// The process's state while a callback runs; an empty one else.
    pub(crate) process: Box<Process>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) next_context: u32,
    pub(crate) next_token: u32,
    /// The context that the callback was called for.
    pub(crate) current: u32,
    /// The context that most hostcalls act for.
    pub(crate) effective: u32,
    /// The stream that Envoy's access log shows, on behalf of a root.
    pub(crate) shown: Option<u32>,
    pub(crate) cost: Cost,
    pub(crate) open_answer: Option<OpenAnswer>,
    pub(crate) grpc_status: (u32, String),
    pub(crate) random: SeededRandom,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocator: Option<TypedFunc<u32, u32>>,
    pub(crate) listeners: Vec<crate::Listener>,
    /// Contexts that said in `proxy_on_done` that they would call `proxy_done` later.
    pub(crate) lingering: Vec<u32>,
}

impl VmState {
    pub(crate) fn new(id: VmId, seed: u64, listeners: Vec<crate::Listener>) -> Self {
        let stream = match id {
            VmId::Canary => 0,
            VmId::Main => 1,
            VmId::Worker(index) => 2 + index as u64,
        };
        Self {
            id,
            process: Box::default(),
            contexts: BTreeMap::new(),
            next_context: 1, // 0 is the VM's own context.
            next_token: 1,
            current: 0,
            effective: 0,
            shown: None,
            cost: Cost::default(),
            open_answer: None,
            grpc_status: (0, String::new()),
            random: SeededRandom::new(seed, stream),
            memory: None,
            allocator: None,
            listeners,
            lingering: Vec::new(),
        }
    }

    pub(crate) fn root_of(&self, context: u32) -> Option<u32> {
        match self.contexts.get(&context)? {
            Context::Root(_) => Some(context),
            Context::Stream(stream) => Some(stream.root),
        }
    }

    /// Where facts of a stream are read on behalf of a context: a root has those of the request that the access log shows.
    pub(crate) fn readable(&self, context: u32) -> u32 {
        let shown = self.shown.filter(|_| matches!(self.contexts.get(&context), Some(Context::Root(_))));
        shown.unwrap_or(context)
    }

    pub(crate) fn root_mut(&mut self, context: u32) -> Option<&mut Root> {
        match self.contexts.get_mut(&context)? {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    pub(crate) fn stream_mut(&mut self, context: u32) -> Option<&mut Stream> {
        match self.contexts.get_mut(&context)? {
            Context::Root(_) => None,
            Context::Stream(stream) => Some(stream),
        }
    }

    pub(crate) fn roots(&self) -> impl Iterator<Item = (u32, &Root)> {
        self.contexts.iter().filter_map(|(id, context)| match context {
            Context::Root(root) => Some((*id, root)),
            Context::Stream(_) => None,
        })
    }

    pub(crate) fn new_context(&mut self, context: Context) -> u32 {
        let id = self.next_context;
        self.next_context += 1;
        self.contexts.insert(id, context);
        id
    }
}

/// An instance and its store. A trap marks it failed, and it is never entered again.
pub(crate) struct Vm {
    store: Store<VmState>,
    instance: Option<Instance>,
    exports: BTreeMap<String, Option<Func>>,
    pub(crate) failed: bool,
    pub(crate) total: Cost,
}

impl Vm {
    /// Instantiates the module and runs `_initialize`.
    pub(crate) fn start(module: &Module, state: VmState, process: &mut Box<Process>) -> Self {
        let mut vm = Self {
            store: Store::new(module.engine(), state),
            instance: None,
            exports: BTreeMap::new(),
            failed: false,
            total: Cost::default(),
        };
        vm.entered(process, "_start section", 0, |vm| {
            let instance = module.instance_pre().instantiate(&mut vm.store)?;
            vm.instance = Some(instance);
            let memory = instance.get_memory(&mut vm.store, "memory");
            vm.state_mut().memory = memory;
            Ok(())
        });
        vm.call(process, "_initialize", 0, &[]);
        vm
    }

    pub(crate) fn id(&self) -> VmId {
        self.state().id
    }

    pub(crate) fn state(&self) -> &VmState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut VmState {
        self.store.data_mut()
    }

    /// Size of the linear memory in bytes.
    pub(crate) fn memory_size(&self) -> u64 {
        self.state().memory.map_or(0, |memory| memory.data_size(&self.store) as u64)
    }

    /// What a memory that the module exports under this name holds.
    pub(crate) fn exported_memory(&mut self, name: &str) -> Option<&[u8]> {
        let memory = self.instance?.get_memory(&mut self.store, name)?;
        Some(memory.data(&self.store))
    }

    /// Runs an export for a context. `None` if the module has no such export, the VM has failed, or it traps now.
    /// Otherwise the result, 0 for exports without one.
    pub(crate) fn call(
        &mut self,
        process: &mut Box<Process>,
        export: &'static str,
        context: u32,
        args: &[u32],
    ) -> Option<u32> {
        let function = self.export(export)?;
        let (result, cost) = self.entered(process, export, context, |vm| {
            let ty = function.ty(&vm.store);
            let args: Vec<Val> = args.iter().map(|arg| Val::I32(arg.cast_signed())).collect();
            let mut results = vec![Val::I32(0); ty.results().len()];
            function.call(&mut vm.store, &args, &mut results)?;
            Ok(match results.first() {
                Some(Val::I32(result)) => result.cast_unsigned(),
                _ => 0,
            })
        });
        let payer = self.state().readable(context);
        if let Some(stream) = self.state_mut().stream_mut(payer) {
            stream.cost += &cost;
            stream.callbacks.push((export, cost));
        }
        result
    }

    /// Sets a stream's phase, runs the callback in it, and takes its maps away again unless it asked to wait.
    pub(crate) fn call_in(
        &mut self,
        process: &mut Box<Process>,
        phase: Phase,
        export: &'static str,
        context: u32,
        args: &[u32],
    ) -> Option<u32> {
        if let Some(stream) = self.state_mut().stream_mut(context) {
            stream.phase = phase;
        }
        let action = self.call(process, export, context, args);
        if let Some(stream) = self.state_mut().stream_mut(context) {
            stream.paused = action == Some(1) && phase < Phase::Log;
            if !stream.paused {
                stream.phase = Phase::Between;
            }
        }
        action
    }

    fn export(&mut self, name: &str) -> Option<Func> {
        let instance = self.instance.filter(|_| !self.failed)?;
        if let Some(known) = self.exports.get(name) {
            return *known;
        }
        let found = instance.get_func(&mut self.store, name);
        self.exports.insert(name.to_owned(), found);
        found
    }

    /// Lends the process's state to the VM for one entry, and takes down what the entry cost and whether it trapped.
    fn entered<T>(
        &mut self,
        process: &mut Box<Process>,
        export: &'static str,
        context: u32,
        run: impl FnOnce(&mut Self) -> wasmtime::Result<T>,
    ) -> (Option<T>, Cost) {
        std::mem::swap(&mut self.state_mut().process, process);
        self.state_mut().current = context;
        self.state_mut().effective = context;
        self.state_mut().cost = Cost::default();
        let metered = self.store.set_fuel(FUEL_LIMIT);
        let result = metered.and_then(|()| run(self));
        let left = self.store.get_fuel().unwrap_or(0);
        let mut cost = std::mem::take(&mut self.state_mut().cost);
        cost.fuel = FUEL_LIMIT - left;
        self.total += &cost;
        self.state_mut().current = 0;
        self.state_mut().effective = 0;
        std::mem::swap(&mut self.state_mut().process, process);
        let result = result.map_err(|error| {
            self.failed = true;
            process.traps.push(Trap {
                vm: self.id(),
                callback: export.to_owned(),
                context,
                reason: format!("{error:?}"),
            });
            process.cancel_of(self.id(), None, true);
        });
        (result.ok(), cost)
    }
}
