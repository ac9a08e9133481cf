//! `sampling.target` and `sampling.boost`: the ratio follows the traffic, is raised for trouble, and `th` is always the one in force.

use tracelift::door::{Level, Side};

use crate::kit::collector::attribute;
use crate::kit::faults::Operation;
use crate::kit::process::{MILLISECOND, Process, SECOND, lines, status};

/// Where requests go, and what becomes of them.
#[derive(Clone, Copy)]
struct At<'a> {
    worker: usize,
    root: u32,
    path: &'a str,
    status: u16,
}

fn at(root: u32) -> At<'static> {
    At { worker: 0, root, path: "/cart", status: 200 }
}

fn configuration(sampling: &str) -> String {
    format!(r#"{{"span_kind": "server", "sampling": {{{sampling}}}, "upgrade": {{"traces_per_second": 0}}}}"#)
}

/// One request: the `th` with which it goes on, if it is sampled.
fn serve(process: &mut Process, at: At<'_>, more: &[(&str, &str)]) -> Option<String> {
    let stream = process.stream(at.worker, at.root);
    let usual = [(":method", "GET"), (":path", at.path), (":authority", "shop"), (":scheme", "http")];
    process.head(&stream, lines(&[&usual, more].concat()));
    process.answer(&stream, status(at.status, &[]), true);
    process.log(&stream);
    process.done(stream.worker, stream.context);
    let context = stream.exchange.values(Side::Request, "traceparent").pop().expect("a context");
    let state = stream.exchange.values(Side::Request, "tracestate").pop().unwrap_or_default();
    let is_sampled = context.ends_with("-01") || context.ends_with("-03");
    assert!(is_sampled || !state.contains("th:"), "{state}");
    is_sampled.then(|| state.strip_prefix("ot=th:").unwrap_or_default().to_owned())
}

/// Seconds with so many requests each; how many are sampled in each.
fn seconds(process: &mut Process, at: At<'_>, (seconds, requests): (u32, u32)) -> Vec<usize> {
    let mut sampled = Vec::new();
    for _ in 0..seconds {
        let kept = (0..requests).filter(|_| serve(process, at, &[]).is_some()).count();
        sampled.push(kept);
        process.advance(SECOND);
        process.collect();
    }
    sampled
}

fn mean(sampled: &[usize]) -> f64 {
    sampled.iter().sum::<usize>() as f64 / sampled.len() as f64
}

/// The ratio in force as it was shown last, in millionths.
fn shown(process: &Process, worker: usize, name: &str) -> Option<u64> {
    process.workers[worker].host.recorded(name).last().copied()
}

fn ratio(process: &Process) -> f64 {
    shown(process, 0, "adaptive.ratio_ppm").expect("shown") as f64 / 1e6
}

/// The ratio of a `th`.
fn ratio_of(th: &str) -> f64 {
    let digits = format!("{th:0<14}");
    1.0 - u64::from_str_radix(&digits, 16).expect("hex") as f64 / 2f64.powi(56)
}

#[test]
fn so_many_traces_a_second_are_kept_whatever_the_traffic_is() {
    let (mut process, root) = Process::with(&configuration(r#""ratio": 0.5, "target": {"traces_per_second": 10}"#));
    assert_eq!(shown(&process, 0, "adaptive.ratio_ppm"), Some(500_000), "the fixed ratio until something is known");
    let first = seconds(&mut process, at(root), (1, 100));
    assert!(30 < first[0], "{first:?}");
    let _ = seconds(&mut process, at(root), (20, 100));
    let calm = mean(&seconds(&mut process, at(root), (40, 100)));
    assert!((8.0..12.0).contains(&calm), "{calm} a second");
    let _ = seconds(&mut process, at(root), (6, 1_000));
    let busy = mean(&seconds(&mut process, at(root), (20, 1_000)));
    assert!((8.0..12.0).contains(&busy), "{busy} a second");
    assert!((0.008..0.012).contains(&ratio(&process)), "{}", ratio(&process));
    let [offered, sampled, dropped, load] =
        ["adaptive.offered", "decisions.sampled.adaptive", "decisions.dropped.adaptive", "adaptive.changes.load"]
            .map(|name| process.metric(name));
    assert_eq!((offered, sampled + dropped), (61 * 100 + 26 * 1_000, 61 * 100 + 26 * 1_000));
    assert!(2 <= load, "{load}");
    let spans = process.export();
    assert!(spans.iter().all(|span| attribute(span, "tracelift.sampling.reason").as_deref() == Some("adaptive")));
    let estimate: f64 = spans.iter().map(|span| 1.0 / ratio_of(&span.trace_state["ot=th:".len()..])).sum();
    let away = (estimate - offered as f64) / offered as f64;
    assert!(away.abs() < 0.15, "{estimate} of {offered}");
    let z = shown(&process, 0, "audit.z_centi");
    assert!(z.is_some_and(|z| z < 400), "{z:?}");
    let gauges = ["adaptive.target_milli", "adaptive.bound", "adaptive.boosted"].map(|name| shown(&process, 0, name));
    assert_eq!(gauges, [Some(10_000), Some(0), Some(0)]);
}

#[test]
fn a_bound_that_wins_is_shown_until_it_does_no_longer() {
    let target = r#""ratio": 0.5, "target": {"traces_per_second": 10, "min_ratio": 0.1, "max_ratio": 0.5}"#;
    let (mut process, root) = Process::with(&configuration(target));
    for (lasts, requests, bound) in [(20, 1_000, 1), (90, 5, 2), (40, 50, 0)] {
        let _ = seconds(&mut process, at(root), (lasts, requests));
        assert_eq!(shown(&process, 0, "adaptive.bound"), Some(bound), "{requests} a second");
    }
}

#[test]
fn th_is_the_threshold_in_force() {
    let (mut process, root) = Process::with(&configuration(r#""ratio": 0.5, "target": {"traces_per_second": 20}"#));
    for requests in [50, 400, 400, 1_000, 1_000] {
        for _ in 0..6 {
            let before = ratio(&process);
            for _ in 0..requests {
                if let Some(th) = serve(&mut process, at(root), &[]) {
                    assert!((ratio_of(&th) - before).abs() < 1e-3 * before + 2e-6, "{th} at {before}");
                }
            }
            process.advance(SECOND);
            process.collect();
        }
    }
}

#[test]
fn a_months_budget_is_shared_by_replicas_and_counts_what_a_trace_costs() {
    // 10 traces a second: 26,300,160 spans, by 8 in a trace, by 4 Envoys.
    let month = r#""ratio": 0.5, "target": {"spans_per_month": 841605120, "spans_per_trace": 8, "replicas": 4}"#;
    let (mut process, root) = Process::with(&configuration(month));
    let _ = seconds(&mut process, at(root), (15, 200));
    let kept = mean(&seconds(&mut process, at(root), (40, 200)));
    assert!((8.0..12.5).contains(&kept), "{kept} a second");
}

#[test]
fn only_what_is_decided_here_is_offered_and_what_else_begins_here_is_paid_first() {
    let rules = r#""rules": [{"name": "pay", "match": {"path": {"exact": "/pay"}}, "ratio": 1}]"#;
    let target = format!(r#""ratio": 0.5, "target": {{"traces_per_second": 10}}, {rules}"#);
    let (mut process, root) = Process::with(&configuration(&target));
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
    for _ in 0..40 {
        for _ in 0..200 {
            serve(&mut process, at(root), &[]);
        }
        for _ in 0..20 {
            serve(&mut process, at(root), &[("traceparent", caller)]);
        }
        process.advance(SECOND);
        process.collect();
    }
    assert_eq!(process.metric("adaptive.offered"), 8_000);
    let alone = ratio(&process);
    assert!((0.04..0.06).contains(&alone), "{alone}");
    for _ in 0..40 {
        for _ in 0..200 {
            serve(&mut process, at(root), &[]);
        }
        for _ in 0..6 {
            serve(&mut process, At { path: "/pay", ..at(root) }, &[]);
        }
        process.advance(SECOND);
        process.collect();
    }
    assert_eq!(process.metric("adaptive.offered"), 16_000);
    let rest = ratio(&process);
    assert!((0.015..0.028).contains(&rest), "what six of ten traces leave: {rest}");
    assert!(1 <= process.metric("adaptive.changes.budget"));
}

#[test]
fn each_route_is_kept_alike() {
    let by_route = r#"{"span_kind": "server", "sampling": {"ratio": 0.5, "target": {"traces_per_second": 10, "by": "route"}},
        "upgrade": {"traces_per_second": 0}, "metrics": {"routes": ["/users/{id}", "/rare"]}}"#;
    for metrics in [false, true] {
        let by_route = by_route.replace(r#""metrics": {"#, &format!(r#""metrics": {{"enabled": {metrics}, "#));
        let (mut process, root) = Process::with(&by_route);
        let mut kept = [0; 3];
        for second in 0..60 {
            for (place, (path, requests)) in [("/users/7", 300), ("/rare", 2), ("/other", 50)].into_iter().enumerate() {
                let sampled = (0..requests).filter(|_| serve(&mut process, At { path, ..at(root) }, &[]).is_some());
                let sampled = sampled.count();
                if 20 <= second {
                    kept[place] += sampled;
                }
            }
            process.advance(SECOND);
            process.collect();
        }
        let [users, rare, other] = kept.map(|kept| f64::from(kept as u32) / 40.0);
        assert_eq!(rare, 2.0, "all of the rare");
        assert!((3.0..5.0).contains(&users) && (3.0..5.0).contains(&other), "{users} {other}");
    }
}

#[test]
fn four_workers_go_by_one_ratio_a_tick_after_it_changed() {
    let mut process = Process::new(4);
    let target = configuration(r#""ratio": 0.5, "target": {"traces_per_second": 10}"#);
    let roots: Vec<u32> = (0..4).map(|worker| process.listener(worker, "inbound", &target)).collect();
    let mut seen = Vec::new();
    for second in 0..40 {
        let requests = if second < 20 { 40 } else { 400 };
        let mut ths = Vec::new();
        for (worker, root) in roots.iter().enumerate() {
            ths.extend((0..requests).filter_map(|_| serve(&mut process, At { worker, ..at(*root) }, &[])));
        }
        ths.sort();
        ths.dedup();
        seen.push(ths.len());
        process.state.now.set(process.state.now.get() + SECOND);
        // The worker that takes the step is another one each time.
        for worker in 0..4 {
            let worker = (worker + second) % 4;
            process.tick(worker, roots[worker]);
        }
        process.tick(second % 4, roots[second % 4]);
        for (worker, root) in roots.iter().enumerate() {
            process.tick(worker, *root);
        }
        process.collect();
    }
    assert!(seen.iter().all(|ths| *ths <= 1), "{seen:?}");
    assert!(
        process.metric("adaptive.changes.load") < 8,
        "counted once for all: {}",
        process.metric("adaptive.changes.load")
    );
}

#[test]
fn filters_of_other_names_or_targets_do_not_mix() {
    let mut process = Process::new(1);
    let few = process.listener(0, "inbound", &configuration(r#""ratio": 0.5, "target": {"traces_per_second": 2}"#));
    let many = process.listener(0, "outbound", &configuration(r#""ratio": 0.5, "target": {"traces_per_second": 20}"#));
    let mut kept = [0.0; 2];
    for second in 0..60 {
        for (place, root) in [few, many].into_iter().enumerate() {
            let sampled = (0..100).filter(|_| serve(&mut process, at(root), &[]).is_some()).count();
            kept[place] += if 20 <= second { sampled as f64 / 40.0 } else { 0.0 };
        }
        process.advance(SECOND);
        process.collect();
    }
    assert!((1.3..2.7).contains(&kept[0]) && (16.0..24.0).contains(&kept[1]), "{kept:?}");
}

#[test]
fn a_reload_and_a_refused_configuration_keep_the_ratio() {
    let target = configuration(r#""ratio": 0.5, "target": {"traces_per_second": 5}"#);
    let (mut process, root) = Process::with(&target);
    let _ = seconds(&mut process, at(root), (30, 200));
    let before = ratio(&process);
    assert!((0.02..0.03).contains(&before), "{before}");
    let wrong = configuration(r#""target": {"traces_per_second": 5, "spans_per_month": 5}"#);
    let refused = process.root(0);
    assert!(!process.configure(0, refused, "inbound", &wrong));
    let successor = process.listener(0, "inbound", &target);
    assert!((ratio(&process) - before).abs() < 1e-6, "the successor begins where this one is");
    process.trap(0);
    let after_trap = process.listener(0, "inbound", &target);
    assert!((ratio(&process) - before).abs() < 1e-6, "so does a VM that begins anew");
    let kept = mean(&seconds(&mut process, at(after_trap), (10, 200)));
    assert!(kept < 9.0, "{kept} a second");
    let again = process.configure(0, after_trap, "inbound", &target);
    assert!(again && (ratio(&process) - before).abs() < 0.01);
    assert_ne!(successor, after_trap);
}

#[test]
fn a_filter_that_was_replaced_shows_nothing_once_it_has_drained() {
    let of = |target: u32| configuration(&format!(r#""ratio": 0.5, "target": {{"traces_per_second": {target}}}"#));
    let mut process = Process::new(1);
    let old = process.listener(0, "inbound", &of(5));
    let new = process.listener(0, "inbound", &of(50));
    let _ = seconds(&mut process, at(old), (6, 100));
    assert_eq!(shown(&process, 0, "adaptive.target_milli"), Some(5_000), "while it has traffic");
    let _ = seconds(&mut process, at(new), (6, 100));
    for _ in 0..20 {
        let _ = seconds(&mut process, at(new), (1, 100));
        assert_eq!(shown(&process, 0, "adaptive.target_milli"), Some(50_000));
    }
}

#[test]
fn a_rate_that_decides_in_one_worker_is_shown_by_another_that_takes_the_step() {
    let of = |target: u32| configuration(&format!(r#""ratio": 0.5, "target": {{"traces_per_second": {target}}}"#));
    let mut process = Process::new(2);
    let [first, second] = [5, 50].map(|target| [0, 1].map(|worker| process.listener(worker, "inbound", &of(target))));
    let _ = seconds(&mut process, At { worker: 1, ..at(first[1]) }, (20, 20));
    let last = |process: &Process| [0, 1].map(|worker| shown(process, worker, "adaptive.target_milli"));
    assert_eq!(last(&process), [Some(5_000), Some(50_000)], "the first worker takes each step");
    let _ = seconds(&mut process, At { worker: 1, ..at(second[1]) }, (20, 20));
    assert_eq!(last(&process), [Some(50_000); 2]);
}

#[test]
fn the_highest_ratio_wins_where_it_is_reached_and_not_on_the_way_there() {
    let (mut process, root) = Process::with(&configuration(r#""ratio": 0.05, "target": {"traces_per_second": 50}"#));
    let said = |process: &Process| process.logged(Level::Info, "max_ratio keeps all that it may");
    let _ = seconds(&mut process, at(root), (20, 5));
    assert!(ratio(&process) < 0.5 && !said(&process), "{}", ratio(&process));
    assert_eq!(shown(&process, 0, "adaptive.bound"), Some(0));
    let _ = seconds(&mut process, at(root), (40, 5));
    assert!(0.999 < ratio(&process) && said(&process), "{}", ratio(&process));
    assert_eq!(shown(&process, 0, "adaptive.bound"), Some(2));
}

#[test]
fn a_bound_that_wins_again_and_again_is_logged_when_it_is_hit_and_when_it_is_left_for_good() {
    let bounded = r#""ratio": 0.5, "target": {"traces_per_second": 5, "min_ratio": 0.05}"#;
    let (mut process, root) = Process::with(&configuration(bounded));
    for _ in 0..3 {
        let _ = seconds(&mut process, at(root), (20, 400));
        assert_eq!(shown(&process, 0, "adaptive.bound"), Some(1));
        let _ = seconds(&mut process, at(root), (60, 20));
        assert_eq!(shown(&process, 0, "adaptive.bound"), Some(0), "that is shown at once");
    }
    let _ = seconds(&mut process, at(root), (300, 20));
    let logs = process.state.logs.borrow();
    let lines: Vec<&str> =
        logs.iter().map(|(_, _, text)| text.as_str()).filter(|text| text.contains("target")).collect();
    let [hit, left] = lines[..] else { panic!("{lines:?}") };
    assert!(
        hit.contains("sampling.target cannot be met: sampling.target.min_ratio keeps more") && hit.contains(" 5 %")
    );
    assert!(
        left.contains("sampling.target has been met for five minutes, above min_ratio, after it won 3 times;"),
        "{left}"
    );
}

#[test]
fn failures_raise_the_ratio_for_a_while_and_the_log_says_why() {
    let boosted = r#""ratio": 0.01, "boost": {"max_ratio": 0.2, "hold_s": 20, "cooldown_s": 60}"#;
    let (mut process, root) =
        Process::with(&configuration(boosted).replace(r#""traces_per_second": 0"#, r#""traces_per_second": 1000"#));
    let failing = At { status: 503, ..at(root) };
    let minute = |process: &mut Process, at: At<'_>| drop(seconds(process, at, (70, 100)));
    minute(&mut process, at(root));
    assert_eq!(shown(&process, 0, "adaptive.ratio_ppm"), Some(10_000));
    let _ = seconds(&mut process, failing, (16, 100));
    assert_eq!(shown(&process, 0, "adaptive.ratio_ppm"), Some(100_000), "ten times as high");
    assert!(process.logged(
        Level::Info,
        "the boost of the sampling ratio begins, because more requests than usual fail or are slow"
    ));
    assert!(process.logged(Level::Info, "Failures: 100 % (usually "), "{:?}", process.state.logs.borrow().last());
    minute(&mut process, at(root));
    assert_eq!(shown(&process, 0, "adaptive.ratio_ppm"), Some(10_000));
    assert!(process.logged(Level::Info, "the boost of the sampling ratio ends"));
    assert_eq!(process.metric("adaptive.changes.boost"), 5, "it begins, three halves, and ends");
}

#[test]
fn slow_answers_raise_it_too_where_that_is_learned() {
    let boosted = configuration(r#""ratio": 0.01, "boost": {"max_ratio": 0.2, "hold_s": 20}"#)
        .replace(r#""traces_per_second": 0"#, r#""traces_per_second": 1000, "slow": {"enabled": true, "per": "side"}"#);
    let (mut process, root) = Process::with(&boosted);
    let run = |process: &mut Process, count: u32, milliseconds: u64| {
        for _ in 0..count {
            for number in 0..60 {
                let stream = process.stream(0, root);
                process.head(&stream, crate::kit::process::get(&[]));
                let took = if number % 20 == 0 { 10 * milliseconds } else { milliseconds };
                process.state.now.set(process.state.now.get() + took * MILLISECOND);
                process.answer(&stream, status(200, &[]), true);
                process.log(&stream);
                process.done(stream.worker, stream.context);
            }
            process.advance(SECOND);
            process.collect();
        }
    };
    run(&mut process, 150, 1);
    assert_eq!(process.metric("adaptive.changes.boost"), 0);
    run(&mut process, 12, 40);
    assert_eq!(process.metric("adaptive.changes.boost"), 1);
    let logs = process.state.logs.borrow();
    assert!(logs.iter().any(|(_, _, text)| text.contains("slow answers: 100 %")), "{:?}", logs.last());
}

#[test]
fn a_target_can_be_tried_in_the_shadow() {
    let both = r#"{"span_kind": "server", "sampling": {"ratio": 0.5}, "upgrade": {"traces_per_second": 0},
        "shadow": {"sampling": {"ratio": 0.5, "target": {"traces_per_second": 4}}}}"#;
    let (mut process, root) = Process::with(both);
    let kept = mean(&seconds(&mut process, at(root), (60, 100)));
    assert!((40.0..60.0).contains(&kept), "the live policy is as it was: {kept}");
    let tried = shown(&process, 0, "shadow.adaptive.ratio_ppm").expect("shown");
    assert!((32_000..48_000).contains(&tried), "{tried}");
    assert_eq!((process.metric("adaptive.offered"), shown(&process, 0, "adaptive.ratio_ppm")), (0, None));
    let sampled = process.metric("shadow.decisions.sampled");
    assert!((240..700).contains(&sampled), "{sampled}");
}

#[test]
fn a_shadow_may_have_a_rate_for_each_route_where_the_live_policy_has_one() {
    let both = r#"{"span_kind": "server", "sampling": {"ratio": 0.5, "target": {"traces_per_second": 5}}, "upgrade": {"traces_per_second": 0},
        "shadow": {"sampling": {"ratio": 0.5, "target": {"traces_per_second": 5, "by": "route"}}}, "metrics": {"routes": ["/cart"]}}"#;
    let (mut process, root) = Process::with(both);
    let _ = seconds(&mut process, at(root), (20, 100));
    let kept = mean(&seconds(&mut process, at(root), (30, 100)));
    assert!((3.5..6.5).contains(&kept), "{kept} a second");
    assert_eq!(process.metric("adaptive.offered"), 5_000);
}

#[test]
fn a_shadow_of_upgrades_alone_goes_by_the_live_rate() {
    let both = r#"{"span_kind": "server", "sampling": {"ratio": 0.5, "target": {"traces_per_second": 4}},
        "upgrade": {"traces_per_second": 0}, "shadow": {"upgrade": {"http_status": ["4xx"]}}}"#;
    let (mut process, root) = Process::with(both);
    let _ = seconds(&mut process, at(root), (30, 100));
    let counts = ["shadow.decisions.sampled", "decisions.sampled.adaptive"].map(|name| process.metric(name));
    assert_eq!(counts[0], counts[1]);
    assert_eq!(["kept", "dropped"].map(|name| process.metric(&format!("shadow.disagreements.{name}"))), [0, 0]);
}

#[test]
fn a_worker_without_shared_values_goes_by_what_it_sees() {
    for operation in [Operation::Shared, Operation::Swap] {
        let (mut process, root) = Process::with(&configuration(r#""ratio": 0.5, "target": {"traces_per_second": 5}"#));
        process.state.faults.set(operation, 1);
        let _ = seconds(&mut process, at(root), (30, 100));
        let kept = mean(&seconds(&mut process, at(root), (30, 100)));
        assert!((3.5..6.5).contains(&kept), "{kept} a second");
        process.repair();
    }
}

#[test]
fn bytes_of_others_in_its_place_are_not_believed() {
    let (mut process, root) = Process::with(&configuration(r#""ratio": 0.5, "target": {"traces_per_second": 5}"#));
    let _ = seconds(&mut process, at(root), (20, 100));
    let keys = process.state.shared.keys();
    let key = keys.iter().find(|key| key.starts_with(b"tracelift.pace.")).expect("shared").clone();
    for bytes in [&[][..], b"x", &[0xff; 300]] {
        process.state.shared.swap(&key, bytes, 0);
        let _ = seconds(&mut process, at(root), (30, 100));
        assert!((0.03..0.08).contains(&ratio(&process)), "{}", ratio(&process));
    }
}
