//! The engine's door, as proxy-wasm has it: both halves have no size, since a VM has one thread and the host knows which context
//! is in effect.

use tracelift::door::{Attribute, Description, Exchange, Host, Kind, Level, Part, Refused, Side, Value, Wanted};
use tracelift::http::pairs::{self, Encoded};

use super::abi::{Buffer, Map, Metric, Status};
use super::{attributes, host};

/// This VM.
pub struct Vm;

/// The stream whose callback runs.
pub struct Stream;

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(status.0)
    }
}

impl Host for Vm {
    fn now(&self) -> u64 {
        host::now()
    }

    fn random(&self, bytes: &mut [u8]) -> bool {
        host::entropy(bytes)
    }

    fn shared(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Refused> {
        Ok(host::shared(key)?)
    }

    fn swap(&self, key: &[u8], value: &[u8], mark: u32) -> Result<bool, Refused> {
        Ok(host::set_shared(key, value, mark)?)
    }

    fn call(&self, cluster: &str, headers: &[(&[u8], &[u8])], body: &[u8], timeout_ms: u32) -> Result<u32, Refused> {
        Ok(host::http_call(cluster, &pairs::encode(headers), body, timeout_ms)?)
    }

    fn answer_part(&self, part: Part) -> Vec<u8> {
        match part {
            Part::Headers => host::map_bytes(Map::CalloutHeaders),
            Part::Trailers => host::map_bytes(Map::CalloutTrailers),
            Part::Body { max } => host::buffer(Buffer::CalloutBody, max),
        }
        .unwrap_or_default()
    }

    fn as_root(&self, root: u32, stream: u32, work: impl FnOnce()) -> Result<(), Refused> {
        if host::set_effective_context(root).is_err() {
            return Ok(()); // What is queued is sent on the next tick.
        }
        work();
        Ok(host::set_effective_context(stream)?)
    }

    fn number_of(&self, root: u32, stream: u32, attribute: Attribute) -> Option<i64> {
        host::set_effective_context(stream).ok()?;
        let number = attributes::number(attribute);
        let _ = host::set_effective_context(root); // It was in effect a moment ago, and the tick that asks goes on as it.
        number
    }

    fn tick_every(&self, milliseconds: u32) {
        let _ = host::set_tick_period(milliseconds); // A host without ticks exports whole batches only.
    }

    fn done(&self) {
        let _ = host::done(); // Only the host's memory of this context is at stake.
    }

    fn log(&self, level: Level, text: &str) {
        host::log(level, text);
    }

    fn define(&self, metric: Description) -> Option<u32> {
        let kind = match metric.kind {
            Kind::Counter => Metric::Counter,
            Kind::Gauge => Metric::Gauge,
            Kind::Histogram => Metric::Histogram,
        };
        host::define_metric(kind, metric.name).ok()
    }

    fn add(&self, metric: u32, offset: i64) -> bool {
        host::increment_metric(metric, offset).is_ok()
    }

    fn record(&self, metric: u32, value: u64) {
        let _ = host::record_metric(metric, value); // A detail of a dashboard.
    }

    fn prepare(&self, root: u32, wanted: &[Wanted]) {
        attributes::prepare(root, wanted);
    }
}

impl Exchange for Stream {
    type Host = Vm;
    type Headers<'a> = Encoded<'a>;

    /// Without a slot it is dearer: the configuration says which.
    const GAINS_BY_SLOTS: bool = true;

    fn host(&self) -> &Vm {
        &Vm
    }

    /// Whole, because a value that comes back from the host is what costs: Envoy's host builds a list of allowed functions for
    /// each memory that it asks us for. And the first search for a header that Envoy has no slot for makes it index all of them.
    fn headers<T>(&self, side: Side, work: impl FnOnce(Result<Encoded<'_>, Refused>) -> T) -> T {
        host::with_map(map(side), |bytes| work(bytes.map(Encoded).map_err(Refused::from)))
    }

    fn header<T>(&self, side: Side, name: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
        host::with_header(map(side), name, read)
    }

    fn copied(&self, side: Side, _wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        host::map_bytes(map(side)).unwrap_or_default()
    }

    fn add(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        Ok(host::add_header(map(side), name, value)?)
    }

    fn replace(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        Ok(host::replace_header(map(side), name, value)?)
    }

    fn remove(&self, side: Side, name: &str) -> Result<(), Refused> {
        Ok(host::remove_header(map(side), name)?)
    }

    fn number(&self, attribute: Attribute) -> Option<i64> {
        attributes::number(attribute)
    }

    fn text<T>(&self, attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T {
        attributes::text(attribute, read)
    }

    fn attributes(&self, root: u32, wanted: Wanted, take: impl FnMut(Attribute, Value<'_>)) -> bool {
        attributes::together(root, wanted, take)
    }

    fn answer(&self, status: u32, details: &str, headers: &[(&[u8], &[u8])]) -> Result<(), Refused> {
        Ok(host::send_local_response(status, details, headers)?)
    }

    fn note(&self, key: &str, value: &str) {
        let _ = host::set_filter_state(key, value); // Without filter state the traceparent is still in the log.
    }
}

fn map(side: Side) -> Map {
    match side {
        Side::Request => Map::RequestHeaders,
        Side::Response => Map::ResponseHeaders,
        Side::Trailers => Map::ResponseTrailers,
    }
}
