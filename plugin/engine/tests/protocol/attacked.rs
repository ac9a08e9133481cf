//! Names that clients make up, each only once: they cost their names, and neither memory nor a request.

use tracelift::config::{Environment, load};
use tracelift::http::GrpcStatus;
use tracelift::metrics::slot::{self, Sums};
use tracelift::metrics::{Instrument, Labels, Name, Recorder, dictionary};

const NAMES: u32 = 1_000_000;
const MAX_SERIES: usize = 500;
/// Requests between two ticks.
const A_TICK: u32 = 5_000;

/// UNAVAILABLE, where the call fails.
fn labels(failed: bool) -> Labels {
    let status = GrpcStatus::from_code(if failed { 14 } else { 0 });
    Labels::new(Instrument::RpcServer).grpc(status).error(failed.then_some("UNAVAILABLE"))
}

#[test]
fn a_million_names_leave_memory_flat_and_totals_exact() {
    let configuration = format!(
        r#"{{"span_kind": "server", "metrics": {{"enabled": true, "max_series": {MAX_SERIES}, "histogram": "explicit"}}}}"#
    );
    let loaded = load(configuration.as_bytes(), &Environment::default()).expect("a configuration");
    let mut recorder = Recorder::new(&loaded.policy.metrics.expect("switched on"));
    let (mut known, mut shared, mut sizes, mut overflowed) = (dictionary::new(1), Vec::new(), Vec::new(), 0);
    for number in 0..NAMES {
        let name = format!("made.Up/Name{number}");
        recorder.record(labels(number % 4 == 0), Name::Text(name.as_bytes()), u64::from(number), 5);
        if number % A_TICK != A_TICK - 1 {
            continue;
        }
        let waiting = recorder.take_waiting(usize::MAX);
        assert!(waiting.len() <= 2 * MAX_SERIES + 1, "{}", waiting.len());
        let admission = dictionary::admit(&known, &waiting, MAX_SERIES, 7);
        known = admission.dictionary.clone().unwrap_or(known);
        recorder.settle(waiting, &admission);
        recorder.import(&known, usize::MAX);
        while recorder.has_changes() {
            let changed = recorder.changed(64);
            shared = slot::add(&shared, recorder.pending(&changed));
            recorder.shared(&changed);
        }
        overflowed += recorder.take_overflowed();
        sizes.push(known.len() + shared.len() + format!("{recorder:?}").len());
    }
    let (early, late) = (sizes[2], sizes[sizes.len() - 1]);
    assert!(late < early + early / 10, "{early} grew to {late}");
    assert!(dictionary::entries(&known).count() <= MAX_SERIES);
    let mut sums = Sums::default();
    slot::read(&shared, usize::MAX, &mut sums);
    let count = |failed| -> u64 {
        let ours = (0..).zip(dictionary::entries(&known)).filter(|(_, entry)| entry.labels == labels(failed));
        ours.filter_map(|(number, _)| sums.get(number)).map(|sum| sum.count()).sum()
    };
    assert_eq!((count(true), count(false)), (u64::from(NAMES / 4), u64::from(NAMES / 4 * 3)));
    let named = (0..).zip(dictionary::entries(&known)).filter(|(_, entry)| !entry.name.is_empty());
    let named: u64 = named.filter_map(|(number, _)| sums.get(number)).map(|sum| sum.count()).sum();
    assert_eq!(overflowed, u64::from(NAMES) - named, "each that lost its name, once");
}
