//! What tests look at, and what they change while the process runs.

use crate::envoy::Envoy;
use crate::fault::Hostcall;
use crate::metrics::Metrics;
use crate::process::{LogLevel, LogLine, VmId};
use crate::property::{Property, PropertyPath};
use crate::shared::SharedData;
use crate::vm::Vm;
use crate::{Cost, Status, Trap};

impl Envoy {
    /// Every log line so far, the canaries' included.
    pub fn logs(&self) -> &[LogLine] {
        &self.process.logs
    }

    /// Messages of this level and above that workers and the main thread logged; the canaries' are left out.
    pub fn messages_from(&self, level: LogLevel) -> Vec<&str> {
        let lines = self.process.logs.iter().filter(|line| level <= line.level && line.vm != VmId::Canary);
        lines.map(|line| &line.message[..]).collect()
    }

    /// Every trap so far. A VM that trapped is never entered again.
    pub fn traps(&self) -> &[Trap] {
        &self.process.traps
    }

    /// Metrics of the process.
    pub fn metrics(&self) -> &Metrics {
        &self.process.metrics
    }

    /// A counter's value; 0 if no module defined it.
    pub fn counter(&self, name: &str) -> u64 {
        self.process.metrics.counter(name)
    }

    /// A gauge's value; 0 if no module defined it.
    pub fn gauge(&self, name: &str) -> i64 {
        self.process.metrics.gauge(name)
    }

    /// Shared data of the process.
    pub fn shared_data(&self) -> &SharedData {
        &self.process.shared
    }

    /// Shared data, to write as another VM would.
    pub fn shared_data_mut(&mut self) -> &mut SharedData {
        &mut self.process.shared
    }

    /// The VMs: the main thread's first, then the workers'.
    pub fn vms(&self) -> Vec<VmId> {
        self.vms.iter().map(Vm::id).collect()
    }

    /// Size of a VM's linear memory in bytes.
    pub fn memory_size(&self, vm: VmId) -> u64 {
        self.vms[self.vm_index(vm)].memory_size()
    }

    /// What a memory holds that the module exports under this name; `None` without one. For modules that an instrumenting
    /// tool has given a second memory.
    pub fn exported_memory(&mut self, vm: VmId, name: &str) -> Option<&[u8]> {
        let index = self.vm_index(vm);
        self.vms[index].exported_memory(name)
    }

    /// What all callbacks of a VM have cost so far.
    pub fn cost_of(&self, vm: VmId) -> &Cost {
        &self.vms[self.vm_index(vm)].total
    }

    /// Root contexts of a VM with their listeners' names, oldest first.
    pub fn roots(&self, vm: VmId) -> Vec<(u32, &str)> {
        let roots = self.vms[self.vm_index(vm)].state().roots();
        roots.map(|(id, root)| (id, &self.listeners[root.listener].name[..])).collect()
    }

    /// Changes a property that every context can read.
    pub fn set_property(&mut self, path: impl Into<PropertyPath>, value: impl Into<Property>) {
        self.process.properties.set(path.into(), value.into());
    }

    /// Makes hostcalls fail from now on; the rule names the status or lets the call pass.
    pub fn fault(&mut self, rule: impl FnMut(&mut Hostcall<'_>) -> Option<Status> + Send + 'static) {
        self.process.faults.add(rule);
    }

    /// Makes every call of one import answer `status` from now on.
    pub fn fail_hostcall(&mut self, name: &'static str, status: Status) {
        self.fault(move |call| (call.name == name).then_some(status));
    }

    /// Puts a foreign function in the place of Envoy's, or beside them.
    pub fn foreign_function(
        &mut self,
        name: &str,
        function: impl FnMut(&[u8]) -> Result<Vec<u8>, Status> + Send + 'static,
    ) {
        self.process.foreign.insert(name.to_owned(), Box::new(function));
    }

    /// How many expressions all roots of a VM have now.
    ///
    /// # Panics
    /// If there is no such VM.
    pub fn expressions(&self, vm: VmId) -> usize {
        let roots = self.vms[self.vm_index(vm)].state().roots();
        roots.map(|(_, root)| root.expressions.len()).sum()
    }

    /// Lets all hostcalls work again.
    pub fn clear_faults(&mut self) {
        self.process.faults.clear();
    }
}
