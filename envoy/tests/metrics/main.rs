//! Request metrics beside those that a real OpenTelemetry Collector makes of the same requests' spans, beside Envoy's own counters, and in
//! a real Prometheus 3. Run when what they depend on has changed: `cargo xtask test --only metrics`.

mod counting;
mod exemplars;
#[path = "../end_to_end/mesh.rs"]
#[allow(dead_code, reason = "the stories of the other suite use the rest")]
mod mesh;
mod panels;
mod points;
mod program;
mod prometheus;
mod reporters;
mod sampled;
mod stored;
mod temporality;
mod traffic;
