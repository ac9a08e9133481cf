//! `upgrade.slow`: what takes longer than is usual for its route and method is kept, and the deepest hop that did is named.

use tracelift::door::{Attribute, Side};

use crate::kit::collector::attribute;
use crate::kit::faults::Operation;
use crate::kit::process::{MILLISECOND, Process, SECOND, Stream, lines, status};

const SLOW: &str = r#""slow": {"enabled": true}"#;
const MINUTE: u64 = 60 * SECOND;

fn configuration(upgrade: &str) -> String {
    format!(
        r#"{{"span_kind": "server", "sampling": {{"ratio": 0}}, "upgrade": {{"traces_per_second": 100000, {upgrade}}},
            "metrics": {{"routes": ["/users/{{id}}", "/export"], "route_header": "x-route"}}}}"#
    )
}

/// Where requests go: a worker, a root and a path.
#[derive(Clone, Copy)]
struct At<'a> {
    worker: usize,
    root: u32,
    path: &'a str,
}

/// A request whose answer begins after so many nanoseconds, and what it is kept for.
fn took(process: &mut Process, at: At<'_>, nanos: u64, more: &[(&str, &str)]) -> (Option<String>, Stream) {
    let stream = process.stream(at.worker, at.root);
    let usual = [(":method", "GET"), (":path", at.path), (":authority", "shop"), (":scheme", "http")];
    process.head(&stream, lines(&[&usual, more].concat()));
    let now = &process.state.now;
    now.set(now.get() + nanos);
    process.answer(&stream, status(200, &[]), true);
    process.log(&stream);
    process.done(stream.worker, stream.context);
    (stream.exchange.decision(), stream)
}

fn is_slow(process: &mut Process, at: At<'_>, ms: u64) -> bool {
    took(process, at, ms * MILLISECOND, &[]).0.as_deref() == Some("upgraded.slow")
}

/// A thousand requests that take so long, and a tick at which workers learn of them.
fn learn(process: &mut Process, at: At<'_>, ms: u64) {
    for _ in 0..1_000 {
        assert!(!is_slow(process, at, ms));
    }
    process.advance(6 * SECOND);
}

fn started(upgrade: &str) -> (Process, At<'static>) {
    let (process, root) = Process::with(&configuration(upgrade));
    (process, At { worker: 0, root, path: "/users/7" })
}

#[test]
fn what_takes_longer_than_usual_is_kept_and_says_by_how_much() {
    let (mut process, at) = started(SLOW);
    assert!(!is_slow(&mut process, at, 5_000), "nothing is learned yet");
    learn(&mut process, at, 40);
    assert_eq!((process.metric("slow.routes"), process.metric("slow.learning")), (1, 0));
    assert!(!is_slow(&mut process, at, 60));
    assert!(is_slow(&mut process, at, 70));
    assert!(!is_slow(&mut process, At { path: "/export", ..at }, 5_000), "another route, of which nothing is known");
    let spans = process.export();
    let [span] = spans else { panic!("{} spans", spans.len()) };
    let of = |name: &str| attribute(span, name);
    assert_eq!(of("tracelift.upgrade.trigger").as_deref(), Some("slow"));
    assert_eq!(of("tracelift.slow.culprit").as_deref(), Some("true"));
    let [baseline, excess] =
        ["baseline_ms", "excess_ms"].map(|name| of(&format!("tracelift.slow.{name}")).unwrap().parse::<u64>().unwrap());
    assert!((40..=42).contains(&baseline) && (69..=70).contains(&(baseline + excess)), "{baseline} {excess}");
    assert_eq!(span.trace_state, "ot=th:0");
    let annotations = of("aws.xray.annotations").expect("annotations");
    assert!(annotations.contains("tracelift.slow.culprit"), "{annotations}");
    assert_eq!((process.metric("upgrades.slow"), process.metric("slow.culprits")), (1, 1));
}

