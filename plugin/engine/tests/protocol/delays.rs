//! No span waits longer than its setting says, whatever that is to the ticks.

use tracelift::door::Attribute;

use crate::kit::collector::{self, COLLECTOR};
use crate::kit::host::Reply;
use crate::kit::process::{MILLISECOND, Process, START, get, status};

/// Runs a worker for so many milliseconds, its ticks on time. A sampled request ends every 37 ms. Returns how long each span
/// waited for its export, in milliseconds. Whoever is recalled has no time.
fn waits(process: &mut Process, root: u32, code: u16, milliseconds: u64) -> Vec<u64> {
    let tick = u64::from(process.workers[0].host.tick_ms());
    let mut ended = Vec::new();
    let mut waits = Vec::new();
    for now in 1..=milliseconds {
        process.state.now.set(START + now * MILLISECOND);
        if now % tick == 0 {
            process.tick(0, root);
        }
        if now % 37 == 0 {
            let stream = process.stream(0, root);
            stream.exchange.set_text(Attribute::UpstreamAddress, b"10.0.0.2:8080");
            process.head(&stream, get(&[]));
            process.answer(&stream, status(code, &[]), true);
            process.log(&stream);
            process.done(0, stream.context);
            ended.push(now);
        }
        while let Some(call) = process.call_to("tracelift_recall") {
            process.reply(&call, Reply::status(503));
        }
        while let Some(call) = process.call_to(COLLECTOR) {
            let spans = collector::spans(&call).len();
            waits.extend(ended.drain(..spans).map(|ended| now - ended));
            process.reply(&call, Reply::status(200));
        }
    }
    waits
}

#[test]
fn no_span_waits_longer_than_the_scheduled_delay() {
    for delay in [1, 40, 99, 100, 101, 150, 250, 700, 999, 1000, 1001, 1500, 1999, 2500] {
        let configuration = format!(
            r#"{{"sampling": {{"mode": "independent", "ratio": 1}}, "export": {{"scheduled_delay_ms": {delay}}}}}"#
        );
        let (mut process, root) = Process::with(&configuration);
        let waits = waits(&mut process, root, 200, 3 * delay + 2_000);
        assert!(20 <= waits.len(), "{delay} ms: {waits:?}");
        let longest = waits.iter().copied().max().unwrap_or_default();
        assert!(longest <= delay, "{delay} ms: one waited for {longest} ms");
        // But batches are still made: not one for each span.
        if 100 <= delay {
            assert!(delay / 3 < longest, "{delay} ms: none waited longer than {longest} ms");
        }
    }
}

#[test]
fn a_call_is_held_for_its_recall_no_longer_than_the_setting_says() {
    for hold in [300, 410, 1000, 2001] {
        let configuration = format!(
            r#"{{"span_kind": "client", "sampling": {{"ratio": 0}}, "export": {{"scheduled_delay_ms": 1}},
                "upgrade": {{"traces_per_second": 1000, "recall": {{"enabled": true, "token": "secret-of-the-mesh", "hold_ms": {hold}}}}}}}"#
        );
        let (mut process, root) = Process::with(&configuration);
        // Nobody sampled below: only a recall, which nobody answers, could tell what became of these calls.
        let waits = waits(&mut process, root, 503, 3 * hold);
        assert!(!waits.is_empty());
        let longest = waits.iter().copied().max().unwrap_or_default();
        assert!(longest <= hold, "{hold} ms: one was held for {longest} ms");
    }
}
