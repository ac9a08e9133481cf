//! The files that users copy, as they are shipped.

/// A collector that writes segments to X-Ray's own API.
pub const COLLECTOR: &str = include_str!("../collector/config.yaml");
/// A collector that hands spans on to X-Ray's OTLP endpoint, signed.
pub const COLLECTOR_OTLP: &str = include_str!("../collector/config-otlp.yaml");
/// What the collector is built of.
pub const BUILDER: &str = include_str!("../collector/builder.yaml");
/// The same with everything that those modules need: the versions of the collector that is built and tested.
pub const LOCK: &str = include_str!("../collector/lock/go.mod");
/// The collector in Kubernetes.
pub const KUBERNETES: &str = include_str!("../kubernetes/collector.yaml");
/// An application's pod in Kubernetes, with its Envoy.
pub const APPLICATION: &str = include_str!("../kubernetes/application.yaml");
/// Envoy, an application and the collector with Docker Compose.
pub const COMPOSE: &str = include_str!("../compose/compose.yaml");
/// What the collector's role may do.
pub const POLICY: &str = include_str!("../iam/policy.json");
/// Who may take that role, for IRSA.
pub const TRUST_IRSA: &str = include_str!("../iam/trust-irsa.json");
/// Who may take that role, for EKS Pod Identity.
pub const TRUST_POD_IDENTITY: &str = include_str!("../iam/trust-pod-identity.json");
