//! The figures of the cost report, as JSON, and how they compare with those that were accepted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What may be more without being a rise: a newer compiler moves figures a little.
const TOLERANCE: f64 = 1.05;

/// One request of a kind, the middle of many. Fuel is Wasm instructions as Wasmtime counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFigures {
    pub hostcalls: u64,
    /// Those that return a value: the host calls back into the VM to allocate.
    pub returning: u64,
    pub fuel: u64,
    /// The dearest of all that were measured.
    pub worst_fuel: u64,
}

/// One export and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFigures {
    pub hostcalls: u64,
    pub returning: u64,
    pub fuel: u64,
    pub fuel_per_span: u64,
    pub body_bytes: u64,
    /// Memory of the worker's VM afterwards.
    pub worker_bytes: u64,
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub module_bytes: u64,
    pub worker_bytes_at_start: u64,
    pub worker_bytes_after_10000_requests: u64,
    pub idle_tick_fuel: u64,
    pub requests: Vec<(String, RequestFigures)>,
    pub exports: Vec<(String, ExportFigures)>,
}

impl Figures {
    /// As it is written to a file, keys sorted.
    pub fn to_json(&self) -> Value {
        let requests = self.requests.iter().map(|(name, it)| {
            let figures = json!({"hostcalls": it.hostcalls, "returning": it.returning, "fuel": it.fuel,
                                 "worst_fuel": it.worst_fuel});
            (name.clone(), figures)
        });
        let exports = self.exports.iter().map(|(name, it)| {
            let figures = json!({"hostcalls": it.hostcalls, "returning": it.returning, "fuel": it.fuel,
                                 "fuel_per_span": it.fuel_per_span, "body_bytes": it.body_bytes,
                                 "worker_bytes": it.worker_bytes});
            (name.clone(), figures)
        });
        json!({
            "module_bytes": self.module_bytes,
            "worker_bytes_at_start": self.worker_bytes_at_start,
            "worker_bytes_after_10000_requests": self.worker_bytes_after_10000_requests,
            "idle_tick_fuel": self.idle_tick_fuel,
            "requests": Value::Object(requests.collect::<Map<_, _>>()),
            "exports": Value::Object(exports.collect::<Map<_, _>>()),
        })
    }
}

/// Where the accepted figures are kept.
pub fn accepted_path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cost.json")
}

/// Every figure that is more than 5 % above the accepted one, or has none: `path: accepted -> found`.
pub fn rises(accepted: &Value, found: &Value) -> Vec<String> {
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    flatten("", accepted, &mut before);
    flatten("", found, &mut now);
    let rises = now.into_iter().filter_map(|(path, now)| match before.get(&path) {
        None => Some(format!("{path}: not yet accepted -> {now}")),
        Some(before) => (*before as f64 * TOLERANCE < now as f64).then(|| format!("{path}: {before} -> {now}")),
    });
    rises.collect()
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, u64>) {
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                flatten(&if path.is_empty() { key.clone() } else { format!("{path} / {key}") }, entry, into);
            }
        }
        other => {
            into.insert(path.to_owned(), other.as_u64().unwrap_or(0));
        }
    }
}
