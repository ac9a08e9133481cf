//! A configuration's metrics: defined while it is made, changed from any thread.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tracelift::door::{Description, Kind};
use tracelift::telemetry;

use super::abi::{self, EnvoyConfig, EnvoyFilter, ModuleBuffer, SUCCESS};
use super::guard;

/// The counter of [`guard`], which the engine does not know.
const PANICS: Description = Description { name: "tracelift.panics", kind: Kind::Counter };

/// One metric of one configuration.
struct Defined {
    kind: Kind,
    /// Envoy's number for it.
    id: usize,
    /// Changes that wait for a stream, by which alone the oldest Envoy takes them.
    waiting: AtomicI64,
    /// What waits is a value to be set.
    is_set: AtomicBool,
}

/// All of them, in the order of the engine's table, and the module's own behind them.
pub struct Metrics {
    all: Vec<Option<Defined>>,
    waits: AtomicBool,
}

/// The place of a metric in that order: the same in every configuration, so that a worker may know it from any.
pub fn place(name: &str) -> Option<u32> {
    let place = telemetry::ALL.iter().position(|metric| metric.describe().name == name)?;
    u32::try_from(place).ok()
}

impl Metrics {
    /// Defines all metrics; only while the configuration's hook runs.
    pub fn define(config: EnvoyConfig) -> Self {
        let known = telemetry::ALL.iter().map(|metric| metric.describe());
        let all = known.chain([PANICS]).map(|metric| define(config, metric)).collect();
        Self { all, waits: AtomicBool::new(false) }
    }

    /// Adds to a counter (above 0 only) or a gauge (either way); `false` if it was not taken.
    pub fn add(&self, config: EnvoyConfig, metric: u32, offset: i64) -> bool {
        let Some(Some(metric)) = self.all.get(metric as usize) else { return false };
        let newer = abi::newer();
        let change = match (metric.kind, offset < 0) {
            (Kind::Counter, _) => newer.increment_counter,
            (_, false) => newer.increment_gauge,
            (_, true) => newer.decrement_gauge,
        };
        match change {
            // SAFETY: `config` lives, the id is its own, and there are no labels.
            Some(change) => unsafe { change(config, metric.id, std::ptr::null(), 0, offset.unsigned_abs()) == SUCCESS },
            None => {
                metric.waiting.fetch_add(offset, Ordering::Relaxed);
                self.waits.store(true, Ordering::Release);
                true
            }
        }
    }

    /// Records one value of a histogram, or sets a gauge. Where Envoy cannot, a gauge waits and a histogram has no value.
    pub fn record(&self, config: EnvoyConfig, metric: u32, value: u64) {
        let Some(Some(metric)) = self.all.get(metric as usize) else { return };
        let newer = abi::newer();
        let change = if metric.kind == Kind::Histogram { newer.record_histogram } else { newer.set_gauge };
        if let Some(change) = change {
            // SAFETY: as above.
            let _ = unsafe { change(config, metric.id, std::ptr::null(), 0, value) }; // A detail of a dashboard.
        } else if metric.kind == Kind::Gauge {
            metric.waiting.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
            metric.is_set.store(true, Ordering::Relaxed);
            self.waits.store(true, Ordering::Release);
        }
    }

    /// Passes what waits to Envoy by way of a stream.
    pub fn flush_by(&self, filter: EnvoyFilter) {
        if !self.waits.load(Ordering::Acquire) || !self.waits.swap(false, Ordering::AcqRel) {
            return;
        }
        for metric in self.all.iter().flatten() {
            let offset = metric.waiting.swap(0, Ordering::Relaxed);
            let change = match (metric.kind, offset) {
                _ if metric.is_set.swap(false, Ordering::Relaxed) => {
                    abi::envoy_dynamic_module_callback_http_filter_set_gauge
                }
                (_, 0) => continue,
                (Kind::Counter, _) => abi::envoy_dynamic_module_callback_http_filter_increment_counter,
                (_, 1..) => abi::envoy_dynamic_module_callback_http_filter_increment_gauge,
                _ => abi::envoy_dynamic_module_callback_http_filter_decrement_gauge,
            };
            // SAFETY: the stream's configuration defined the id, and there are no labels.
            let _ = unsafe { change(filter, metric.id, std::ptr::null(), 0, offset.unsigned_abs()) };
        }
    }

    /// Counts the panics that were not counted yet.
    pub fn count_panics(&self, config: EnvoyConfig) {
        static COUNTED: AtomicI64 = AtomicI64::new(0);
        let panics = i64::try_from(guard::panics()).unwrap_or(i64::MAX);
        let news = panics.saturating_sub(COUNTED.swap(panics, Ordering::Relaxed));
        if 0 < news {
            self.add(config, u32::try_from(telemetry::ALL.len()).unwrap_or(u32::MAX), news);
        }
    }
}

fn define(config: EnvoyConfig, metric: Description) -> Option<Defined> {
    let define = match metric.kind {
        Kind::Counter => abi::envoy_dynamic_module_callback_http_filter_config_define_counter,
        Kind::Gauge => abi::envoy_dynamic_module_callback_http_filter_config_define_gauge,
        Kind::Histogram => abi::envoy_dynamic_module_callback_http_filter_config_define_histogram,
    };
    let mut id = 0;
    // SAFETY: Envoy reads the name during the call and writes one number.
    let status = unsafe { define(config, ModuleBuffer::of(metric.name.as_bytes()), std::ptr::null(), 0, &mut id) };
    (status == SUCCESS).then(|| Defined {
        kind: metric.kind,
        id,
        waiting: AtomicI64::new(0),
        is_set: AtomicBool::new(false),
    })
}
