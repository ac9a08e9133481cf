//! The report: figures of all levels as one JSON file, and as tables in Markdown.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Cargo's target directory.
fn target() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("target"))
}

/// What the report of instructions left.
pub fn instructions() -> Result<Value> {
    let path = target().join("bench/cost.json");
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("no {}; `cargo xtask bench` makes it", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// What Criterion left: name, and median nanoseconds with their 95 % interval.
pub fn micro() -> Result<Value> {
    let mut figures = Vec::new();
    collect(&target().join("criterion"), &mut figures)?;
    figures.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok(figures.into())
}

fn collect(directory: &Path, figures: &mut Vec<Value>) -> Result<()> {
    let read =
        |name: &str| -> Option<Value> { serde_json::from_str(&fs::read_to_string(directory.join(name)).ok()?).ok() };
    if directory.ends_with("new")
        && let (Some(bench), Some(estimates)) = (read("benchmark.json"), read("estimates.json"))
    {
        let median = &estimates["median"];
        figures.push(json!({
            "name": bench["full_id"],
            "nanoseconds": median["point_estimate"],
            "low": median["confidence_interval"]["lower_bound"],
            "high": median["confidence_interval"]["upper_bound"],
        }));
        return Ok(());
    }
    let entries = fs::read_dir(directory);
    for entry in entries.with_context(|| format!("no {}; `cargo xtask bench` makes it", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), figures)?;
        }
    }
    Ok(())
}

/// Writes `target/bench/bench.json`.
pub fn write(report: &Value) -> Result<PathBuf> {
    let path = target().join("bench/bench.json");
    fs::create_dir_all(target().join("bench"))?;
    fs::write(&path, format!("{report:#}\n"))?;
    Ok(path)
}

/// All tables.
pub fn markdown(report: &Value) -> String {
    let mut text = String::new();
    if let Some(machine) = report["machine"].as_object() {
        let facts: Vec<String> = machine.iter().map(|(name, fact)| format!("{name}: {}", plain(fact))).collect();
        let _ = writeln!(text, "\n{}.", facts.join("; "));
    }
    for scene in list(&report["envoy"]) {
        envoy(&mut text, scene);
    }
    for scene in list(&report["callgrind"]) {
        callgrind(&mut text, scene, &report["valgrind"]);
    }
    if report["steps"].is_object() {
        steps(&mut text, &report["steps"]);
    }
    if report["memory"].is_array() {
        memory(&mut text, report);
    }
    if report["workers"].is_array() {
        workers(&mut text, &report["workers"]);
    }
    if report["ticks"].is_array() {
        ticks(&mut text, &report["ticks"]);
    }
    if report["instructions"].is_object() {
        counted(&mut text, &report["instructions"]);
    }
    if report["micro"].is_array() {
        let rows = list(&report["micro"]).map(|it| {
            vec![
                plain(&it["name"]),
                number(&it["nanoseconds"], 1),
                format!("{}…{}", number(&it["low"], 1), number(&it["high"], 1)),
            ]
        });
        table(&mut text, "Native, one call", &["what", "ns, median", "95 %"], rows);
    }
    text
}

fn envoy(text: &mut String, scene: &Value) {
    let title = format!(
        "Real Envoy, {}: processor time a request, {} interleaved rounds",
        plain(&scene["scene"]),
        scene["pairs"]
    );
    let columns = [
        "variant",
        "µs",
        "added µs",
        "90 %",
        "÷ native",
        "90 %",
        "÷ in batches",
        "90 %",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "spans/request",
    ];
    let rows = list(&scene["variants"]).map(|it| {
        let span = |of: &Value, digits| format!("{}…{}", number(&of["low"], digits), number(&of["high"], digits));
        let (added, native, batches) = (&it["added_micros"], &it["to_native"], &it["to_batches"]);
        vec![
            plain(&it["variant"]),
            number(&it["micros"], 1),
            number(&added["median"], 2),
            span(added, 1),
            number(&native["median"], 2),
            span(native, 2),
            number(&batches["median"], 2),
            span(batches, 2),
            number(&it["requests_per_second"], 0),
            number(&it["p50_micros"], 0),
            number(&it["p99_micros"], 0),
            number(&it["spans_per_request"], 3),
        ]
    });
    table(text, &title, &columns, rows);
}

