//! The rate that steers itself, in a simulation: workers that share what they counted on ticks of their own, over traffic of every kind.

mod boost;
mod budget;
mod chance;
mod configuration;
mod routes;
mod traffic;
mod world;
