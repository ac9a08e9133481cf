//! The manifests that users apply, obeyed by Istio's own discovery server and agents: these fetch the packaged image from a real registry,
//! and real Envoys get the filter from them. Not among the usual tests: it needs the program that `cargo xtask test --only istio` builds.

#[path = "../rollout/daemon.rs"]
mod daemon;
mod forms;
mod istiod;
#[allow(dead_code, reason = "what stories of the rollout need, which use all of it")]
#[path = "../rollout/kit.rs"]
mod kit;
mod manifests;
mod mesh;
mod mistakes;
mod obeyed;
mod phases;
mod pods;
mod program;
mod proxy;
#[allow(dead_code, reason = "the registry of the rollout's stories, which use all of it")]
#[path = "../rollout/registry.rs"]
mod registry;
mod scene;
mod starts;
mod waypoint;
