//! The engine's door to the page: JSON in, JSON out. Nothing is decided here.

use serde::{Deserialize, Serialize};
use tracelift::policy::Policy;
use tracelift::sampling::{Algorithm, Sampler};
use tracelift::trace_context::TraceId;
use tracelift_tools::explain::{Ids, MeshAnswer, MeshHop, Request, mesh};
use tracelift_tools::forecast::{Forecast, Lines, PriceTable, Rates, Replay, Skipped, forecast};
use tracelift_tools::manifest::{self, Report};
use wasm_bindgen::prelude::wasm_bindgen;

/// What [`check`] says.
#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    /// The general ratio of the first accepted configuration.
    ratio: Option<f64>,
    /// Its budget of upgrades, traces a second.
    budget: Option<f64>,
}

/// What [`explain`] is asked.
#[derive(Deserialize)]
struct Journey {
    request: Request,
    /// 32 hexadecimal digits for the trace that begins; not looked at where the request brings a context.
    trace_id: String,
    answer: MeshAnswer,
}

/// What [`curves`] is asked.
#[derive(Deserialize)]
struct Curves {
    rates: Rates,
    /// Traces a second that an Envoy may upgrade.
    budget: f64,
    /// Ratios, each 0 or 2^-56 to 1.
    ratios: Vec<f64>,
}

/// Checks a configuration or a manifest with one: findings with their places.
#[wasm_bindgen]
pub fn check(text: &str) -> String {
    let report = manifest::check(text);
    let policy = report.configurations.iter().find_map(|checked| checked.policy.as_ref());
    let ratio = policy.map(|policy| policy.sampling.fallback.share());
    let budget = policy.map(|policy| policy.upgrade.budget.rate());
    json(&Checked { report, ratio, budget })
}

/// Sends a request through a small mesh: every hop with its steps.
#[wasm_bindgen]
pub fn explain(configuration: &str, journey: &str) -> String {
    answer(|| {
        let policy = policy(configuration)?;
        let journey: Journey = serde_json::from_str(journey).map_err(|error| error.to_string())?;
        let trace_id = TraceId::parse(journey.trace_id.as_bytes())
            .map_err(|_| "trace-id: allowed are 32 lowercase hexadecimal digits, not all 0".to_owned())?;
        let mut ids = Ids::of_trace(trace_id, 7);
        if journey.request.header("traceparent").is_some() {
            ids = Ids::new(7);
        }
        let hops: Vec<MeshHop> = mesh(&policy, &journey.request, &journey.answer, ids);
        Ok(hops)
    })
}

/// What everything, the head alone and the policy cost and keep at each of these ratios.
#[wasm_bindgen]
pub fn curves(configuration: &str, question: &str) -> String {
    answer(|| {
        let mut policy = policy(configuration)?;
        let question: Curves = serde_json::from_str(question).map_err(|error| error.to_string())?;
        let rules = std::mem::take(&mut policy.sampling.rules).len(); // The sliders say how much is sampled.
        let is_adaptive = policy.sampling.pace.take().is_some();
        policy.upgrade.budget =
            tracelift::upgrade::Budget::per_second(question.budget).map_err(|error| format!("{error:?}"))?;
        let at = |ratio: &f64| -> Result<Forecast, String> {
            let mut policy = policy.clone();
            policy.sampling.fallback =
                Sampler::new(Algorithm::Consistent, *ratio).map_err(|error| format!("ratio {error}"))?;
            let mut forecast = forecast(&policy, question.rates.clone(), &PriceTable::xray())?;
            if 0 < rules {
                forecast.notes.push(format!(
                    "The configuration's rules ({rules}) are left out here: the slider is the ratio of all. `tracelift forecast` takes their shares, or an access log"
                ));
            }
            if is_adaptive {
                forecast
                    .notes
                    .push("`sampling.target` and `sampling.boost` are left out here: what they do is below".to_owned());
            }
            Ok(forecast)
        };
        question.ratios.iter().map(at).collect::<Result<Vec<_>, _>>()
    })
}

