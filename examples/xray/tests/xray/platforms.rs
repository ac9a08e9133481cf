//! Where the service runs, out of OTEL_RESOURCE_ATTRIBUTES: the kind of the node, and what X-Ray knows of it.

use crate::kit::{Pod, only};
use serde_json::{Value, json};
use std::sync::Arc;
use tracelift_envoy::{Bootstrap, Request, Shipped};
use tracelift_xray::Pipeline;

/// Given in the configuration: the variable of the tests' own environment is everybody's.
fn running_at(bootstrap: &mut Bootstrap, attributes: &str) {
    for listener in ["inbound", "outbound"] {
        let filter = &mut bootstrap.connection_manager(listener).unwrap()["http_filters"][0]["typed_config"];
        filter["config"]["vm_config"]["environment_variables"]["host_env_keys"] = json!([]);
    }
    bootstrap.environment("OTEL_RESOURCE_ATTRIBUTES", attributes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ecs_and_eks_are_told_by_the_resource_and_nothing_else() {
    let ecs = "cloud.provider=aws,cloud.platform=aws_ecs,aws.ecs.launchtype=fargate,aws.ecs.task.family=cart,\
               aws.ecs.cluster.arn=arn:aws:ecs:eu-central-1:111122223333:cluster/shop,cloud.availability_zone=eu-central-1a";
    let eks = "cloud.provider=aws,cloud.platform=aws_eks,k8s.cluster.name=shop,k8s.pod.name=cart-7f,cloud.region=eu-central-1";
    let of_ecs = json!({
        "cluster_arn": "arn:aws:ecs:eu-central-1:111122223333:cluster/shop", "task_family": "cart",
        "launch_type": "fargate", "availability_zone": "eu-central-1a",
    });
    let of_eks = json!({ "cluster_name": "shop", "pod": "cart-7f", "container_id": null });
    let pipeline = Arc::new(Pipeline::start().await.unwrap());
    for (attributes, origin, key, section) in [
        (ecs, json!("AWS::ECS::Fargate"), "ecs", of_ecs),
        (eks, json!("AWS::EKS::Container"), "eks", of_eks),
        ("service.version=1.2.3", Value::Null, "eks", Value::Null),
    ] {
        let pod = Pod::behind(pipeline.clone(), Shipped::Sidecar, |bootstrap| running_at(bootstrap, attributes)).await;
        let (_, trace) = pod.trace_of("inbound", 1, |request| request, "/cart").await;
        let segment = only(&trace);
        assert_eq!((&segment["origin"], &segment["aws"][key]), (&origin, &section), "{attributes}");
        if origin.is_null() {
            assert_eq!(segment["service"]["version"], "1.2.3");
        }
    }
}

/// The exporter of 0.139 ends the whole collector at a first call of its service (`aws.span.kind`) from another cloud.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_another_cloud_does_not_take_the_collector_down() {
    let pipeline = Arc::new(Pipeline::start().await.unwrap());
    for (provider, documents) in [("gcp", 1), ("aws", 2)] {
        let pod = Pod::behind(pipeline.clone(), Shipped::Sidecar, |bootstrap| {
            running_at(bootstrap, &format!("cloud.provider={provider}"));
        })
        .await;
        pod.client.send(Request::get(pod.envoy.address("outbound").unwrap(), "/pay").host("payments")).await.unwrap();
        let sent = pod.upstream.last().unwrap().text("traceparent");
        let trace = pod.stored(&sent[3..35], documents).await;
        assert_eq!(trace.documents.len(), documents, "{provider}");
        let call = trace.document(&sent[36..52]).unwrap();
        assert_eq!((&call["name"], &call["namespace"]), (&json!("payments"), &json!("remote")), "{provider}");
    }
}
