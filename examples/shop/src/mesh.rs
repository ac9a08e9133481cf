//! The Envoys: a sidecar for each service and a gateway, all from the shipped configurations.

use crate::options::Scenario;
use crate::services::{BANK, CART, MESHED, Services};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;
use tracelift_envoy::filter_file::FilterFile;
use tracelift_envoy::ports::RefusingPort;
use tracelift_envoy::{Bootstrap, Envoy, Launch, Ledger, Shipped, Stats, process};

/// Name of the Envoy at the edge, and of its service.
pub const GATEWAY: &str = "gateway";
/// Two workers each, so that every Envoy has two VMs which must agree.
const WORKERS: u32 = 2;
/// How long Envoy waits for the bank: longer than an impatient storefront, shorter than a stuck bank.
const BANK_TIMEOUT: &str = "1s";
/// Shorter than the default, so that a page which is watched keeps up.
const EXPORT_DELAY_MS: u64 = 500;
/// What the sidecars ask each other with. A mesh would draw its own and keep it in a secret.
const RECALL_TOKEN: &str = "the-shop-of-tracelift";
/// What the cart asks its sidecar with for the traces that were upgraded.
pub const APPLICATION_TOKEN: &str = "the-cart-of-the-shop";
/// Slower than a busy machine makes an ordinary request.
const SLOW_MIN_MS: u64 = 300;
/// Whose usual durations are learned, each by itself.
const ROUTES: [&str; 8] = [
    "/browse/{visit}",
    "/cart/{visit}",
    "/checkout/{visit}",
    "/items/{visit}",
    "/carts/{visit}",
    "/payments/{visit}",
    "/charges/{visit}",
    "/stock/{visit}",
];
/// Longer than any request here takes.
const HOLD_MS: u64 = 4_000;

/// All Envoys, running. Dropping it kills them.
pub struct Mesh {
    envoys: BTreeMap<&'static str, Envoy>,
    /// The gateway's filter: the one that decides.
    gateway: FilterFile,
    /// Nothing listens at the warehouse, and nothing else can take its port.
    _warehouse: RefusingPort,
}

/// By what the Envoys begin.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Share of traces that the head samples.
    pub ratio: f64,
    /// They learn how long requests usually take, and keep what is slower.
    pub learns: bool,
}

/// What one Envoy's filter counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Where its spans went.
    pub ledger: Ledger,
    /// Head decisions to sample, by reason.
    pub sampled: BTreeMap<String, u64>,
    /// Head decisions to drop, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Dropped streams that were kept after all, by trigger.
    pub upgrades: BTreeMap<String, u64>,
    /// Triggers that the budget did not admit.
    pub shed: u64,
    /// The ratio in force where a target or a boost steers it, 0 to 1.
    pub in_force: f64,
    /// Times that it was changed by a boost.
    pub boosts: u64,
    /// Bytes of spans that are held for a recall, or wait to know what became of their call.
    pub held: u64,
    /// What went wrong within the filter, by name.
    pub problems: BTreeMap<String, u64>,
}

impl Counted {
    /// Requests that the filter decided on.
    pub fn decisions(&self) -> u64 {
        self.sampled.values().chain(self.dropped.values()).sum()
    }

    /// Head decisions to sample.
    pub fn head_sampled(&self) -> u64 {
        self.sampled.values().sum()
    }
}

impl From<&Stats> for Counted {
    fn from(stats: &Stats) -> Self {
        let family = |prefix: &str| {
            let counters = stats.family(prefix).filter(|(_, count)| 0 < *count);
            counters.map(|(name, count)| (name.to_owned(), count)).collect::<BTreeMap<_, _>>()
        };
        let mut upgrades = family("upgrades.");
        let shed = upgrades.remove("shed").unwrap_or(0);
        let mut problems = family("errors.");
        for name in [
            "decisions.inconsistent",
            "context.restarted",
            "context.tracestate_discarded",
            "config.refused",
            "recall.evicted",
            "recall.missed",
            "recall.calls.lost",
            "recall.calls.unasked",
            "recall.requests.denied",
            "recall.requests.outside",
            "recall.requests.refused",
        ] {
            if 0 < stats.tracelift(name) {
                problems.insert(name.to_owned(), stats.tracelift(name));
            }
        }
        Self {
            ledger: stats.ledger(),
            sampled: family("decisions.sampled."),
            dropped: family("decisions.dropped."),
            upgrades,
            shed,
            in_force: stats.tracelift("adaptive.ratio_ppm") as f64 / 1e6,
            boosts: stats.tracelift("adaptive.changes.boost"),
            held: stats.tracelift("recall.bytes"),
            problems,
        }
    }
}

