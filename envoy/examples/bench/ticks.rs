//! The level of ticks: how long a request may have to wait because its worker shares what it has counted. Processor time of the workers'
//! threads while no request comes, in Envoys with and without request metrics.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracelift_envoy::{Client, Request};

use crate::process::{Thread, threads};
use crate::stage::{DIRECT, Stage};
use crate::statistics::middle;
use crate::variant::Variant;

const WORKERS: u32 = 4;
/// Connections, which the kernel spreads over the workers.
const LANES: usize = 16;
const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::PUT];
/// Route templates; with the methods some 500 series.
const ROUTES: usize = 163;
/// How often it is looked what the threads have spent. A thread is woken for other things, too: of the looks of a second the one in which
/// it spent most is taken for that with its tick.
const LOOK: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than it takes to have all label sets admitted and all counts shared.
const SECONDS: usize = 25;

/// Measures ticks after bursts of requests, so many of them.
pub async fn measure(stage: &Stage, processors: usize, bursts: usize) -> Result<Value> {
    let mut rows: Vec<Value> = Vec::new();
    for variant in [Variant::counting(None), Variant::counting(Some(ROUTES))] {
        println!("Ticks of {:?}, {WORKERS} workers, {bursts} bursts …", variant.name);
        let envoy = stage.start_with(&variant, WORKERS, processors).await?;
        let (address, mut ticks) = (envoy.address(DIRECT)?, Vec::new());
        for _ in 0..bursts {
            let mut lanes: JoinSet<Result<()>> = (0..LANES).map(|_| lane(address)).collect();
            while let Some(lane) = lanes.join_next().await {
                lane??;
            }
            ticks.extend(watch(envoy.id()).await?);
        }
        ensure!(!ticks.is_empty(), "{:?} never ticked", variant.name);
        ticks.sort_by(f64::total_cmp);
        let series = envoy.admin().stats().await?.tracelift("metrics.series");
        let of = |percent: usize| ticks[(ticks.len() * percent / 100).min(ticks.len() - 1)];
        let (late, later, dearest) = (of(95), of(99), of(100));
        let idle = rows.first().and_then(|row| row["median"].as_f64());
        rows.push(json!({
            "variant": variant.name, "series": series, "ticks": ticks.len(), "median": middle(ticks), "late": late,
            "later": later, "dearest": dearest, "adds": idle.map(|idle| later - idle),
        }));
    }
    Ok(rows.into())
}

/// One request of each kind over one connection.
async fn lane(address: SocketAddr) -> Result<()> {
    let client = Client::new();
    for (method, route) in METHODS.iter().flat_map(|method| (0..ROUTES).map(move |route| (method, route))) {
        let request = Request::get(address, &format!("/users/{route}/list{route}")).method(method.clone());
        let status = client.send(request).await?.status;
        ensure!(status == 200, "answered with {status}");
    }
    Ok(())
}

/// What the dearest look of each worker in each second was, in microseconds of processor time.
async fn watch(id: u32) -> Result<Vec<f64>> {
    let workers = || -> Result<Vec<Thread>> {
        Ok(threads(id)?.into_iter().filter(|thread| thread.name.starts_with("wrk:")).collect())
    };
    sleep(Duration::from_millis(100)).await; // Until the last request is logged.
    let (mut ticks, mut before) = (Vec::new(), workers()?);
    ensure!(before.len() == WORKERS as usize, "{} threads that are workers", before.len());
    for _ in 0..SECONDS {
        let (began, mut most) = (Instant::now(), vec![Duration::ZERO; before.len()]);
        while began.elapsed() < SECOND {
            sleep(LOOK).await;
            let now = workers()?;
            for (most, (now, before)) in most.iter_mut().zip(now.iter().zip(&before)) {
                *most = now.spent.saturating_sub(before.spent).max(*most);
            }
            before = now;
        }
        ticks.extend(most.iter().map(|most| most.as_secs_f64() * 1e6));
    }
    Ok(ticks)
}
