//! Triggers: what an answer, or its absence, says about a trace.

use super::coverage::CoveragePolicy;
use super::{Budget, SlowPolicy, Trigger};
use crate::door::HeaderView;
use crate::http::{GrpcStatus, GrpcStatusSet, HttpStatusSet, ResponseFlags};
use crate::sampling::{Steps, StringMatcher};

/// The checked `upgrade` part of the configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// HTTP status codes that trigger.
    pub http_status: HttpStatusSet,
    /// gRPC status codes that trigger.
    pub grpc_status: GrpcStatusSet,
    /// Whether Envoy's response flags and resets trigger.
    pub response_flags: bool,
    /// Streams that take this many milliseconds or more trigger.
    pub latency_ms: Option<u64>,
    /// What is slower than usual triggers, where that is enabled.
    pub slow: Option<SlowPolicy>,
    /// Response headers by which the application marks what is worth keeping: names in lower case, any of them triggers.
    pub response_headers: Vec<(String, StringMatcher)>,
    /// The first of each kind are kept, where that is enabled.
    pub coverage: Option<CoveragePolicy>,
    /// How many traces a second are upgraded.
    pub budget: Budget,
    /// The upgrade signal, to the caller and from the upstream.
    pub signal: SignalPolicy,
    /// Asking the instances already called for their pending spans.
    pub recall: RecallPolicy,
    /// The list of upgrades for the pod's own application.
    pub applications: ApplicationsPolicy,
}

/// The checked `upgrade.signal` part of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalPolicy {
    /// Tell the caller of an upgrade.
    pub emit: bool,
    /// Believe an upstream that tells of one.
    pub accept: bool,
    /// Understand the signal of the previous version, too.
    pub accept_previous: bool,
    /// Believe `Server-Timing` alone, which any SDK may write.
    pub accept_server_timing: bool,
}

/// The checked `upgrade.recall` part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallPolicy {
    /// Off by default.
    pub enabled: bool,
    /// The ORIGINAL_DST clusters that reach any instance.
    pub through: Transports,
    /// Clusters whose instances are asked unseen: names, or beginnings that end in `*`.
    pub clusters: Vec<String>,
    /// The secret that the mesh shares, and the one before it, which may be empty.
    pub tokens: [String; 2],
    /// Version 1 is answered.
    pub accept_previous: bool,
    /// Who may recall: the beginnings of URI SANs of mTLS peers; empty where only the token is checked.
    pub peers: Vec<String>,
    /// Further addresses of this instance.
    pub addresses: Vec<String>,
    /// How long a pending span is held, in milliseconds.
    pub hold_ms: u64,
    /// Bytes of pending spans a worker holds at most.
    pub max_bytes: usize,
}

/// The checked `upgrade.applications` part of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationsPolicy {
    /// Off by default.
    pub enabled: bool,
    /// The secret that the application shares, and the one before it, which may be empty.
    pub tokens: [String; 2],
}

impl ApplicationsPolicy {
    /// Both secrets.
    pub fn keys(&self) -> [&[u8]; 2] {
        self.tokens.each_ref().map(String::as_bytes)
    }
}

/// How an instance is asked: over the transport that the call itself used, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transports {
    /// The cluster without TLS; empty where there is none.
    pub plain: String,
    /// The cluster with TLS; empty where there is none.
    pub tls: String,
}

impl Transports {
    /// The cluster for an instance that was called with or without TLS.
    pub fn cluster(&self, tls: bool) -> Option<&str> {
        let cluster = if tls { &self.tls } else { &self.plain };
        (!cluster.is_empty()).then_some(cluster)
    }
}

impl RecallPolicy {
    /// Whether the operator lists this cluster.
    pub fn lists(&self, cluster: &[u8]) -> bool {
        self.clusters.iter().any(|listed| match listed.as_bytes() {
            [beginning @ .., b'*'] => cluster.starts_with(beginning),
            whole => whole == cluster,
        })
    }

    /// Both secrets.
    pub fn keys(&self) -> [&[u8]; 2] {
        self.tokens.each_ref().map(String::as_bytes)
    }

    /// The secret that requests of ours are signed with.
    pub fn token(&self) -> &str {
        self.tokens.first().map_or("", String::as_str)
    }
}

/// What is known of a stream when it has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// Envoy's response flags, as far as they were read.
    pub flags: ResponseFlags,
    /// The answer reached its end of stream.
    pub complete: bool,
    /// From request headers to the end of the stream, in milliseconds.
    pub latency_ms: Option<u64>,
}

impl Policy {
    /// Whether a hop hears of upgrades that others saw: by signal, by its process, or by a recall.
    pub fn joins(&self) -> bool {
        self.signal.accept || self.recall.enabled
    }

    /// The trigger in the head of an answer, or in its trailers. `flags` say whether the answer is Envoy's own: a refused
    /// connection is told as such and not as the 503 that stands for it. They matter only where there is a trigger.
    pub fn at_response(
        &self,
        status: Option<u16>,
        grpc_status: Option<GrpcStatus>,
        flags: impl FnOnce() -> ResponseFlags,
    ) -> Option<Trigger> {
        let trigger = self.by_status(status, grpc_status)?;
        if self.response_flags {
            let flags = flags();
            if flags.failed() {
                return Some(Trigger::ResponseFlags(flags));
            }
        }
        Some(trigger)
    }

