//! The release module over the life of a process: exports, backpressure, configuration, budget, shutdown, telemetry.

mod adaptive;
mod answers;
mod backpressure;
mod budget;
mod configuration;
mod cost;
mod coverage;
mod environment;
mod estimates;
mod export;
#[path = "../../examples/cost/figures.rs"]
mod figures;
mod force;
mod kit;
#[path = "../../examples/cost/measure.rs"]
mod measure;
mod measured;
mod outage;
mod reconfiguration;
mod shutdown;
mod slow;
mod telemetry;
mod ticks;
mod unbiased;
