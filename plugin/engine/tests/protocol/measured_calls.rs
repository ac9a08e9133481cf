//! gRPC calls are counted by their method, if their answer shows that the server knows it.

use std::collections::BTreeMap;

use tracelift::door::Attribute;
use tracelift::http::ResponseFlags;

use crate::kit::collector::attribute;
use crate::kit::exchange::Lines;
use crate::kit::process::{Process, lines, status};
use crate::measured::{SAMPLED, configuration, counts, measured};

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A gRPC call that may have this answer, and ends with these flags. `trailers`: the status in its trailers.
fn call(
    (process, root): (&mut Process, u32),
    path: &str,
    (answer, trailers): (Option<Lines>, Option<&str>),
    (flags, details): (ResponseFlags, &[u8]),
) {
    let stream = process.stream(0, root);
    stream.exchange.set_number(Attribute::ResponseFlags, flags.bits().cast_signed());
    stream.exchange.set_text(Attribute::CodeDetails, details);
    process.head(&stream, lines(&[(":method", "POST"), (":path", path), GRPC, ("traceparent", SAMPLED)]));
    let is_whole = trailers.is_none() && !flags.contains(ResponseFlags::DOWNSTREAM_DISCONNECT);
    if let Some(answer) = answer {
        process.answer(&stream, answer, is_whole);
    }
    if let Some(code) = trailers {
        process.trailers(&stream, lines(&[("grpc-status", code)]));
    }
    process.log(&stream);
}

/// Attributes of a point and of a span that both have.
fn said_alike(process: &mut Process) -> [BTreeMap<String, u64>; 2] {
    let points = measured(process);
    let on_points = points.iter().map(|(series, point)| {
        let (_, attributes) = series.trim_end_matches('}').split_once('{').expect("attributes");
        (attributes.to_owned(), point.count)
    });
    let mut on_spans = BTreeMap::new();
    for span in &process.exported {
        let names = ["error.type", "rpc.method", "rpc.status_code", "rpc.system.name"];
        let said = names.iter().filter_map(|name| Some(format!("{name}={}", attribute(span, name)?)));
        *on_spans.entry(said.collect::<Vec<_>>().join(",")).or_insert(0) += 1;
    }
    [on_points.collect(), on_spans]
}

#[test]
fn only_an_answer_of_grpc_shows_that_the_server_knows_a_method() {
    let (mut process, root) = Process::with(&configuration(""));
    let (fine, upstream) = (ResponseFlags::default(), &b"via_upstream"[..]);
    let grpc = || Some(status(200, &[GRPC]));
    // Servers of HTTP: whatever they answer, no name is theirs.
    for (number, answer) in
        [status(200, &[]), status(200, &[("grpc-status", "0")]), status(404, &[GRPC]), status(302, &[])]
            .into_iter()
            .enumerate()
    {
        call((&mut process, root), &format!("/made.Up{number}/Name"), (Some(answer), None), (fine, upstream));
    }
    // A caller chooses after what time Envoy gives up, and with that a name; unless it is known.
    let late = (ResponseFlags::UPSTREAM_TIMEOUT, &b"response_timeout"[..]);
    let local = || Some(status(200, &[GRPC, ("grpc-status", "4")]));
    call((&mut process, root), "/shop.Cart/Late", (local(), None), late);
    call((&mut process, root), "/shop.Cart/Late", (grpc(), Some("0")), (fine, upstream));
    call((&mut process, root), "/shop.Cart/Late", (None, None), late);
    // A side breaks off what had begun.
    let left = (ResponseFlags::DOWNSTREAM_DISCONNECT, &b"downstream_remote_disconnect"[..]);
    call((&mut process, root), "/shop.Cart/Watch", (grpc(), None), left);
    call((&mut process, root), "/made.Up/Watch", (Some(status(200, &[])), None), left);
    let [on_points, on_spans] = said_alike(&mut process);
    assert_eq!(on_points, on_spans);
    assert_eq!(
        on_points
            .iter()
            .map(|(said, count)| (said.trim_end_matches(",rpc.system.name=grpc"), *count))
            .collect::<Vec<_>>(),
        [
            ("error.type=404,rpc.method=_OTHER", 1),
            ("error.type=DEADLINE_EXCEEDED,rpc.method=_OTHER,rpc.status_code=DEADLINE_EXCEEDED", 1),
            ("error.type=client_disconnect,rpc.method=_OTHER", 1),
            ("error.type=client_disconnect,rpc.method=shop.Cart/Watch", 1),
            ("error.type=no_grpc_status,rpc.method=_OTHER", 2),
            ("error.type=timeout,rpc.method=shop.Cart/Late", 1),
            ("rpc.method=_OTHER,rpc.status_code=OK", 1),
            ("rpc.method=shop.Cart/Late,rpc.status_code=OK", 1),
        ]
    );
}

#[test]
fn a_grpc_call_is_counted_by_its_method_if_the_server_knows_it() {
    let (mut process, root) = Process::with(&configuration(""));
    for (path, code) in [("/shop.Cart/Add", "0"), ("/shop.Cart/Add", "14"), ("/made.Up/Name", "12")] {
        let stream = process.stream(0, root);
        stream.exchange.set_text(Attribute::CodeDetails, b"via_upstream");
        let head = [(":method", "POST"), (":path", path), ("content-type", "application/grpc")];
        process.head(&stream, lines(&head));
        process.answer(&stream, status(200, &[GRPC]), false);
        process.trailers(&stream, lines(&[("grpc-status", code)]));
        process.log(&stream);
    }
    let points = measured(&mut process);
    let name = "rpc.server.call.duration";
    assert_eq!(
        counts(&points),
        [
            (
                &*format!(
                    "{name}{{error.type=UNAVAILABLE,rpc.method=shop.Cart/Add,rpc.status_code=UNAVAILABLE,rpc.system.name=grpc}}"
                ),
                1
            ),
            (
                &*format!(
                    "{name}{{error.type=UNIMPLEMENTED,rpc.method=_OTHER,rpc.status_code=UNIMPLEMENTED,rpc.system.name=grpc}}"
                ),
                1
            ),
            (&*format!("{name}{{rpc.method=shop.Cart/Add,rpc.status_code=OK,rpc.system.name=grpc}}"), 1),
        ]
    );
}
