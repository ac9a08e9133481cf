//! What a user writes. Every key has a default, so that `{}` works; a misspelt key is refused. The comments here are what
//! users read in the JSON Schema and in the reference.

use serde::Deserialize;

use super::bounded::{Entries, GrpcCode, HeaderName, HttpStatus, Rate, Ratio, Secret, Text, Whole};
#[cfg(feature = "schema")]
use super::schema::{METHOD, header_names, resource_names};
#[cfg(feature = "schema")]
use crate::span::bounds;
use crate::upgrade::GrpcStatus;

/// Rules that a configuration has at most. Each costs comparisons on every request.
pub const MAX_RULES: usize = 256;

/// Configuration of the Tracelift filter. All keys may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// `service.name` of the exported spans. Null or empty: from the environment, then from Envoy's node, then
    /// `unknown_service:envoy`.
    pub service_name: Option<Text<0, 255>>,
    /// Further attributes of the resource, name to text. At most 64.
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 64, "propertyNames" = resource_names())))]
    pub resource: Entries<Text<0, 1024>>,
    /// Which side of a call the spans describe.
    pub span_kind: SpanKind,
    /// Header formats of the trace context. The first that holds a valid one is believed, all are written.
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1, "uniqueItems" = true)))]
    pub propagators: Vec<Propagator>,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Which dropped traces are recorded after all, because something failed.
    pub upgrade: Upgrade,
    /// The outer listener of the mesh: no incoming `sampled` flag or upgrade signal is believed, and no signal leaves.
    pub edge: bool,
    /// Where spans go.
    pub export: Export,
    /// What spans may say beyond the default, which is private.
    pub attributes: Attributes,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            service_name: None,
            resource: Entries::default(),
            span_kind: SpanKind::default(),
            propagators: vec![Propagator::TraceContext],
            sampling: Sampling::default(),
            upgrade: Upgrade::default(),
            edge: false,
            export: Export::default(),
            attributes: Attributes::default(),
        }
    }
}

/// Which side of a call a span describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// By the direction of the listener: inbound SERVER, outbound CLIENT, neither SERVER.
    #[default]
    Auto,
    /// SERVER.
    Server,
    /// CLIENT.
    Client,
    /// SERVER with a CLIENT child whose id goes upstream: for a gateway.
    Both,
}

/// A header format of the trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
pub enum Propagator {
    /// W3C `traceparent` and `tracestate`.
    TraceContext,
    /// AWS `X-Amzn-Trace-Id`.
    XRay,
    /// B3 in one header.
    B3,
    /// B3 in several headers.
    B3Multi,
}

/// Which traces are recorded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Whose decision counts.
    pub mode: Mode,
    /// How a ratio becomes a decision. Only `consistent` agrees with every other hop.
    pub algorithm: Algorithm,
    /// The collector's `hash_seed`, for the algorithm of that name only.
    pub hash_seed: Whole<0, { u32::MAX as u64 }>,
    /// Share of the traces that is recorded where no rule says otherwise: 0 (never), or 2^-56 to 1.
    pub ratio: Ratio,
    /// Settings for some requests; the first that matches counts. At most 256.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_RULES)))]
    pub rules: Vec<Rule>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            algorithm: Algorithm::default(),
            hash_seed: Whole::new(0),
            ratio: Ratio(0.05),
            rules: Vec::new(),
        }
    }
}

/// Whose decision counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The caller's decision stands; only traces that begin here are decided here.
    #[default]
    ParentBased,
    /// Every trace is decided here.
    Independent,
}

/// How a ratio becomes a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// OpenTelemetry's consistent probability sampling (`th` and `rv`).
    #[default]
    Consistent,
    /// `TraceIdRatioBased` as the Go and Rust SDKs compute it.
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    /// The trace id modulo 100, in whole percents.
    Modulo,
    /// The collector's `probabilistic_sampler` in its `hash_seed` mode.
    HashSeed,
}

/// Settings for some requests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Appears on spans; no two rules have the same. Null: `rule[<index>]`, counted from 0.
    pub name: Option<Text<1, 128>>,
    /// Which requests; all that is set must match, nothing set matches every request.
    pub r#match: Match,
    /// Share of these traces that is recorded: 0 (never), or 2^-56 to 1. Null: `sampling.ratio`.
    pub ratio: Option<Ratio>,
    /// Whether a failure of such a request upgrades its trace.
    pub upgrade: bool,
    /// From how many milliseconds on such a request is slow enough for an upgrade. Null: `upgrade.latency_ms`.
    pub latency_ms: Option<Whole<1, 86_400_000>>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { name: None, r#match: Match::default(), ratio: None, upgrade: true, latency_ms: None }
    }
}

/// Which requests a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// The path without its query.
    pub path: Option<StringMatch>,
    /// Any of these methods, in the case that requests have. Empty: every method.
    #[cfg_attr(feature = "schema", schemars(length(max = 32), inner(regex(pattern = METHOD))))]
    pub method: Vec<Text<1, 32>>,
    /// The authority without its port; the case of letters does not matter.
    pub host: Option<StringMatch>,
    /// Headers by name. One that came in several lines is matched as one value, joined by commas. At most 16.
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 16, "propertyNames" = header_names())))]
    pub headers: Entries<StringMatch>,
}

