//! AWS X-Ray's central sampling without a host: rules, decisions, and the leader's talk with the service.

mod decisions;
mod kit;
mod matching;
mod polling;
mod trouble;
