//! The exporter through its public interface: what goes over the wire, what every answer means, what happens over
//! time, and that no span is ever lost without a reason.

mod answers;
mod kit;
mod law;
mod over_time;
mod reconfiguration;
mod room;
mod wire;
