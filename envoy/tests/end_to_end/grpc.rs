//! gRPC tells its status where HTTP says 200.

use crate::mesh::{Pod, settings, traceparent};
use serde_json::json;
use tracelift_envoy::Request;
use tracelift_envoy::ports::RefusingPort;

#[tokio::test]
async fn a_failed_call_brings_its_trace_back_wherever_its_status_stands() {
    let refusing = RefusingPort::any().unwrap();
    let pod = Pod::sidecar(|bootstrap| {
        settings(bootstrap, |json| json["sampling"] = json!({ "ratio": 0 }));
        bootstrap.copy_cluster("application", "refusing", &[refusing.address()]).unwrap();
        bootstrap.add_route("inbound", "/shop.Refused/", json!({ "route": { "cluster": "refusing" } })).unwrap();
    })
    .await;
    // Path, gRPC status at the client, and the span's name if the defaults call it a failure.
    let cases = [
        ("/answer.Trailers/Status13", 13, Some("answer.Trailers/Status13")),
        ("/answer.TrailersOnly/Status14", 14, Some("answer.TrailersOnly/Status14")),
        // Envoy's own answer to a gRPC client is HTTP 200 with the status in the headers. Nothing says that the method
        // exists, so it gives no name.
        ("/shop.Refused/Get", 14, Some("grpc")),
        ("/answer.Trailers/Status0", 0, None),
        ("/answer.Trailers/Status5", 5, None),
        ("/answer.TrailersOnly/Status7", 7, None),
    ];
    for (number, (path, status, name)) in (1..).zip(cases) {
        let sent = traceparent(number, false);
        let reply = pod.send(Request::grpc(pod.entry(), path, b"").header("traceparent", &sent)).await;
        assert_eq!((reply.status, reply.grpc_status()), (200, Some(status)), "{path}");
        if let Some(name) = name {
            let span = pod.span_of(&sent).await;
            // A refused connection is told by Envoy's flag, not by the status that stands for it.
            let trigger = if path.contains("Refused") { "response_flags" } else { "grpc_status" };
            assert_eq!(span.trigger(), Some(trigger), "{path}");
            assert_eq!(span.name(), name, "{path}");
            assert!(span.is_error(), "{path}");
        }
    }
    pod.settle(3).await;
    let stats = pod.envoy.admin().stats().await.unwrap();
    assert_eq!((stats.tracelift("upgrades.grpc_status"), stats.tracelift("upgrades.response_flags")), (2, 1));
}
