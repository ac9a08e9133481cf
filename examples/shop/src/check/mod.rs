//! The unattended verdict: what the collector and the Envoys say, against what services and clients saw themselves.

mod applications;
mod context;
mod counters;
mod decisions;
mod evidence;
mod spans;
mod story;

use crate::options::Scenario;
use crate::reading::Reading;
pub use evidence::Evidence;
use std::fmt::Write;

/// Lines of a failed check that are shown.
const SHOWN: usize = 5;

/// One thing that was verified, or was found wrong.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    detail: String,
    cases: u64,
    wrong: Vec<String>,
}

impl Check {
    /// A check without cases so far.
    fn new(name: &'static str) -> Self {
        Self { name, detail: String::new(), cases: 0, wrong: Vec::new() }
    }

    /// One case: right, or wrong with an explanation.
    fn case(&mut self, right: bool, explain: impl FnOnce() -> String) {
        self.cases += 1;
        if !right {
            self.wrong.push(explain());
        }
    }

    /// What was counted, for the table.
    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Nothing was found wrong.
    pub fn passed(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// What a check takes for granted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it holds always.
    Nothing,
    /// It is known beforehand which requests have a trigger. Which are slow is measured and not planned.
    Plan,
    /// The ratio is fixed, and no boost raises it.
    FixedRatio,
}

/// One check of a run's evidence.
type Verify = fn(&Evidence) -> Check;

/// All checks, in the order in which a request lives, and what each of them takes for granted.
const CHECKS: [(Needs, Verify); 31] = [
    (Needs::Nothing, context::answers),
    (Needs::Nothing, context::context),
    (Needs::Nothing, context::silence),
    (Needs::Nothing, context::own_ids),
    (Needs::Nothing, context::others),
    (Needs::FixedRatio, decisions::head),
    (Needs::FixedRatio, decisions::agreement),
    (Needs::FixedRatio, decisions::ratio),
    (Needs::Plan, spans::complete_traces),
    (Needs::Plan, spans::failing_hops),
    (Needs::Plan, spans::told_hops),
    (Needs::Plan, spans::recalled_hops),
    (Needs::Plan, spans::later_hops),
    (Needs::Plan, spans::sampled_hops),
    (Needs::Plan, spans::reasons),
    (Needs::Plan, spans::flags),
    (Needs::FixedRatio, spans::thresholds),
    (Needs::Nothing, spans::links),
    (Needs::Nothing, spans::probes),
    (Needs::Plan, applications::parents),
    (Needs::FixedRatio, applications::sampled),
    (Needs::FixedRatio, applications::failed_here),
    (Needs::Plan, applications::failed_anywhere),
    (Needs::FixedRatio, applications::swallowed),
    (Needs::FixedRatio, applications::reasons),
    (Needs::Nothing, counters::requests),
    (Needs::Plan, counters::upgrades),
    (Needs::Plan, counters::later_calls),
    (Needs::Nothing, counters::ledgers),
    (Needs::Nothing, counters::losses),
    (Needs::Nothing, counters::problems),
];

fn checked(evidence: &Evidence, holds: impl Fn(Needs) -> bool) -> Vec<Check> {
    CHECKS.into_iter().filter(|(needs, _)| holds(*needs)).map(|(_, check)| check(evidence)).collect()
}

/// All checks.
pub fn all(evidence: &Evidence) -> Vec<Check> {
    checked(evidence, |_| true)
}

/// What holds in a scenario: its own checks, and of the others those that take no fixed ratio for granted.
pub fn story(evidence: &Evidence, scenario: Scenario, readings: &[Reading]) -> Vec<Check> {
    let mut checks = story::all(evidence, scenario, readings);
    checks.extend(checked(evidence, |needs| match needs {
        Needs::Nothing => true,
        Needs::Plan => scenario != Scenario::Slow,
        Needs::FixedRatio => false,
    }));
    checks
}

/// The checks as a table, with the first lines of what is wrong.
pub fn table(checks: &[Check]) -> String {
    let mut out = String::new();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    // Writing to a String cannot fail.
    let mut say = |line: String| writeln!(out, "{}", line.trim_end()).unwrap_or_default();
    for check in checks {
        let verdict = match (check.passed(), check.cases) {
            (false, _) => "FAILED ",
            (true, 0) => "no case",
            (true, _) => "ok     ",
        };
        say(format!("{verdict}  {:width$}  {}", check.name, check.detail));
        for line in check.wrong.iter().take(SHOWN) {
            say(format!("           {line}"));
        }
        if SHOWN < check.wrong.len() {
            say(format!("           … and {} more", check.wrong.len() - SHOWN));
        }
    }
    let failed = checks.iter().filter(|check| !check.passed()).count();
    let verified = checks.iter().filter(|check| check.passed() && 0 < check.cases).count();
    say(String::new());
    say(format!("{verified} verified, {failed} failed, {} without a case", checks.len() - verified - failed));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::evidence::tests::a_run;

    fn failed(evidence: &Evidence) -> Vec<&'static str> {
        all(evidence).iter().filter(|check| !check.passed()).map(|check| check.name).collect()
    }

