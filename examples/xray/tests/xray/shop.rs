//! The whole shop: every failed request is in X-Ray, whole, and nothing else is.

use crate::kit::SOON;
use serde_json::Value;
use std::collections::BTreeSet;
use tracelift_shop::feed::{Feed, Recorded, Stop};
use tracelift_xray::stored::xray_id;
use tracelift_xray::{Pipeline, StoredTrace};

const REQUESTS: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failed_request_is_a_complete_trace_in_xray() {
    let pipeline = Pipeline::start().await.unwrap();
    let feed = Feed::open(pipeline.otlp(), 7, 0.3, 0.02).await.unwrap();
    let recorded = feed.send(REQUESTS, 60.0).await.unwrap();
    feed.close().await;

    let failed = recorded.iter().filter(|trace| trace.failed).count();
    assert!(REQUESTS / 10 < failed as u64, "{failed} of {REQUESTS} failed: too few to show anything");
    let mut stories = BTreeSet::new();
    for trace in &recorded {
        let id = format!("{:032x}", trace.trace_id);
        let enough = |stored: &StoredTrace| trace.stops.len() <= stored.documents.len();
        let stored = pipeline.trace(&id, SOON, enough).await;
        let stored = stored.unwrap_or_else(|error| panic!("{}: {error:#}", trace.story));
        assert_eq!(stored.id, xray_id(&id));
        assert_eq!(stored.documents.len(), trace.stops.len(), "{}: nothing more\n{}", trace.story, stored.outline());
        for stop in &trace.stops {
            let found = stored.documents.iter().filter(|document| is(stop, document)).count();
            assert_eq!(found, 1, "{}: {stop:?} in\n{}", trace.story, stored.outline());
        }
        assert_connected(trace, &stored);
        let cause = trace.story.split_once(": ").map(|(_, cause)| cause.to_owned());
        stories.extend(cause.filter(|_| trace.failed));
    }
    assert_eq!(stories.len(), 6, "every kind of failure came up: {stories:?}");
    assert_eq!(pipeline.collector().losses(), Vec::<String>::new());
}

/// Whether a document is that pass through an Envoy.
fn is(stop: &Stop, document: &Value) -> bool {
    let hex = |id: u64| Value::String(format!("{id:016x}"));
    let subsegment = document["type"] == "subsegment";
    let name_fits = if stop.server {
        document["name"] == stop.service
    } else {
        stop.peer.is_none_or(|peer| document["name"] == peer)
    };
    let namespace = if stop.server { Value::Null } else { "remote".into() };
    subsegment != stop.server
        && name_fits
        && document["namespace"] == namespace
        && stop.span_id.is_none_or(|id| document["id"] == hex(id))
        && stop.parent_id.is_none_or(|id| document["parent_id"] == hex(id))
        && document["metadata"]["default"]["otel.resource.service.name"]
            == if stop.server { stop.service.into() } else { Value::Null }
}

/// One tree: every document hangs below another of the trace, up to the gateway's segment.
fn assert_connected(trace: &Recorded, stored: &StoredTrace) {
    let tops = stored.tops();
    assert_eq!(tops.len(), 1, "{}: one root\n{}", trace.story, stored.outline());
    assert_eq!((&tops[0]["name"], &tops[0]["type"]), (&"gateway".into(), &Value::Null), "{}", trace.story);
    assert_eq!(stored.outline().lines().count(), stored.documents.len(), "{}", trace.story);
    if trace.failed {
        let failed = stored.documents.iter().any(|document| {
            document["fault"] == true
                || document["metadata"]["default"]["error.type"] == "client_disconnect"
                || document["annotations"]["error.type"] == "client_disconnect"
        });
        assert!(failed, "{}: nothing is red\n{}", trace.story, stored.outline());
    }
}