impl Mesh {
    /// Starts all Envoys at once, and tells the services where their sidecars are. They name each other's ports before
    /// they run, so the ports are taken first: bound here without listening, which leaves Envoy free to bind and listen.
    pub async fn start(
        services: &Services,
        collector: SocketAddr,
        sampling: Sampling,
        say: impl Fn(&str) -> io::Result<()>,
    ) -> Result<Self> {
        let module = process::module()?;
        let warehouse = RefusingPort::any()?;
        let mut inbound = BTreeMap::new();
        for name in MESHED {
            inbound.insert(name, RefusingPort::any()?);
        }
        let address_of = |peer: &str| match peer {
            BANK => services.address(BANK),
            "warehouse" => warehouse.address(),
            meshed => inbound[meshed].address(),
        };
        let mut starting = JoinSet::new();
        let mut bootstraps = Vec::new();
        for name in MESHED {
            let peers: Vec<_> = calls_of(name).iter().map(|peer| (*peer, address_of(peer))).collect();
            let bootstrap =
                sidecar(&module, name, address_of(name), services.address(name), &peers, collector, sampling);
            let mut bootstrap = bootstrap.with_context(|| format!("the configuration of {name}'s Envoy"))?;
            if name == CART && services.has_python() {
                bootstrap.plugin(|json| {
                    json["upgrade"]["applications"] = json!({ "enabled": true, "token": APPLICATION_TOKEN });
                })?;
            }
            bootstraps.push((name, bootstrap));
        }
        let mut edge = gateway(&module, address_of("storefront"), collector, sampling)
            .context("the configuration of the gateway's Envoy")?;
        let gateway = FilterFile::take(&mut edge, "edge").context("the filter of the gateway's Envoy")?;
        bootstraps.push((GATEWAY, edge));
        for (name, bootstrap) in bootstraps {
            let launch = Launch::new()?.workers(WORKERS).node(name);
            starting.spawn(async move { (name, launch.start(&bootstrap).await) });
        }
        let mut envoys = BTreeMap::new();
        while let Some(started) = starting.join_next().await {
            let (name, envoy) = started?;
            let envoy = envoy.with_context(|| format!("Envoy of {name}"))?;
            if name != GATEWAY {
                services.set_sidecar(name, envoy.address("outbound")?);
            }
            say(name)?;
            envoys.insert(name, envoy);
        }
        Ok(Self { envoys, gateway, _warehouse: warehouse })
    }

    /// Where clients enter.
    pub fn entrance(&self) -> Result<SocketAddr> {
        Ok(self.envoys[GATEWAY].address("edge")?)
    }

    /// Has the head sample another share of the traces, from a moment on, without a restart.
    pub fn set_ratio(&mut self, ratio: f64) -> Result<()> {
        let changed = self.gateway.change(|settings| {
            let rules = settings["sampling"]["rules"].take();
            settings["sampling"] = json!({ "ratio": ratio, "rules": rules });
        });
        changed.context("the filter of the gateway's Envoy")
    }

    /// Has the head follow the target of a story, likewise.
    pub fn steer(&mut self, scenario: Scenario) -> Result<()> {
        let changed = self.gateway.change(|settings| scenario.steer(&mut settings["sampling"]));
        changed.context("the filter of the gateway's Envoy")
    }

    /// What each Envoy's filter has counted so far.
    pub async fn counted(&self) -> Result<BTreeMap<String, Counted>> {
        let mut all = BTreeMap::new();
        for (name, envoy) in &self.envoys {
            let stats = envoy.admin().stats().await.with_context(|| format!("the counters of {name}'s Envoy"))?;
            all.insert((*name).to_owned(), Counted::from(&stats));
        }
        Ok(all)
    }

    /// The last log lines of an Envoy that say more than information.
    pub fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, envoy) in &self.envoys {
            let log = envoy.log();
            let loud = log.lines().filter(|line| line.contains("][error]") || line.contains("][critical]"));
            lines.extend(loud.take(3).map(|line| format!("{name}: {line}")));
        }
        lines
    }

    /// Asks every Envoy to go, callers first, so that no last span finds its collector gone.
    pub async fn stop(self) {
        for (_, envoy) in self.envoys {
            // Killed on drop if it does not go by itself.
            let _ = envoy.terminate(Duration::from_secs(3)).await;
        }
    }
}

/// Whom a service calls, by the names that its application uses as Host.
fn calls_of(service: &str) -> &'static [&'static str] {
    match service {
        "storefront" => &["catalog", "cart", "payment"],
        "cart" => &["catalog"],
        "catalog" => &["warehouse"],
        "payment" => &[BANK],
        _ => &[],
    }
}

/// The same for every Envoy: the gateway decides by it, and a sidecar would if it were ever called without a context.
fn settings(service: &str, Sampling { ratio, learns }: Sampling) -> impl Fn(&mut Value) {
    let probes =
        json!([{ "name": "probes", "match": { "path": { "exact": "/healthz" } }, "ratio": 0, "upgrade": false }]);
    move |json| {
        json["service_name"] = service.into();
        json["sampling"] = json!({ "ratio": ratio, "rules": probes });
        json["export"]["scheduled_delay_ms"] = EXPORT_DELAY_MS.into();
        json["upgrade"]["recall"]["hold_ms"] = HOLD_MS.into();
        if learns {
            json["upgrade"]["slow"] = json!({ "enabled": true, "min_ms": SLOW_MIN_MS });
            json["metrics"]["routes"] = json!(ROUTES);
        }
    }
}

