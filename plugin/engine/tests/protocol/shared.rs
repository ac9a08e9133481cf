//! What workers share, alone: the budget, verdicts, the log of upgrades, and the tokens and answers of calls.

use std::rc::Rc;

use proptest::prelude::*;
use tracelift::door::{Host, Update};
use tracelift::shared::{Arrival, CallAnswer, Extent, SharedBudget, Tokens, upgrade_log, verdicts};
use tracelift::telemetry::Metrics;
use tracelift::trace_context::TraceId;
use tracelift::upgrade::slots::HOLD_SECONDS;
use tracelift::upgrade::{Budget, Verdict};

use crate::kit::faults::Operation;
use crate::kit::host::{Reply, SimHost, State};
use crate::kit::process::{SECOND, START};

/// The hosts of so many workers of one process.
fn hosts(count: usize) -> Vec<SimHost> {
    let state = Rc::new(State::default());
    state.now.set(START);
    (0..count).map(|worker| SimHost::new(Rc::clone(&state), worker)).collect()
}

fn trace(id: u128) -> TraceId {
    TraceId::from_u128(id).expect("above zero")
}

#[test]
fn an_update_changes_leaves_or_fails_and_tries_again_when_another_was_faster() {
    let hosts = hosts(2);
    let [host, other] = &hosts[..] else { unreachable!("two were made") };
    assert_eq!(host.update(b"k", 3, |old| old.is_none().then_some("1")), Update::Changed);
    assert_eq!(host.update(b"k", 3, |_| None::<&str>), Update::Left);
    let mut seen = Vec::new();
    let update = host.update(b"k", 3, |old| {
        seen.push(old.map(<[u8]>::to_vec));
        if seen.len() == 1 {
            other.swap(b"k", b"2", 0).expect("it works");
        }
        Some("3")
    });
    assert_eq!((update, seen), (Update::Changed, vec![Some(b"1".to_vec()), Some(b"2".to_vec())]));
    for (operation, calls) in [(Operation::Shared, 0), (Operation::Swap, 1), (Operation::Contend, 3)] {
        host.state.faults.set(operation, 1);
        let mut made = 0;
        let update = host.update(b"k", 3, |_| {
            made += 1;
            Some("4")
        });
        assert_eq!((update, made), (Update::Failed, calls), "{operation:?}");
        host.state.faults.clear();
    }
    assert_eq!(host.shared(b"k").expect("it works").map(|(value, _)| value), Some(b"3".to_vec()));
}

#[test]
fn a_verdict_is_news_once_and_forgotten_in_time() {
    let (hosts, metrics) = (hosts(2), &mut Metrics::default());
    assert_eq!(verdicts::find(&hosts[0], trace(7)), None);
    assert!(verdicts::remember(&hosts[0], metrics, trace(7), Verdict::Shed));
    assert!(!verdicts::remember(&hosts[1], metrics, trace(7), Verdict::Shed));
    assert!(verdicts::remember(&hosts[1], metrics, trace(7), Verdict::Upgraded), "what was shed may still be kept");
    assert!(!verdicts::remember(&hosts[0], metrics, trace(7), Verdict::Shed), "and then stays whole");
    assert_eq!(verdicts::find(&hosts[0], trace(7)), Some(Verdict::Upgraded));
    hosts[0].state.now.set(START + u64::from(HOLD_SECONDS) * SECOND);
    assert_eq!(verdicts::find(&hosts[0], trace(7)), None);
}

#[test]
fn a_verdict_that_cannot_be_shared_is_no_news() {
    for operation in [Operation::Shared, Operation::Swap] {
        let (hosts, metrics) = (hosts(1), &mut Metrics::default());
        hosts[0].state.faults.set(operation, 1);
        assert!(!verdicts::remember(&hosts[0], metrics, trace(7), Verdict::Upgraded), "{operation:?}");
        assert_eq!(verdicts::find(&hosts[0], trace(7)), None, "{operation:?}");
    }
}

#[test]
fn every_worker_reads_the_log_from_where_it_stands() {
    let hosts = hosts(2);
    let mut first = upgrade_log::open(&hosts[0]).expect("shared values");
    assert!(upgrade_log::append(&hosts[1], trace(1)));
    let mut second = upgrade_log::open(&hosts[1]).expect("shared values");
    assert!(upgrade_log::append(&hosts[0], trace(2)));
    assert_eq!(upgrade_log::read(&hosts[0], &mut first).map(|news| news.traces), Some(vec![trace(1), trace(2)]));
    assert_eq!(upgrade_log::read(&hosts[1], &mut second).map(|news| news.traces), Some(vec![trace(2)]));
    assert_eq!(upgrade_log::read(&hosts[1], &mut second).map(|news| news.traces), Some(Vec::new()));
}

