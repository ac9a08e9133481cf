//! Workers of a host whose threads share one exporter: each records and holds by itself, and the exporter is that of one more
//! worker, on the thread that may send. It has the same roots, by the same numbers, and no streams.

use super::metering::{Meter, Occasion};
use super::parents::Pod;
use super::worker::Worker;
use crate::door::Host;

impl Worker {
    /// The tick of a worker that leaves its export to another: what it holds expires or is released, it asks and is answered, and
    /// its queue moves on. The host must let it make calls.
    pub fn tick_apart(&mut self, host: &impl Host, root: u32, exporting: &mut Self) {
        let now = host.now();
        self.learn(host, root, now);
        if let Some(root) = self.roots.iter_mut().find(|candidate| candidate.id() == root) {
            root.look(now);
        }
        self.tick_root(host, (root, now), Meter::Share);
        exporting.gather(root, self);
        self.metrics.flush(host);
    }

    /// Takes over what waits for export under a root of a worker of another thread.
    pub fn gather(&mut self, root: u32, from: &mut Self) {
        let theirs = from.roots.iter_mut().find(|candidate| candidate.id() == root);
        let ours = self.roots.iter_mut().find(|candidate| candidate.id() == root);
        let Some(theirs) = theirs else { return };
        if let Some(ours) = ours {
            ours.gather(theirs);
            ours.publish(&mut self.metrics);
        }
        theirs.publish(&mut from.metrics);
    }

    /// Sends what is due under a root.
    pub fn send(&mut self, host: &impl Host, root: u32) {
        let Self { roots, entropy, metrics, .. } = self;
        if let Some(root) = roots.iter_mut().find(|candidate| candidate.id() == root) {
            root.send(host, host.now(), false, entropy);
            root.publish(metrics);
        }
    }

    /// The process is about to end: a worker of another thread leaves all that it has recorded and counted to this one.
    pub fn gather_all(&mut self, host: &impl Host, root: u32, from: &mut Self) {
        let Self { roots, metrics, .. } = from;
        if let Some(theirs) = roots.iter_mut().find(|candidate| candidate.id() == root) {
            theirs.flush_metering(host, Occasion::Farewell, metrics);
        }
        self.gather(root, from);
    }

    /// Sends all that waits under a root, and all that was counted.
    pub fn send_all(&mut self, host: &impl Host, root: u32) {
        let Self { roots, entropy, metrics, .. } = self;
        if let Some(root) = roots.iter_mut().find(|candidate| candidate.id() == root) {
            root.send(host, host.now(), true, entropy);
            root.flush_metering(host, Occasion::Farewell, metrics);
            root.publish(metrics);
        }
    }

    /// Forgets a stream of which nothing more can be known.
    pub fn forget_stream(&mut self, stream: u32) {
        self.streams.remove(stream);
    }

    /// Whether there is an application between the listeners of this worker, so that streams which run may have to be shown on a tick:
    /// [`Host::number_of`].
    pub fn has_application(&self) -> bool {
        Pod::of(&self.roots).has_application()
    }

    /// Whether this worker has taken up a configuration under that root.
    pub fn has_root(&self, root: u32) -> bool {
        self.roots.iter().any(|candidate| candidate.id() == root)
    }
}
