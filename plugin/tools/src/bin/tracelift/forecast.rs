//! `tracelift forecast`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tracelift_tools::forecast::{self, Lines, PriceTable, Rates, Replay, Skipped};

use crate::choice::{Choice, Chosen};
use crate::style::{dollars, percent, short, table};
use crate::{Outcome, curve, file};

/// Forecast spans, bytes, the monthly bill and how whole failed traces stay
///
/// Compares keeping everything, the head decision alone and the policy with its upgrades. With --from the requests that really
/// happened are decided again, by the rules too; without it, the rates are what is known, and --rule-share says how many traces
/// each rule decides. With --from, sampling.target and sampling.boost steer through the log as in the filter: the rate over time,
/// what changed it, and the spend of a month are printed. Formats of --from, recognised by themselves: access
/// logs of Envoy (the default text, Istio's, the one of the shipped configurations, JSON with Envoy's, Istio's or Envoy
/// Gateway's field names) and OTLP in JSON, as the collector's file exporter writes it. What kubectl, Docker, CRI and
/// collectors put around a line is taken off, and gzip undone. What is left out is summed up by its reason; the exit code is
/// 1 when that is most of the file.
#[derive(Args)]
pub struct Forecast {
    #[command(flatten)]
    choice: Choice,
    /// Access log or OTLP dump; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// How long it took for these requests to come (90s, 15m, 1h, 7d), where the file does not say it or says it wrong
    #[arg(long, value_name = "TIME", requires = "from", value_parser = seconds)]
    window: Option<f64>,
    /// Traces that begin, a second
    #[arg(long, value_name = "RATE", default_value_t = Rates::default().traces_per_second, conflicts_with = "from")]
    traces_per_second: f64,
    /// Spans of proxies in one trace
    #[arg(long, value_name = "SPANS", default_value_t = Rates::default().spans_per_trace, conflicts_with = "from")]
    spans_per_trace: f64,
    /// Share of the traces in which something fails: 0 to 1, or in percent as in 5%
    #[arg(long, value_name = "SHARE", default_value_t = Rates::default().failed_share, conflicts_with = "from", value_parser = share)]
    failed_share: f64,
    /// Spans from the failure up to the root, on average
    #[arg(long, value_name = "SPANS", default_value_t = Rates::default().chain_spans, conflicts_with = "from")]
    chain_spans: f64,
    /// Envoys that see the failures first; each has the budget of the configuration
    #[arg(long, value_name = "NUMBER", default_value_t = Rates::default().envoys, conflicts_with = "from")]
    envoys: f64,
    /// Share of the traces (0 to 1, or in percent) that the rule of this name decides, as in probes=0.2; one for each rule
    #[arg(long, value_name = "RULE=SHARE", conflicts_with = "from", value_parser = rule_share)]
    rule_share: Vec<(String, f64)>,
    /// Prices: xray, none, or a JSON file with per_million_traces, free_traces, per_million_spans, per_gigabyte, name, read
    #[arg(long, default_value = "xray")]
    prices: String,
}

/// Reads `90s`, `15m`, `1.5h`, `7d`.
fn seconds(text: &str) -> Result<f64, String> {
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86_400.0)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let number = unit.and_then(|(unit, size)| Some(text.strip_suffix(*unit)?.parse::<f64>().ok()? * size));
    number
        .filter(|seconds| 0.0 < *seconds && seconds.is_finite())
        .ok_or_else(|| "allowed is a number with s, m, h or d, such as 15m".to_owned())
}

/// Reads `probes=0.2`. A name may have an equals sign in it, a number none.
fn rule_share(text: &str) -> Result<(String, f64), String> {
    let (name, share) = text.rsplit_once('=').ok_or("found no `=`; write RULE=SHARE, as in probes=0.2")?;
    Ok((name.to_owned(), self::share(share)?))
}

/// Reads `0.05` and `5%`.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').map(|number| (number.trim_end(), 100.0));
    let (number, whole) = percent.unwrap_or((text, 1.0));
    let share = number.parse().ok().map(|number: f64| number / whole).filter(|share| (0.0..=1.0).contains(share));
    let allowed = "allowed is a number from 0 to 1, or percent as in 5%";
    share.ok_or_else(|| match number.parse::<f64>() {
        Ok(number) if percent.is_none() && (1.0..=100.0).contains(&number) => {
            format!("found {text}; {allowed}. Did you mean {text}%?")
        }
        _ => format!("found {text}; {allowed}"),
    })
}

#[derive(Serialize)]
struct Printed<'a> {
    configuration: &'a str,
    #[serde(flatten)]
    forecast: &'a forecast::Forecast,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<Vec<&'a Skipped>>,
}

