//! The kinds of the requests that really happened, and which of them coverage keeps: by the filter's own rules, with one Envoy a service.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::record::Record;
use tracelift::http::GrpcStatus;
use tracelift::metrics::Settings;
use tracelift::policy::Policy;
use tracelift::sampling::Steps;
use tracelift::span::METHODS;
use tracelift::upgrade::Budget;
use tracelift::upgrade::coverage::slot::{self, Arrival};
use tracelift::upgrade::coverage::{CoveragePolicy, Kind};

/// Kinds that a forecast lists.
const LISTED: usize = 20;

/// A kind in words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct KindName {
    /// The method, `_OTHER` for an unknown one, `gRPC` for calls.
    pub method: String,
    /// Its route or gRPC method; empty where it has none.
    pub route: String,
    /// Its status, or `none`.
    pub status: String,
    /// The octave of its latency, such as `4 ms`, where coverage looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
}

/// What became of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindRow {
    /// Which.
    #[serde(flatten)]
    pub kind: KindName,
    /// Requests of it.
    pub requests: u64,
    /// Those that coverage keeps.
    pub kept: u64,
}

/// What coverage and request metrics would make of the kinds that there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindsForecast {
    /// Kinds in all.
    pub kinds: usize,
    /// Series of request metrics that the service with most of them has: one a kind, whatever its latency.
    pub series: usize,
    /// Requests that coverage keeps.
    pub kept: u64,
    /// Requests of a kind without an example that its budget refused.
    pub refused: u64,
    /// The rarest kinds, at most twenty.
    pub rarest: Vec<KindRow>,
}

/// A request, as coverage sees it.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Of [`Kinds`].
    pub(super) kind: u32,
    pub(super) service: usize,
    /// Unix nanoseconds.
    pub(super) ended: u64,
    /// Its trace begins with it.
    pub(super) is_root: bool,
    /// A failure keeps it already.
    pub(super) is_kept: bool,
}

/// All kinds so far.
pub(super) struct Kinds {
    settings: std::sync::Arc<Settings>,
    coverage: Option<CoveragePolicy>,
    numbers: HashMap<KindName, u32>,
    names: Vec<Known>,
}

struct Known {
    name: KindName,
    is_success: bool,
    requests: u64,
    kept: u64,
}

