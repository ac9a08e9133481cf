//! What all VMs of a process share: data with compare-and-swap, and queues.

use std::collections::{BTreeMap, VecDeque};

use crate::{Status, VmId};

/// Shared data of one `vm_id`: process-wide, guarded by compare-and-swap numbers that never repeat.
#[derive(Clone, Debug, Default)]
pub struct SharedData {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
    bytes: usize,
}

impl SharedData {
    /// Value and CAS number of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<(&[u8], u32)> {
        self.entries.get(key.as_ref()).map(|(value, cas)| (&value[..], *cas))
    }

    /// Writes a value as another VM would. `cas` 0 writes always; so does the first write of a key, whatever its `cas`.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] if the entry changed since `cas` was read.
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: &[u8], cas: u32) -> Result<(), Status> {
        let key = key.as_ref();
        let stale = |entry: &(Vec<u8>, u32)| cas != 0 && cas != entry.1;
        if self.entries.get(key).is_some_and(stale) {
            return Err(Status::CasMismatch);
        }
        self.last_cas = self.last_cas.checked_add(1).unwrap_or(1); // 0 means "no CAS".
        let replaced = self.entries.insert(key.to_vec(), (value.to_vec(), self.last_cas));
        self.bytes += value.len();
        match replaced {
            Some((old, _)) => self.bytes -= old.len(),
            None => self.bytes += key.len(),
        }
        Ok(())
    }

    /// Every key, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(|key| &key[..])
    }

    /// Bytes of all keys and values.
    pub fn byte_size(&self) -> usize {
        self.bytes
    }
}

/// Shared queues by name. The last VM that registered a name is its only consumer, as in Envoy.
#[derive(Debug, Default)]
pub(crate) struct SharedQueues {
    queues: Vec<SharedQueue>,
}

#[derive(Debug)]
struct SharedQueue {
    name: Vec<u8>,
    consumer: (VmId, u32),
    items: VecDeque<Vec<u8>>,
}

impl SharedQueues {
    /// Id of the queue, which the context `consumer` will hear of from now on. Ids start at 1.
    pub(crate) fn register(&mut self, name: &[u8], consumer: (VmId, u32)) -> u32 {
        if let Some(id) = self.resolve(name) {
            self.queues[id as usize - 1].consumer = consumer;
            return id;
        }
        self.queues.push(SharedQueue { name: name.to_vec(), consumer, items: VecDeque::new() });
        self.queues.len() as u32
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        let index = self.queues.iter().position(|queue| queue.name == name)?;
        Some(index as u32 + 1)
    }

    /// Puts an item in and tells who is to be woken.
    pub(crate) fn enqueue(&mut self, id: u32, item: Vec<u8>) -> Result<(VmId, u32), Status> {
        let queue = self.queue(id)?;
        queue.items.push_back(item);
        Ok(queue.consumer)
    }

    pub(crate) fn dequeue(&mut self, id: u32) -> Result<Vec<u8>, Status> {
        self.queue(id)?.items.pop_front().ok_or(Status::Empty)
    }

    fn queue(&mut self, id: u32) -> Result<&mut SharedQueue, Status> {
        (id as usize).checked_sub(1).and_then(|index| self.queues.get_mut(index)).ok_or(Status::NotFound)
    }
}
