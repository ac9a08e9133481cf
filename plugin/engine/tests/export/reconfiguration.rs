//! A new configuration takes over what waits under the old one.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tracelift::export::{DiscardReason, Exporter};
use tracelift::otlp::Protocol;

use crate::kit::{Bench, LONGEST, SECOND, START, encoded, resource, settings};

#[test]
fn waiting_spans_move_go_out_next_and_keep_the_resource_that_they_were_recorded_under() {
    let mut old = Bench::new(settings(Protocol::HttpProtobuf));
    old.tick(0);
    old.offer(10);
    let in_flight = old.tick(0);
    old.answer(in_flight[0].id, 503, &[], b"");
    assert_eq!((old.counts().queued, old.counts().in_flight), (6, 4));

    let mut new = Exporter::new(settings(Protocol::HttpProtobuf), &resource("basket"));
    new.adopt(&mut old.exporter);
    assert_eq!((old.counts().released, old.counts().queued, old.counts().in_flight), (6, 0, 4));
    assert_eq!((new.counts().adopted, new.counts().offered, new.counts().queued), (6, 0, 6));
    let request = new.poll(START, LONGEST, false).expect("no need to wait: they have");
    let message = format!("{:?}", ExportTraceServiceRequest::decode(request.body.as_slice()).expect("OTLP"));
    assert!(message.contains("\"cart\"") && !message.contains("\"basket\""));

    // The old one still gets its own answers, and what comes back can be taken over again.
    old.answer(in_flight[1].id, 503, &[], b"");
    assert!(old.counts().queued == 4 && old.counts().in_flight == 0);
    new.adopt(&mut old.exporter);
    assert!(old.exporter.is_idle());
    assert_eq!(new.counts().adopted, 10);
}

#[test]
fn an_exporter_that_is_configured_again_goes_on_with_what_it_holds() {
    let mut bench = Bench::new(settings(Protocol::HttpProtobuf));
    bench.tick(0);
    bench.offer(10);
    let in_flight = bench.tick(0);
    assert_eq!((in_flight.len(), bench.counts().queued), (2, 2));
    bench.exporter.reconfigure(settings(Protocol::HttpProtobuf), &resource("basket"));
    assert_eq!((bench.counts().offered, bench.counts().queued, bench.counts().in_flight), (10, 2, 8));
    let rest = bench.tick(0);
    let message = ExportTraceServiceRequest::decode(rest[0].body.as_slice()).expect("OTLP");
    assert!(format!("{message:?}").contains("\"cart\""));
    for request in in_flight.iter().chain(&rest) {
        bench.answer(request.id, 200, &[], b"");
    }
    assert_eq!(bench.counts().exported, 10);
}

#[test]
fn the_bounds_of_the_new_configuration_hold() {
    let bytes = encoded(0).len();
    for (max_queue_size, max_queue_bytes, reason) in
        [(6, 1 << 20, DiscardReason::QueueFull), (64, bytes * 7, DiscardReason::QueueBytes)]
    {
        let mut old = Bench::new(settings(Protocol::HttpProtobuf));
        old.offer(12);
        let mut limited = settings(Protocol::Grpc);
        limited.max_queue_size = max_queue_size;
        limited.max_queue_bytes = max_queue_bytes;
        limited.max_export_batch_size = 2;
        let mut new = Exporter::new(limited, &resource("cart"));
        new.adopt(&mut old.exporter);
        assert_eq!((new.counts().queued, new.counts().discarded(reason)), (5, 7));
        let requests: Vec<_> = std::iter::from_fn(|| new.poll(START + SECOND, LONGEST, true)).collect();
        assert_eq!(requests.len(), 3, "two spans in a request at most");
    }
}

#[test]
fn what_is_handed_to_a_closed_exporter_is_counted_there() {
    let mut old = Bench::new(settings(Protocol::HttpProtobuf));
    old.offer(3);
    let mut new = Exporter::new(settings(Protocol::HttpProtobuf), &resource("cart"));
    new.close();
    new.adopt(&mut old.exporter);
    assert_eq!(new.counts().discarded(DiscardReason::Shutdown), 3);
    assert!(old.exporter.is_idle() && new.is_idle());
}