#[test]
fn a_reader_that_was_away_too_long_knows_how_many_it_missed() {
    let hosts = hosts(1);
    let mut reader = upgrade_log::open(&hosts[0]).expect("shared values");
    assert!((1..=600).all(|id| upgrade_log::append(&hosts[0], trace(id))));
    let news = upgrade_log::read(&hosts[0], &mut reader).expect("a log");
    assert_eq!((news.traces.len(), news.missed), (512, 88));
    hosts[0].state.faults.set(Operation::Shared, 1);
    assert!(upgrade_log::open(&hosts[0]).is_none() && !upgrade_log::append(&hosts[0], trace(1)));
    assert_eq!(upgrade_log::read(&hosts[0], &mut reader), None);
}

#[test]
fn a_log_that_another_version_left_is_replaced_and_its_readers_lose_nothing() {
    let hosts = hosts(2);
    let mut reader = upgrade_log::open(&hosts[0]).expect("shared values");
    assert!(upgrade_log::append(&hosts[1], trace(1)));
    let shared = &hosts[0].state.shared;
    let key = shared.keys().into_iter().find(|key| key.starts_with(b"tracelift.upgrades.")).expect("the log");
    shared.swap(&key, b"bytes of another version", 0);
    assert_eq!(upgrade_log::read(&hosts[0], &mut reader).map(|news| news.traces), Some(Vec::new()));
    let before = reader.epoch;
    assert!(upgrade_log::append(&hosts[1], trace(2)));
    assert_eq!(upgrade_log::read(&hosts[0], &mut reader).map(|news| news.traces), Some(vec![trace(2)]));
    assert!(reader.epoch != before && reader.epoch != 0);
}

#[test]
fn an_answer_is_read_as_far_as_it_is_wanted() {
    let hosts = hosts(1);
    let mut reply = Reply::status(200).header("a", "1").header("a", "2").body("0123456789");
    reply.trailers.push((b"grpc-status".to_vec(), b"0".to_vec()));
    // Whether headers came, how large the body is said to be, what is wanted, and what is read.
    for (has_headers, body_size, extent, status, body, trailers) in [
        (true, 10, Extent { trailers: true, body: 4 }, Some(200), "0123", 1),
        (true, 10, Extent { trailers: false, body: 64 }, Some(200), "0123456789", 0),
        (true, 0, Extent { trailers: false, body: 64 }, Some(200), "", 0),
        (true, 10, Extent::default(), Some(200), "", 0),
        (false, 10, Extent::default(), None, "", 0),
    ] {
        hosts[0].show_answer(reply.clone());
        let answer = CallAnswer::read(&hosts[0], Arrival { token: 1, has_headers, body_size }, extent);
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{extent:?}");
        assert_eq!((answer.header("a"), answer.trailers().len()), (Some(&b"1"[..]), trailers), "{extent:?}");
    }
    hosts[0].state.faults.set(Operation::AnswerPart, 1);
    let arrival = Arrival { token: 1, has_headers: true, body_size: 10 };
    let answer = CallAnswer::read(&hosts[0], arrival, Extent { trailers: true, body: 10 });
    assert_eq!((answer.status, answer.headers().len(), answer.body.len()), (None, 0, 0));
}

proptest! {
    #[test]
    fn workers_together_admit_what_one_would(
        rate in 1_u32..50,
        arrivals in proptest::collection::vec((0_usize..3, 0_u64..200_000_000), 1..200),
        every in 0_u32..4,
    ) {
        let hosts = hosts(3);
        let budget = Budget::per_second(f64::from(rate)).expect("a rate");
        let mut shared = [(); 3].map(|()| SharedBudget::new("inbound"));
        hosts[0].state.faults.set(Operation::Contend, if every == 1 { 0 } else { every });
        let mut alone = 0;
        for (worker, gap) in arrivals {
            let now = hosts[0].state.now.get() + gap;
            hosts[0].state.now.set(now);
            let expected = budget.charge(alone, now).map(|next| alone = next).is_some();
            prop_assert_eq!(shared[worker].admit(&budget, &hosts[worker]), expected);
        }
    }

    #[test]
    fn a_call_is_awaited_until_it_is_taken(steps in proptest::collection::vec((any::<bool>(), 0_u32..8), 0..60)) {
        let (mut tokens, mut model) = (Tokens::default(), std::collections::BTreeMap::new());
        for (call, (adds, token)) in steps.into_iter().enumerate() {
            if adds && !model.contains_key(&token) {
                tokens.add(token, call);
                model.insert(token, call);
            } else {
                prop_assert_eq!(tokens.take(token), model.remove(&token));
            }
            prop_assert!((0..8).all(|token| tokens.awaits(token) == model.contains_key(&token)));
        }
        tokens.clear();
        prop_assert!(model.keys().all(|token| !tokens.awaits(*token)));
    }
}
