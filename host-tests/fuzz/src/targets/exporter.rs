//! An exporter that is driven by hand.

use std::sync::LazyLock;

use tracelift::config::{Environment, load};
use tracelift::export::Exporter;
use tracelift::otlp::Settings;
use tracelift::policy::ResourceSources;
use tracelift::span::NodeMetadata;

/// 21 November 2026, in Unix nanoseconds.
pub(super) const START: u64 = 1_795_255_200_000_000_000;

/// The settings of an empty configuration, read once.
static DEFAULTS: LazyLock<Settings> =
    LazyLock::new(|| load(b"{}", &Environment::default()).expect("it is a working configuration").policy.export);

/// Small bounds, so that they are met.
pub(super) fn settings() -> Settings {
    Settings {
        max_queue_size: 16,
        max_queue_bytes: 65_536,
        max_export_batch_size: 4,
        scheduled_delay_ms: 0,
        ..DEFAULTS.clone()
    }
}

pub(super) fn exporter(settings: Settings) -> Exporter {
    let sources = ResourceSources { service_name: Some("cart".to_owned()), ..ResourceSources::default() };
    Exporter::new(settings, &sources.merge(&NodeMetadata::default()))
}