    /// Whether the application marked its answer. What the steps of one request do not suffice for is no mark.
    pub fn is_marked<'a, V: HeaderView<'a>>(&self, headers: V) -> bool {
        let mut steps = Steps::default();
        self.response_headers.iter().any(|(name, wanted)| wanted.matches_lines(headers.values(name), &mut steps))
    }

    /// The trigger in a status alone.
    pub fn by_status(&self, status: Option<u16>, grpc_status: Option<GrpcStatus>) -> Option<Trigger> {
        if let Some(status) = status.filter(|&status| self.http_status.contains(status)) {
            return Some(Trigger::HttpStatus(status));
        }
        grpc_status.filter(|&status| self.grpc_status.contains(status)).map(Trigger::GrpcStatus)
    }

    /// The trigger in the way a stream ended; `latency_ms` is the limit that holds for it (a rule may have its own).
    pub fn at_end(&self, ending: &Ending, latency_ms: Option<u64>) -> Option<Trigger> {
        if self.response_flags {
            if ending.flags.failed() {
                return Some(Trigger::ResponseFlags(ending.flags));
            }
            if !ending.complete {
                return Some(Trigger::Reset);
            }
        }
        match (ending.latency_ms, latency_ms) {
            (Some(took), Some(limit)) if limit <= took => Some(Trigger::Latency),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let mut http_status = HttpStatusSet::default();
        http_status.insert(500..=599);
        let mut grpc_status = GrpcStatusSet::default();
        grpc_status.insert(GrpcStatus::UNKNOWN);
        Policy {
            http_status,
            grpc_status,
            response_flags: true,
            latency_ms: Some(800),
            slow: None,
            response_headers: Vec::new(),
            coverage: None,
            budget: Budget::per_second(100.0).expect("a rate"),
            signal: SignalPolicy { emit: true, accept: true, accept_previous: false, accept_server_timing: false },
            recall: RecallPolicy {
                enabled: false,
                through: Transports { plain: "plain".to_owned(), tls: String::new() },
                clusters: ["cart", "outbound|80|*"].map(str::to_owned).into(),
                tokens: [String::new(), String::new()],
                accept_previous: false,
                peers: Vec::new(),
                addresses: Vec::new(),
                hold_ms: 5000,
                max_bytes: 0,
            },
            applications: ApplicationsPolicy::default(),
        }
    }

    #[test]
    fn an_answer_triggers_by_http_status_before_grpc_status() {
        let policy = policy();
        let at_response = |status, grpc| policy.at_response(status, grpc, ResponseFlags::default);
        assert_eq!(at_response(Some(200), None), None);
        assert_eq!(at_response(Some(503), Some(GrpcStatus::UNKNOWN)), Some(Trigger::HttpStatus(503)));
        assert_eq!(at_response(Some(200), Some(GrpcStatus::UNKNOWN)), Some(Trigger::GrpcStatus(GrpcStatus::UNKNOWN)));
        assert_eq!(at_response(Some(200), Some(GrpcStatus::OK)), None);
        assert_eq!(at_response(None, None), None);
    }

    #[test]
    fn an_answer_of_envoy_triggers_by_its_flags_and_only_where_they_are_wanted() {
        let refused = ResponseFlags::from_bits(0x20);
        let of = |policy: &Policy, status| policy.at_response(Some(status), None, || refused);
        assert_eq!(of(&policy(), 503), Some(Trigger::ResponseFlags(refused)));
        assert_eq!(of(&policy(), 200), None);
        assert_eq!(of(&Policy { response_flags: false, ..policy() }, 503), Some(Trigger::HttpStatus(503)));
    }

    #[test]
    fn an_end_triggers_by_flags_then_by_a_missing_end_then_by_latency() {
        let policy = policy();
        let fine = Ending { complete: true, latency_ms: Some(3), ..Ending::default() };
        assert_eq!(policy.at_end(&fine, policy.latency_ms), None);
        let left = Ending { flags: ResponseFlags::DOWNSTREAM_DISCONNECT, ..Ending::default() };
        assert_eq!(policy.at_end(&left, None), Some(Trigger::ResponseFlags(left.flags)));
        assert_eq!(policy.at_end(&Ending::default(), None), Some(Trigger::Reset));
        let slow = Ending { latency_ms: Some(800), ..fine };
        assert_eq!(policy.at_end(&slow, policy.latency_ms), Some(Trigger::Latency));
        assert_eq!(policy.at_end(&slow, Some(801)), None);
        assert_eq!(policy.at_end(&slow, None), None);
    }

    #[test]
    fn a_cluster_is_listed_whole_or_by_its_beginning_and_a_transport_that_is_missing_is_not_replaced() {
        let recall = policy().recall;
        for (cluster, listed) in
            [("cart", true), ("cartoons", false), ("outbound|80||a", true), ("outbound|8080||a", false), ("", false)]
        {
            assert_eq!(recall.lists(cluster.as_bytes()), listed, "{cluster}");
        }
        assert_eq!((recall.through.cluster(false), recall.through.cluster(true)), (Some("plain"), None));
    }

    #[test]
    fn flags_switched_off_leave_latency_alone() {
        let policy = Policy { response_flags: false, ..policy() };
        let slow = Ending { flags: ResponseFlags::DOWNSTREAM_DISCONNECT, complete: false, latency_ms: Some(900) };
        assert_eq!(policy.at_end(&slow, policy.latency_ms), Some(Trigger::Latency));
    }
}
