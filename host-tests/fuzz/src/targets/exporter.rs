//! An exporter that is driven by hand.

use tracelift::export::{Compression, Exporter, Protocol, Settings};
use tracelift::span::{NodeMetadata, Resource, ResourceInputs};

/// 21 November 2026, in Unix nanoseconds.
pub(super) const START: u64 = 1_795_255_200_000_000_000;

/// Small bounds, so that they are met.
pub(super) fn settings() -> Settings {
    Settings {
        protocol: Protocol::HttpProtobuf,
        cluster: "collector".to_owned(),
        path: "/v1/traces".to_owned(),
        authority: "collector".to_owned(),
        headers: Vec::new(),
        timeout_ms: 10_000,
        compression: Compression::None,
        max_queue_size: 16,
        max_queue_bytes: 65_536,
        max_export_batch_size: 4,
        scheduled_delay_ms: 0,
        tracestate: true,
    }
}

pub(super) fn exporter(settings: Settings) -> Exporter {
    let resource = Resource::merge(&ResourceInputs {
        service_name: Some("cart"),
        attributes: &[],
        environment_service_name: None,
        environment_attributes: &[],
        node: &NodeMetadata::default(),
    });
    Exporter::new(settings, &resource)
}
