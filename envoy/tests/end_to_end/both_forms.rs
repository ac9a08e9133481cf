//! The wasm module and the dynamic module in one trace. Only in a run that has both.

use crate::mesh::{SOON, settings, shipped, traceparent};
use tracelift_envoy::{Client, Collector, Filter, Launch, Request, Shipped, Upstream};

/// Caller -> an Envoy with one form -> an Envoy with the other -> an application that fails: one trace, both hops kept by the one
/// signal, each the parent of the next.
async fn a_failure_behind_two_forms(first: Filter, second: Filter) {
    let (collector, upstream) = (Collector::start().await.unwrap(), Upstream::start().await.unwrap());
    let start = async |filter: &Filter, application| {
        let mut bootstrap = shipped(Shipped::Sidecar, &collector);
        bootstrap.endpoints("application", &[application]).unwrap();
        settings(&mut bootstrap, |json| json["sampling"]["ratio"] = 0.into());
        Launch::new().unwrap().filter(filter.clone()).start(&bootstrap).await.unwrap_or_else(|error| panic!("{error}"))
    };
    let inner = start(&second, upstream.address()).await;
    let outer = start(&first, inner.address("inbound").unwrap()).await;
    let sent = traceparent(1, false);
    let request = Request::get(outer.address("inbound").unwrap(), "/status/503").header("traceparent", &sent);
    assert_eq!(Client::new().send(request).await.unwrap().status, 503);
    let spans = collector.wait_for_spans(2, SOON).await.unwrap();
    assert!(spans.iter().all(|span| span.trace_id() == sent[3..35]), "{spans:?}");
    let is_child =
        |span: &&tracelift_envoy::ReceivedSpan| spans.iter().any(|other| other.span_id() == span.parent_span_id());
    assert_eq!(spans.iter().filter(is_child).count(), 1, "{spans:?}");
}

#[tokio::test]
async fn a_failure_is_kept_by_both_forms_of_the_filter_in_either_order() {
    let Filter::Dynamic(library) = Filter::of_this_run().unwrap_or_else(|error| panic!("{error}")) else {
        // The run of the wasm module alone: the library may not be built.
        return a_failure_behind_two_forms(Filter::Wasm, Filter::Wasm).await;
    };
    a_failure_behind_two_forms(Filter::Wasm, Filter::Dynamic(library.clone())).await;
    a_failure_behind_two_forms(Filter::Dynamic(library), Filter::Wasm).await;
}
