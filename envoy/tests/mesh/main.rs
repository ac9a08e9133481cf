//! The manifests that users apply, obeyed by a real Envoy Gateway: it fetches the packaged image from a real registry, and a real Envoy
//! gets the filter from it by xDS. Not among the usual tests: it needs the controller that `cargo xtask test --only mesh` builds.

#[path = "../rollout/daemon.rs"]
mod daemon;
mod dynamic;
#[allow(dead_code, reason = "what stories of the rollout need, which use all of it")]
#[path = "../rollout/kit.rs"]
mod kit;
mod manifests;
mod mistakes;
mod obeyed;
#[allow(dead_code, reason = "the registry of the rollout's stories, which use all of it")]
#[path = "../rollout/registry.rs"]
mod registry;
mod scene;
mod standalone;
