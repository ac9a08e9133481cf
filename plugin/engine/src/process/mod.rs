//! A worker's process around its requests: configurations taken up, spans queued and sent, recalls held and asked for, calls that wait for their place, ticks,
//! and the end.

mod apart;
mod audit;
mod configuration;
mod metering;
mod parents;
mod publish;
mod recall;
mod root;
mod steer;
mod streams;
mod upgrades;
mod worker;

pub use configuration::Setup;
pub use worker::{ContextHasher, Worker};
