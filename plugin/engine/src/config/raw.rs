//! What a user writes. Every key has a default, so that `{}` works; a misspelt key is refused. The comments here are what
//! users read in the JSON Schema and in the reference.

use super::bounded::{
    Entries, Factor, GrpcCode, HeaderName, HttpStatus, Number, Quantile, Rate, Ratio, Secret, Text, Whole,
};
use super::error::one_of;
use super::reader::{Read, Reader, keys};
#[cfg(feature = "schema")]
use super::schema::{METHOD, header_names, resource_names};
use crate::border::Answers;
#[cfg(feature = "schema")]
use crate::force::MAX_KEYS;
use crate::http::GrpcStatus;
use crate::json::{Step, Tree, names};
#[cfg(feature = "schema")]
use crate::metrics::MAX_ROUTES;
use crate::metrics::{Aggregation, Temporality};
use crate::otlp::{Compression, Protocol};
use crate::sampling::Mode;
use crate::sampling::pace::By;
use crate::span::KindSetting;
#[cfg(feature = "schema")]
use crate::span::bounds;
use crate::trace_context::{Propagator, TraceIdFormat};
use crate::upgrade::Per;
use crate::upgrade::coverage::Place;

/// Rules that a configuration has at most. Each costs comparisons on every request.
pub const MAX_RULES: usize = 256;
/// Kinds of mTLS peers that may recall.
pub const MAX_PEERS: usize = 32;
/// Clusters whose instances are asked unseen.
pub const MAX_RECALL_CLUSTERS: usize = 64;
/// Further addresses of an instance.
pub const MAX_ADDRESSES: usize = 16;

keys! {
    /// Configuration of the Tracelift filter. All keys may be left out.
    pub struct Configuration {
        /// `service.name` of the exported spans. Null or empty: from the environment, then from Envoy's node, then
        /// `unknown_service:envoy`.
        pub service_name: Option<Text<0, 255>> = None,
        /// Further attributes of the resource, name to text. At most 64.
        #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 64, "propertyNames" = resource_names())))]
        pub resource: Entries<Text<0, 1024>> = Entries::default(),
        /// Which side of a call the spans describe.
        pub span_kind: KindSetting = KindSetting::Auto,
        /// Header formats of the trace context. The first that holds a valid one is believed, all are written.
        #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1, "uniqueItems" = true)))]
        pub propagators: Vec<Propagator> = vec![Propagator::TraceContext],
        /// How the ids of traces that begin here are made.
        pub trace_id_format: TraceIdFormat = TraceIdFormat::W3c,
        /// Which traces are recorded.
        pub sampling: Sampling = Sampling::default(),
        /// Which dropped traces are recorded after all, because something failed.
        pub upgrade: Upgrade = Upgrade::default(),
        /// Tokens by which requests are recorded, whatever `sampling` says.
        pub force: Force = Force::default(),
        /// A second policy that is evaluated on all traffic and exports nothing: `tracelift.shadow.*` tell what it would do.
        pub shadow: Option<Shadow> = None,
        /// How many requests there are and how long they take, counted before anything is sampled.
        pub metrics: Metrics = Metrics::default(),
        /// The outer listener of the mesh: no incoming `sampled` flag, randomness or upgrade signal is believed, and no signal
        /// leaves.
        pub edge: bool = false,
        /// What Envoy does by itself around the filter. It saves time and loses nothing; what is said wrongly costs time.
        pub envoy: Envoy = Envoy::default(),
        /// Where spans go.
        pub export: Export = Export::default(),
        /// What spans may say beyond the default, which is private.
        pub attributes: Attributes = Attributes::default(),
    }
}

keys! {
    /// A shadow policy: evaluated on live traffic, never acted on.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Shadow {
        /// As `sampling`, all keys with their own defaults. Null: the same as the live one.
        pub sampling: Option<Sampling> = None,
        /// As `upgrade`, all keys with their own defaults. Null: the same as the live one. `recall` and `signal.emit` have no
        /// effect here.
        pub upgrade: Option<Upgrade> = None,
    }
}