impl Forecast {
    /// Prints the comparison.
    pub fn execute(&self, json: bool) -> Result<Outcome> {
        let Chosen { policy, which } = self.choice.read()?;
        let prices = self.prices()?;
        let mut lines = None;
        let mut result = match &self.from {
            Some(path) => {
                let mut replay = Replay::new(&policy);
                let read = read(path, &mut replay)?;
                let left_out: Vec<_> = read.skipped().map(Skipped::text).collect();
                lines = Some(read);
                replay.forecast(self.window, &prices).with_context(|| match left_out.is_empty() {
                    true => path.display().to_string(),
                    false => format!("{} ({})", path.display(), left_out.join(" ")),
                })?
            }
            None => {
                let rates = Rates {
                    traces_per_second: self.traces_per_second,
                    spans_per_trace: self.spans_per_trace,
                    failed_share: self.failed_share,
                    chain_spans: self.chain_spans,
                    envoys: self.envoys,
                    rule_shares: self.rule_share.iter().cloned().collect(),
                };
                forecast::forecast(&policy, rates, &prices).map_err(anyhow::Error::msg)?
            }
        };
        let is_poor = lines.as_ref().is_some_and(Lines::is_mostly_skipped);
        if let Some(lines) = &lines {
            result.notes.extend(lines.skipped().map(Skipped::text));
        }
        if is_poor {
            result.notes.push("Most of the file was left out: do not rely on these figures.".to_owned());
        }
        if json {
            let read_lines = lines.as_ref().map(|lines| lines.read);
            let refused_lines = lines.as_ref().map(Lines::refused);
            let left_out = lines.as_ref().map(|lines| lines.skipped().collect());
            let printed = Printed { configuration: &which, forecast: &result, read_lines, refused_lines, left_out };
            file::print_json(&printed)?;
        } else {
            file::print(&text(&which, &result))?;
        }
        Ok(if is_poor { Outcome::Findings } else { Outcome::Fine })
    }

    fn prices(&self) -> Result<PriceTable> {
        match self.prices.as_str() {
            "xray" => Ok(PriceTable::xray()),
            "none" => Ok(PriceTable { name: "no prices".to_owned(), ..PriceTable::default() }),
            path => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!("--prices: found {path}; allowed is xray, none or a file that can be read")
                })?;
                serde_json::from_str(&text).with_context(|| format!("{path} is not a valid table of prices"))
            }
        }
    }
}

/// Reads line by line, with a line of progress on a terminal.
#[allow(clippy::disallowed_methods, reason = "progress is shown as time passes")]
fn read(path: &std::path::Path, replay: &mut Replay<'_>) -> Result<Lines> {
    let mut lines = Lines::default();
    let mut shown = Instant::now();
    let shows = std::io::stderr().is_terminal();
    let mut reader = file::open_log(path)?;
    let mut line = Vec::new();
    let mut count = 0_u64;
    loop {
        line.clear();
        count += 1;
        let size = reader.read_until(b'\n', &mut line).with_context(|| format!("could not read {}", path.display()))?;
        if size == 0 {
            break;
        }
        for record in lines.take(&String::from_utf8_lossy(&line)) {
            replay.take(&record);
        }
        if shows && Duration::from_millis(500) < shown.elapsed() {
            shown = Instant::now();
            eprint!("\r{count} lines read");
            std::io::stderr().flush()?;
        }
    }
    if shows {
        eprint!("\r\x1b[K");
    }
    lines.finish();
    if lines.read == 0 {
        let why: Vec<_> = lines.skipped().map(Skipped::text).collect();
        let why = if why.is_empty() { "it is empty".to_owned() } else { why.join(" ") };
        bail!("{} holds no access log and no OTLP that could be read: {why}", path.display());
    }
    Ok(lines)
}

fn text(which: &str, result: &forecast::Forecast) -> String {
    let head = [
        "",
        "spans/s",
        "bytes/s",
        "traces/month",
        "spans/month",
        "bill/month",
        "failed chains whole",
        "their spans kept",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &result.rows {
        rows.push(vec![
            row.policy.to_owned(),
            short(row.spans_per_second),
            short(row.bytes_per_second),
            short(row.traces_per_month),
            short(row.spans_per_month),
            dollars(row.dollars_per_month),
            percent(row.chains_complete),
            percent(row.failed_spans_kept),
        ]);
    }
    let mut text = format!("{}\n\n{}\n", result.basis, table(&rows));
    if let Some(adaptive) = &result.adaptive {
        text.push_str(&format!("{}\n", curve::text(adaptive)));
    }
    if let Some(kinds) = &result.kinds {
        text.push_str(&format!("{}\n", kinds_text(kinds)));
    }
    text.push_str(&format!("A month has 730 hours. Prices: {} ({}).\n", result.prices.name, result.prices.read));
    text.push_str(&format!("Configuration: {which}.\n"));
    for note in &result.notes {
        text.push_str(&format!("Note: {note}\n"));
    }
    text
}

/// The rarest kinds and what coverage keeps of them.
fn kinds_text(kinds: &forecast::KindsForecast) -> String {
    let mut rows = vec![["kind", "route", "status", "requests", "covered"].map(str::to_owned).to_vec()];
    for row in &kinds.rarest {
        let latency = row.kind.latency.iter().map(|latency| format!(", {latency}"));
        rows.push(vec![
            std::iter::once(row.kind.method.clone()).chain(latency).collect(),
            row.kind.route.clone(),
            row.kind.status.clone(),
            row.requests.to_string(),
            row.kept.to_string(),
        ]);
    }
    table(&rows)
}
