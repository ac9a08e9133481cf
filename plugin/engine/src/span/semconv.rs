//! Attribute keys: OpenTelemetry semantic conventions 1.44, AWS X-Ray, and our own under `tracelift.`.

/// The resource's keys.
pub mod resource {
    /// The logical service.
    pub const SERVICE_NAME: &str = "service.name";
    /// Groups services; the Kubernetes namespace.
    pub const SERVICE_NAMESPACE: &str = "service.namespace";
    /// The service's version.
    pub const SERVICE_VERSION: &str = "service.version";
    /// Tells instances of one service apart.
    pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
    /// Who made the spans.
    pub const TELEMETRY_SDK_NAME: &str = "telemetry.sdk.name";
    /// In which language.
    pub const TELEMETRY_SDK_LANGUAGE: &str = "telemetry.sdk.language";
    /// In which version.
    pub const TELEMETRY_SDK_VERSION: &str = "telemetry.sdk.version";
    /// The pod.
    pub const K8S_POD_NAME: &str = "k8s.pod.name";
    /// The pod's namespace.
    pub const K8S_NAMESPACE_NAME: &str = "k8s.namespace.name";
    /// The machine that the pod runs on.
    pub const K8S_NODE_NAME: &str = "k8s.node.name";
    /// The cluster, as Istio calls it.
    pub const K8S_CLUSTER_NAME: &str = "k8s.cluster.name";
    /// Whose cloud, such as `aws`.
    pub const CLOUD_PROVIDER: &str = "cloud.provider";
    /// Region of the cloud.
    pub const CLOUD_REGION: &str = "cloud.region";
    /// Zone within the region.
    pub const CLOUD_AVAILABILITY_ZONE: &str = "cloud.availability_zone";
    /// Istio's name of the workload (not a convention of OpenTelemetry).
    pub const ISTIO_WORKLOAD_NAME: &str = "istio.workload.name";
    /// Istio's mesh (not a convention of OpenTelemetry; Istio's own spans say it alike).
    pub const ISTIO_MESH_ID: &str = "istio.mesh_id";
}

/// HTTP method, one of the known ones or `_OTHER`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// HTTP method as sent, when it is not a known one.
pub const HTTP_REQUEST_METHOD_ORIGINAL: &str = "http.request.method_original";
/// HTTP status as a number.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// Path template of the route, on SERVER spans.
pub const HTTP_ROUTE: &str = "http.route";
/// Path template of the route, on CLIENT spans.
pub const URL_TEMPLATE: &str = "url.template";
/// Before the name of a request header.
pub const HTTP_REQUEST_HEADER: &str = "http.request.header.";
/// Before the name of a response header.
pub const HTTP_RESPONSE_HEADER: &str = "http.response.header.";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";
/// Path without the query.
pub const URL_PATH: &str = "url.path";
/// Query without the `?`.
pub const URL_QUERY: &str = "url.query";
/// The whole URL.
pub const URL_FULL: &str = "url.full";
/// Whom the client meant to reach.
pub const SERVER_ADDRESS: &str = "server.address";
/// The port of that.
pub const SERVER_PORT: &str = "server.port";
/// Who asked: a bare IP address.
pub const CLIENT_ADDRESS: &str = "client.address";
/// The other end of the connection.
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
/// The port of that.
pub const NETWORK_PEER_PORT: &str = "network.peer.port";
/// HTTP version: `1.1`, `2`.
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// `User-Agent`.
pub const USER_AGENT_ORIGINAL: &str = "user_agent.original";
/// Class of the error: the code as text, or a word when there is no code.
pub const ERROR_TYPE: &str = "error.type";
/// The upstream service; X-Ray names the edge by it.
pub const PEER_SERVICE: &str = "peer.service";
/// `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// Service and method, or `_OTHER`.
pub const RPC_METHOD: &str = "rpc.method";
/// Service and method as sent, when nothing shows that they exist.
pub const RPC_METHOD_ORIGINAL: &str = "rpc.method_original";
/// gRPC status by name.
pub const RPC_STATUS_CODE: &str = "rpc.status_code";
/// Names of the attributes that X-Ray shall make searchable.
pub const AWS_XRAY_ANNOTATIONS: &str = "aws.xray.annotations";
/// `LOCAL_ROOT` on the first span of its service in a trace, so that X-Ray makes a segment of the service.
pub const AWS_SPAN_KIND: &str = "aws.span.kind";
/// The name of that segment.
pub const AWS_LOCAL_SERVICE: &str = "aws.local.service";
/// Name of the X-Ray rule by which the trace was decided, as X-Ray's own SDKs say it.
pub const AWS_XRAY_SAMPLING_RULE: &str = "aws.xray.sampling_rule";
/// 1 on upgraded spans, so that a later probabilistic stage of a collector lets them pass.
pub const SAMPLING_PRIORITY: &str = "sampling.priority";
/// Reason of the head decision.
pub const SAMPLING_REASON: &str = "tracelift.sampling.reason";
/// The sampling rule that matched.
pub const SAMPLING_RULE: &str = "tracelift.sampling.rule";
/// The id of the key whose token had the request recorded.
pub const FORCE_KEY: &str = "tracelift.force.key";
/// How many requests this span stands for.
pub const ADJUSTED_COUNT: &str = "tracelift.sampling.adjusted_count";
/// What upgraded the trace.
pub const UPGRADE_TRIGGER: &str = "tracelift.upgrade.trigger";
/// The answer took longer than is usual here, and no call below had been slow itself.
pub const SLOW_CULPRIT: &str = "tracelift.slow.culprit";
/// The usual duration: the learned quantile, in milliseconds.
pub const SLOW_BASELINE: &str = "tracelift.slow.baseline_ms";
/// How much longer the answer took, in milliseconds.
pub const SLOW_EXCESS: &str = "tracelift.slow.excess_ms";
/// Calls behind the span: made, answered by a filter that keeps its part, gone to where no filter is, and unknown.
pub const CALLS: [&str; 4] =
    ["tracelift.calls.made", "tracelift.calls.answered", "tracelift.calls.outside", "tracelift.calls.lost"];
/// The parent-id that came with the call, of a span that its application did not record; the span hangs below the inbound span.
pub const UNRECORDED_PARENT: &str = "tracelift.parent.unrecorded";
/// Envoy's response flags, short names joined by commas.
pub const RESPONSE_FLAGS: &str = "tracelift.response_flags";
/// Envoy's response code details, when the upstream did not answer.
pub const RESPONSE_CODE_DETAILS: &str = "tracelift.response_code_details";
/// Envoy's cluster.
pub const UPSTREAM_CLUSTER: &str = "tracelift.upstream_cluster";
/// Envoy's route, by its configured name.
pub const ROUTE_NAME: &str = "tracelift.route_name";
/// Stands for a value outside the known ones.
pub const OTHER: &str = "_OTHER";