keys! {
    /// Which traces are recorded.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Sampling {
        /// Whose decision counts.
        pub mode: Mode = Mode::ParentBased,
        /// How a ratio becomes a decision. Only `consistent` agrees with every other hop.
        pub algorithm: Algorithm = Algorithm::Consistent,
        /// The collector's `hash_seed`, for the algorithm of that name only.
        pub hash_seed: Whole<0, { u32::MAX as u64 }> = Whole::new(0),
        /// Share of the traces that is recorded where no rule says otherwise: 0 (never), or 2^-56 to 1.
        pub ratio: Ratio = Ratio(0.05),
        /// A rate to aim at in place of `ratio`, which holds until the first interval is over. Rules with a ratio of their own keep it.
        pub target: Target = Target::default(),
        /// A higher ratio for a while, when more requests than usual fail or are slow.
        pub boost: Boost = Boost::default(),
        /// Settings for some requests; the first that matches counts. At most 256.
        #[cfg_attr(feature = "schema", schemars(length(max = MAX_RULES)))]
        pub rules: Vec<Rule> = Vec::new(),
        /// The requests of a session are recorded together, or not at all. Null: each trace by itself.
        pub session: Option<Session> = None,
        /// The sampling rules of an AWS account, in place of `ratio` and of the rules' ratios.
        pub xray: XRay = XRay::default(),
    }
}

keys! {
    /// A rate to aim at: the ratio follows the traffic.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Target {
        /// So many traces that begin here are kept a second, on the mean, whatever the traffic is. 0: `min_ratio` alone. Null: `spans_per_month`
        /// says it.
        pub traces_per_second: Option<Rate> = None,
        /// The same as spend: so many spans in 30.44 days, at an even pace; what is not spent can be for an hour. Exactly one of the two.
        pub spans_per_month: Option<Whole<1, 1_000_000_000_000_000>> = None,
        /// Spans that a trace has in the whole mesh, on the mean. With 1, spans of this Envoy alone are counted.
        pub spans_per_trace: Number<1, 10_000> = Number(1.0),
        /// How many Envoys share the target: the most that an autoscaler may make.
        pub replicas: Whole<1, 100_000> = Whole::new(1),
        /// The lowest ratio. It wins over the target, and the log says so.
        pub min_ratio: Ratio = Ratio(0.0001),
        /// The highest ratio; not below `min_ratio`.
        pub max_ratio: Ratio = Ratio(1.0),
        /// One rate, or one for each of `metrics.routes`, so that as many traces of each are kept.
        pub by: By = By::All,
    }
}

keys! {
    /// A higher ratio for a while, ten times as high at most. What it spends counts against the target.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Boost {
        /// The highest ratio then: not below `ratio`, and not above `target.max_ratio`. Null: nothing is raised.
        pub max_ratio: Option<Ratio> = None,
        /// Seconds for which it stays raised after the last sign of trouble.
        pub hold_s: Whole<5, 3_600> = Whole::new(60),
        /// Seconds after that in which it is not raised again.
        pub cooldown_s: Whole<0, 86_400> = Whole::new(300),
        /// Requests that a share of failures is taken of, at least; after a minute fewer will do.
        pub min_requests: Whole<10, 1_000_000> = Whole::new(200),
    }
}

keys! {
    /// Traces that begin with requests of one session are recorded together.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Session {
        /// The cookie that names the session. Null: `header` does.
        pub cookie: Option<Text<1, 128>> = None,
        /// The request header that names the session. Exactly one of the two.
        pub header: Option<HeaderName> = None,
        /// The secret by which a session's randomness is computed, the same at every gateway: 16 to 256 visible ASCII characters. Left
        /// out, it is TRACELIFT_SESSION_KEY; among Envoy's `host_env_keys`, that is in no `/config_dump`.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^([!-~]{16,256})?$", "maxLength" = 256)))]
        pub key: Secret = Secret::default(),
    }
}

