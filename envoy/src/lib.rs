//! Envoy, its shipped configurations, and what the end-to-end tests need around it.