impl Kinds {
    /// `None` where neither coverage nor request metrics ask for kinds.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let settings = policy.names.as_ref().or(policy.metrics.as_ref())?;
        let coverage = policy.upgrade.coverage;
        Some(Self { settings: std::sync::Arc::clone(settings), coverage, numbers: HashMap::new(), names: Vec::new() })
    }

    /// The kind of a request.
    pub(super) fn number(&mut self, record: &Record) -> u32 {
        let (name, is_success) = self.name(record);
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(Known { name, is_success, requests: 0, kept: 0 });
        }
        if let Some(known) = self.names.get_mut(number as usize) {
            known.requests += 1;
        }
        number
    }

    fn name(&self, record: &Record) -> (KindName, bool) {
        let octave = |took: u64| (u64::BITS - (took / 1_000_000).leading_zeros()).checked_sub(1);
        let latency = self.coverage.filter(|coverage| coverage.latency);
        let latency =
            latency.map(|_| octave(record.took).map_or("0 ms".to_owned(), |octave| format!("{} ms", 1_u64 << octave)));
        let http = record.status.map_or("none".to_owned(), |status| status.to_string());
        let path = record.request.path.as_str();
        if let Some(status) = record.grpc_status {
            let route = if status == GrpcStatus::UNIMPLEMENTED { "" } else { path.trim_start_matches('/') };
            let name = KindName {
                method: "gRPC".to_owned(),
                route: route.to_owned(),
                status: status.name().to_owned(),
                latency,
            };
            return (name, status == GrpcStatus::OK && record.status == Some(200));
        }
        let known = METHODS.into_iter().find(|known| *known == record.request.method);
        let place = self.settings.routes.find(path.as_bytes());
        let route = place.and_then(|place| self.settings.routes.templates().get(usize::from(place)));
        let name = KindName {
            method: known.unwrap_or("_OTHER").to_owned(),
            route: route.cloned().unwrap_or_default(),
            status: http,
            latency,
        };
        (name, record.status.is_some_and(|status| (100..400).contains(&status)))
    }

    /// Which of these requests, in order of their end, coverage keeps.
    pub(super) fn cover(&mut self, requests: &[Request]) -> (Vec<bool>, KindsForecast) {
        let mut forecast = KindsForecast { kinds: self.names.len(), ..KindsForecast::default() };
        let mut envoys: HashMap<usize, EnvoyOf> = HashMap::new();
        let mut kept = Vec::with_capacity(requests.len());
        for request in requests {
            let envoy = envoys.entry(request.service).or_default();
            let slot = envoy.slots.entry(request.kind).or_default();
            let known = self.names.get_mut(request.kind as usize);
            let first = self.coverage.zip(known).is_some_and(|(coverage, known)| {
                coverage.looks(request.is_root, known.is_success)
                    && take(&coverage, slot, &mut envoy.arrival, request, &mut forecast.refused)
                    && !request.is_kept
                    && {
                        known.kept += 1;
                        true
                    }
            });
            forecast.kept += u64::from(first);
            kept.push(first);
        }
        forecast.series = envoys.values().map(|envoy| self.series(envoy)).max().unwrap_or_default();
        let mut rows: Vec<_> = self.names.iter().collect();
        rows.sort_by(|one, other| {
            (one.requests, &one.name.route, &one.name.status).cmp(&(
                other.requests,
                &other.name.route,
                &other.name.status,
            ))
        });
        let row = |known: &&Known| KindRow { kind: known.name.clone(), requests: known.requests, kept: known.kept };
        forecast.rarest = rows.iter().take(LISTED).map(row).collect();
        (kept, forecast)
    }
}

impl Kinds {
    /// Kinds of an Envoy that differ in more than the octave of their latency.
    fn series(&self, envoy: &EnvoyOf) -> usize {
        let names = envoy.slots.keys().filter_map(|kind| self.names.get(*kind as usize)).map(|known| &known.name);
        names.map(|name| (&name.method, &name.route, &name.status)).collect::<HashSet<_>>().len()
    }
}

/// One Envoy's memory.
#[derive(Default)]
struct EnvoyOf {
    /// What is known of each kind.
    slots: HashMap<u32, Vec<u8>>,
    /// The state of the budget.
    arrival: u64,
}

/// Whether a request is one of the first of its kind, and the budget has room for it.
fn take(
    coverage: &CoveragePolicy,
    slot: &mut Vec<u8>,
    arrival: &mut u64,
    request: &Request,
    refused: &mut u64,
) -> bool {
    let now = u32::try_from(request.ended / 1_000_000_000).unwrap_or(u32::MAX);
    match slot::arrive(slot, Kind::START, now, coverage.per_window, coverage.window_s) {
        Arrival::Known(_) => false,
        Arrival::First { slot: next, .. } => {
            let charged =
                if request.is_kept { Some(*arrival) } else { charge(&coverage.budget, *arrival, request.ended) };
            match charged {
                Some(state) => {
                    *arrival = state;
                    *slot = next;
                }
                None => *refused += 1,
            }
            charged.is_some()
        }
    }
}

/// Requests without a time are not charged.
fn charge(budget: &Budget, arrival: u64, ended: u64) -> Option<u64> {
    budget.charge(if ended == 0 { 0 } else { arrival }, ended)
}

/// Whether the rule of a request lets it be kept.
pub(super) fn may_be_kept(policy: &Policy, record: &Record) -> bool {
    let rule = record.request.with_facts(|facts| policy.sampling.first_match(facts, &mut Steps::default()));
    policy.sampling.rule(rule).is_none_or(|rule| rule.upgrade)
}
