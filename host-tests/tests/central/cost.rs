//! What central sampling costs a request: nothing where a caller has decided, a hostcall or two where none has.

use crate::kit::{Process, flat, rule};
use serde_json::json;
use tracelift_host::Finished;

fn figures(finished: &Finished) -> (u64, u64) {
    (finished.cost.hostcall_count(), finished.cost.returning)
}

#[test]
fn a_request_that_a_caller_decided_pays_nothing_and_a_root_pays_the_clock() {
    let mut process = Process::ready([flat("none", 1, "*", 0.0)]);
    let plain = json!({"service_name": "cart", "span_kind": "server", "sampling": {"ratio": 0}}).to_string();
    let mut without = Process::with(Default::default(), |builder| builder.inbound(plain));
    let caller = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02")];
    for headers in [&caller[..], &[]] {
        for process in [&mut process, &mut without] {
            process.request(0, "/", headers, 200);
        }
        let (with, without) = (process.request(0, "/", headers, 200), without.request(0, "/", headers, 200));
        let (calls, returning) = if headers.is_empty() { (1, 0) } else { (0, 0) };
        let (found, plain) = (figures(&with), figures(&without));
        assert_eq!(found, (plain.0 + calls, plain.1 + returning), "{:?}", with.cost);
        println!("{headers:?}: fuel {} with, {} without", with.cost.fuel, without.cost.fuel);
    }
    process.books();
    without.books();
}

#[test]
fn an_empty_reservoir_is_asked_once_a_second() {
    let mut process = Process::ready([rule(json!({"FixedRate": 0.0, "ReservoirSize": 1}))]);
    let asked: Vec<u64> = (0..6).map(|_| process.root(0, "/").cost.calls_of("proxy_get_shared_data")).collect();
    // The first is sampled, so that it looks for no verdict; the second finds the reservoir empty.
    let rest = asked[5];
    assert_eq!((asked[0], asked[1]), (1, rest + 1), "{asked:?}");
    assert!(asked[2..].iter().all(|calls| *calls == rest), "{asked:?}");
    process.books();
}
