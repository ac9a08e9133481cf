//! The `aws` section and the kind of the node: where the service runs.

use super::attributes::Attributes;
use serde_json::{Map, Value, json};

/// `origin`: nothing unless the platform is one of AWS's, and no other provider is named.
pub fn origin(resource: &Attributes<'_>) -> &'static str {
    if resource.text("cloud.provider").is_some_and(|provider| provider != "aws") {
        return "";
    }
    match (resource.text("cloud.platform"), resource.text("aws.ecs.launchtype")) {
        (Some("aws_ec2"), _) => "AWS::EC2::Instance",
        (Some("aws_ecs"), Some("ec2")) => "AWS::ECS::EC2",
        (Some("aws_ecs"), Some("fargate")) => "AWS::ECS::Fargate",
        (Some("aws_ecs"), _) => "AWS::ECS::Container",
        (Some("aws_eks"), _) => "AWS::EKS::Container",
        (Some("aws_elastic_beanstalk"), _) => "AWS::ElasticBeanstalk::Environment",
        (Some("aws_app_runner"), _) => "AWS::AppRunner::Service",
        _ => "",
    }
}

/// Takes the gRPC method out of `left`: it becomes the operation.
pub fn section(left: &mut Attributes<'_>, resource: &Attributes<'_>) -> Value {
    let operation = left.text("rpc.method");
    left.use_up("rpc.method");
    if resource.text("cloud.provider").is_some_and(|provider| provider != "aws") {
        return Value::Null;
    }
    let sdk = match (resource.text("telemetry.sdk.name"), resource.text("telemetry.sdk.language")) {
        (Some(name), Some(language)) => Some(format!("{name} for {language}")),
        (name, _) => name.map(str::to_owned),
    };
    let of = |pairs: &[(&str, &str)]| {
        let found = pairs.iter().filter_map(|(to, from)| Some(((*to).to_owned(), resource.text(from)?.into())));
        Value::Object(found.collect::<Map<_, _>>())
    };
    let mut section = Map::new();
    let xray = json!({
        "sdk": sdk,
        "sdk_version": resource.text("telemetry.sdk.version"),
        "auto_instrumentation": resource.text("telemetry.auto.version").is_some(),
    });
    section.insert("xray".to_owned(), xray);
    if let Some(account) = resource.text("cloud.account.id") {
        section.insert("account_id".to_owned(), account.into());
    }
    if let Some(operation) = operation {
        section.insert("operation".to_owned(), operation.into());
    }
    let platform = resource.text("cloud.platform");
    if platform == Some("aws_ec2") || resource.text("host.id").is_some() {
        let pairs = [("instance_id", "host.id"), ("availability_zone", "cloud.availability_zone")];
        section.insert("ec2".to_owned(), of(&pairs));
    }
    if platform == Some("aws_ecs") {
        let pairs = [
            ("container", "container.name"),
            ("container_id", "container.id"),
            ("availability_zone", "cloud.availability_zone"),
            ("cluster_arn", "aws.ecs.cluster.arn"),
            ("task_arn", "aws.ecs.task.arn"),
            ("task_family", "aws.ecs.task.family"),
            ("launch_type", "aws.ecs.launchtype"),
        ];
        section.insert("ecs".to_owned(), of(&pairs));
    }
    if platform == Some("aws_eks") || resource.text("k8s.cluster.name").is_some() {
        let pairs = [("cluster_name", "k8s.cluster.name"), ("pod", "k8s.pod.name"), ("container_id", "container.id")];
        section.insert("eks".to_owned(), of(&pairs));
    }
    Value::Object(section)
}
