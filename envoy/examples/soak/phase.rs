//! What happens while the traffic goes on.

use crate::scene::{BoxError, Scene, TOKEN, trace};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, sleep_until};
use tracelift::trace_context::TraceId;
use tracelift::upgrade::recall::wire;
use tracelift_envoy::{Answer, Client, Request, flood};

/// One kind of weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing goes wrong.
    Calm,
    /// Every answer of the flood that comes on top is an error.
    ErrorStorm,
    /// The collector's port refuses.
    CollectorDown,
    /// The collector takes requests and never answers.
    CollectorHangs,
    /// 429 with `Retry-After: 1`.
    CollectorFull,
    /// Half of each batch is rejected.
    PartialSuccess,
    /// 400, which must not be tried again.
    CollectorRefuses,
    /// A new configuration each second.
    ConfigurationFlaps,
    /// Streams stay open, and their clients leave in the end.
    OpenStreams,
    /// Each request another route, tenant and trace.
    ManyOfEverything,
    /// Other instances ask for traces, most of them unknown here, and far more than the budget admits.
    RecallStorm,
}

impl Phase {
    /// The order in which they come, again and again.
    pub const ALL: [Self; 11] = [
        Self::Calm,
        Self::ErrorStorm,
        Self::CollectorDown,
        Self::CollectorHangs,
        Self::CollectorFull,
        Self::PartialSuccess,
        Self::CollectorRefuses,
        Self::ConfigurationFlaps,
        Self::OpenStreams,
        Self::ManyOfEverything,
        Self::RecallStorm,
    ];

    /// For the line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::ErrorStorm => "error storm",
            Self::CollectorDown => "collector down",
            Self::CollectorHangs => "collector hangs",
            Self::CollectorFull => "429, Retry-After",
            Self::PartialSuccess => "partial success",
            Self::CollectorRefuses => "collector: 400",
            Self::ConfigurationFlaps => "config flaps",
            Self::OpenStreams => "open streams",
            Self::ManyOfEverything => "many of all",
            Self::RecallStorm => "recall storm",
        }
    }

    /// Lasts until that time and leaves everything as it was.
    pub async fn run(self, scene: &Scene, until: Instant) -> Result<(), BoxError> {
        let collector = &scene.collector;
        let refuse = |status, headers| Answer::Refuse { status, headers };
        match self {
            Self::Calm => {}
            Self::ErrorStorm => scene.add(flood(scene.to, 4, 20_000, |number| head("/broken", number % 7)).await?),
            Self::CollectorDown => collector.stop_listening().await?,
            Self::CollectorHangs => collector.always(Answer::Silence),
            Self::CollectorFull => collector.always(refuse(429, vec![("retry-after", "1".to_owned())])),
            Self::PartialSuccess => collector.always(Answer::PartialSuccess { rejected: 5, message: "told to reject" }),
            Self::CollectorRefuses => collector.always(refuse(400, Vec::new())),
            Self::ConfigurationFlaps => {
                while Instant::now() + Duration::from_secs(1) < until {
                    scene.update()?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            Self::OpenStreams => {
                let mut streams = Vec::new();
                for _ in 0..200 {
                    streams.push(Client::new().send_and_hold(Request::get(scene.to, "/silence")).await?);
                }
                sleep_until(until.into()).await;
            }
            Self::ManyOfEverything => scene.add(flood(scene.to, 4, 20_000, |number| head("/direct", number)).await?),
            Self::RecallStorm => {
                let to = scene.to;
                scene.add(flood(to, 4, 20_000, move |number| recall(to, number)).await?);
            }
        }
        sleep_until(until.into()).await;
        if self == Self::CollectorDown {
            collector.listen_again().await?;
        }
        collector.always(Answer::Accept);
        Ok(())
    }
}

/// A request of the floods, of its own tenant, route and trace.
fn head(path: &str, number: u64) -> String {
    let trace = trace(number);
    format!(
        "GET {path}/{number} HTTP/1.1\r\nhost: tenant-{number}.example\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-02\r\n"
    )
}

/// A recall request for a trace of its own.
fn recall(to: SocketAddr, number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let traces: Vec<_> = TraceId::parse(trace(number).as_bytes()).into_iter().collect();
    let headers = wire::request(&to.to_string(), TOKEN, &traces, now as u64);
    let lines = headers.iter().filter(|(name, _)| !name.starts_with(':'));
    let lines: String = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {} HTTP/1.1\r\nhost: {to}\r\n{lines}", wire::PATH)
}