keys! {
    /// The sampling rules of an AWS account.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct XRay {
        /// Fetch the rules and let them decide. Until they came, when they are older than an hour, and for requests that none
        /// of them matches, `ratio` and `rules` decide.
        pub enabled: bool = false,
        /// The Envoy cluster of an unsigned local proxy to the X-Ray API: the collector's `awsproxy` extension, port 2000.
        pub cluster: Text<1, 255> = Text("xray_proxy".to_owned()),
        /// `:authority` of the calls.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]+$")))]
        pub authority: Text<1, 255> = Text("xray-proxy".to_owned()),
        /// Milliseconds between two fetches of the rules. A change of rules is fetched with the next report.
        pub rules_interval_ms: Whole<10_000, 1_800_000> = Whole::new(300_000),
        /// Milliseconds between two reports, where X-Ray names no other time.
        pub targets_interval_ms: Whole<1000, 300_000> = Whole::new(10_000),
        /// By how many percent of itself a wait may be longer, so that processes do not ask all at once.
        pub jitter_percent: Whole<0, 50> = Whole::new(1),
        /// Milliseconds for one call.
        pub timeout_ms: Whole<1, 60_000> = Whole::new(2000),
    }
}

names! {
    /// How a ratio becomes a decision.
    pub enum Algorithm {
        /// OpenTelemetry's consistent probability sampling (`th` and `rv`).
        Consistent = "consistent",
        /// `TraceIdRatioBased` as the Go and Rust SDKs compute it.
        TraceIdRatio = "traceidratio",
        /// The trace id modulo 100, in whole percents.
        Modulo = "modulo",
        /// The collector's `probabilistic_sampler` in its `hash_seed` mode.
        HashSeed = "hash_seed",
    }
}

keys! {
    /// Settings for some requests.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Rule {
        /// Appears on spans; no two rules have the same. Null: `rule[<index>]`, counted from 0.
        pub name: Option<Text<1, 128>> = None,
        /// Which requests; all that is set must match, nothing set matches every request.
        pub r#match: Match = Match::default(),
        /// Share of these traces that is recorded: 0 (never), or 2^-56 to 1. Null: `sampling.ratio`.
        pub ratio: Option<Ratio> = None,
        /// Whether a failure of such a request upgrades its trace.
        pub upgrade: bool = true,
        /// From how many milliseconds on such a request is slow enough for an upgrade. Null: `upgrade.latency_ms`.
        pub latency_ms: Option<Whole<1, 86_400_000>> = None,
        /// Whether such a request is counted where `metrics.enabled` is true. Without effect in a shadow policy.
        pub metrics: bool = true,
    }
}

keys! {
    /// Which requests a rule is for.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Match {
        /// The path without its query.
        pub path: Option<StringMatch> = None,
        /// Any of these methods, in the case that requests have. Empty: every method.
        #[cfg_attr(feature = "schema", schemars(length(max = 32), inner(regex(pattern = METHOD))))]
        pub method: Vec<Text<1, 32>> = Vec::new(),
        /// The authority without its port; the case of letters does not matter.
        pub host: Option<StringMatch> = None,
        /// Headers by name. One that came in several lines is matched as one value, joined by commas. At most 16.
        #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 16, "propertyNames" = header_names())))]
        pub headers: Entries<StringMatch> = Entries::default(),
    }
}

/// A test of a string: exactly one of these keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), serde(rename_all = "snake_case"))]
pub enum StringMatch {
    /// The whole value.
    Exact(Text<0, 1024>),
    /// Its beginning.
    Prefix(Text<1, 1024>),
    /// Its end.
    Suffix(Text<1, 1024>),
    /// Anywhere in its first 4096 bytes.
    Contains(Text<1, 1024>),
    /// A regular expression for the whole value (syntax of Rust's regex crate, ASCII classes); false for more than 2048 bytes.
    Regex(Text<1, 1024>),
    /// Whether there is such a value at all.
    Present(bool),
}

