//! Whether counts from spans are right: the sum of adjusted counts of the spans that were exported, held against the exact counts of
//! request metrics, in every stratum. One check for what the module does and for faults that are planted into it.

use std::collections::BTreeMap;

use tracelift_host::otlp::{ExportedSpan, Value};

/// Standard deviations that chance may be off: in one of some hundred strata once in a hundred runs, if seeds were not fixed.
pub const SIGMAS: f64 = 4.0;
/// A stratum of its own has at least so many spans that chance kept, so that a normal distribution is near; smaller ones are put together.
const MANY: f64 = 100.0;
/// The same within one run, where only the spread of all deviations matters.
const SOME: f64 = 10.0;
/// R and T are below this.
const RANGE: f64 = (1_u64 << 56) as f64;

/// Method, route and status.
pub type Kind = (String, String, u16);

/// A span as the check sees it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub kind: Kind,
    /// Requests that it stands for, by the `th` of its tracestate.
    pub adjusted: f64,
    /// R of its trace as a share: the head samples it at a ratio above `1 - randomness`.
    pub randomness: f64,
    /// In which part of the run it came.
    pub batch: usize,
}

/// One run: how many requests there were of each kind, and the spans of some of them.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub exact: BTreeMap<Kind, u64>,
    pub spans: Vec<Kept>,
}

/// Reads a span.
pub fn kept(span: &ExportedSpan, batch: usize) -> Kept {
    let text = |key: &str| match span.attribute(key) {
        Value::Text(text) => text,
        other => panic!("{key} is {other:?}: {span:?}"),
    };
    let Value::Int(status) = span.attribute("http.response.status_code") else { panic!("no status: {span:?}") };
    let threshold = threshold(&span.span.trace_state).unwrap_or_else(|| panic!("no th: {span:?}"));
    let randomness = u64::from_str_radix(&span.trace_id()[18..], 16).expect("hexadecimal digits");
    Kept {
        kind: (text("http.request.method"), text("http.route"), u16::try_from(status).expect("a status")),
        adjusted: RANGE / (RANGE - threshold as f64),
        randomness: randomness as f64 / RANGE,
        batch,
    }
}

/// `th` of a tracestate: up to 14 digits, of which zeros at the end are left out.
fn threshold(tracestate: &str) -> Option<u64> {
    let ours = tracestate.split(',').find_map(|member| member.strip_prefix("ot="))?;
    let digits = ours.split(';').find_map(|field| field.strip_prefix("th:"))?;
    u64::from_str_radix(&format!("{digits:0<14}"), 16).ok()
}

/// The kind that a series of request metrics counts.
pub fn kind_of(series: &str) -> Kind {
    let value = |key: &str| {
        let (_, rest) = series.split_once(&format!("{key}=")).unwrap_or_else(|| panic!("no {key} in {series}"));
        rest.split([',', '}']).next().unwrap_or_default().to_owned()
    };
    let status = value("http.response.status_code").parse().expect("a status");
    (value("http.request.method"), value("http.route"), status)
}

/// The share of requests of a kind that the head keeps.
pub type Share = fn(&Kind) -> f64;

/// What estimate and number differ by, and the variance that chance gives that difference.
#[derive(Clone, Copy, Default)]
struct Stratum {
    difference: f64,
    variance: f64,
}

impl Stratum {
    fn add(&mut self, other: Self) {
        self.difference += other.difference;
        self.variance += other.variance;
    }

    /// Standard deviations; where nothing is left to chance, any difference is too large.
    fn z(self) -> f64 {
        if self.difference == 0.0 { 0.0 } else { self.difference / self.variance.sqrt() }
    }
}

