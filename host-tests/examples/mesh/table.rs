//! A run's figures for a person: what was injected apart from what came of it, and what only recall can keep.

use tracelift_host::mesh::{Cause, Lies, Messages, Parents, Report};

/// The whole report.
pub fn of(report: &Report) -> String {
    let mut lines = mesh(report);
    lines.extend(injected(report));
    lines.extend(lies(report));
    lines.extend(kept(report));
    lines.extend(recalled(report));
    lines.extend(cost(report));
    lines.push(String::new());
    lines.push(if report.violations.is_empty() {
        format!("every invariant held, digest {}", report.digest)
    } else {
        format!("VIOLATIONS, digest {}\n{}", report.digest, report.violations)
    });
    lines.join("\n")
}

fn line(name: &str, value: impl ToString) -> String {
    format!("  {name:<58} {}", value.to_string())
}

fn mesh(report: &Report) -> Vec<String> {
    let it = &report.figures;
    vec![
        "The mesh".to_owned(),
        line("Envoys with the filter", it.filters),
        line("requests from outside, hops through a filter", format!("{}, {}", it.requests, it.hops)),
        line("virtual time", format!("{:.1} s", it.virtual_time.as_secs_f64())),
    ]
}

/// Faults that are no fault of the filter.
fn injected(report: &Report) -> Vec<String> {
    let it = &report.figures;
    vec![
        format!("\nInjected by the simulation (--trouble {})", report.options.trouble.name()),
        line("VMs crashed on purpose (a trap of the module is a violation)", it.traps),
        line("spans discarded while collectors were away, and counted", it.discarded),
        line("failures beyond the budget, shed; signals refused", format!("{}, {}", it.shed, it.refused)),
    ]
}

fn lies(report: &Report) -> Vec<String> {
    if report.options.liars == 0.0 {
        return Vec::new();
    }
    let Lies { pods, answers, believed, hidden, chosen, sampled, recalls, joins_refused } = report.figures.lies;
    vec![
        format!("\nLies (--liars {})", report.options.liars),
        line("pods whose application lies, answers in which it did", format!("{pods}, {answers}")),
        line("  healthy hops kept, failures shed: in the trace of the lie alone", format!("{believed}, {hidden}")),
        line("requests with ids or randomness of choice, sampled", format!("{chosen}, {sampled}")),
        line("recalls that they made up or had stolen, none of them followed", recalls),
        line("requests of upgraded traces beyond their bound, refused", joins_refused),
    ]
}

fn kept(report: &Report) -> Vec<String> {
    let it = &report.figures;
    let mut lines = vec![
        "\nKept".to_owned(),
        line("traces, of which the head sampled", format!("{}, {}", it.traces, it.sampled_traces)),
        line("traces that the head dropped and a failure brought back", it.error_traces),
        line("  hops above the failure that can be reached", it.reached),
        line("  all hops above the failure", it.ancestors),
    ];
    for (cause, name) in Cause::NAMES {
        let count = it.causes.get(&cause).copied().unwrap_or(0);
        if 0 < count {
            lines.push(line(&format!("    not: {name}"), count));
        }
    }
    let Parents { found, ambiguous, unknown } = it.parents;
    lines.push(line("calls of SDKs that had recorded nothing, placed in the tree", found));
    lines.push(line("    not: several requests could be meant; none was known", format!("{ambiguous}; {unknown}")));
    lines
}

/// Siblings of a failure had answered well before it: nothing but recall can ask for them.
fn recalled(report: &Report) -> Vec<String> {
    let it = &report.figures;
    let mut lines = vec![
        if report.options.recall {
            "\nBrought back by recall".to_owned()
        } else {
            "\nNeeds --recall, which is off in this run: these figures are low without it, by design".to_owned()
        },
        line("siblings of a failure that had answered well", it.siblings),
        line("traces of which every hop was kept", it.whole),
    ];
    if report.options.recall {
        let missing = it.siblings.all - it.siblings.kept;
        lines.push(line("    not: their Envoy was never asked, or no longer held them", missing));
        let Messages { sent, lost, .. } = it.messages;
        let each = report.messages_per_upgrade();
        lines.push(line("recall requests, lost on purpose, per trace", format!("{sent}, {lost}, {each:.2}")));
        let held = format!("{:.0} KiB ({:.0} bytes a span)", report.held_bytes_per_thousand() / 1024.0, it.bytes_held);
        lines.push(line("held per 1,000 dropped streams a second", held));
        lines.push(line("held spans evicted, calls never asked", format!("{}, {}", it.evicted, it.unasked)));
    }
    lines
}

fn cost(report: &Report) -> Vec<String> {
    let it = &report.figures;
    let share = report.exported_percent();
    vec![
        "\nCost".to_owned(),
        line("spans at the collector, of all hops", format!("{} ({share:.2} %)", it.spans)),
        line("largest VM", format!("{} KiB", it.largest_memory / 1024)),
    ]
}
