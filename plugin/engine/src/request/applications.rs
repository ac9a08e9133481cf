//! The pod's own application asks which traces were upgraded here, and is answered by the filter itself
//! (`docs/applications.md`, section 5). Nothing reaches the upstream.

use super::headers::Lines;
use super::{Parts, attributes};
use crate::door::{Exchange, HeaderView, Host};
use crate::sampling::without_port;
use crate::shared::{polls, upgrade_log};
use crate::telemetry::Metric;
use crate::trace_context::{OWN_MARK, TRACEPARENT};
use crate::upgrade::mac::{self, Statement};
use crate::upgrade::recall::wire::Refusal;
use crate::upgrade::{ApplicationsPolicy, list};

/// What the access log shows as the reason of our answer.
const DETAILS: &str = "tracelift_applications";

/// Whether this listener lists upgrades: it must be one that the application's calls leave by.
pub fn is_for_us<X: Exchange>(parts: &Parts<'_, X>) -> bool {
    let policy = parts.policy;
    policy.upgrade.applications.enabled && !policy.edge && attributes::is_client(parts.exchange, policy.span_kind)
}

/// Answers the request; `false` where the host did not let us. Who is not authenticated learns nothing from the answer.
pub fn reply<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, headers: V) -> bool {
    let result = listed(parts, headers);
    let (metric, status, value) = match result {
        Ok(answer) => (Metric::PollsAnswered, 200, Some(answer)),
        Err(refusal) => {
            let metric = match refusal {
                Refusal::NotUnderstood => Metric::PollsRefused,
                Refusal::Denied => Metric::PollsDenied,
                Refusal::Busy => Metric::PollsBusy,
            };
            let version = (refusal == Refusal::NotUnderstood).then(|| list::VERSION.to_owned());
            (metric, refusal.status(), version)
        }
    };
    parts.metrics.count(metric);
    let header = value.as_ref().map(|value| (list::HEADER.as_bytes(), value.as_bytes()));
    if parts.exchange.answer(status, DETAILS, header.as_slice()).is_err() {
        parts.failed();
        return false;
    }
    true
}

/// The list, for whoever may have it. Authentication comes first.
fn listed<'a, X: Exchange, V: HeaderView<'a>>(parts: &mut Parts<'_, X>, headers: V) -> Result<String, Refusal> {
    let exchange = parts.exchange;
    let host = exchange.host();
    let path = headers.first(":path").unwrap_or_default();
    let now = host.now();
    let version = Lines(headers)
        .read_with(TRACEPARENT, |mark| authenticated(&parts.policy.upgrade.applications, mark, path, headers, now));
    let is_understood = version.flatten().ok_or(Refusal::Denied)?;
    let mut reader =
        list::read(path).filter(|_| is_understood && is_bare_get(headers)).ok_or(Refusal::NotUnderstood)?;
    if !parts.scope.limits.polls.admit(host) {
        return Err(Refusal::Busy);
    }
    let log = upgrade_log::bytes(host).unwrap_or_else(|| {
        parts.failed();
        Vec::new()
    });
    let news = list::news(&mut reader, &log);
    parts.metrics.add_count(Metric::UpgradesListed, news.traces.len() as u64);
    parts.metrics.add_count(Metric::UpgradesMissed, news.missed);
    polls::note(host, now);
    Ok(list::answer(&reader, &news))
}

/// Whether the version in the mark is the one that is understood; `None` where the MAC is not that of the application.
fn authenticated<'a, V: HeaderView<'a>>(
    policy: &ApplicationsPolicy,
    mark: &[u8],
    path: &[u8],
    headers: V,
    now: u64,
) -> Option<bool> {
    let purpose = str::from_utf8(mark.strip_prefix(OWN_MARK.as_bytes())?).ok()?;
    let audience = without_port(headers.first(":authority").unwrap_or_default()).to_ascii_lowercase();
    let asked = Statement { purpose, audience: &audience, content: path };
    let mac = headers.first(mac::HEADER).unwrap_or_default();
    asked.is_signed(policy.keys(), mac, now).then_some(purpose == list::PURPOSE)
}

/// A GET whose head announces no body.
fn is_bare_get<'a, V: HeaderView<'a>>(headers: V) -> bool {
    headers.first(":method") == Some(b"GET")
        && headers.first("transfer-encoding").is_none()
        && headers.first("content-length").is_none_or(|length| length == b"0")
}
