//! Applications with a real SDK behind real Envoys: the contract of `docs/applications.md`, in both directions, and what the filter
//! does for applications that do not follow it.
//!
//! A client -> `gateway` -> `reviews`, whose application is one of `examples/python/services` under `opentelemetry-instrument` ->
//! `ratings`, in the mesh, and a translator outside of it. Ratio 0, two workers in each Envoy. Proxies and application export to a
//! collector each. A story ends when the trace hangs together: each span once, each parent exported.

mod absent;
mod application;
mod contract;
mod ending;
mod late;
mod list;
#[path = "../end_to_end/mesh.rs"]
#[allow(dead_code, reason = "its pod, in front of an upstream that is no application, is of the other stories")]
mod mesh;
mod peer;
mod plain;
mod scene;
mod storm;
mod trace;
