//! The load: so many lanes, each of which sends its next request when the last one is answered.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::statistics::quantile;
use crate::traffic::Traffic;

/// How the load and the upstream speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A connection for each lane.
    Http1,
    /// Eight lanes share a connection.
    Http2,
}

/// Streams on one HTTP/2 connection.
const LANES_A_CONNECTION: usize = 8;

impl Protocol {
    /// As hyper names it.
    pub fn version(self) -> Version {
        match self {
            Self::Http1 => Version::HTTP_11,
            Self::Http2 => Version::HTTP_2,
        }
    }

    /// As the report names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Open connections to one listener.
pub struct Load {
    lanes: Vec<Lane>,
}

/// What a number of requests was like.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// How many.
    pub count: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Half of the answers came within this, in microseconds.
    pub p50: u32,
    /// 99 of 100 came within this, in microseconds.
    pub p99: u32,
}

impl Answered {
    /// Throughput.
    pub fn requests_per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

enum Lane {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Lane {
    /// The status, when the whole answer is here.
    async fn ask(&mut self, request: Request<Empty<Bytes>>) -> Result<u16> {
        let answer = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => sender.send_request(request).await?,
        };
        let status = answer.status().as_u16();
        answer.into_body().collect().await?;
        Ok(status)
    }
}

impl Load {
    /// Opens what `lanes` lanes need.
    pub async fn connect(address: SocketAddr, protocol: Protocol, lanes: usize) -> Result<Self> {
        let mut open = Vec::with_capacity(lanes);
        while open.len() < lanes {
            let stream = TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
            stream.set_nodelay(true)?;
            match protocol {
                Protocol::Http1 => {
                    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                    tokio::task::spawn_local(connection);
                    open.push(Lane::Http1(sender));
                }
                Protocol::Http2 => {
                    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                    tokio::task::spawn_local(connection);
                    let more = LANES_A_CONNECTION.min(lanes - open.len());
                    open.extend((0..more).map(|_| Lane::Http2(sender.clone())));
                }
            }
        }
        Ok(Self { lanes: open })
    }

    /// Sends `count` requests over all lanes. An answer other than 200 is an error: what is compared must have worked.
    pub async fn run(&mut self, traffic: Traffic, count: usize) -> Result<Answered> {
        let started = Instant::now();
        let traffic = Rc::new(RefCell::new(traffic));
        let left = Rc::new(Cell::new(count));
        let mut running = JoinSet::new();
        for mut lane in self.lanes.drain(..) {
            let (traffic, left) = (Rc::clone(&traffic), Rc::clone(&left));
            running.spawn_local(async move {
                let mut latencies = Vec::new();
                while 0 < left.get() {
                    left.set(left.get() - 1);
                    let request = traffic.borrow_mut().request();
                    let asked = Instant::now();
                    let status = lane.ask(request).await?;
                    ensure!(status == 200, "a request was answered {status}");
                    latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                Ok((lane, latencies))
            });
        }
        let mut latencies = Vec::with_capacity(count);
        while let Some(lane) = running.join_next().await {
            let (lane, its) = lane.context("a lane of the load panicked")??;
            self.lanes.push(lane);
            latencies.extend(its);
        }
        let took = started.elapsed();
        latencies.sort_unstable();
        Ok(Answered { count, took, p50: quantile(&latencies, 0.5), p99: quantile(&latencies, 0.99) })
    }
}
