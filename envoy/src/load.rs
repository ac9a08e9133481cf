//! Load: requests over several connections at once, and what became of each.

use crate::client::{Client, Request};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What a load has seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Whole answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole answer: the first of the reasons, and how many.
    pub broken: Option<(String, u64)>,
    /// How long each whole answer took.
    waits: Vec<Duration>,
}

impl Tally {
    /// Requests sent.
    pub fn sent(&self) -> u64 {
        self.answered() + self.broken.as_ref().map_or(0, |(_, count)| *count)
    }

    /// Whole answers.
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Whether every request got a whole answer of this status.
    pub fn is_all(&self, status: u16) -> bool {
        self.broken.is_none() && self.statuses.keys().all(|found| *found == status) && self.answered() != 0
    }

    /// The wait that this share of the answers (0 to 1) did not exceed; zero without any.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        let last = waits.len().saturating_sub(1);
        waits.get(((last as f64) * share).round() as usize).copied().unwrap_or_default()
    }

    /// Adds what another load has seen.
    pub fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.broken = match (self.broken.take(), other.broken) {
            (Some((why, some)), Some((_, more))) => Some((why, some + more)),
            (ours, theirs) => ours.or(theirs),
        };
        self.waits.extend(other.waits);
    }

    fn answer(&mut self, status: u16, wait: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        self.waits.push(wait);
    }

    fn break_off(&mut self, why: &dyn fmt::Display) {
        self.broken.get_or_insert_with(|| (why.to_string(), 0)).1 += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests:", self.sent())?;
        for (status, count) in &self.statuses {
            write!(f, " {count} x {status},")?;
        }
        if let Some((why, count)) = &self.broken {
            write!(f, " {count} without a whole answer (the first: {why}),")?;
        }
        let [median, most] = [0.5, 0.99].map(|share| self.quantile(share).as_secs_f64() * 1_000.0);
        write!(f, " p50 {median:.2} ms, p99 {most:.2} ms")
    }
}

/// Requests that go on until they are stopped, each connection sending its next one when it has the answer.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
    connections: JoinSet<Tally>,
}

impl Load {
    /// Starts so many connections; `next` makes the request of a number, which counts up over all of them.
    pub fn start(connections: usize, next: impl Fn(u64) -> Request + Clone + Send + 'static) -> Self {
        let numbers = Arc::<AtomicU64>::default();
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            broken: Arc::default(),
            connections: JoinSet::new(),
        };
        for _ in 0..connections {
            let (stop, answered, broken) = (load.stop.clone(), load.answered.clone(), load.broken.clone());
            let (numbers, next) = (numbers.clone(), next.clone());
            load.connections.spawn(async move {
                let (client, mut tally) = (Client::new(), Tally::default());
                while !stop.load(Ordering::Relaxed) {
                    let (started, number) = (Instant::now(), numbers.fetch_add(1, Ordering::Relaxed));
                    match client.send(next(number)).await {
                        Ok(reply) => match reply.broken_off {
                            None => tally.answer(reply.status, started.elapsed()),
                            Some(why) => {
                                broken.fetch_add(1, Ordering::Relaxed);
                                tally.break_off(&why);
                            }
                        },
                        Err(error) => {
                            broken.fetch_add(1, Ordering::Relaxed);
                            tally.break_off(&error);
                            sleep(Duration::from_millis(5)).await; // A server that is gone refuses thousands a second.
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                tally
            });
        }
        load
    }

    /// Requests that have ended so far, well or not.
    pub fn ended(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Those of them without a whole answer.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests have ended; false when that did not happen in time.
    pub async fn goes_on(&self, more: u64, deadline: Duration) -> bool {
        let (started, from) = (Instant::now(), self.ended());
        while self.ended() < from + more {
            if deadline < started.elapsed() {
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Ends the load when the requests on the way have ended.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        while let Some(connection) = self.connections.join_next().await {
            match connection {
                Ok(seen) => tally.add(seen),
                Err(error) => tally.break_off(&error),
            }
        }
        tally
    }
}

/// Sends so many requests over HTTP/1.1 with nothing of an HTTP library between, for answers without a body: several times as
/// many a second as [`Load`]. `head` makes the head of a request of a number, from the request line to the last header, each
/// ended by CRLF.
pub async fn flood(
    to: SocketAddr,
    connections: u64,
    requests: u64,
    head: impl Fn(u64) -> String + Clone + Send + 'static,
) -> io::Result<Tally> {
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let numbers = (requests * connection / connections)..(requests * (connection + 1) / connections);
        tasks.spawn(one_by_one(to, numbers, head.clone()));
    }
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        tally.add(done.map_err(io::Error::other)??);
    }
    Ok(tally)
}

/// Not pipelined: Envoy closes a connection when it answers by itself while the next request is there already.
async fn one_by_one(to: SocketAddr, numbers: Range<u64>, head: impl Fn(u64) -> String) -> io::Result<Tally> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut tally = Tally::default();
    let mut buffer = Vec::new();
    for number in numbers {
        let started = Instant::now();
        stream.write_all((head(number) + "\r\n").as_bytes()).await?;
        buffer.clear();
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                let seen = tally.statuses;
                return Err(io::Error::other(format!("the connection ended after these answers by status: {seen:?}")));
            }
        }
        let status = std::str::from_utf8(&buffer).ok().and_then(status_of);
        tally.answer(status.ok_or_else(|| io::Error::other("no HTTP answer"))?, started.elapsed());
    }
    Ok(tally)
}

/// `HTTP/1.1 200 OK` and the header lines that follow.
fn status_of(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_name_the_first_reason() {
        let mut tally = Tally::default();
        tally.answer(200, Duration::from_millis(1));
        assert!(tally.is_all(200));
        let mut other = Tally::default();
        other.answer(503, Duration::from_millis(3));
        other.break_off(&"cut");
        other.break_off(&"cut again");
        tally.add(other);
        assert_eq!((tally.sent(), tally.answered(), tally.is_all(200)), (4, 2, false));
        assert_eq!((tally.quantile(0.0), tally.quantile(1.0)), (Duration::from_millis(1), Duration::from_millis(3)));
        assert!(tally.to_string().contains("2 without a whole answer (the first: cut)"), "{tally}");
    }
}
