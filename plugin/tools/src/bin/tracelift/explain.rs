//! `tracelift explain`.

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tracelift::http::GrpcStatus;
use tracelift::trace_context::TraceId;
use tracelift::upgrade::Verdict;
use tracelift_tools::explain::{Answer, Explanation, Hop, Ids, Pod, Request, at_rate};

use crate::choice::{Choice, Chosen};
use crate::token::now;
use crate::{Outcome, file};

/// Tell what is decided about a request, step by step, and why
///
/// Without --traceparent and --trace-id a trace begins, with ids made from --seed.
#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    choice: Choice,
    /// Method of the request
    #[arg(long, default_value = "GET")]
    method: String,
    /// Path of the request, with its query
    #[arg(long, default_value = "/")]
    path: String,
    /// Authority of the request
    #[arg(long, default_value = "localhost")]
    host: String,
    /// A header of the request; may be given more than once
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The caller's context, as in the header of that name
    #[arg(long, conflicts_with = "trace_id")]
    traceparent: Option<String>,
    /// The id (32 hexadecimal digits) of the trace that begins here
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// HTTP status of the answer; 0 for no answer
    #[arg(long, default_value_t = 200)]
    status: u16,
    /// gRPC status of the answer, name or number
    #[arg(long, value_name = "STATUS")]
    grpc_status: Option<String>,
    /// Envoy's response flags, as access logs print them: UF,URX
    #[arg(long, default_value = "-")]
    flags: String,
    /// How long the answer took, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    duration_ms: u64,
    /// The answer broke off
    #[arg(long)]
    reset: bool,
    /// What the upstream's `x-tracelift-signal` says: upgraded or shed
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    told: Option<Verdict>,
    /// A header of the answer; may be given more than once
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    answer_header: Vec<(String, String)>,
    /// So many traces begin in this Envoy a second: by what ratio sampling.target decides then
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// The budgets of upgrades are spent
    #[arg(long)]
    budget_spent: bool,
    /// Where new ids come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Serialize)]
struct Printed<'a> {
    configuration: &'a str,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("found no `:`; write \"name: value\"")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && 0.0 <= *rate);
    rate.ok_or_else(|| "allowed is a number of traces a second, 0 or more".to_owned())
}

fn verdict(text: &str) -> Result<Verdict, String> {
    match text {
        "upgraded" => Ok(Verdict::Upgraded),
        "shed" => Ok(Verdict::Shed),
        _ => Err("allowed is upgraded or shed".to_owned()),
    }
}

impl Explain {
    /// Prints the steps.
    pub fn execute(&self, json: bool) -> Result<Outcome> {
        let Chosen { mut policy, which } = self.choice.read()?;
        let rate = self.rate.map(|rate| at_rate(&mut policy, rate));
        let mut headers = self.header.clone();
        if let Some(traceparent) = &self.traceparent {
            headers.push(("traceparent".to_owned(), traceparent.clone()));
        }
        let mut ids = Ids::new(self.seed);
        if let Some(id) = &self.trace_id {
            let trace_id = TraceId::parse(id.as_bytes()).ok();
            let trace_id = trace_id.with_context(|| {
                format!("--trace-id: found {id}; allowed are 32 lowercase hexadecimal digits, not all 0")
            })?;
            ids = Ids::of_trace(trace_id, self.seed);
        }
        let request =
            Request { method: self.method.clone(), path: self.path.clone(), host: self.host.clone(), headers };
        let mut pod = Pod::new(ids);
        if policy.force.is_some() {
            pod = pod.at(now()?);
        }
        let mut explanation = Hop::request(&policy, request, &pod).answer(&self.answer()?).explanation;
        if let Some(step) = rate {
            let decision = explanation.steps.iter().position(|step| step.topic == "decision");
            explanation.steps.insert(decision.unwrap_or_default(), step);
        }
        if json {
            file::print_json(&Printed { configuration: &which, explanation: &explanation })?
        } else {
            file::print(&text(&which, &explanation))?
        }
        Ok(Outcome::Fine)
    }

    fn answer(&self) -> Result<Answer> {
        let grpc_status = match &self.grpc_status {
            None => None,
            Some(text) => {
                let by_number = || GrpcStatus::from_code(text.parse().ok()?);
                let status = GrpcStatus::from_name(text).or_else(by_number);
                let allowed =
                    || format!("--grpc-status: found {text}; allowed is a name such as UNAVAILABLE, or 0 to 16");
                Some(status.with_context(allowed)?)
            }
        };
        if self.status != 0 && !(100..=599).contains(&self.status) {
            bail!("--status: found {}; allowed is 100 to 599, or 0 for no answer", self.status);
        }
        let answer = Answer {
            status: (self.status != 0).then_some(self.status),
            grpc_status,
            complete: self.status != 0 && !self.reset,
            duration_ms: self.duration_ms,
            told: self.told,
            headers: self.answer_header.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
            admit: !self.budget_spent,
            ..Answer::default()
        };
        answer.with_flags(&self.flags).map_err(|name| {
            anyhow::anyhow!("--flags: found {name}; allowed are Envoy's short names, joined by commas, as in UF,URX")
        })
    }
}

fn text(which: &str, explanation: &Explanation) -> String {
    let mut text = format!("{:<11} {which}\n", "settings");
    for step in &explanation.steps {
        text.push_str(&format!("{:<11} {}\n", step.topic, step.said));
    }
    text
}
