//! The shipped files are what Envoy takes.

use crate::mesh::{Pod, settings};
use tracelift_envoy::process::module;
use tracelift_envoy::{Bootstrap, Launch, Shipped};

#[tokio::test]
async fn every_shipped_file_is_valid_to_envoy() {
    let launch = Launch::new().unwrap_or_else(|error| panic!("{error}"));
    let module = module().unwrap_or_else(|error| panic!("{error}"));
    for which in Shipped::ALL {
        // With its own addresses and settings; only the module lies elsewhere.
        let text = which.text().replace("/etc/envoy/tracelift.wasm", &module.display().to_string());
        let result = launch.validate(&Bootstrap::from_yaml(&text).unwrap()).await;
        result.unwrap_or_else(|error| panic!("{}: {error}", which.file_name()));
    }
}

#[tokio::test]
async fn every_shipped_file_serves_and_exports() {
    for which in Shipped::ALL {
        let pod = Pod::start(which, |bootstrap| settings(bootstrap, |json| json["sampling"]["ratio"] = 1.into())).await;
        assert_eq!(pod.get("/cart").await.status, 200, "{which:?}");
        // A gateway records both sides of its call.
        pod.settle(if which == Shipped::Gateway { 2 } else { 1 }).await;
    }
}

#[test]
fn the_grpc_sidecar_differs_from_the_sidecar_in_two_places_only() {
    let sidecar = |which: Shipped| Bootstrap::from_yaml(which.text()).unwrap();
    let (mut http, mut grpc) = (sidecar(Shipped::Sidecar), sidecar(Shipped::SidecarGrpcExport));
    for bootstrap in [&mut http, &mut grpc] {
        *bootstrap.cluster("otel_collector").unwrap() = "differs".into();
        bootstrap.plugin(|json| json["export"] = "differs".into()).unwrap();
    }
    assert_eq!(http, grpc);
}
