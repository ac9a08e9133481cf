//! AWS X-Ray's sampling rules in a real Envoy with two workers: one of its threads asks a stand-in of the service over HTTP,
//! all of them obey and are counted.

use crate::mesh::{Pod, SOON, settings, traceparent};
use crate::sampling_service::SamplingService;
use axum::body::to_bytes;
use axum::extract::Request as HttpRequest;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tracelift_envoy::ports::{self, RefusingPort};
use tracelift_envoy::{Client, Request};

/// The service on a port, as the collector's `awsproxy` extension offers it.
struct XRay {
    address: SocketAddr,
    service: Arc<Mutex<SamplingService>>,
    server: JoinHandle<()>,
}

impl XRay {
    async fn start(service: SamplingService) -> Self {
        Self::listen(service, ports::any_loopback())
    }

    fn listen(service: SamplingService, address: SocketAddr) -> Self {
        let service = Arc::new(Mutex::new(service));
        let listener = ports::listen(address).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::clone(&service);
        let router = axum::Router::new().fallback(move |request: HttpRequest| {
            let asked = Arc::clone(&asked);
            async move {
                let path = request.uri().path().to_owned();
                let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
                answer(&asked, &path, &body)
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, service, server }
    }

    fn service(&self) -> MutexGuard<'_, SamplingService> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the service says so.
    async fn wait_for(&self, what: &str, mut is_so: impl FnMut(&SamplingService) -> bool) {
        let started = Instant::now();
        while !is_so(&self.service()) {
            assert!(started.elapsed() < SOON, "{what}: {:?}", self.service().reports);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for XRay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn answer(service: &Mutex<SamplingService>, path: &str, body: &[u8]) -> Response {
    let answer = service.lock().unwrap_or_else(PoisonError::into_inner).answer(path, body, now());
    let status = axum::http::StatusCode::from_u16(answer.status).unwrap();
    let mut response = (status, answer.body).into_response();
    for (name, value) in answer.headers {
        let name = axum::http::HeaderName::try_from(name).unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A sidecar that asks there, and samples at this ratio until it knows rules.
async fn sidecar(xray: SocketAddr, ratio: f64) -> Pod {
    Pod::sidecar(|bootstrap| {
        bootstrap.copy_cluster("otel_collector", "xray_proxy", &[xray]).unwrap();
        bootstrap.listener("inbound").unwrap()["stat_prefix"] = "inbound".into();
        settings(bootstrap, |json| {
            json["sampling"] = json!({"ratio": ratio, "xray": {
                "enabled": true, "targets_interval_ms": 1000, "jitter_percent": 0, "timeout_ms": 5000}});
        });
    })
    .await
}

/// A sidecar whose roots are decided by these rules, which every thread knows.
async fn pod(xray: &XRay) -> Pod {
    let pod = sidecar(xray.address, 0.0).await;
    let known = |stats: &tracelift_envoy::Stats| (0 < stats.tracelift("central.rules")).then_some(());
    pod.envoy.admin().wait_for_stats(SOON, known).await.unwrap().expect("the rules are fetched");
    all_threads_know(&pod, "/all").await;
    pod
}

/// Each thread reads what was published on its next tick. Then no request is left to the configuration any more.
async fn all_threads_know(pod: &Pod, path: &'static str) {
    let (started, mut floods) = (Instant::now(), 0);
    while floods < 4 {
        let before = decided(pod).await.fallback;
        flood(pod, 16, path).await;
        floods = if decided(pod).await.fallback == before { floods + 1 } else { 0 };
        assert!(started.elapsed() < SOON, "some thread never hears of the rules");
    }
}

/// What became of all requests so far.
struct Decided {
    sampled: u64,
    dropped: u64,
    fallback: u64,
}

/// Waits until each request that came through is counted: counters are shown on a tick.
async fn decided(pod: &Pod) -> Decided {
    let requests = pod.upstream.arrivals().len() as u64;
    let all = |stats: &tracelift_envoy::Stats| {
        let decided = Decided {
            sampled: stats.tracelift("decisions.sampled.xray"),
            dropped: stats.tracelift("decisions.dropped.xray"),
            fallback: stats.tracelift("central.fallback"),
        };
        (decided.sampled + decided.dropped + decided.fallback == requests).then_some(decided)
    };
    pod.envoy.admin().wait_for_stats(SOON, all).await.unwrap().expect("every request is counted")
}

/// So many root requests over eight connections, so that both workers have their share.
async fn flood(pod: &Pod, requests: usize, path: &'static str) {
    flood_host(pod, requests, path, None).await;
}

async fn flood_host(pod: &Pod, requests: usize, path: &'static str, host: Option<&'static str>) {
    let mut lanes = JoinSet::new();
    for lane in 0..8 {
        let (entry, share) = (pod.entry(), (lane..requests).step_by(8).count());
        lanes.spawn(async move {
            let client = Client::new();
            for _ in 0..share {
                let request = Request::get(entry, path);
                let request = host.map_or_else(|| request.clone(), |host| request.clone().host(host));
                assert_eq!(client.send(request).await.unwrap().status, 200);
            }
        });
    }
    lanes.join_all().await;
}

fn rule(name: &str, priority: u32, path: &str, rate: f64, reservoir: u32) -> serde_json::Value {
    SamplingService::rule(json!({
        "RuleName": name, "Priority": priority, "URLPath": path, "FixedRate": rate, "ReservoirSize": reservoir}))
}

#[tokio::test]
async fn one_thread_asks_and_all_obey_within_the_quota_and_are_counted_once() {
    const QUOTA: u32 = 3;
    let rules =
        [rule("all", 1, "/all", 1.0, 0), rule("quota", 2, "/quota", 0.0, QUOTA), rule("Default", 10_000, "*", 0.0, 0)];
    let mut service = SamplingService::with_rules(rules);
    service.interval = 1;
    let xray = XRay::start(service).await;
    let pod = pod(&xray).await;
    let warm_up = pod.upstream.arrivals().len() as u64;
    assert_eq!(xray.service().calls_of("/GetSamplingRules"), 1, "one thread asks");

    xray.wait_for("a quota", |service| service.calls_of("/SamplingTargets") >= 2).await;
    let (from, before) = (now().as_secs(), pod.envoy.admin().stats().await.unwrap());
    flood(&pod, 400, "/quota").await;
    flood(&pod, 40, "/none").await;
    flood(&pod, 40, "/all").await;
    let seconds = now().as_secs() - from + 1;
    let counted = |stats: &tracelift_envoy::Stats| {
        let decided = stats.tracelift("decisions.sampled.xray") + stats.tracelift("decisions.dropped.xray");
        let before = before.tracelift("decisions.sampled.xray") + before.tracelift("decisions.dropped.xray");
        (decided == before + 480).then(|| stats.clone())
    };
    let stats = pod.envoy.admin().wait_for_stats(SOON, counted).await.unwrap().expect("every request is decided");
    let taken = stats.tracelift("central.reservoir") + stats.tracelift("central.borrowed");
    assert!((1..=u64::from(QUOTA) * seconds).contains(&taken), "{taken} of {QUOTA} a second in {seconds} s");

    xray.wait_for("reports", |service| service.reported("quota").0 == 400 && service.reported("Default").0 == 40).await;
    let reported = |rule| xray.service().reported(rule);
    let of_all = reported("all");
    let of_quota = reported("quota");
    assert_eq!((of_quota.0, of_quota.1), (400, taken));
    assert_eq!(of_all.0, of_all.1);
    assert!(40 < of_all.0 && of_all.0 <= 40 + warm_up, "{of_all:?}");
    assert_eq!(xray.service().violations, Vec::<String>::new());

    let sampled = stats.tracelift("decisions.sampled.xray") as usize;
    pod.settle(sampled).await;
    for span in pod.collector.spans() {
        let rule = span.text("aws.xray.sampling_rule");
        assert!(matches!(rule, Some("all" | "quota")), "{rule:?}");
        assert_eq!((span.text("tracelift.sampling.reason"), span.span.trace_state.as_str()), (Some("xray"), "ot=th:0"));
    }
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!((stats.tracelift("central.leads"), stats.tracelift("central.polls.failed")), (1, 0));
    let workers =
        ["worker_0", "worker_1"].map(|worker| stats.get(&format!("listener.inbound.{worker}.downstream_cx_total")));
    assert!(workers.iter().all(|connections| 0 < *connections), "{workers:?}");
}

#[tokio::test]
async fn a_boosted_rule_travels_with_dropped_traces_and_failures_below_it_are_reported() {
    let mut boosted = rule("checkout", 5, "*", 0.0, 0);
    boosted["SamplingRateBoost"] = json!({"MaxRate": 1.0, "CooldownWindowMinutes": 1});
    let mut service = SamplingService::with_rules([rule("all", 1, "/all", 1.0, 0), boosted]);
    service.interval = 1;
    let xray = XRay::start(service).await;
    let pod = pod(&xray).await;
    pod.get("/fine").await;
    let told = pod.upstream.last().unwrap();
    assert_eq!((told.text("tracestate").as_str(), &told.text("traceparent")[53..]), ("xrsr=c7761e58969f7edd", "02"));
    for (number, status) in [(1, 200), (2, 500)] {
        let request = Request::get(pod.entry(), &format!("/status/{status}"));
        let request =
            request.header("traceparent", traceparent(number, false)).header("tracestate", "xrsr=c7761e58969f7edd");
        pod.send(request).await;
    }
    xray.wait_for("anomalies", |service| service.reported_anomalies("checkout") == (3, 1, 0)).await;
    let later = now() + Duration::from_secs(60);
    xray.service().boost("checkout", 1.0, later - Duration::from_secs(60), Duration::from_secs(60));
    let started = Instant::now();
    loop {
        pod.get("/fine").await;
        if pod.upstream.last().unwrap().text("tracestate") == "ot=th:0,xrsr=c7761e58969f7edd" {
            break;
        }
        assert!(started.elapsed() < SOON, "the boost never comes into force");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(xray.service().violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_host_is_sampled_at_its_rules_rate_and_a_change_of_rules_is_obeyed_without_a_restart() {
    const REQUESTS: usize = 800;
    let of_host = |rate: f64| {
        let mut rule = rule("orders", 2, "*", rate, 0);
        rule["Host"] = "orders.*.example".into();
        rule
    };
    let all = || rule("all", 1, "/all", 1.0, 0);
    let mut service = SamplingService::with_rules([all(), of_host(0.25), rule("Default", 10_000, "*", 0.0, 0)]);
    service.interval = 1;
    let xray = XRay::start(service).await;
    let pod = pod(&xray).await;
    let warm_up = decided(&pod).await.sampled;

    flood_host(&pod, REQUESTS, "/none", Some("orders.shop.example:8080")).await;
    flood_host(&pod, 80, "/none", Some("carts.shop.example")).await;
    let sampled = decided(&pod).await.sampled - warm_up;
    // Six standard deviations of a binomial distribution: a false alarm in 10^8 runs.
    assert!((126..=274).contains(&sampled), "{sampled} of {REQUESTS} at a quarter");
    pod.settle((warm_up + sampled) as usize).await;
    let of_rule =
        pod.collector.spans().into_iter().filter(|span| span.text("aws.xray.sampling_rule") == Some("orders"));
    let states: Vec<_> = of_rule.map(|span| span.span.trace_state.clone()).collect();
    assert_eq!(states.len() as u64, sampled);
    assert!(states.iter().all(|state| state == "ot=th:c"), "{states:?}");

    xray.service().change_rules([all(), of_host(1.0)], now());
    let started = Instant::now();
    loop {
        let before = decided(&pod).await.sampled;
        flood_host(&pod, 16, "/none", Some("orders.shop.example")).await;
        if decided(&pod).await.sampled == before + 16 {
            break;
        }
        assert!(started.elapsed() < SOON, "the change never comes into force");
    }
    assert_eq!(xray.service().violations, Vec::<String>::new());
}

#[tokio::test]
async fn while_the_service_is_away_the_configuration_decides_and_no_request_fails() {
    let refusing = RefusingPort::any().unwrap();
    let address = refusing.address();
    let pod = sidecar(address, 1.0).await;
    let failed = |stats: &tracelift_envoy::Stats| (0 < stats.tracelift("central.polls.failed")).then_some(());
    pod.envoy.admin().wait_for_stats(SOON, failed).await.unwrap().expect("a call fails");
    flood(&pod, 40, "/none").await;
    pod.settle(40).await;
    let reasons: Vec<_> =
        pod.collector.spans().iter().map(|span| span.text("tracelift.sampling.reason").map(str::to_owned)).collect();
    assert!(reasons.iter().all(|reason| reason.as_deref() == Some("ratio")), "{reasons:?}");
    assert_eq!(decided(&pod).await.fallback, 40);

    // It comes, its rules are obeyed; it errs, and they stay.
    drop(refusing);
    let mut service = SamplingService::with_rules([rule("Default", 10_000, "*", 0.0, 0)]);
    service.interval = 1;
    let xray = XRay::listen(service, address);
    all_threads_know(&pod, "/none").await;
    xray.service().trouble(1000, 503, "");
    let failures = pod.envoy.admin().stats().await.unwrap().tracelift("central.polls.failed");
    let failed = |stats: &tracelift_envoy::Stats| (failures < stats.tracelift("central.polls.failed")).then_some(());
    pod.envoy.admin().wait_for_stats(SOON, failed).await.unwrap().expect("a report fails");
    let before = decided(&pod).await.dropped;
    flood(&pod, 40, "/none").await;
    assert_eq!(decided(&pod).await.dropped, before + 40);
    assert_eq!(xray.service().violations, Vec::<String>::new());
}