fn sidecar(
    module: &Path,
    name: &str,
    inbound: SocketAddr,
    application: SocketAddr,
    peers: &[(&str, SocketAddr)],
    collector: SocketAddr,
    sampling: Sampling,
) -> Result<Bootstrap> {
    let mut bootstrap = Bootstrap::shipped(Shipped::Sidecar, module)?;
    bootstrap.listen("inbound", inbound)?;
    bootstrap.endpoints("application", &[application])?;
    bootstrap.endpoints("otel_collector", &[collector])?;
    for (peer, address) in peers {
        bootstrap.add_outbound(peer, *address)?;
    }
    bootstrap.recall(RECALL_TOKEN)?;
    bootstrap.plugin(settings(name, sampling))?;
    // The shipped file's own example of a peer has no counterpart here.
    let hosts = &mut bootstrap.connection_manager("outbound")?["route_config"]["virtual_hosts"];
    retain(hosts, |host| host["name"] != "payments");
    for host in hosts.as_array_mut().into_iter().flatten().filter(|host| host["name"] == BANK) {
        host["routes"][0]["route"]["timeout"] = BANK_TIMEOUT.into();
    }
    let pointer = "/static_resources/clusters";
    let mut clusters = bootstrap.as_value().pointer(pointer).cloned().unwrap_or_default();
    retain(&mut clusters, |cluster| cluster["name"] != "payments");
    bootstrap.set(pointer, clusters)?;
    Ok(bootstrap)
}

fn gateway(module: &Path, storefront: SocketAddr, collector: SocketAddr, sampling: Sampling) -> Result<Bootstrap> {
    let mut bootstrap = Bootstrap::shipped(Shipped::Gateway, module)?;
    bootstrap.endpoints("frontend", &[storefront])?;
    bootstrap.endpoints("otel_collector", &[collector])?;
    bootstrap.recall(RECALL_TOKEN)?;
    bootstrap.plugin(settings(GATEWAY, sampling))?;
    Ok(bootstrap)
}

fn retain(list: &mut Value, keep: impl Fn(&Value) -> bool) {
    if let Some(items) = list.as_array_mut() {
        items.retain(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_reaches_its_peers_and_only_them_and_samples_as_told() {
        let address: SocketAddr = ([127, 0, 0, 1], 4318).into();
        let peers = [(BANK, address)];
        let bootstrap = sidecar(
            Path::new("m.wasm"),
            "payment",
            address,
            address,
            &peers,
            address,
            Sampling { ratio: 0.25, learns: true },
        )
        .unwrap();
        let text = bootstrap.as_value().to_string();
        assert!(!text.contains("\"payments\""), "the example's peer is still there");
        assert!(text.contains(r#"\"ratio\":0.25"#) && text.contains(r#"\"service_name\":\"payment\""#));
        assert!(text.contains(r#""timeout":"1s""#) && text.contains(r#"\"slow\":{\"enabled\":true"#));
    }

    #[test]
    fn the_gateway_keeps_its_edge_and_its_two_spans() {
        let address: SocketAddr = ([127, 0, 0, 1], 4318).into();
        let text = gateway(Path::new("m.wasm"), address, address, Sampling { ratio: 0.5, learns: false })
            .unwrap()
            .as_value()
            .to_string();
        for setting in [r#"\"edge\":true"#, r#"\"span_kind\":\"both\""#, r#"\"ratio\":0.5"#, r#"/healthz"#] {
            assert!(text.contains(setting), "{setting}");
        }
    }

    #[test]
    fn counters_are_grouped_by_their_last_word() {
        let stats = Stats::parse(
            "wasmcustom.tracelift.decisions.sampled.ratio: 3\nwasmcustom.tracelift.decisions.dropped.ratio: 90\n\
             wasmcustom.tracelift.decisions.dropped.rule: 7\nwasmcustom.tracelift.upgrades.http_status: 5\n\
             wasmcustom.tracelift.upgrades.shed: 2\nwasmcustom.tracelift.upgrades.latency: 0\n\
             wasmcustom.tracelift.errors.hostcall: 1\n",
        );
        let counted = Counted::from(&stats);
        assert_eq!((counted.decisions(), counted.head_sampled(), counted.shed), (100, 3, 2));
        assert_eq!(counted.upgrades, BTreeMap::from([("http_status".to_owned(), 5)]));
        assert_eq!(counted.problems, BTreeMap::from([("hostcall".to_owned(), 1)]));
    }
}
