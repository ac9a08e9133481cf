//! One trace at the end, with the spans of both collectors.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tracelift_envoy::{Collector, ReceivedSpan};

/// A request that goes well, as the application's own spans tell it; but for those of sending, which ASGI makes.
pub const VISIT: [&str; 5] = ["SERVER", "load reviews", "read cache", "rank reviews", "GET"];

/// The way from the callee's proxy up to the gateway, where the application's spans are in it.
pub const WAY: [&str; 8] = [
    "ratings SERVER",
    "reviews CLIENT",
    "GET",
    "rank reviews",
    "SERVER",
    "reviews SERVER",
    "gateway CLIENT",
    "gateway SERVER",
];

pub struct Trace {
    proxies: Vec<ReceivedSpan>,
    application: Vec<ReceivedSpan>,
}

impl Trace {
    pub fn of(trace_id: &str, proxies: &Collector, sdk: &Collector) -> Self {
        Self { proxies: proxies.trace(trace_id), application: sdk.trace(trace_id) }
    }

    /// What is missing, twice or loose. The application's spans are exactly those of these names, in any order; ASGI's own spans
    /// of sending are let pass. `client` is a parent that is exported nowhere.
    pub fn defect(&self, client: &str, proxies: usize, application: &[&str]) -> Option<String> {
        if self.proxies.len() != proxies {
            return Some(format!("{} spans of proxies, not {proxies}", self.proxies.len()));
        }
        let mut found: Vec<_> = self.application.iter().filter(|span| !is_of_asgi(span)).map(step_of_sdk).collect();
        let mut wanted: Vec<_> = application.iter().map(|name| (*name).to_owned()).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        if found != wanted {
            return Some(format!("the application's spans are {found:?}, not {wanted:?}"));
        }
        let ids: BTreeSet<_> = self.all().map(ReceivedSpan::span_id).collect();
        if ids.len() != self.all().count() {
            return Some("a span was exported twice".to_owned());
        }
        let roots = self.all().filter(|span| span.parent_span_id() == client).count();
        let loose = self.all().find(|span| span.parent_span_id() != client && !ids.contains(&span.parent_span_id()));
        match loose {
            Some(span) => Some(format!("{}: its parent {} is nowhere", span.name(), span.parent_span_id())),
            None if roots != 1 => Some(format!("{roots} spans below the client")),
            None => None,
        }
    }

    /// The only span of that proxy, of that kind.
    pub fn proxy(&self, service: &str, kind: SpanKind) -> &ReceivedSpan {
        let mut found = self.proxies.iter().filter(|span| span.service_name() == service && span.kind() == kind);
        let (Some(span), None) = (found.next(), found.next()) else { panic!("not one {kind:?} of {service}\n{self}") };
        span
    }

    /// The steps from a span up to the uppermost one.
    pub fn way_up(&self, from: &ReceivedSpan) -> Vec<String> {
        let by_id: BTreeMap<_, _> = self.all().map(|span| (span.span_id(), span)).collect();
        let (mut way, mut at) = (Vec::new(), Some(from));
        // A circle ends, too.
        while let Some(span) = at.filter(|_| way.len() < by_id.len()) {
            way.push(self.step(span));
            at = by_id.get(&span.parent_span_id()).copied();
        }
        way
    }

    /// Why the application's spans were released. What began after that was sampled, and does not say.
    pub fn triggers(&self) -> BTreeSet<&str> {
        self.application.iter().filter_map(ReceivedSpan::trigger).collect()
    }

    /// Why the proxies kept theirs.
    pub fn triggers_of_proxies(&self) -> BTreeSet<&str> {
        self.proxies.iter().filter_map(ReceivedSpan::trigger).collect()
    }

    fn all(&self) -> impl Iterator<Item = &ReceivedSpan> {
        self.proxies.iter().chain(&self.application)
    }

    fn step(&self, span: &ReceivedSpan) -> String {
        let is_of_proxy = self.proxies.iter().any(|proxy| proxy.span_id() == span.span_id());
        if is_of_proxy { format!("{} {}", span.service_name(), kind(span)) } else { step_of_sdk(span) }
    }
}

/// By its name; the one of the request by its kind, because frameworks name it each in its own way.
fn step_of_sdk(span: &ReceivedSpan) -> String {
    if span.kind() == SpanKind::Server { kind(span) } else { span.name().to_owned() }
}

fn kind(span: &ReceivedSpan) -> String {
    format!("{:?}", span.kind()).to_uppercase()
}

/// `GET /reviews/{item} http send`.
fn is_of_asgi(span: &ReceivedSpan) -> bool {
    span.kind() == SpanKind::Internal && (span.name().ends_with(" http send") || span.name().ends_with(" http receive"))
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for span in self.all() {
            let (id, parent, trigger) = (span.span_id(), span.parent_span_id(), span.trigger().unwrap_or("-"));
            writeln!(f, "{:<16} {id} below {parent} {:<22} {trigger}", self.step(span), span.name())?;
        }
        Ok(())
    }
}