    fn lose(evidence: &mut Evidence, which: fn(&crate::span::Span) -> bool) {
        let lost = evidence.spans.iter().position(which).unwrap();
        evidence.spans.remove(lost);
    }

    #[test]
    fn a_run_in_which_everything_is_right_passes() {
        let evidence = a_run();
        let checks = all(&evidence);
        assert!(checks.iter().all(Check::passed), "{}", table(&checks));
        assert!(evidence.is_settled());
    }

    #[test]
    fn each_defect_is_found_by_its_check() {
        type Defect = fn(&mut Evidence);
        let cases: [(&str, Defect); 24] = [
            ("every answer is the planned one", |e| e.answered[0].status = Ok(500)),
            ("every answer is the planned one", |e| e.answered[0].status = Err("no response".into())),
            ("one trace at every service", |e| e.arrivals[1].context.trace_id ^= 1 << 64),
            ("every hop has its own span id", |e| e.arrivals[1].context.span_id = e.arrivals[0].context.span_id),
            ("headers of others arrive untouched", |e| e.arrivals[0].context.amazon.push('x')),
            ("the head samples iff R >= T", |e| e.arrivals.iter_mut().for_each(|a| a.context.sampled = true)),
            ("all hops agree with the head", |e| e.arrivals[1].context.sampled ^= true),
            ("no client sees the signal", |e| e.answered[2].signal = Some("00-1-2-01".into())),
            ("every failing hop's span is there", |e| lose(e, |span| span.trigger.as_deref() == Some("http_status"))),
            ("every hop above a failure is there", |e| lose(e, |span| span.trigger.as_deref() == Some("signal"))),
            ("every sibling of a failure is there", |e| lose(e, |span| span.trigger.as_deref() == Some("recall"))),
            ("every failed trace is complete", |e| {
                lose(e, |span| span.trigger.as_deref() == Some("signal") && span.service == "cart");
            }),
            ("every call after an upgrade is there", |e| lose(e, |span| span.service == "payment")),
            ("every hop of a sampled trace is there", |e| lose(e, |span| span.trigger.is_none())),
            ("nothing is kept without a reason", |e| {
                e.spans.iter_mut().find(|span| span.trigger.is_none()).unwrap().trigger = Some("latency".into());
            }),
            ("nothing is kept without a reason", |e| {
                // A failure that the gateway reports without having seen one.
                let above = e.spans.iter_mut().find(|span| span.trigger.as_deref() == Some("signal"));
                above.unwrap().trigger = Some("http_status".into());
            }),
            ("exported thresholds and priorities", |e| {
                e.spans.iter_mut().find(|span| span.trigger.is_some()).unwrap().th = None;
            }),
            ("parent ids link up", |e| {
                e.spans.iter_mut().find(|span| span.parent_id.is_some()).unwrap().parent_id = Some(0xdead);
            }),
            ("counters count every request", |e| {
                e.counted.get_mut("gateway").unwrap().dropped.insert("ratio".into(), 99);
            }),
            ("counters count every upgrade", |e| {
                e.counted.get_mut("cart").unwrap().upgrades.remove("signal");
            }),
            ("counters count every later call", |e| {
                e.counted.get_mut("storefront").unwrap().sampled.remove("upgraded");
            }),
            ("ledgers balance", |e| e.counted.get_mut("cart").unwrap().ledger.offered += 1),
            ("nothing is lost or shed", |e| e.counted.get_mut("cart").unwrap().shed = 1),
            ("no filter and no application had a problem", |e| e.complaints.push("gateway: trap".into())),
        ];
        for (name, defect) in cases {
            let mut evidence = a_run();
            defect(&mut evidence);
            assert!(failed(&evidence).contains(&name), "{name} did not fail, only {:?}", failed(&evidence));
        }
    }

    #[test]
    fn the_table_tells_a_check_without_a_case_from_one_that_passed() {
        let mut wrong = Check::new("b");
        (0..7).for_each(|case| wrong.case(false, || format!("case {case}")));
        let table = table(&[Check::new("a"), wrong, Check { cases: 1, ..Check::new("c").detail("1 of 1") }]);
        assert!(table.starts_with("no case  a\nFAILED   b\n           case 0\n"), "{table}");
        assert!(table.contains("… and 2 more\nok       c  1 of 1\n"), "{table}");
        assert!(table.ends_with("1 verified, 1 failed, 1 without a case\n"), "{table}");
    }
}