impl Read for StringMatch {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        const KINDS: &[&str] = &["exact", "prefix", "suffix", "contains", "regex", "present"];
        let allowed = || ["an object with exactly one of ", &one_of(KINDS)].concat();
        let Tree::Object(entries) = tree else {
            return reader.refuse_kind(tree, &allowed(), "Write the test, too: {\"exact\": \"...\"}.");
        };
        let [(kind, value)] = entries.as_slice() else {
            let found = ["an object with ", &entries.len().to_string(), " keys"].concat();
            return reader.refuse(&found, &allowed(), "");
        };
        reader.inside(Step::Key(kind), |reader| match kind.as_str() {
            "exact" => Text::read(value, reader).map(Self::Exact),
            "prefix" => Text::read(value, reader).map(Self::Prefix),
            "suffix" => Text::read(value, reader).map(Self::Suffix),
            "contains" => Text::read(value, reader).map(Self::Contains),
            "regex" => Text::read(value, reader).map(Self::Regex),
            "present" => bool::read(value, reader).map(Self::Present),
            _ => reader.refuse_key(kind, KINDS),
        })
    }
}

/// The statuses that make a server's span an error. OTel semantic conventions, "gRPC", "gRPC status".
fn server_failures() -> Vec<GrpcCode> {
    let names = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
    names.into_iter().filter_map(GrpcStatus::from_name).map(GrpcCode).collect()
}

keys! {
    /// Which dropped traces are recorded after all.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Upgrade {
        /// HTTP statuses that upgrade: classes ("5xx") and codes (503 or "503").
        #[cfg_attr(feature = "schema", schemars(length(max = 500)))]
        pub http_status: Vec<HttpStatus> = vec![HttpStatus::class(5)],
        /// gRPC statuses that upgrade, by name or by number.
        #[cfg_attr(feature = "schema", schemars(length(max = 17)))]
        pub grpc_status: Vec<GrpcCode> = server_failures(),
        /// Upgrade what Envoy gave up on: resets, timeouts, failed connections, everything with a response flag.
        pub response_flags: bool = true,
        /// Upgrade requests that take this many milliseconds or more. Null: latency does not upgrade.
        pub latency_ms: Option<Whole<1, 86_400_000>> = None,
        /// Upgrade requests that are slower than is usual for their route and method.
        pub slow: Slow = Slow::default(),
        /// Keep what the application marks in the headers of its answer, any of these: names with a test as in a rule's
        /// `match.headers`. At most 16. Where `edge` is true they are taken off, and not believed.
        #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 16, "propertyNames" = header_names())))]
        pub response_headers: Entries<StringMatch> = Entries::default(),
        /// Keeping the first requests of each kind, failed or not.
        pub coverage: Coverage = Coverage::default(),
        /// How many traces a second are upgraded in one Envoy. 0 switches upgrades off.
        pub traces_per_second: Rate = Rate(100.0),
        /// Telling callers of an upgrade, and believing upstreams that tell of one.
        pub signal: Signal = Signal::default(),
        /// Asking the instances already called for the spans that they dropped.
        pub recall: Recall = Recall::default(),
        /// Telling the pod's own application which traces were upgraded here (`docs/applications.md`).
        pub applications: Applications = Applications::default(),
    }
}

keys! {
    /// Requests that are slower than usual.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Slow {
        /// Learn how long requests take from their head to that of their answer, and upgrade what takes longer than usual. Routes are those of
        /// `metrics.routes`, `metrics.route_header` and gRPC, also where `metrics.enabled` is false. Costs two readings of the clock, one
        /// beside request metrics.
        pub enabled: bool = false,
        /// How many times the usual is slow.
        pub factor: Factor = Factor(1.5),
        /// What is usual: the quantile that is learned, known after 1,000 requests.
        pub quantile: Quantile = Quantile(0.99),
        /// What takes no longer than so many milliseconds is not slow, whatever is usual.
        pub min_ms: Whole<0, 3_600_000> = Whole::new(20),
        /// What is learned apart.
        pub per: Per = Per::Route,
    }
}