/// A test of a string: exactly one of these keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StringMatch {
    /// The whole value.
    Exact(Text<0, 1024>),
    /// Its beginning.
    Prefix(Text<1, 1024>),
    /// Its end.
    Suffix(Text<1, 1024>),
    /// Anywhere in it.
    Contains(Text<1, 1024>),
    /// A regular expression for the whole value (syntax of Rust's regex crate, ASCII classes).
    Regex(Text<1, 1024>),
    /// Whether there is such a value at all.
    Present(bool),
}

/// Which dropped traces are recorded after all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Upgrade {
    /// HTTP statuses that upgrade: classes ("5xx") and codes (503 or "503").
    #[cfg_attr(feature = "schema", schemars(length(max = 500)))]
    pub http_status: Vec<HttpStatus>,
    /// gRPC statuses that upgrade, by name or by number.
    #[cfg_attr(feature = "schema", schemars(length(max = 17)))]
    pub grpc_status: Vec<GrpcCode>,
    /// Upgrade what Envoy gave up on: resets, timeouts, failed connections, everything with a response flag.
    pub response_flags: bool,
    /// Upgrade requests that take this many milliseconds or more. Null: latency does not upgrade.
    pub latency_ms: Option<Whole<1, 86_400_000>>,
    /// How many traces a second are upgraded in one Envoy. 0 switches upgrades off.
    pub traces_per_second: Rate,
    /// Telling callers of an upgrade, and believing upstreams that tell of one.
    pub signal: Signal,
    /// Asking the instances already called for the spans that they dropped.
    pub recall: Recall,
}

impl Default for Upgrade {
    fn default() -> Self {
        let failures = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
        Self {
            http_status: vec![HttpStatus::class(5)],
            grpc_status: failures.into_iter().filter_map(GrpcStatus::from_name).map(GrpcCode).collect(),
            response_flags: true,
            latency_ms: None,
            traces_per_second: Rate(100.0),
            signal: Signal::default(),
            recall: Recall::default(),
        }
    }
}

/// The upgrade signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Signal {
    /// Tell the caller of an upgrade.
    pub emit: bool,
    /// Believe an upstream that tells of one.
    pub accept: bool,
}

impl Default for Signal {
    fn default() -> Self {
        Self { emit: true, accept: true }
    }
}

/// Asking the instances already called for the spans that they dropped.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Recall {
    /// Recall at all; needs a token.
    pub enabled: bool,
    /// The ORIGINAL_DST cluster that reads `x-envoy-original-dst-host`.
    pub cluster: Text<1, 255>,
    /// The secret that the mesh shares: up to 256 visible ASCII characters, better 16 or more.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]*$", "maxLength" = 256)))]
    pub token: Secret,
    /// How many milliseconds a dropped span is remembered.
    pub hold_ms: Whole<1, 600_000>,
    /// Bytes of dropped spans that a worker remembers.
    pub max_bytes: Whole<0, 67_108_864>,
}

impl Default for Recall {
    fn default() -> Self {
        Self {
            enabled: false,
            cluster: Text("tracelift_recall".to_owned()),
            token: Secret::default(),
            hold_ms: Whole::new(5000),
            max_bytes: Whole::new(1_048_576),
        }
    }
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// How OTLP travels.
    pub protocol: Protocol,
    /// The Envoy cluster of the collector.
    pub cluster: Text<1, 255>,
    /// Path of the requests, for `http/protobuf` only; gRPC has its own.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^/[!-~]*$")))]
    pub path: Text<1, 2048>,
    /// `:authority` of the requests.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]+$")))]
    pub authority: Text<1, 255>,
    /// Headers of the requests, credentials mostly. At most 32; the exporter's own (`content-type` and the like) are refused.
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 32, "propertyNames" = header_names())))]
    pub headers: Entries<Secret>,
    /// Milliseconds for one attempt.
    pub timeout_ms: Whole<1, 600_000>,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Spans that wait for export, a worker.
    pub max_queue_size: Whole<1, 65_536>,
    /// Bytes of spans that wait or are on their way, a worker.
    pub max_queue_bytes: Whole<1, 67_108_864>,
    /// Spans in one request, not more than `max_queue_size`; left out, it follows a smaller queue.
    pub max_export_batch_size: Whole<1, 65_536>,
    /// Milliseconds that a span waits for company.
    pub scheduled_delay_ms: Whole<1, 600_000>,
    /// Whether spans carry their `tracestate`. Switch it off for a collector whose `probabilistic_sampler` runs in
    /// `hash_seed` mode, which refuses spans with `th` or `rv`.
    pub tracestate: bool,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            protocol: Protocol::default(),
            cluster: Text("otel_collector".to_owned()),
            path: Text("/v1/traces".to_owned()),
            authority: Text("otel-collector".to_owned()),
            headers: Entries::default(),
            timeout_ms: Whole::new(10_000),
            compression: Compression::default(),
            max_queue_size: Whole::new(2048),
            max_queue_bytes: Whole::new(4_194_304),
            max_export_batch_size: Whole::new(512),
            scheduled_delay_ms: Whole::new(1000),
            tracestate: true,
        }
    }
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
pub enum Protocol {
    /// OTLP over HTTP with binary protobuf.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// OTLP over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
}

/// What spans may say beyond the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
#[serde(default, deny_unknown_fields)]
pub struct Attributes {
    /// Request headers to record. At most 32.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::HEADERS)))]
    pub request_headers: Vec<HeaderName>,
    /// Response headers to record. At most 32.
    #[cfg_attr(feature = "schema", schemars(length(max = bounds::HEADERS)))]
    pub response_headers: Vec<HeaderName>,
    /// Record the query string, known signatures redacted.
    pub query: bool,
}
