//! A whole mesh of simulated Envoys, with one virtual clock and one seed.
//!
//! Every sidecar runs the real module, in a VM for each worker and one for the main thread; requests overlap as they do in
//! a mesh, because each event (a request that arrives, an answer's head, its end, a timeout, a tick) is taken in the order
//! of virtual time. The simulation plays clients, applications, the network and the collector, so it knows the truth about
//! every failure, and holds what the filters did against it:
//!
//! - **Ancestors.** Of a failure that was kept, every hop above is kept, up to the root, as far as the upgrade can travel:
//!   not from an answer that nobody waited for any more (timeout, client gone, work after the answer) or that Envoy's own
//!   retry replaced, not through an application without the filter in front of it, nor into another trace.
//! - **Triggers.** A failure is kept, or its Envoy has seen more failures in that second than its budget; what was kept
//!   below is never shed above, and the other way round; the answer says which.
//! - **Siblings**, with recall. In an Envoy that knows a trace as kept, every hop of it that ended within the hold time is
//!   kept; and each instance that such a hop had called knows it in turn. What is missing was evicted, lost with all its
//!   repetitions, or in a VM that trapped, and the first two are in the counters.
//! - **Nothing else.** A hop is kept by a head decision that ratio and parent explain, or by one of these ways.
//! - **One tree.** Applications copy headers, have an SDK whose span-ids nobody exports, or pass nothing on. A span that names such an
//!   id is counted by its Envoy; one that was hung below a request of its pod instead says so, and that request was kept.
//! - **Books.** Every hop that the access log calls kept arrives at the collector below its parent, or a counter tells why
//!   not, or its VM trapped. The conservation law holds in every Envoy and in every VM whenever a counter has changed; no VM
//!   offers a span that none of its streams kept, or counts one as exported that the collector has not taken from it.
//! - **Lies.** A share of applications and clients may lie: they write marks that no filter wrote, send trace-ids and
//!   randomness of their choice, ask for what is not theirs, and belie what they are asked. A lie is believed for the trace
//!   of its own call at most, and as the bounds allow: every hop that it keeps or sheds is counted as such, no other is kept
//!   or shed. No forged or stolen recall is followed, clients that choose are sampled as often as all others, and the mesh's
//!   secret is in nothing that leaves a filter.
//! - **Bounds.** Budgets hold in every second, and so does what others may have kept, for whole Envoys; the memory of each VM
//!   and the shared data stay within their bounds after whatever an Envoy did; nothing of an upgrade leaves the mesh; the
//!   module never traps.
//!
//! ```no_run
//! use tracelift_host::mesh::{Mesh, Options};
//! use tracelift_host::testing;
//!
//! let mesh = Mesh::start(Options { seed: 7, pods: 100, ..Options::default() }, testing::module());
//! let report = mesh.unwrap_or_else(|refused| panic!("{refused}")).run(|_| ());
//! assert!(report.violations.is_empty(), "{}", report.violations);
//! ```

mod applications;
mod books;
mod bounds;
mod call;
mod causes;
mod collector;
mod context;
mod digest;
mod finish;
mod forgeries;
mod hop;
mod judge;
mod lies;
mod marks;
mod options;
mod parents;
mod queue;
mod recall;
mod record;
mod report;
mod script;
mod serving;
mod siblings;
mod simulation;
mod topology;
mod trouble;
mod violation;
mod watch;

pub use causes::Cause;
pub use digest::Digest;
pub use lies::Lies;
pub use options::{Options, Sabotage, Trouble};
pub use recall::Messages;
pub use report::{Figures, Parents, Report, Share};
pub use simulation::Mesh;
pub use violation::{Violation, Violations};
