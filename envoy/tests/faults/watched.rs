//! An Envoy whose listeners come from a file that a test replaces.

use crate::stage::{inbound, until, with_workers};
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;
use tracelift_envoy::ports::any_loopback;
use tracelift_envoy::process::replace_file;
use tracelift_envoy::{Bootstrap, Envoy, Launch, Stats};

/// An Envoy whose listeners come from a file that it watches. Its port stays through all updates.
pub struct Watched {
    pub envoy: Envoy,
    pub bootstrap: Bootstrap,
    pub file: PathBuf,
    pub to: SocketAddr,
    _directory: TempDir,
}

impl Watched {
    pub async fn start(bootstrap: Bootstrap) -> Self {
        Self::launched(with_workers(), bootstrap).await
    }

    /// The same by another command line.
    pub async fn launched(launch: Launch, mut bootstrap: Bootstrap) -> Self {
        let to = free_port();
        bootstrap.listen("inbound", to).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("listeners.json");
        let mut dynamic = bootstrap.clone();
        replace_file(&file, &dynamic.listeners_from_file(&file)).unwrap();
        let envoy = launch.start(&dynamic).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(inbound(&envoy), to);
        Self { envoy, bootstrap, file, to, _directory: directory }
    }

    /// Update number `number`: other settings of the filter, where there is one, and another limit of the listener, so that
    /// the twin has something to replace, too.
    pub fn update(&self, number: u64) {
        let mut next = self.bootstrap.clone();
        // No ratio twice: Envoy would take a plugin that it knows already.
        let ratio = (if number.is_multiple_of(2) { 1.0 } else { 0.5 }) - number as f64 / 10_000.0;
        next.plugin(|json| json["sampling"]["ratio"] = ratio.into()).unwrap();
        let listener = next.listener("inbound").unwrap();
        listener["per_connection_buffer_limit_bytes"] = (1_000_000 + number).into();
        replace_file(&self.file, &next.listeners_as_discovery_response()).unwrap();
    }

    pub async fn wait_for_updates(&self, count: u64) {
        let updates = |stats: &Stats| {
            let of = |name: &str| stats.get(&format!("listener_manager.{name}"));
            count <= of("listener_modified") + of("listener_in_place_updated")
        };
        until(&self.envoy, "the update is in use", updates).await;
    }
}

/// A port that was free a moment ago. Envoy opens its sockets with SO_REUSEPORT, so it cannot be held for it.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind(any_loopback()).and_then(|socket| socket.local_addr()).unwrap()
}
