//! A configuration is taken up, or refused with words.

use std::sync::Arc;

use super::metering::{Metering, Occasion};
use super::recall::Recall;
use super::root::{Root, Work};
use crate::central::{Central, Service};
use crate::config::{self, Environment, OnInvalidConfig};
use crate::door::{Attribute, Host, Level};
use crate::export::Exporter;
use crate::identity::VERSION;
use crate::metrics::Recorder;
use crate::policy::Policy;
use crate::request;
use crate::shared::{Coverage, Entropy, Force, SharedBudget, Slowness};
use crate::span::{NodeMetadata, Resource};
use crate::telemetry::{Metric, Metrics};
use crate::upgrade;

/// Ticks are no rarer, because counters are shown on a tick, and no closer, because each enters every worker.
const TICK_MS: std::ops::RangeInclusive<u64> = 100..=1000;

const NANOS_PER_MILLISECOND: u64 = 1_000_000;

/// What a host passes with a configuration.
pub struct Setup {
    /// The bytes of the configuration, or the host's reason for having none.
    pub configuration: Result<Vec<u8>, crate::door::Refused>,
    /// Environment variables.
    pub environment: Environment,
    /// What the proxy's bootstrap says of the node.
    pub node: NodeMetadata,
    /// The name of this filter in the proxy's configuration.
    pub plugin: String,
}

impl Root {
    /// Reads and checks the configuration; `false` refuses it. Says in the log what is wrong, and where.
    pub(super) fn configure(
        &mut self,
        host: &impl Host,
        setup: Setup,
        (metrics, entropy): (&mut Metrics, &mut Entropy),
    ) -> bool {
        let loaded = setup
            .configuration
            .as_ref()
            .map_err(|status| format!("configuration refused: the host would not hand it over (status {})", status.0))
            .and_then(|bytes| config::load(bytes, &setup.environment).map_err(|error| error.to_string()));
        match loaded {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    host.log(Level::Warn, &format!("tracelift: {warning}"));
                }
                let ratio = loaded.policy.sampling.fallback.share();
                self.take_up(host, loaded.policy, &setup.node, setup.plugin, (metrics, entropy));
                metrics.count(Metric::ConfigAccepted);
                metrics.record(host, Metric::ConfigRatio, (ratio * 1e6).round() as u64);
                true
            }
            Err(problem) => {
                host.log(Level::Error, &format!("tracelift: {problem}"));
                refuse(host, setup.environment.on_invalid_config().0, metrics)
            }
        }
    }

    /// Uses a policy from now on, under the name of a plugin.
    pub(super) fn take_up(
        &mut self,
        host: &impl Host,
        mut policy: Policy,
        node: &NodeMetadata,
        plugin: String,
        (metrics, entropy): (&mut Metrics, &mut Entropy),
    ) {
        self.plugin = plugin;
        let resource = policy.resource.merge(node);
        policy.attributes.service_name = resource.xray_service_name().to_owned();
        let mut tick = policy.export.scheduled_delay_ms.clamp(*TICK_MS.start(), *TICK_MS.end());
        if policy.upgrade.recall.enabled {
            tick = tick.min(Recall::tick_ms(&policy.upgrade.recall));
        }
        self.scope.budget = SharedBudget::new(&self.plugin);
        let service = Service::of(&resource);
        self.scope.central = policy.xray.as_ref().map(|settings| match self.scope.central.take() {
            Some(central) if central.is_for(settings, &service) => central,
            _ => Box::new(Central::new(settings.clone(), service)),
        });
        self.cover_by(host, &policy);
        self.learn_by(&policy, metrics);
        self.steer_by(host, &policy, metrics);
        if let Some(force) = &mut policy.force {
            force.audience = resource.service_namespace().to_owned();
        }
        let known = self.scope.force.take();
        self.scope.force = policy.force.as_ref().map(|_| known.unwrap_or_else(|| Box::new(Force::new(&self.plugin))));
        if policy.shadow.is_some() {
            self.scope.shadow_budget = SharedBudget::new(&[&self.plugin, "\0shadow"].concat()); // No name has a NUL.
        }
        self.meter_by(host, &policy, &resource, (metrics, entropy));
        let wanted = |failed| request::wanted(policy.span_kind, policy.upgrade.recall.enabled, failed);
        let lists = [wanted(false), wanted(true), wanted(false).with(Attribute::ResponseCode)];
        host.prepare(self.id(), lists.get(..if policy.border.skips { 3 } else { 2 }).unwrap_or(&lists));
        match &mut self.work {
            // Listeners with the same plugin and configuration share a root in Envoy, which configures it for each.
            Some(work) => {
                work.exporter.reconfigure(policy.export.clone(), &resource);
                work.policy = Arc::new(policy);
            }
            None => {
                let exporter = Exporter::new(policy.export.clone(), &resource);
                self.work = Some(Work::new(policy, exporter));
            }
        }
        self.tick_nanos = tick.saturating_mul(NANOS_PER_MILLISECOND);
        if let Some(work) = &mut self.work {
            work.exporter.look(host.now(), self.tick_nanos);
        }
        host.tick_every(u32::try_from(tick).unwrap_or(1000));
        host.log(Level::Debug, &["tracelift ", VERSION, ": configured"].concat());
    }
}