#[test]
fn what_is_quick_enough_for_everybody_is_not_slow_and_a_rule_may_exempt() {
    let (mut process, at) = started(SLOW);
    learn(&mut process, at, 1);
    assert!(!is_slow(&mut process, at, 20), "min_ms");
    assert!(is_slow(&mut process, at, 21));
    let exempt = configuration(SLOW).replace(r#""ratio": 0}"#, r#""ratio": 0, "rules": [{"upgrade": false}]}"#);
    let (mut process, root) = Process::with(&exempt);
    let at = At { root, ..at };
    learn(&mut process, at, 40);
    assert!(!is_slow(&mut process, at, 5_000));
}

#[test]
fn a_method_of_grpc_is_a_route_and_per_side_there_is_one() {
    let (mut process, at) = started(SLOW);
    let grpc = [("content-type", "application/grpc")];
    for number in 0..2_000 {
        let path = if number % 2 == 0 { "/shop.Cart/Get" } else { "/shop.Cart/Export" };
        took(&mut process, At { path, ..at }, if number % 2 == 0 { 10 } else { 400 } * MILLISECOND, &grpc);
    }
    process.advance(6 * SECOND);
    assert_eq!(process.metric("slow.routes"), 2);
    let kept = took(&mut process, At { path: "/shop.Cart/Get", ..at }, 100 * MILLISECOND, &grpc).0;
    assert_eq!(kept.as_deref(), Some("upgraded.slow"));
    assert_eq!(took(&mut process, At { path: "/shop.Cart/Export", ..at }, 500 * MILLISECOND, &grpc).0, None);

    let (mut process, at) = started(r#""slow": {"enabled": true, "per": "side"}"#);
    learn(&mut process, at, 40);
    assert!(is_slow(&mut process, At { path: "/export", ..at }, 70));
}

#[test]
fn workers_and_a_worker_that_begins_anew_agree_and_a_reload_forgets_nothing() {
    let mut process = Process::new(3);
    let roots = [0, 1].map(|worker| process.listener(worker, "inbound", &configuration(SLOW)));
    let at = |worker: usize| At { worker, root: roots[worker], path: "/users/1" };
    for number in 0..1_000 {
        assert!(!is_slow(&mut process, at(number % 2), 40));
    }
    process.advance(6 * SECOND);
    process.advance(6 * SECOND);
    for worker in 0..2 {
        is_slow(&mut process, at(worker), 40);
    }
    process.advance(6 * SECOND);
    assert!(is_slow(&mut process, at(0), 70) && is_slow(&mut process, at(1), 70), "five hundred each, together");
    let late = process.listener(2, "inbound", &configuration(SLOW));
    assert!(
        is_slow(&mut process, At { worker: 2, root: late, path: "/users/1" }, 70),
        "known from its first request on"
    );
    process.trap(0);
    let again = process.listener(0, "inbound", &configuration(SLOW));
    assert!(is_slow(&mut process, At { worker: 0, root: again, path: "/users/1" }, 70));
    let tighter = configuration(r#""slow": {"enabled": true, "factor": 3}"#);
    assert!(process.configure(1, roots[1], "inbound", &tighter));
    assert!(!is_slow(&mut process, at(1), 70));
    assert!(is_slow(&mut process, at(1), 130), "the same baseline, another factor");
    let other = process.listener(2, "outbound", &configuration(SLOW));
    assert!(
        !is_slow(&mut process, At { worker: 2, root: other, path: "/users/1" }, 5_000),
        "another filter learns apart"
    );
}

#[test]
fn a_host_without_shared_values_keeps_serving_and_learns_later() {
    let (mut process, at) = started(SLOW);
    process.state.faults.set(Operation::Swap, 1);
    for _ in 0..1_100 {
        assert!(!is_slow(&mut process, at, 40));
    }
    process.advance(6 * SECOND);
    assert!(!is_slow(&mut process, at, 5_000));
    process.state.faults.clear();
    process.advance(6 * SECOND);
    assert!(is_slow(&mut process, at, 200), "what was counted meanwhile is not lost");
}

/// The time an answer takes: log-normal around a median, from two numbers of SplitMix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn nanos(&mut self, median_ms: f64) -> u64 {
        let normal = (-2.0 * self.next().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos();
        (median_ms * (0.5 * normal).exp() * 1e6) as u64
    }
}

/// Routes with medians from 4 to 1,200 ms. Once they are learned, a twentieth of the requests takes eight times as long: what share of
/// the others is kept, and what share of these. A limit for all of them finds none where it is quick, and nearly everything where it is slow.
#[test]
fn on_quick_and_slow_routes_alike_hardly_any_ordinary_request_is_kept_and_most_slow_ones_are() {
    const MEDIANS: [f64; 5] = [4.0, 20.0, 90.0, 350.0, 1_200.0];
    let (mut process, at) = started(r#""slow": {"enabled": true, "min_ms": 1}"#);
    let names: Vec<String> = (0..MEDIANS.len()).map(|route| format!("/route-{route}")).collect();
    let mut draws = Draws(7);
    let request = |process: &mut Process, route: usize, nanos: u64| {
        let stream = process.stream(at.worker, at.root);
        process
            .head(&stream, lines(&[(":method", "GET"), (":path", "/"), (":authority", "shop"), (":scheme", "http")]));
        let began = process.state.now.get();
        process.state.now.set(began + nanos);
        process.answer(&stream, status(200, &[("x-route", &names[route])]), true);
        process.state.now.set(began + MILLISECOND);
        process.log(&stream);
        process.done(stream.worker, stream.context);
        stream.exchange.decision().is_some()
    };
    for _ in 0..2_000 {
        for (route, median) in MEDIANS.into_iter().enumerate() {
            request(&mut process, route, draws.nanos(median));
        }
    }
    process.advance(6 * SECOND);
    let (mut ordinary, mut ordinary_kept) = (0.0, 0.0);
    let mut by_limit = [0.0; 5];
    for (route, median) in MEDIANS.into_iter().enumerate() {
        let (mut slow, mut slow_kept) = (0.0, 0.0);
        for number in 0..4_000 {
            let is_made_slow = number % 20 == 0;
            let nanos = draws.nanos(median) * if is_made_slow { 8 } else { 1 };
            let kept = f64::from(request(&mut process, route, nanos));
            if is_made_slow {
                (slow, slow_kept) = (slow + 1.0, slow_kept + kept);
            } else {
                (ordinary, ordinary_kept) = (ordinary + 1.0, ordinary_kept + kept);
            }
            by_limit[route] += f64::from(u8::from(500 * MILLISECOND < nanos)) / 4_000.0;
        }
        let share = slow_kept / slow;
        assert!((0.54..0.95).contains(&share), "median {median} ms: {share} of the slow");
    }
    let share = ordinary_kept / ordinary;
    assert!(share < 0.002, "{share} of the others");
    assert!(by_limit[0] == 0.0 && 0.9 < by_limit[4], "500 ms for all: {by_limit:?}");
}

/// A service: an Envoy with an inbound and, but for the last, an outbound listener.
struct Service {
    process: Process,
    inbound: u32,
    outbound: u32,
}

impl Service {
    fn start() -> Self {
        let mut process = Process::new(1);
        let server = configuration(SLOW);
        let client = server.replace(r#""server""#, r#""client""#);
        let inbound = process.listener(0, "inbound", &server);
        let outbound = process.listener(0, "outbound", &client);
        Self { process, inbound, outbound }
    }

    fn open(&mut self, root: u32, context: &str) -> Stream {
        let stream = self.process.stream(0, root);
        let direction = if root == self.inbound { 1 } else { 2 };
        stream.exchange.set_number(Attribute::ListenerDirection, direction);
        let usual = [(":method", "GET"), (":path", "/export"), (":authority", "shop"), (":scheme", "http")];
        self.process.head(&stream, lines(&[&usual[..], &[("traceparent", context)]].concat()));
        stream
    }
}

/// What a request through `front`, `middle` and `back` is kept for at each of its five hops, the outermost first, where each service adds so
/// many milliseconds of its own.
fn through(mesh: &mut [Service; 3], number: u64, own_ms: [u64; 3]) -> [Option<String>; 5] {
    let mut context = format!("00-{number:032x}-b7ad6b7169203331-02");
    let mut open = Vec::new();
    for (place, service) in mesh.iter_mut().enumerate() {
        for root in [Some(service.inbound), (place < 2).then_some(service.outbound)].into_iter().flatten() {
            let stream = service.open(root, &context);
            context = stream.exchange.values(Side::Request, "traceparent").pop().expect("a context");
            open.push((place, root, stream));
        }
    }
    let mut heard: Vec<(String, String)> = Vec::new();
    let mut kept = Vec::new();
    for (place, root, stream) in open.into_iter().rev() {
        let is_inbound = root == mesh[place].inbound;
        if is_inbound {
            heard.clear(); // An application passes no signal on.
            mesh.iter().for_each(|service| {
                let now = &service.process.state.now;
                now.set(now.get() + own_ms[place] * MILLISECOND);
            });
        }
        let service = &mut mesh[place].process;
        let more: Vec<_> = heard.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        service.answer(&stream, status(200, &more), true);
        heard = ["x-tracelift-signal", "traceresponse", "server-timing"]
            .into_iter()
            .flat_map(|name| {
                stream.exchange.values(Side::Response, name).into_iter().map(move |value| (name.to_owned(), value))
            })
            .collect();
        service.log(&stream);
        service.done(stream.worker, stream.context);
        kept.push(stream.exchange.decision());
    }
    kept.reverse();
    kept.try_into().expect("five hops")
}

#[test]
fn the_deepest_hop_that_was_slow_is_the_culprit_and_its_callers_keep_by_signal_without_a_charge() {
    let mut mesh = [Service::start(), Service::start(), Service::start()];
    for number in 1..=1_000 {
        assert_eq!(through(&mut mesh, number, [10, 10, 10]), [const { None }; 5]);
    }
    mesh.iter_mut().for_each(|service| service.process.advance(6 * SECOND));
    let culprit = Some("upgraded.slow".to_owned());
    let caller = Some("upgraded.signal".to_owned());
    for (number, (own, wanted)) in (2_000..).zip([
        ([10, 10, 200], [&caller, &caller, &caller, &caller, &culprit]),
        ([10, 200, 10], [&caller, &caller, &culprit, &None, &None]),
        ([200, 10, 10], [&culprit, &None, &None, &None, &None]),
        ([200, 10, 200], [&caller, &caller, &caller, &caller, &culprit]),
        ([10, 10, 10], [&None; 5]),
    ]) {
        assert_eq!(through(&mut mesh, number, own).each_ref(), wanted, "{own:?}");
    }
    for (service, wanted) in mesh.iter_mut().zip([1, 1, 2]) {
        service.process.advance(SECOND);
        assert_eq!(service.process.metric("slow.culprits"), wanted);
        let spans = service.process.export();
        let culprits = spans.iter().filter(|span| attribute(span, "tracelift.slow.culprit").is_some()).count();
        assert_eq!(culprits as i64, wanted);
    }
}

#[test]
fn a_slow_trace_that_was_shed_below_is_shed_above() {
    let poor = configuration(SLOW).replace(r#""traces_per_second": 100000"#, r#""traces_per_second": 0.001"#);
    let (mut process, root) = Process::with(&poor);
    let at = At { worker: 0, root, path: "/export" };
    learn(&mut process, at, 40);
    assert!(is_slow(&mut process, at, 200));
    assert!(!is_slow(&mut process, at, 200));
    let caller = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")];
    let (_, stream) = took(&mut process, at, 200 * MILLISECOND, &caller);
    let heard = stream.exchange.values(Side::Response, "x-tracelift-signal");
    assert_eq!(heard, ["2;shed;0af7651916cd43dd8448eb211c80319c"]);
}

#[test]
fn a_slow_request_that_the_head_had_sampled_counts_for_itself() {
    let sampled = configuration(SLOW).replace(r#""ratio": 0}"#, r#""ratio": 1}"#);
    let (mut process, root) = Process::with(&sampled);
    let at = At { worker: 0, root, path: "/export" };
    for _ in 0..1_000 {
        took(&mut process, at, 40 * MILLISECOND, &[]);
    }
    process.advance(6 * SECOND);
    process.export();
    process.exported.clear();
    took(&mut process, at, 200 * MILLISECOND, &[]);
    let spans = process.export();
    let [span] = spans else { panic!("{} spans", spans.len()) };
    assert_eq!(attribute(span, "tracelift.slow.culprit").as_deref(), Some("true"));
    assert_eq!(attribute(span, "tracelift.sampling.adjusted_count").as_deref(), Some("1"));
}

#[test]
fn the_shadow_policy_learns_apart_and_keeps_nothing() {
    let shadow = r#"{"span_kind": "server", "sampling": {"ratio": 0}, "upgrade": {"slow": {"enabled": true, "factor": 10}},
        "shadow": {"upgrade": {"traces_per_second": 1000, "slow": {"enabled": true, "quantile": 0.9}}}}"#;
    let (mut process, root) = Process::with(shadow);
    let at = At { worker: 0, root, path: "/export" };
    learn(&mut process, at, 40);
    assert!(!is_slow(&mut process, at, 200));
    process.tick_all();
    assert_eq!((process.metric("shadow.upgrades"), process.metric("shadow.disagreements.kept")), (1, 1));
    assert_eq!(process.metric("slow.routes"), 2);
}

#[test]
fn what_grows_bit_by_bit_is_seen_for_long_and_what_becomes_quicker_is_learned() {
    let (mut process, at) = started(SLOW);
    learn(&mut process, at, 100);
    let mut kept = 0;
    for window in 1..=12_u64 {
        process.advance(10 * MINUTE);
        // A tenth more every ten minutes: 1.1^5 is beyond the factor and the twentieth by which the baseline follows.
        let ms = (100.0 * 1.1_f64.powi(window as i32)) as u64;
        kept += (0..1_000).filter(|_| is_slow(&mut process, at, ms)).count();
        process.advance(6 * SECOND);
    }
    assert!(1_000 <= kept, "{kept}");
}
