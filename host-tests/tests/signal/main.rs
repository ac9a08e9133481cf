//! How an upgrade travels: the release module in pods of several workers, each hop an Envoy listener of its own.

mod answer;
mod edge;
mod parents;
mod pod;
mod pods;
