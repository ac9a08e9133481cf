//! The shipped plugins in Istio's own agent: it fetches the packaged image from a real registry, and a real Envoy gets the filter from it. A
//! stand-in for istiod sends what istiod makes of a plugin. Not among the usual tests: `cargo xtask test --only istio` builds the agent.

#[path = "../rollout/daemon.rs"]
mod daemon;
mod istiod;
#[allow(dead_code, reason = "what stories of the rollout need, which use all of it")]
#[path = "../rollout/kit.rs"]
mod kit;
mod manifests;
mod mistakes;
mod obeyed;
mod program;
mod proxy;
#[allow(dead_code, reason = "the registry of the rollout's stories, which use all of it")]
#[path = "../rollout/registry.rs"]
mod registry;
mod scene;
mod starts;