keys! {
    /// Keeping the first requests of each kind.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Coverage {
        /// Keep the first requests of each method, route and status, so that the rare is kept whole and the common has an example.
        /// Routes are those of `metrics.routes`, `metrics.route_header` and gRPC, also where `metrics.enabled` is false.
        pub enabled: bool = false,
        /// How many of each kind in a window.
        pub per_window: Whole<1, 100> = Whole::new(1),
        /// Seconds of a window, counted for each kind from its first request.
        pub window_s: Whole<10, 86_400> = Whole::new(300),
        /// Each doubling of the time to the answer's headers (gRPC: trailers) is a kind of its own. Costs two readings of the clock.
        pub latency: bool = false,
        /// Where coverage looks.
        pub r#where: Place = Place::Auto,
        /// How many requests an Envoy keeps for this, apart from the budget of failures.
        pub traces_per_minute: Whole<0, 100_000> = Whole::new(20),
    }
}

keys! {
    /// The upgrade signal.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Signal {
        /// Tell the caller of an upgrade.
        pub emit: bool = true,
        /// Believe an upstream that signals one by `x-tracelift-signal`.
        pub accept: bool = true,
        /// Believe the signal of the previous version, too: `traceresponse` beside `Server-Timing`, which an SDK may write as
        /// well. For the time of a rollout from that version.
        pub accept_previous: bool = false,
        /// Believe `Server-Timing: trace;desc=…` without `x-tracelift-signal`, as the W3C draft has it: flag 1 in the answer to a
        /// call that was not sampled upgrades the trace. For services whose SDKs write it; any service behind could then.
        pub accept_server_timing: bool = false,
    }
}

keys! {
    /// Asking the instances already called for the spans that they dropped.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Recall {
        /// Enables recall. Requires `token`.
        pub enabled: bool = false,
        /// The ORIGINAL_DST cluster that reads `x-envoy-original-dst-host`, for instances that were called without TLS. Empty:
        /// those are not asked.
        pub cluster: Text<0, 255> = Text("tracelift_recall".to_owned()),
        /// The same with the mesh's `transport_socket`, for instances that were called over TLS. Empty: those are not asked.
        pub tls_cluster: Text<0, 255> = Text(String::new()),
        /// Envoy clusters whose instances are asked although no answer of theirs has shown that they run the filter: whole
        /// names, or beginnings with `*` behind them. At most 64.
        #[cfg_attr(feature = "schema", schemars(length(max = MAX_RECALL_CLUSTERS)))]
        pub clusters: Vec<Text<1, 255>> = Vec::new(),
        /// The secret that the mesh shares: up to 256 visible ASCII characters, better 16 or more. It signs requests and is
        /// never sent. Left out, it is TRACELIFT_RECALL_TOKEN; among Envoy's `host_env_keys`, that is in no `/config_dump`.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]*$", "maxLength" = 256)))]
        pub token: Secret = Secret::default(),
        /// A second secret whose requests are answered as well, while the first one is changed.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]*$", "maxLength" = 256)))]
        pub previous_token: Secret = Secret::default(),
        /// Answer requests of version 1, which carry the secret itself, for the time of an upgrade. None is ever sent.
        pub accept_previous: bool = false,
        /// Who may recall: mTLS peers by the beginning of their URI SAN ("spiffe://cluster.local/ns/shop/"), besides the token.
        /// Empty: every peer that sends the token. At most 32.
        #[cfg_attr(feature = "schema", schemars(length(max = MAX_PEERS)))]
        pub peers: Vec<Text<1, 512>> = Vec::new(),
        /// Addresses ("10.96.0.12:80") at which this instance is called, besides the one that its listener sees: behind a NAT, a
        /// load balancer or a Service's virtual IP. At most 16.
        #[cfg_attr(feature = "schema", schemars(length(max = MAX_ADDRESSES)))]
        pub addresses: Vec<Text<1, 64>> = Vec::new(),
        /// How many milliseconds a dropped span is remembered.
        pub hold_ms: Whole<1, 600_000> = Whole::new(5000),
        /// Bytes of dropped spans that a worker remembers.
        pub max_bytes: Whole<0, 67_108_864> = Whole::new(1_048_576),
    }
}