fn callgrind(text: &mut String, scene: &Value, valgrind: &Value) {
    let title = format!(
        "Real Envoy, {}: instructions a request, {} requests counted by {}",
        plain(&scene["scene"]),
        scene["requests"],
        plain(valgrind)
    );
    let columns = [
        "variant",
        "instructions",
        "added",
        "÷ native",
        "÷ in batches",
        "÷ native, inline headers",
        "halves apart",
        "by the clock",
        "spans/request",
    ];
    let rows = list(&scene["variants"]).map(|it| {
        vec![
            plain(&it["variant"]),
            number(&it["instructions"], 0),
            number(&it["added"], 0),
            number(&it["to_native"], 2),
            number(&it["to_batches"], 2),
            number(&it["to_native_inline"], 2),
            number(&it["halves_apart"], 0),
            number(&it["by_clock"], 0),
            number(&it["spans_per_request"], 3),
        ]
    });
    table(text, &title, &columns, rows);
}

fn steps(text: &mut String, counted: &Value) {
    let title = format!("What one hostcall costs an Envoy, {}: instructions a request", plain(&counted["scene"]));
    let rows = list(&counted["steps"]).map(|it| {
        let figures = ["instructions", "added", "halves_apart"].map(|name| number(&it[name], 0));
        [plain(&it["step"])].into_iter().chain(figures).collect()
    });
    table(text, &title, &["a filter with", "instructions", "added", "halves apart"], rows);
}

fn memory(text: &mut String, report: &Value) {
    let starts = list(&report["start"])
        .map(|it| vec![plain(&it["variant"]), number(&it["ready_ms"], 0), number(&it["processor_ms"], 0)]);
    table(text, "Start of an Envoy with one worker", &["variant", "ready after ms", "processor ms"], starts);
    for it in list(&report["memory"]) {
        let megabytes = |bytes: &Value| format!("{:.2}", bytes.as_f64().unwrap_or(f64::NAN) / f64::from(1 << 20));
        let rows = list(&it["steps"]).map(|step| {
            let (resident, linear) = (megabytes(&step["resident_bytes"]), megabytes(&step["linear_memory_bytes"]));
            vec![plain(&step["in_flight"]), plain(&step["requests"]), resident, linear]
        });
        let title = format!("Memory, {}", plain(&it["variant"]));
        table(text, &title, &["in flight", "requests so far", "resident MiB", "memories of all VMs, MiB"], rows);
    }
}

fn workers(text: &mut String, rows: &Value) {
    let columns = ["variant", "workers", "requests/s", "÷ none", "90 %", "µs a request", "resident MiB"];
    let rows = list(rows).map(|it| {
        let quotient = &it["to_plain"];
        let resident = it["resident_bytes"].as_f64().map(|bytes| bytes / f64::from(1 << 20));
        vec![
            plain(&it["variant"]),
            plain(&it["workers"]),
            number(&it["requests_per_second"], 0),
            number(&quotient["median"], 2),
            format!("{}…{}", number(&quotient["low"], 2), number(&quotient["high"], 2)),
            number(&it["micros"], 1),
            number(&json!(resident), 1),
        ]
    });
    table(text, "Envoys with many workers on all processors, load beside them", &columns, rows);
}

fn ticks(text: &mut String, rows: &Value) {
    let columns = [
        "wasm module at 0 %",
        "series",
        "ticks",
        "median µs",
        "95 % µs",
        "99 % µs",
        "dearest µs",
        "99 % above no metrics' median",
    ];
    let rows = list(rows).map(|it| {
        let figures = ["median", "late", "later", "dearest", "adds"].map(|name| number(&it[name], 0));
        [plain(&it["variant"]), plain(&it["series"]), plain(&it["ticks"])].into_iter().chain(figures).collect()
    });
    table(text, "A tick of a worker: processor time of its thread", &columns, rows);
}

