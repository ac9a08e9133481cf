//! A worker's process around its requests: configurations taken up, spans queued and sent, recalls held and asked for, ticks,
//! and the end.

mod configuration;
mod metering;
mod publish;
mod recall;
mod root;
mod worker;

pub use configuration::Setup;
pub use worker::Worker;