keys! {
    /// The list of upgrades for the pod's own application.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Applications {
        /// Answers `GET /.well-known/tracelift/upgrades` on listeners of outbound calls that are not `edge`. Requires a token.
        pub enabled: bool = false,
        /// The secret that the application shares: up to 256 visible ASCII characters, better 16 or more. Left out, it is
        /// TRACELIFT_APPLICATION_TOKEN, else the tokens of `upgrade.recall`.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]*$", "maxLength" = 256)))]
        pub token: Secret = Secret::default(),
        /// A second secret whose requests are answered as well, while the first one is changed.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]*$", "maxLength" = 256)))]
        pub previous_token: Secret = Secret::default(),
    }
}

keys! {
    /// What Envoy does by itself around the filter.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Envoy {
        /// Which answers reach the filter: `notable` where it is wrapped in `ExtensionWithMatcher` as in `envoy/wrapped.yaml`.
        pub answers: Answers = Answers::All,
        /// Whether the bootstrap has `inline_headers` for `traceparent` and `tracestate`. Then they are read alone, and all headers
        /// only of requests that may be sampled.
        pub inline_headers: bool = false,
    }
}

keys! {
    /// Tokens by which requests are recorded.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Force {
        /// Whose tokens are good (`tracelift token` makes them): at most 8, so that a new one can stand beside the one before it.
        /// Left out, they are those of TRACELIFT_FORCE_KEYS, `id=secret` joined by commas; among Envoy's `host_env_keys`, that is in
        /// no `/config_dump`. Empty: off.
        #[cfg_attr(feature = "schema", schemars(length(max = MAX_KEYS)))]
        pub keys: Vec<ForceKey> = Vec::new(),
        /// The request header that a token comes in. It is taken off, whatever the token is worth.
        pub header: HeaderName = HeaderName("x-tracelift-force".to_owned()),
        /// For how many seconds a token may still be good when it comes.
        pub max_ttl_s: Whole<60, 31_536_000> = Whole::new(86_400),
        /// How many requests a second are forced in one Envoy. Beyond it they are treated like those without a token.
        pub traces_per_second: Rate = Rate(10.0),
    }
}

keys! {
    /// One key.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct ForceKey {
        /// Its name, not secret: it appears in tokens, on spans (`tracelift.force.key`) and in the log. Letters, digits, `-` and
        /// `_`; no two keys have the same.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[A-Za-z0-9_-]+$")))]
        pub id: Text<1, 32> = Text("default".to_owned()),
        /// What its tokens are signed with: 16 to 256 visible ASCII characters, better 32 random ones. Empty: no token is good.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^([!-~]{16,256})?$", "maxLength" = 256)))]
        pub secret: Secret = Secret::default(),
    }
}

