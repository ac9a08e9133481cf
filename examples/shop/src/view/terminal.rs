//! The live view in a terminal: redrawn in place, or a line now and then where there is no terminal.

use crate::model::failed::FailedTrace;
use crate::model::snapshot::Snapshot;
use std::fmt::Write;
use std::io::{self, IsTerminal, Write as _};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";
/// Failed traces listed.
const LISTED: usize = 8;

/// Draws on standard output.
pub struct Terminal {
    url: String,
    live: bool,
    drawn: usize,
}

impl Terminal {
    /// Redraws in place when standard output is a terminal.
    pub fn new(url: String) -> Self {
        Self { url, live: io::stdout().is_terminal(), drawn: 0 }
    }

    /// How long to wait between two drawings, in seconds.
    pub fn period(&self) -> u64 {
        if self.live { 1 } else { 5 }
    }

    /// Draws over what was drawn last, or adds a line.
    pub fn draw(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !self.live {
            return writeln!(out, "{}", line(snapshot));
        }
        let screen = screen(snapshot, &self.url);
        if 0 < self.drawn {
            write!(out, "\x1b[{}F", self.drawn)?;
        }
        // A line that is too long for the terminal is cut: wrapped, it would push the next drawing down.
        write!(out, "\x1b[?7l")?;
        // Each line clears its own rest: clearing everything first would flicker.
        for line in screen.lines() {
            writeln!(out, "{line}\x1b[K")?;
        }
        write!(out, "\x1b[J\x1b[?7h")?;
        self.drawn = screen.lines().count();
        out.flush()
    }
}

/// The whole run in one line.
pub fn line(snapshot: &Snapshot) -> String {
    let Snapshot { requests, traces, complete, bill, shed, .. } = snapshot;
    format!(
        "{:>5.0} s  {} requests, {} failed | traces recorded: {} = {} sampled + {} upgraded | failed traces complete: {} of {}, \
         {} on their way, {} missing | shed {} | X-Ray, a month: {} instead of {}",
        snapshot.uptime_s,
        grouped(requests.answered),
        grouped(requests.failed),
        grouped(traces.recorded),
        grouped(traces.head_sampled),
        grouped(traces.upgraded),
        grouped(complete.kept),
        grouped(complete.failed),
        complete.pending,
        complete.missing,
        shed,
        dollars(bill.tracelift.month),
        dollars(bill.everything.month),
    )
}

/// What a run comes to, in a few lines for its end.
pub fn sum(snapshot: &Snapshot) -> String {
    let Snapshot { settings, requests, traces, complete, bill, price, .. } = snapshot;
    let judged = complete.kept + complete.missing;
    let mut sum = format!(
        "  In {:.0} s{} {} requests went through the shop; {} traces failed somewhere.\n",
        snapshot.stretch_s,
        if snapshot.stretch_s < snapshot.uptime_s { " since the settings were changed," } else { "" },
        grouped(requests.answered),
        grouped(complete.failed)
    );
    sum.push_str(&format!("  {}\n", headline(snapshot)));
    sum.push_str(&format!(
        "  {} traces were recorded: {} sampled by the head at {}, {} upgraded. A month of this in X-Ray: {}, or {} for every\n  \
         trace (${:.2} a million traces recorded).",
        grouped(traces.recorded),
        grouped(traces.head_sampled),
        percent(settings.ratio),
        grouped(traces.upgraded),
        dollars(bill.tracelift.month),
        dollars(bill.everything.month),
        price.dollars_per_million
    ));
    if complete.missing != 0 {
        sum.push_str(&format!(
            "\n  {} of {} did not arrive whole in time.",
            grouped(complete.missing),
            grouped(judged)
        ));
    }
    sum
}

/// What a person should take home, as the page says it.
fn headline(snapshot: &Snapshot) -> String {
    let Snapshot { settings, complete, bill, .. } = snapshot;
    let judged = complete.kept + complete.missing;
    if judged == 0 {
        return "No trace has failed yet.".to_owned();
    }
    format!(
        "Of {} failed traces, {} sampling would have kept {}. Tracelift kept {}, for {} a month instead of {}.",
        grouped(judged),
        percent(settings.ratio),
        grouped(snapshot.kept_by_head),
        grouped(complete.kept),
        dollars(bill.tracelift.month),
        dollars(bill.everything.month)
    )
}