/// What would become of the requests of an access log: costs, and the rate over time where there is a target or a boost.
#[wasm_bindgen]
pub fn replay(configuration: &str, log: &str) -> String {
    answer(|| {
        let policy = policy(configuration)?;
        let (mut lines, mut replay) = (Lines::default(), Replay::new(&policy));
        for line in log.lines() {
            lines.take(line).iter().for_each(|record| replay.take(record));
        }
        lines.finish();
        let mut forecast = replay.forecast(None, &PriceTable::xray()).map_err(|error| error.to_string())?;
        forecast.notes.extend(lines.skipped().map(Skipped::text));
        Ok(forecast)
    })
}

fn policy(configuration: &str) -> Result<Policy, String> {
    let policy = manifest::check(configuration).policies().next();
    policy.map(|(_, policy)| policy).ok_or_else(|| "the configuration is refused".to_owned())
}

/// `{"ok": …}` or `{"error": "…"}`.
fn answer<T: Serialize>(ask: impl FnOnce() -> Result<T, String>) -> String {
    match ask() {
        Ok(value) => json(&serde_json::json!({ "ok": value })),
        Err(error) => json(&serde_json::json!({ "error": error })),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_swallowed_failure_is_kept_up_to_the_gateway() {
        let journey = json!({
            "request": { "method": "GET", "path": "/cart", "host": "shop.example" },
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "answer": { "status": 503, "swallowed_by": "web" },
        });
        let hops = read(&explain(r#"{"sampling": {"ratio": 0.01}}"#, &journey.to_string()));
        let of =
            |key: &str| hops["ok"].as_array().expect("hops").iter().map(|hop| hop[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("status"), [200, 200, 503, 503, 503, 503]);
        assert_eq!(of("kept"), [true; 6]);
        assert_eq!(of("trigger"), ["signal", "signal", "http_status", "http_status", "http_status", "http_status"]);
        assert_eq!(of("sampled"), [false; 6]);
    }

    #[test]
    fn what_is_refused_is_said_and_nothing_is_explained_with_it() {
        let checked = read(&check(r#"{"edge": 1}"#));
        assert_eq!((&checked["findings"][0]["column"], &checked["ratio"]), (&json!(10), &Value::Null));
        assert_eq!(read(&explain(r#"{"edge": 1}"#, "{}")), json!({ "error": "the configuration is refused" }));
        assert!(read(&explain("{}", "{}"))["error"].is_string());
    }

    #[test]
    fn a_log_is_replayed_with_the_rate_over_time_and_what_is_no_log_is_said() {
        let line = |second: u32| {
            format!(
                "[2026-11-21T10:{:02}:{:02}.000Z] \"GET /cart HTTP/1.1\" 200 - 0 5 3 3 \"-\" \"curl\" \"r\" \"shop\" \"10.0.0.1:80\"\n",
                second / 60,
                second % 60
            )
        };
        let log: String = (0..600).map(line).collect();
        let said = read(&replay(r#"{"sampling": {"target": {"traces_per_second": 0.1}}}"#, &log));
        assert_eq!(
            (&said["ok"]["adaptive"]["target_per_second"], said["ok"]["rows"].as_array().map(Vec::len)),
            (&json!(0.1), Some(3))
        );
        assert_eq!(said["ok"]["adaptive"]["points"].as_array().map(Vec::len), Some(120));
        assert_eq!(read(&replay("{}", &log))["ok"]["adaptive"], Value::Null);
        assert!(read(&replay("{}", "hello"))["error"].is_string());
    }

    #[test]
    fn curves_have_one_forecast_for_each_ratio() {
        let question = json!({ "rates": Rates::default(), "budget": 100, "ratios": [0.0, 0.01, 1.0] });
        let forecasts = read(&curves("{}", &question.to_string()));
        let spans =
            |at: usize, row: usize| forecasts["ok"][at]["rows"][row]["spans_per_second"].as_f64().expect("a number");
        assert_eq!((spans(0, 0), spans(0, 1), spans(0, 2)), (8000.0, 0.0, 40.0));
        assert_eq!((spans(2, 0), spans(2, 1), spans(2, 2)), (8000.0, 8000.0, 8000.0));
    }
}
