//! What a platform team does with Tracelift: fetch the image, apply the manifests, roll it out, change it, take it back,
//! and watch it. Driven with the real registry, Envoys, kustomize and Prometheus.

mod artefact;
mod canary;
mod change;
mod chart;
mod counted;
mod daemon;
mod dashboards;
mod earlier;
mod fleet;
mod kit;
mod ledger;
mod manifests;
mod registry;
mod schemas;
