//! The cost of a request, of an export and of the module: promises, and the state that was accepted last.

use std::fs;
use std::sync::OnceLock;

use crate::figures::{self, Figures};
use crate::measure;

fn today() -> &'static Figures {
    static TODAY: OnceLock<Figures> = OnceLock::new();
    TODAY.get_or_init(measure::all)
}

#[test]
fn no_figure_is_five_percent_above_the_accepted_one() {
    let text = fs::read_to_string(figures::accepted_path()).expect("the accepted figures");
    let accepted = serde_json::from_str(&text).expect("JSON");
    let rises = figures::rises(&accepted, &today().to_json());
    assert!(
        rises.is_empty(),
        "the module costs more than before:\n  {}\nif it is worth it, accept it with `cargo xtask bench --level instructions --accept` and \
         commit {}",
        rises.join("\n  "),
        figures::accepted_path().display()
    );
}

#[test]
fn a_rise_is_seen_and_a_fall_is_not() {
    let accepted = serde_json::json!({"fuel": 1000, "requests": {"dropped": {"hostcalls": 4}}, "gone": 1});
    let found = serde_json::json!({"fuel": 1050, "requests": {"dropped": {"hostcalls": 5}}, "new": 7});
    let rises = figures::rises(&accepted, &found);
    assert_eq!(rises, ["new: not yet accepted -> 7", "requests / dropped / hostcalls: 4 -> 5"]);
}

#[test]
fn a_dropped_request_costs_next_to_nothing() {
    let dropped: Vec<_> = today().requests.iter().filter(|(name, _)| name.starts_with("dropped")).collect();
    assert!(6 < dropped.len());
    for (name, it) in dropped {
        // Six, one more for the content type of a gRPC answer, and for the clock at the head of an answer, where that is learned.
        let hostcalls = if name.contains("gRPC") || name.contains("slow") { 7 } else { 6 };
        assert!(it.hostcalls <= hostcalls && it.returning <= 3, "{name}: {it:?}");
        // Fifty rules are fifty comparisons, and who counts has asked for it: both are bounded by the accepted state only.
        assert!(it.fuel < 15_000 || name.contains("50 rules") || name.contains("counted"), "{name}: {it:?}");
    }
}

#[test]
fn a_rate_that_steers_itself_costs_a_dropped_request_ten_instructions_at_most_and_tokens_less_than_eighty() {
    let fuel =
        |name: &str| today().requests.iter().find(|(known, _)| known == name).map(|(_, it)| it.fuel).expect(name);
    let without = fuel("dropped, no context, by chance");
    for (name, most) in [("dropped, no context, target", 10), ("dropped, no context, target, boost and force", 80)] {
        assert!(fuel(name) <= without + most, "{without} without, {} with {name}", fuel(name));
    }
}

#[test]
fn the_module_is_small_and_so_is_a_worker() {
    let today = today();
    assert!(today.module_bytes <= 620_000, "{} bytes", today.module_bytes);
    let queued: u64 = 4 << 20; // The default `max_queue_bytes`.
    for bytes in [today.worker_bytes_at_start, today.worker_bytes_after_10000_requests] {
        assert!(bytes < (4 << 20) + queued, "{bytes} bytes");
    }
    assert!(today.worker_bytes_at_start < 4 << 20);
}

#[test]
fn counting_twice_gives_the_same_figures() {
    assert_eq!(*today(), measure::all());
}
