//! What a checked configuration says, live and in its shadow, and the parts of it that one request obeys.

use std::sync::Arc;

use crate::border::Border;
use crate::span::{AttributeSettings, KindSetting, NodeMetadata, Resource, ResourceInputs, semconv};
use crate::trace_context::{Propagator, TraceIdFormat};
use crate::{force, metrics, otlp, sampling, upgrade};

/// A checked configuration: whatever it says can be done.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who makes the spans, as far as it is known before Envoy's node is.
    pub resource: ResourceSources,
    /// Which side of a call the spans describe.
    pub span_kind: KindSetting,
    /// Header formats in the order of belief; at least one, none twice.
    pub propagators: Vec<Propagator>,
    /// How the ids of traces that begin here are made.
    pub trace_id_format: TraceIdFormat,
    /// Which traces are recorded.
    pub sampling: sampling::Policy,
    /// Where AWS X-Ray's sampling rules come from, if they are to decide.
    pub xray: Option<sampling::XRaySettings>,
    /// Which traces are recorded together, if any.
    pub session: Option<sampling::Session>,
    /// Which are recorded after all.
    pub upgrade: upgrade::Policy,
    /// Who may have requests recorded, if anybody may.
    pub force: Option<force::Policy>,
    /// A shadow policy: evaluated on live traffic, never acted on.
    pub shadow: Option<Shadow>,
    /// Where the names of routes come from, where coverage or slowness needs them, live or in the shadow.
    pub names: Option<Arc<metrics::Settings>>,
    /// The routes that have a rate each, live or in the shadow, if any have.
    pub paced: Option<Arc<metrics::Settings>>,
    /// What is counted of every request, if anything is.
    pub metrics: Option<Arc<metrics::Settings>>,
    /// Response headers for the mesh alone, in lower case: marks of the application, and the name of its route. At the edge they are
    /// taken off.
    pub mesh_headers: Vec<String>,
    /// The outer listener of the mesh: no incoming `sampled` flag, randomness or upgrade signal is believed, and no signal
    /// leaves.
    pub edge: bool,
    /// What Envoy does by itself around the filter.
    pub border: Border,
    /// Where spans go. A batch fits into the queue.
    pub export: otlp::Settings,
    /// What spans may say beyond the default.
    pub attributes: AttributeSettings,
}

/// The parts of the resource that configuration and environment give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSources {
    /// `service_name`; never empty.
    pub service_name: Option<String>,
    /// `resource`, at most 64.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_SERVICE_NAME`; never empty.
    pub environment_service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, decoded; at most 128.
    pub environment_attributes: Vec<(String, String)>,
}

impl Policy {
    /// Where the routes of requests come from, where anything asks for them.
    pub fn routes(&self) -> Option<&metrics::Settings> {
        self.metrics.as_ref().or(self.names.as_ref()).map(|settings| &**settings)
    }

    /// Whether the head of a request is read for metrics or coverage: then there is [`Self::routes`].
    pub fn is_outlined(&self) -> bool {
        self.metrics.is_some() | self.names.is_some()
    }

    /// At the edge a trace that came from outside gets a randomness of ours, in `tracestate`. `true`: nobody would read that, so
    /// that a trace has to start anew.
    pub fn restarts_traces(&self) -> bool {
        !self.propagators.contains(&Propagator::TraceContext) || self.sampling.reads_trace_id()
    }
}

impl ResourceSources {
    /// The user names this instance (`service.instance.id`).
    pub fn names_instance(&self) -> bool {
        let names = |(key, _): &(String, String)| key == semconv::resource::SERVICE_INSTANCE_ID;
        self.attributes.iter().any(names) || self.environment_attributes.iter().any(names)
    }

    /// The resource of this node's spans.
    pub fn merge(&self, node: &NodeMetadata) -> Resource {
        Resource::merge(&ResourceInputs {
            service_name: self.service_name.as_deref(),
            attributes: &self.attributes,
            environment_service_name: self.environment_service_name.as_deref(),
            environment_attributes: &self.environment_attributes,
            node,
        })
    }
}

/// The checked `shadow` part of the configuration. What it leaves out is as in the live policy.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// Which traces would be recorded.
    pub sampling: Option<sampling::Policy>,
    /// Which would be recorded after all.
    pub upgrade: Option<upgrade::Policy>,
}

/// The parts of the policy that a stream obeys.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// What is sampled.
    pub sampling: &'a sampling::Policy,
    /// What is upgraded.
    pub upgrade: &'a upgrade::Policy,
    /// Which spans a stream becomes.
    pub kind: KindSetting,
    /// This is the mesh's outer listener: what a client says of sampling is not believed.
    pub edge: bool,
}

impl Policy {
    /// What live requests obey.
    pub fn rules(&self) -> Rules<'_> {
        Rules { sampling: &self.sampling, upgrade: &self.upgrade, kind: self.span_kind, edge: self.edge }
    }

    /// The rules of the shadow policy, if there is one.
    pub fn shadow_rules(&self) -> Option<Rules<'_>> {
        let shadow = self.shadow.as_ref()?;
        let live = self.rules();
        Some(Rules {
            sampling: shadow.sampling.as_ref().unwrap_or(live.sampling),
            upgrade: shadow.upgrade.as_ref().unwrap_or(live.upgrade),
            ..live
        })
    }
}