fn counted(text: &mut String, figures: &Value) {
    let requests = entries(&figures["requests"]).map(|(name, it)| {
        vec![
            name.clone(),
            plain(&it["hostcalls"]),
            plain(&it["returning"]),
            plain(&it["fuel"]),
            plain(&it["worst_fuel"]),
        ]
    });
    table(
        text,
        "Counted on Wasmtime, one request",
        &["request", "hostcalls", "returning", "fuel", "worst fuel"],
        requests,
    );
    let exports = entries(&figures["exports"]).map(|(name, it)| {
        let span = plain(&it["fuel_per_span"]);
        vec![name.clone(), plain(&it["hostcalls"]), plain(&it["fuel"]), span, plain(&it["body_bytes"])]
    });
    let columns = ["batch", "hostcalls", "fuel", "fuel a span", "body bytes"];
    table(text, "Counted on Wasmtime, one export and its answer", &columns, exports);
    let single = entries(figures).filter(|(_, figure)| figure.is_number());
    table(
        text,
        "Counted on Wasmtime",
        &["what", "figure"],
        single.map(|(name, it)| vec![name.replace('_', " "), plain(it)]),
    );
}

fn table(text: &mut String, title: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([columns[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let _ = writeln!(text, "\n**{title}**\n\n{}", line(columns.to_vec()));
    let rule = |(column, width): (usize, &usize)| {
        if column == 0 { format!("{:-<1$}", "", width + 2) } else { format!("{:->1$}:", "", width + 1) }
    };
    let _ = writeln!(text, "|{}|", widths.iter().enumerate().map(rule).collect::<Vec<_>>().join("|"));
    for row in &rows {
        let _ = writeln!(text, "{}", line(row.iter().map(String::as_str).collect()));
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_every_variant_and_a_dash_for_what_is_not_known() {
        let median = json!({ "median": 1.25, "low": 1.0, "high": 1.5 });
        let row = json!({ "variant": "none", "micros": 30.0, "added_micros": median, "to_native": null, "to_batches": null,
                          "requests_per_second": 1000.4, "p50_micros": 10.0, "p99_micros": 20.0, "spans_per_request": null });
        let report = json!({ "envoy": [{ "scene": "direct", "pairs": 24, "variants": [row] }] });
        let text = markdown(&report);
        assert!(text.contains("direct: processor time a request, 24 interleaved rounds"), "{text}");
        assert!(text.contains("| none    | 30.0 |     1.25 | 1.0…1.5 |        – |"), "{text}");
        let widths: Vec<usize> = text.lines().filter(|line| line.starts_with('|')).map(|l| l.chars().count()).collect();
        assert!(widths.len() == 3 && widths.iter().all(|width| *width == widths[0]), "{text}");
    }
    #[test]
    fn counted_instructions_are_whole_and_a_filter_without_spans_has_a_dash() {
        let row = json!({ "variant": "empty", "instructions": 151_999.6, "added": 14_400.2, "to_native": 0.4983,
                          "to_batches": null, "to_native_inline": null, "halves_apart": 120.4, "by_clock": 310.2, "spans_per_request": null });
        let step = json!({ "step": "+ a header", "instructions": 160_400.0, "added": 8_400.4, "halves_apart": 90.0 });
        let report = json!({
            "valgrind": "valgrind-3.19.0",
            "callgrind": [{ "scene": "direct", "requests": 6000, "variants": [row] }],
            "steps": { "scene": "direct", "requests": 6000, "steps": [step] },
        });
        let text = markdown(&report);
        assert!(text.contains("direct: instructions a request, 6000 requests counted by valgrind-3.19.0"), "{text}");
        assert!(
            text.contains(
                "| empty   |       152000 | 14400 |     0.50 |            – |                        – |          120 |          310 |             – |"
            ),
            "{text}"
        );
        assert!(text.contains("| + a header    |       160400 |  8400 |           90 |"), "{text}");
    }
}
