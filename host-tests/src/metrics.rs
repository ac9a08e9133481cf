//! Metrics of the process, by name, over all its VMs; and what each VM put into them.

use std::collections::BTreeMap;

use crate::{Status, VmId};

/// Proxy-Wasm `proxy_metric_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Keeps each recorded value.
    Histogram,
}

/// All metrics that modules of this process defined. Envoy shows them as `wasmcustom.<name>`.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    defined: Vec<Metric>,
    by_name: BTreeMap<(MetricKind, String), usize>,
    changes: u64,
}

#[derive(Clone, Debug)]
struct Metric {
    kind: MetricKind,
    value: u64,
    /// What each VM added, VMs that are gone included.
    shares: BTreeMap<VmId, u64>,
    samples: Vec<u64>,
}

impl Metric {
    fn amount(&self, vm: Option<VmId>) -> u64 {
        vm.map_or(self.value, |vm| self.shares.get(&vm).copied().unwrap_or(0))
    }
}

impl Metrics {
    /// The id for a name: the same one in every VM, since the number behind it is the process's.
    pub(crate) fn define(&mut self, kind: u32, name: String) -> Result<u32, Status> {
        let kind = match kind {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            2 => MetricKind::Histogram,
            _ => return Err(Status::BadArgument),
        };
        let defined = &mut self.defined;
        let index = self.by_name.entry((kind, name)).or_insert_with(|| {
            defined.push(Metric { kind, value: 0, shares: BTreeMap::new(), samples: Vec::new() });
            defined.len() - 1
        });
        Ok(*index as u32 + 1)
    }

    /// A counter takes positive offsets only; a gauge any; a histogram none.
    pub(crate) fn increment(&mut self, vm: VmId, id: u32, offset: i64) -> Result<(), Status> {
        let metric = self.metric(id)?;
        match metric.kind {
            MetricKind::Counter if offset <= 0 => return Err(Status::BadArgument),
            MetricKind::Counter | MetricKind::Gauge => {
                metric.value = metric.value.wrapping_add_signed(offset);
                let share = metric.shares.entry(vm).or_default();
                *share = share.wrapping_add_signed(offset);
            }
            MetricKind::Histogram => return Err(Status::NotFound),
        }
        self.changes += 1;
        Ok(())
    }

    /// A gauge that is set belongs to nobody alone: it changes no VM's share.
    pub(crate) fn record(&mut self, vm: VmId, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.metric(id)?;
        match metric.kind {
            MetricKind::Counter => {
                metric.value = metric.value.wrapping_add(value);
                let share = metric.shares.entry(vm).or_default();
                *share = share.wrapping_add(value);
            }
            MetricKind::Gauge => metric.value = value,
            MetricKind::Histogram => metric.samples.push(value),
        }
        self.changes += 1;
        Ok(())
    }

    pub(crate) fn value(&mut self, id: u32) -> Result<u64, Status> {
        let metric = self.metric(id)?;
        match metric.kind {
            MetricKind::Histogram => Err(Status::NotFound),
            MetricKind::Counter | MetricKind::Gauge => Ok(metric.value),
        }
    }

    fn metric(&mut self, id: u32) -> Result<&mut Metric, Status> {
        (id as usize).checked_sub(1).and_then(|index| self.defined.get_mut(index)).ok_or(Status::NotFound)
    }

    /// A counter's value; 0 if no module defined it.
    pub fn counter(&self, name: &str) -> u64 {
        self.amount(None, MetricKind::Counter, name)
    }

    /// What one VM added to a counter.
    pub fn counter_of(&self, vm: VmId, name: &str) -> u64 {
        self.amount(Some(vm), MetricKind::Counter, name)
    }

    /// A gauge's value, negative if more was taken off than put on; 0 if no module defined it.
    pub fn gauge(&self, name: &str) -> i64 {
        self.amount(None, MetricKind::Gauge, name).cast_signed()
    }

    /// Every value recorded into a histogram, oldest first.
    pub fn histogram(&self, name: &str) -> &[u64] {
        self.find(MetricKind::Histogram, name).map_or(&[], |m| &m.samples)
    }

    /// Counters whose names start so, with their values, sorted by name.
    pub fn counters_under(&self, prefix: &str) -> Vec<(&str, u64)> {
        self.amounts_under(None, prefix)
    }

    /// The same of one VM, or of all.
    pub(crate) fn amounts_under(&self, vm: Option<VmId>, prefix: &str) -> Vec<(&str, u64)> {
        self.by_name
            .iter()
            .filter(|((kind, name), _)| *kind == MetricKind::Counter && name.starts_with(prefix))
            .map(|((_, name), index)| (&name[..], self.defined[*index].amount(vm)))
            .collect()
    }

    /// What one VM added to a counter or a gauge, or all of it.
    pub(crate) fn amount(&self, vm: Option<VmId>, kind: MetricKind, name: &str) -> u64 {
        self.find(kind, name).map_or(0, |metric| metric.amount(vm))
    }

    /// How often anything changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Kind and name of everything defined, sorted.
    pub fn names(&self) -> impl Iterator<Item = (MetricKind, &str)> {
        self.by_name.keys().map(|(kind, name)| (*kind, &name[..]))
    }

    fn find(&self, kind: MetricKind, name: &str) -> Option<&Metric> {
        let index = self.by_name.get(&(kind, name.to_owned()))?;
        self.defined.get(*index)
    }
}
