//! Drives the release module through one kind of work at a time and counts what it costs.

use std::time::Duration;

use tracelift_host::{Cost, Direction, Envoy, Headers, Listener, RequestSpec, Response, VmId, testing};

use crate::figures::{ExportFigures, Figures, RequestFigures};

const COLLECTOR: &str = "otel_collector";
const WARM_UP: usize = 64;
const MEASURED: usize = 256;
const WORKER: VmId = VmId::Worker(0);

/// How a request of one kind ends.
#[derive(Clone, Copy)]
enum Ending {
    Ok,
    Status503,
    Reset,
    Grpc(u32),
}

/// A kind of request: its name in the report, the sampling rules, its headers beside the usual ones, its end.
struct Kind {
    name: &'static str,
    rules: usize,
    headers: Vec<(&'static str, String)>,
    ending: Ending,
    /// Recall is on, so that a dropped stream is held.
    recall: bool,
    /// Requests are counted, with so many route templates.
    routes: Option<usize>,
    /// Coverage is on, and keeps the first.
    coverage: bool,
    /// The general ratio; one that is not 0 keeps next to nothing, by chance.
    ratio: &'static str,
    /// The filter is wrapped in a matcher, and reads one header.
    wrapped: bool,
    /// Keys in `sampling`, in `upgrade` and at the top, behind the others.
    more: [&'static str; 3],
}

/// Tokens are looked for.
const FORCE: [&str; 3] = ["", "", r#", "force": {"keys": [{"id": "dev", "secret": "0123456789abcdef"}]}"#];
/// Requests of a session are recorded together.
const SESSION: [&str; 3] = [r#", "session": {"header": "x-request-id", "key": "0123456789abcdef"}"#, "", ""];
/// How long requests take is learned.
const SLOW: [&str; 3] = ["", r#", "slow": {"enabled": true}"#, r#", "span_kind": "server""#];
/// A ratio by which no request here is kept.
const NEARLY_NEVER: &str = "1e-15";
/// A target and a boost steer the rate, which keeps next to nothing.
const TARGET: [&str; 3] =
    [r#", "target": {"traces_per_second": 0, "min_ratio": 1e-15}, "boost": {"max_ratio": 0.5}"#, "", ""];
/// All that a rate and tokens can have of a dropped request.
const TARGET_AND_FORCE: [&str; 3] = [TARGET[0], "", FORCE[2]];
/// Slowness beside request metrics, which name the side already.
const SLOW_COUNTED: [&str; 3] = ["", r#", "slow": {"enabled": true}"#, ""];

/// Everything, in the order of the report.
pub fn all() -> Figures {
    let module = std::fs::metadata(testing::module_path()).map_or(0, |file| file.len());
    Figures {
        module_bytes: module,
        worker_bytes_at_start: started("{}").memory_size(WORKER),
        worker_bytes_after_10000_requests: after_requests(10_000),
        idle_tick_fuel: idle_tick().fuel,
        requests: kinds().iter().map(|kind| (kind.name.to_owned(), request(kind))).collect(),
        exports: [("http/protobuf", "none"), ("http/protobuf", "gzip"), ("grpc", "none")]
            .into_iter()
            .map(|(protocol, compression)| {
                (format!("512 spans, {protocol}, {compression}"), export(protocol, compression))
            })
            .collect(),
    }
}

fn kinds() -> Vec<Kind> {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
    let parent = |flags: &str| ("traceparent", format!("{TRACE}{flags}"));
    let dropped = || vec![parent("02")];
    let tracestate = |text: String| vec![parent("02"), ("tracestate", text)];
    let long = format!("rojo=00f067aa0ba902b7,long={}", "x".repeat(240)) + &format!(",more={}", "y".repeat(240));
    let kind = |name, rules, headers, ending| Kind {
        name,
        rules,
        headers,
        ending,
        recall: false,
        routes: None,
        coverage: false,
        ratio: "0",
        wrapped: false,
        more: [""; 3],
    };
    vec![
        kind("dropped, no context", 0, Vec::new(), Ending::Ok),
        kind("dropped, traceparent", 0, dropped(), Ending::Ok),
        kind(
            "dropped, traceparent and tracestate",
            0,
            tracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".to_owned()),
            Ending::Ok,
        ),
        kind("dropped, tracestate of 512 bytes", 0, tracestate(long), Ending::Ok),
        kind("dropped, 5 rules", 5, dropped(), Ending::Ok),
        kind("dropped, 50 rules", 50, dropped(), Ending::Ok),
        kind("dropped, gRPC", 0, dropped(), Ending::Grpc(0)),
        kind("sampled", 0, vec![parent("03")], Ending::Ok),
        kind("sampled, gRPC", 0, vec![parent("03")], Ending::Grpc(0)),
        kind("upgraded by 503", 0, dropped(), Ending::Status503),
        kind("upgraded by reset", 0, dropped(), Ending::Reset),
        kind("upgraded by gRPC status", 0, dropped(), Ending::Grpc(14)),
        Kind { coverage: true, ..kind("dropped, no context, coverage", 0, Vec::new(), Ending::Ok) },
        Kind { more: FORCE, ..kind("dropped, traceparent, force", 0, dropped(), Ending::Ok) },
        Kind { more: SESSION, ..kind("dropped, no context, session", 0, Vec::new(), Ending::Ok) },
        Kind { ratio: NEARLY_NEVER, ..kind("dropped, no context, by chance", 0, Vec::new(), Ending::Ok) },
        Kind { ratio: NEARLY_NEVER, more: TARGET, ..kind("dropped, no context, target", 0, Vec::new(), Ending::Ok) },
        Kind {
            ratio: NEARLY_NEVER,
            more: TARGET_AND_FORCE,
            ..kind("dropped, no context, target, boost and force", 0, Vec::new(), Ending::Ok)
        },
        Kind { more: SLOW, ..kind("dropped, traceparent, slow", 0, dropped(), Ending::Ok) },
        Kind { recall: true, ..kind("held for recall", 0, dropped(), Ending::Ok) },
        Kind { wrapped: true, ..kind("dropped, no context, wrapped", 0, Vec::new(), Ending::Ok) },
        Kind { wrapped: true, ..kind("dropped, traceparent, wrapped", 0, dropped(), Ending::Ok) },
        Kind { wrapped: true, ..kind("sampled, wrapped", 0, vec![parent("03")], Ending::Ok) },
        Kind { wrapped: true, ..kind("upgraded by 503, wrapped", 0, dropped(), Ending::Status503) },
        Kind { wrapped: true, ..kind("upgraded by reset, wrapped", 0, dropped(), Ending::Reset) },
        Kind { routes: Some(0), ..kind("dropped, counted", 0, dropped(), Ending::Ok) },
        Kind { routes: Some(20), ..kind("dropped, counted by 20 routes", 0, dropped(), Ending::Ok) },
        Kind { routes: Some(0), more: SLOW_COUNTED, ..kind("dropped, counted, slow", 0, dropped(), Ending::Ok) },
        Kind { routes: Some(0), ..kind("dropped, gRPC, counted", 0, dropped(), Ending::Grpc(0)) },
        Kind { routes: Some(20), ..kind("sampled, counted by 20 routes", 0, vec![parent("03")], Ending::Ok) },
    ]
}

fn configuration(kind: &Kind, export: &str) -> String {
    let rules: Vec<String> = (0..kind.rules)
        .map(|n| format!(r#"{{"match": {{"path": {{"prefix": "/never/{n}/"}}, "method": ["GET"]}}, "ratio": 1}}"#))
        .collect();
    let rules = rules.join(",");
    let Kind { recall, coverage, ratio, more: [sampling, slow, top], .. } = kind;
    let recall = format!(r#""recall": {{"enabled": {recall}, "token": "0123456789abcdef"}}"#);
    let upgrade = format!(r#"{{"traces_per_second": 1000000, {recall}, "coverage": {{"enabled": {coverage}}}{slow}}}"#);
    let metrics = kind.routes.map(|routes| {
        let routes: Vec<String> =
            (0..routes).map(|n| format!(r#""/{}/{{id}}""#, ["cart", "users"][n % 2].repeat(n / 2 + 1))).collect();
        // The direction is the listener's, and to ask for it is a hostcall.
        format!(r#""span_kind": "server", "metrics": {{"enabled": true, "routes": [{}]}}, "#, routes.join(","))
    });
    let metrics = metrics.unwrap_or_default();
    format!(
        r#"{{{metrics}"sampling": {{"ratio": {ratio}, "rules": [{rules}]{sampling}}}, "upgrade": {upgrade}, "export": {{{export}}}{top}}}"#
    )
}

/// Queues everything and sends nothing while a kind is measured.
const NEVER_SEND: &str = r#""max_queue_size": 65536, "max_export_batch_size": 65536, "scheduled_delay_ms": 600000"#;

fn started(configuration: &str) -> Envoy {
    started_with(Listener::new("inbound", Direction::Inbound, configuration))
}

fn started_with(listener: Listener) -> Envoy {
    Envoy::builder(testing::module())
        .listener(listener)
        .seed(7)
        .collector(COLLECTOR, Duration::from_millis(20))
        .start()
        .unwrap_or_else(|refused| panic!("{refused}"))
}

/// With a matcher around the filter, and slots for headers.
fn wrapped(kind: &Kind) -> Envoy {
    let envoy = Kind {
        more: ["", "", r#", "span_kind": "server", "envoy": {"answers": "notable", "inline_headers": true}"#],
        headers: kind.headers.clone(),
        ..*kind
    };
    started_with(Listener::new("inbound", Direction::Inbound, configuration(&envoy, NEVER_SEND)).wrapped())
}

/// One request as a mesh sees it: pseudo-headers and the usual nine.
fn run(envoy: &mut Envoy, kind: &Kind) -> Cost {
    let grpc = matches!(kind.ending, Ending::Grpc(_));
    let mut headers = Headers::from([
        (":method", if grpc { "POST" } else { "GET" }),
        (":path", if grpc { "/shop.Cart/List" } else { "/cart/items?page=2" }),
        (":authority", "cart.shop.svc.cluster.local:8080"),
        (":scheme", "http"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("content-type", if grpc { "application/grpc" } else { "application/json" }),
        ("x-request-id", "5b3c8f0e-8a54-4f0a-9d5c-2f6f3a1b7c9d"),
        ("x-forwarded-for", "10.0.0.9"),
        ("x-forwarded-proto", "http"),
        ("x-envoy-internal", "true"),
        ("x-envoy-decorator-operation", "cart.shop.svc.cluster.local:8080/*"),
    ]);
    for (name, value) in &kind.headers {
        headers.add(name, value);
    }
    let request = envoy.open(RequestSpec::new("inbound", headers));
    let json = |status| Response::status(status).header("content-type", "application/json").body("[]");
    let finished = match kind.ending {
        Ending::Ok => request.respond(envoy, json(200)),
        Ending::Status503 => request.respond(envoy, json(503)),
        Ending::Reset => request.break_off(envoy, json(200)),
        Ending::Grpc(status) => request.respond(envoy, Response::grpc(status)),
    };
    finished.cost
}

fn request(kind: &Kind) -> RequestFigures {
    let mut envoy = if kind.wrapped { wrapped(kind) } else { started(&configuration(kind, NEVER_SEND)) };
    for _ in 0..WARM_UP {
        run(&mut envoy, kind);
    }
    if kind.routes.is_some() {
        envoy.advance(Duration::from_millis(1000)); // The process takes up its series.
    }
    let costs: Vec<Cost> = (0..MEASURED).map(|_| run(&mut envoy, kind)).collect();
    let balance = envoy.assert_conservation();
    let kept = match kind {
        Kind { coverage: true, .. } => 1,
        kind if kind.name.starts_with("dropped") || kind.recall => 0,
        _ => WARM_UP + MEASURED,
    };
    assert_eq!(balance.offered, kept as u64, "{}", kind.name);
    assert!(envoy.traps().is_empty(), "{:?}", envoy.traps());
    let median = |of: fn(&Cost) -> u64| {
        let mut values: Vec<u64> = costs.iter().map(of).collect();
        values.sort_unstable();
        (values[MEASURED / 2], values[MEASURED - 1])
    };
    let (fuel, worst_fuel) = median(|cost| cost.fuel);
    RequestFigures {
        hostcalls: median(Cost::hostcall_count).0,
        returning: median(|cost| cost.returning).0,
        fuel,
        worst_fuel,
    }
}

fn after_requests(count: usize) -> u64 {
    let kinds = kinds();
    let mut envoy = started(&configuration(&kinds[0], ""));
    for (index, kind) in kinds
        .iter()
        .filter(|kind| {
            kind.rules == 0
                && !kind.recall
                && !kind.coverage
                && !kind.wrapped
                && kind.routes.is_none()
                && kind.ratio == "0"
                && kind.more == [""; 3]
        })
        .cycle()
        .take(count)
        .enumerate()
    {
        run(&mut envoy, kind);
        if index % 100 == 0 {
            envoy.advance(Duration::from_millis(100));
            envoy.forget_callouts();
        }
    }
    envoy.assert_conservation();
    envoy.memory_size(WORKER)
}

fn worker_fuel(envoy: &Envoy) -> Cost {
    envoy.cost_of(WORKER).clone()
}

fn since(envoy: &Envoy, before: &Cost) -> Cost {
    let now = envoy.cost_of(WORKER);
    let hostcalls = now.hostcalls.iter().map(|(name, count)| (*name, count - before.calls_of(name)));
    Cost {
        hostcalls: hostcalls.filter(|(_, count)| *count != 0).collect(),
        returning: now.returning - before.returning,
        fuel: now.fuel - before.fuel,
    }
}

fn idle_tick() -> Cost {
    let mut envoy = started(&configuration(&kinds()[0], ""));
    envoy.tick_all();
    let before = worker_fuel(&envoy);
    envoy.tick_all();
    since(&envoy, &before)
}

/// From the tick that sends 512 spans to the end of the callback that takes the answer.
fn export(protocol: &str, compression: &str) -> ExportFigures {
    let spans = 512;
    let export = format!(r#""protocol": "{protocol}", "compression": "{compression}", "max_export_batch_size": 600"#);
    let kinds = kinds();
    let sampled = kinds.iter().find(|kind| kind.name == "sampled").expect("one of the kinds");
    let mut envoy = started(&configuration(sampled, &export));
    for _ in 0..spans {
        run(&mut envoy, sampled);
    }
    let before = worker_fuel(&envoy);
    envoy.advance(Duration::from_millis(1100));
    let cost = since(&envoy, &before);
    let [callout] = envoy.callouts() else { panic!("one batch, found {}", envoy.callouts().len()) };
    let body = callout.body.len() as u64;
    assert_eq!(envoy.assert_conservation().exported, spans);
    ExportFigures {
        hostcalls: cost.hostcall_count(),
        returning: cost.returning,
        fuel: cost.fuel,
        fuel_per_span: cost.fuel / spans,
        body_bytes: body,
        worker_bytes: envoy.memory_size(WORKER),
    }
}