impl Root {
    /// Keeps the first of each kind as a policy says from now on. What was known of kinds before is still known.
    fn cover_by(&mut self, host: &impl Host, policy: &Policy) {
        let of = |known: Option<Box<Coverage>>, upgrade: Option<&upgrade::Policy>, plugin: &str| {
            upgrade.and_then(|upgrade| upgrade.coverage.as_ref())?;
            Some(known.unwrap_or_else(|| Box::new(Coverage::new(plugin, host.now()))))
        };
        let shadow = policy.shadow.as_ref().map(|shadow| shadow.upgrade.as_ref().unwrap_or(&policy.upgrade));
        let scope = &mut self.scope;
        scope.coverage = of(scope.coverage.take(), Some(&policy.upgrade), &self.plugin);
        scope.shadow_coverage = of(scope.shadow_coverage.take(), shadow, &[&self.plugin, "\0shadow"].concat());
    }

    /// Learns how long requests usually take as a policy says from now on. What was learned of the same before is still known.
    fn learn_by(&mut self, policy: &Policy, metrics: &mut Metrics) {
        let mut of = |mut known: Option<Box<Slowness>>, upgrade: Option<&upgrade::Policy>, plugin: &str| {
            let slow = upgrade.and_then(|upgrade| upgrade.slow);
            if let (Some(known), Some(slow)) = (&mut known, slow)
                && known.obey(slow)
            {
                return Some(std::mem::replace(known, Box::new(Slowness::new(plugin, slow))));
            }
            known.iter_mut().for_each(|known| known.end(metrics));
            slow.map(|slow| Box::new(Slowness::new(plugin, slow)))
        };
        let shadow = policy.shadow.as_ref().map(|shadow| shadow.upgrade.as_ref().unwrap_or(&policy.upgrade));
        let scope = &mut self.scope;
        scope.slow = of(scope.slow.take(), Some(&policy.upgrade), &self.plugin);
        scope.shadow_slow = of(scope.shadow_slow.take(), shadow, &[&self.plugin, "\0shadow"].concat());
    }

    /// Counts requests as a policy says from now on. What was counted before goes where it was to go.
    fn meter_by(
        &mut self,
        host: &impl Host,
        policy: &Policy,
        resource: &Resource,
        (metrics, entropy): (&mut Metrics, &mut Entropy),
    ) {
        let settings = policy.metrics.as_ref().map(|settings| (settings, &policy.export));
        if let (Some(metering), Some(settings)) = (&self.metering, settings)
            && metering.is_for(settings, resource)
        {
            return;
        }
        self.flush_metering(host, Occasion::Last, metrics);
        let mut open = |settings| Metering::open(host, settings, resource, policy.resource.names_instance(), entropy);
        self.metering = settings.map(|settings| Box::new(open(settings)));
        self.scope.recorder = settings.map(|(settings, _)| Box::new(Recorder::new(settings)));
    }
}

fn refuse(host: &impl Host, on_invalid: OnInvalidConfig, metrics: &mut Metrics) -> bool {
    metrics.count(Metric::ConfigRefused);
    match on_invalid {
        OnInvalidConfig::Refuse => false,
        OnInvalidConfig::PassThrough => {
            let advice = "tracelift: PASSING EVERYTHING THROUGH, nothing is sampled or upgraded here, because \
                          TRACELIFT_ON_INVALID_CONFIG=pass_through; correct the configuration above";
            host.log(Level::Error, advice);
            metrics.count(Metric::ConfigPassThrough);
            true
        }
    }
}
