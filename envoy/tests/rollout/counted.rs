//! Request metrics over changes that come by ECDS: no request is lost or counted twice, and it begins anew what the pages say.

use crate::fleet::{Filter, Fleet};
use crate::kit::SOON;
use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tracelift_envoy::collector::measured::{Counts, Export, counts};

/// Requests between two changes.
const ENOUGH: u64 = 200;

/// Counts every request, shares counts six times a second, and samples some of them.
fn counting(ratio: f64, mut metrics: Value) -> Filter {
    metrics["enabled"] = true.into();
    metrics["interval_ms"] = 1000.into();
    Filter::on(json!({ "span_kind": "server", "sampling": { "ratio": ratio }, "metrics": metrics }))
}

/// What one stream said last, by `service.instance.id`, and all beginnings that it named.
#[derive(Debug, Default)]
struct Stream {
    counts: Counts,
    starts: BTreeSet<u64>,
}

fn streams(exports: &[Export]) -> BTreeMap<String, Stream> {
    let mut streams = BTreeMap::<String, Stream>::new();
    for export in exports {
        let resource = export.resource_metrics[0].resource.clone().expect("a resource");
        let id = resource.attributes.into_iter().find(|pair| pair.key == "service.instance.id");
        let Some(StringValue(id)) = id.and_then(|id| id.value?.value) else { panic!("no instance: {export:?}") };
        let stream = streams.entry(id).or_default();
        let now = counts(export);
        for (series, before) in &stream.counts {
            assert!(Some(before) <= now.get(series), "{series} of one stream never falls: {before}, {now:?}");
        }
        stream.counts = now;
        stream.starts.extend(starts(export));
    }
    streams
}

fn starts(export: &Export) -> Vec<u64> {
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let points = metrics.flat_map(|metric| match &metric.data {
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.clone(),
        other => panic!("{other:?}"),
    });
    points.map(|point| point.start_time_unix_nano).collect()
}

/// The streams, as soon as they count so many requests together.
async fn of_all(fleet: &Fleet, requests: u64) -> BTreeMap<String, Stream> {
    let mut found = 0;
    let whole = |exports: &[Export]| {
        let streams = streams(exports);
        found = streams.values().flat_map(|stream| stream.counts.values()).sum();
        (found == requests).then_some(streams)
    };
    let streams = fleet.collector.wait_for_measured(SOON, whole).await;
    let envoy = &fleet.members[0].envoy;
    let stats = envoy.admin().stats().await.unwrap();
    streams.unwrap_or_else(|error| panic!("{requests} requests, {found} counted: {error}\n{stats:?}\n{}", envoy.log()))
}

#[tokio::test]
async fn a_change_of_anything_but_metrics_counts_on_where_it_was() {
    let fleet = Fleet::start(&[counting(1.0, json!({}))]).await;
    let load = fleet.load();
    for ratio in [0.5, 0.25, 0.0] {
        load.more(ENOUGH).await;
        fleet.members[0].apply(&counting(ratio, json!({}))).await;
    }
    load.more(ENOUGH).await;
    let sent = load.stop().await;
    let streams = of_all(&fleet, sent).await;
    let starts: Vec<_> = streams.values().map(|stream| stream.starts.len()).collect();
    assert_eq!(starts, [1], "one stream with one beginning: {streams:?}");
}

#[tokio::test]
async fn other_metrics_are_another_stream_with_another_beginning_and_every_request_is_in_one_of_them() {
    let fleet = Fleet::start(&[counting(0.0, json!({}))]).await;
    let load = fleet.load();
    load.more(ENOUGH).await;
    fleet.members[0].apply(&counting(0.0, json!({ "routes": ["/cart"] }))).await;
    load.more(ENOUGH).await;
    let sent = load.stop().await;
    let streams = of_all(&fleet, sent).await;
    let (with, without): (Vec<_>, Vec<_>) =
        streams.values().partition(|stream| stream.counts.keys().all(|series| series.contains("http.route=/cart")));
    let ([with], [without]) = (with.as_slice(), without.as_slice()) else { panic!("two streams: {streams:?}") };
    assert!(without.counts.keys().all(|series| !series.contains("http.route")), "{without:?}");
    assert!(without.starts.last() < with.starts.first(), "the new one begins with the change");
    assert!([with, without].iter().all(|stream| stream.starts.len() == 1), "each series begins once: {streams:?}");
    assert!([with, without].iter().all(|stream| ENOUGH <= stream.counts.values().sum()), "{streams:?}");
}