/// The strata of each kind, summed over runs. What is kept whole (`th:0`) is certain: whether it is depends on the outcome, the time and the
/// order of arrival, and never on R.
fn by_kind<'a>(runs: impl IntoIterator<Item = &'a Run>, share: Share) -> BTreeMap<&'a Kind, (f64, Stratum)> {
    let mut all = BTreeMap::<&Kind, (f64, f64, f64)>::new(); // Number, estimate, certain ones.
    for run in runs {
        for (kind, count) in &run.exact {
            all.entry(kind).or_default().0 += *count as f64;
        }
        for span in &run.spans {
            let entry = all.entry(&span.kind).or_default();
            entry.1 += span.adjusted;
            entry.2 += f64::from(u8::from(span.adjusted == 1.0));
        }
    }
    let stratum = |(kind, (number, estimate, certain)): (&'a Kind, (f64, f64, f64))| {
        let left = (number - certain).max(0.0);
        let variance = left * (1.0 - share(kind)) / share(kind);
        (kind, (left * share(kind), Stratum { difference: estimate - number, variance }))
    };
    all.into_iter().map(stratum).collect()
}

/// The deviation of every stratum, in standard deviations: each kind, each method, route and status, and all together.
pub fn deviations<'a>(runs: impl IntoIterator<Item = &'a Run>, share: Share) -> BTreeMap<String, f64> {
    let mut strata = BTreeMap::<String, Stratum>::new();
    for ((method, route, status), (expected, stratum)) in by_kind(runs, share) {
        let own = if expected < MANY { format!("rare {method}") } else { format!("{method} {route} {status}") };
        for name in
            [own, format!("method {method}"), format!("route {route}"), format!("status {status}"), "all".into()]
        {
            strata.entry(name).or_default().add(stratum);
        }
    }
    strata.into_iter().map(|(name, stratum)| (name, stratum.z())).collect()
}

/// The largest deviation, with its stratum.
pub fn worst(deviations: &BTreeMap<String, f64>) -> (f64, &str) {
    let all = deviations.iter().map(|(name, z)| (z.abs(), name.as_str()));
    all.fold((0.0, ""), |worst, next| if worst.0 < next.0 { next } else { worst })
}

/// The standard deviation of the deviations of all kinds in all runs, and how many those are. Kinds have no request in common, so that they
/// are independent: of n deviations it is 1 ± 1/√(2n), if estimates vary as they should.
pub fn spread(runs: &[Run], share: Share) -> (f64, usize) {
    let all = runs.iter().flat_map(|run| by_kind([run], share).into_values());
    let z: Vec<f64> = all.filter(|(expected, _)| SOME <= *expected).map(|(_, stratum)| stratum.z()).collect();
    let count = z.len() as f64;
    let mean = z.iter().sum::<f64>() / count;
    ((z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt(), z.len())
}

/// Faults that a policy of this kind can have, as its spans would show them.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Of each part of a run, only so many spans leave: a hard cap after the decision.
    HardCap(usize),
    /// Coverage is charged only where the head missed: what the head had sampled keeps the head's `th`.
    ChargedIfMissed,
    /// A span has the `th` by which another one was sampled, as if workers mixed them up.
    AnothersThreshold,
    /// Every tenth span is lost and not counted as such.
    Lost,
}

/// The same run with the fault in it.
pub fn planted(run: &Run, fault: Fault, share: Share) -> Run {
    let mut spans = run.spans.clone();
    match fault {
        Fault::HardCap(most) => {
            let mut left = BTreeMap::<usize, usize>::new();
            spans.retain(|span| {
                let count = left.entry(span.batch).or_default();
                *count += 1;
                *count <= most
            });
        }
        Fault::ChargedIfMissed => {
            for span in spans.iter_mut().filter(|span| 1.0 - share(&span.kind) <= span.randomness) {
                span.adjusted = 1.0 / share(&span.kind);
            }
        }
        Fault::AnothersThreshold => {
            let mut before = None;
            for span in spans.iter_mut().filter(|span| span.adjusted != 1.0) {
                span.adjusted = before.replace(span.adjusted).unwrap_or(span.adjusted);
            }
        }
        Fault::Lost => {
            let mut number = 0;
            spans.retain(|_| {
                number += 1;
                number % 10 != 0
            });
        }
    }
    Run { exact: run.exact.clone(), spans }
}