fn screen(snapshot: &Snapshot, url: &str) -> String {
    let Snapshot { settings, requests, traces, hops, complete, bill, .. } = snapshot;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut say = |line: String| writeln!(out, "{line}").unwrap_or_default();
    let module = if settings.dynamic_module { "dynamic" } else { "wasm" };
    say(format!(
        "{BOLD}Tracelift{PLAIN}  the shop behind five Envoys with the {module} module   {BOLD}{url}{PLAIN}   Ctrl-C ends it"
    ));
    say(format!(
        "{DIM}{:.0} s   {} requests a second   {} of them fail somewhere   the head samples {}{PLAIN}",
        snapshot.uptime_s,
        settings.rate,
        percent(settings.failures),
        percent(settings.ratio)
    ));
    say(String::new());
    say(format!("  {BOLD}{}{PLAIN}", headline(snapshot)));
    say(String::new());
    let unplanned = match requests.unplanned {
        0 => String::new(),
        count => format!("   {RED}{count} failed that should not{PLAIN}"),
    };
    say(format!(
        "  requests          {BOLD}{:>9}{PLAIN}   {} failed, {} health probes{unplanned}",
        grouped(requests.answered),
        grouped(requests.failed),
        grouped(requests.probes)
    ));
    let share = if traces.seen == 0 { 0.0 } else { traces.recorded as f64 / traces.seen as f64 };
    say(format!(
        "  traces recorded   {BOLD}{:>9}{PLAIN}   {} of the traffic: {} sampled, {} upgraded",
        grouped(traces.recorded),
        percent(share),
        grouped(traces.head_sampled),
        grouped(traces.upgraded)
    ));
    let colour = if complete.missing == 0 { GREEN } else { RED };
    say(format!(
        "  failed traces     {BOLD}{colour}{:>9}{PLAIN}   complete of {}, {} on their way, {} not in time",
        grouped(complete.kept),
        grouped(complete.failed),
        complete.pending,
        complete.missing
    ));
    say(format!(
        "                    {:>9}   {DIM}{} of {} hops, from the failure up to the gateway{PLAIN}",
        "",
        grouped(hops.kept),
        grouped(hops.failed)
    ));
    let mut why: Vec<_> = snapshot.upgrades.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
    why.push(format!("shed {}", snapshot.shed));
    say(format!("  why               {:>9}   {}", "", why.join(", ")));
    let balanced = snapshot.envoys.iter().all(|envoy| envoy.balances);
    let discarded: u64 = snapshot.envoys.iter().map(|envoy| envoy.discarded).sum();
    let ledger = if balanced {
        format!("{GREEN}the ledgers balance{PLAIN}")
    } else {
        format!("{RED}a ledger does not balance{PLAIN}")
    };
    say(format!("  spans received    {:>9}   {} discarded, {ledger}", grouped(traces.spans), grouped(discarded)));
    say(String::new());
    say(format!(
        "  X-Ray, a month    {BOLD}{:>9}{PLAIN}   sampling everything {}, head sampling alone {}",
        dollars(bill.tracelift.month),
        dollars(bill.everything.month),
        dollars(bill.head_only.month)
    ));
    say(format!(
        "                    {:>9}   {DIM}${:.2} a million traces recorded, price page of {}{PLAIN}",
        "", snapshot.price.dollars_per_million, snapshot.price.read
    ));
    say(String::new());
    say(format!("{BOLD}Latest failed traces{PLAIN}"));
    for trace in snapshot.failed.iter().take(LISTED) {
        say(entry(trace));
    }
    out
}

fn entry(trace: &FailedTrace) -> String {
    let status = trace.status.map_or_else(|| "   ".to_owned(), |status| status.to_string());
    format!(
        "  {}  {status}  {:<20} {:<38} {:>2} spans {:>6.0} ms",
        trace.trace_id.get(..8).unwrap_or_default(),
        trace.request,
        trace.what,
        trace.spans,
        trace.duration_ms
    )
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn dollars(amount: f64) -> String {
    format!("${amount:.2}")
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Settings};
    use crate::plan::Plan;
    use crate::schedule::Schedule;
    use std::time::{Duration, Instant};

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([grouped(0), grouped(999), grouped(1000), grouped(1234567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([percent(0.01), percent(0.0525), percent(1.0), percent(0.1)], ["1 %", "5.25 %", "100 %", "10 %"]);
    }

    #[test]
    fn a_run_that_has_just_begun_can_be_drawn() {
        let start = Instant::now();
        let settings =
            Settings { ratio: 0.01, rate: 30.0, failures: 0.05, seed: 1, python: true, dynamic_module: false };
        let schedule = Schedule::new(Plan { seed: 1, failures: 0.05, slow: 0.0, applications: true });
        let snapshot = Model::new(settings, schedule, start).snapshot(start + Duration::from_secs(3));
        let screen = screen(&snapshot, "http://127.0.0.1:7878");
        assert!(screen.contains("http://127.0.0.1:7878") && screen.contains("samples 1 %"), "{screen}");
        assert!(line(&snapshot).starts_with("    3 s  0 requests"), "{}", line(&snapshot));
    }

    #[test]
    fn the_end_says_what_the_run_came_to() {
        let start = Instant::now();
        let settings =
            Settings { ratio: 0.01, rate: 30.0, failures: 0.05, seed: 1, python: true, dynamic_module: false };
        let schedule = Schedule::new(Plan { seed: 1, failures: 0.05, slow: 0.0, applications: true });
        let mut snapshot = Model::new(settings, schedule, start).snapshot(start + Duration::from_secs(60));
        assert!(sum(&snapshot).contains("No trace has failed yet."), "{}", sum(&snapshot));
        (snapshot.complete.failed, snapshot.complete.kept, snapshot.kept_by_head) = (1200, 1200, 12);
        (snapshot.bill.tracelift.month, snapshot.bill.everything.month) = (4.2, 389.0);
        let said = sum(&snapshot);
        let headline = "Of 1,200 failed traces, 1 % sampling would have kept 12. Tracelift kept 1,200, for $4.20 a month \
                        instead of $389.00.";
        assert!(said.contains(headline) && said.contains("In 60 s 0 requests"), "{said}");
        assert!(!said.contains("did not arrive"), "{said}");
    }
}