keys! {
    /// Where spans go.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Export {
        /// How OTLP travels.
        pub protocol: Protocol = Protocol::HttpProtobuf,
        /// The Envoy cluster of the collector.
        pub cluster: Text<1, 255> = Text("otel_collector".to_owned()),
        /// Path of the requests, for `http/protobuf` only; gRPC has its own.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^/[!-~]*$")))]
        pub path: Text<1, 2048> = Text("/v1/traces".to_owned()),
        /// `:authority` of the requests.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[!-~]+$")))]
        pub authority: Text<1, 255> = Text("otel-collector".to_owned()),
        /// Headers of the requests, credentials mostly. At most 32; the exporter's own (`content-type` and the like) are refused.
        #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 32, "propertyNames" = header_names())))]
        pub headers: Entries<Secret> = Entries::default(),
        /// Milliseconds for one attempt.
        pub timeout_ms: Whole<1, 600_000> = Whole::new(10_000),
        /// How bodies are compressed.
        pub compression: Compression = Compression::None,
        /// Spans that wait for export, a worker; a quarter is reserved for those that an upgrade keeps.
        pub max_queue_size: Whole<1, 65_536> = Whole::new(2048),
        /// Bytes of spans that wait or are on their way, a worker; a quarter is reserved as above.
        pub max_queue_bytes: Whole<1, 67_108_864> = Whole::new(4_194_304),
        /// Spans in one request, not more than `max_queue_size`; left out, it follows a smaller queue.
        pub max_export_batch_size: Whole<1, 65_536> = Whole::new(512),
        /// Longest wait before a partial batch is sent, in milliseconds.
        pub scheduled_delay_ms: Whole<1, 600_000> = Whole::new(1000),
        /// Whether spans carry their `tracestate`. Switch it off for a collector whose `probabilistic_sampler` runs in
        /// `hash_seed` mode, which refuses spans with `th` or `rv`.
        pub tracestate: bool = true,
    }
}

keys! {
    /// How many requests there are and how long they take.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Metrics {
        /// Count and time every request, sampled or not, and export that as OTLP metrics to `export.cluster`. Off, because it costs
        /// each request two readings of the clock, and Envoy's own statistics may be enough.
        pub enabled: bool = false,
        /// Path templates such as `/users/{id}/orders`, `{rest...}` at the end; literals win over `{}`. What matches none has no
        /// `http.route`. At most 200.
        #[cfg_attr(feature = "schema", schemars(length(max = MAX_ROUTES)))]
        pub routes: Vec<Text<1, 256>> = Vec::new(),
        /// A response header in which the application names its route; stronger than `routes`. Taken off where `edge` is true.
        pub route_header: Option<HeaderName> = None,
        /// What a point of a metric counts.
        pub temporality: Temporality = Temporality::Cumulative,
        /// How durations are sorted into buckets.
        pub histogram: Aggregation = Aggregation::Exponential,
        /// Milliseconds between two exports.
        pub interval_ms: Whole<1000, 600_000> = Whole::new(60_000),
        /// Series that an Envoy keeps for a metric. Beyond it the route is given up first, then all attributes.
        pub max_series: Whole<10, 2000> = Whole::new(500),
        /// Show on each point requests whose spans the collector has acknowledged: for each doubling of the latency the latest one,
        /// those of upgraded traces first.
        pub exemplars: bool = true,
        /// Before the names of the metrics, with a dot: for applications that report the same metrics themselves.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^([A-Za-z][A-Za-z0-9_.-]*)?$")))]
        pub namespace: Text<0, 64> = Text(String::new()),
        /// Path of the requests, for `http/protobuf` only; gRPC has its own.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^/[!-~]*$")))]
        pub path: Text<1, 2048> = Text("/v1/metrics".to_owned()),
    }
}

keys! {
    /// What spans may say beyond the default.
    #[cfg_attr(feature = "schema", schemars(inline))]
    pub struct Attributes {
        /// Request headers to record. At most 32.
        #[cfg_attr(feature = "schema", schemars(length(max = bounds::HEADERS)))]
        pub request_headers: Vec<HeaderName> = Vec::new(),
        /// Response headers to record. At most 32.
        #[cfg_attr(feature = "schema", schemars(length(max = bounds::HEADERS)))]
        pub response_headers: Vec<HeaderName> = Vec::new(),
        /// Record the query string, known signatures redacted.
        pub query: bool = false,
    }
}
