//! What rules can say of the service itself, which is the same for all of its requests.

use super::rule::Rule;
use crate::sampling::Steps;
use crate::span::{Resource, Value};

/// X-Ray's types of the platforms that OpenTelemetry names.
const PLATFORMS: [(&str, &str); 5] = [
    ("aws_ec2", "AWS::EC2::Instance"),
    ("aws_ecs", "AWS::ECS::Container"),
    ("aws_eks", "AWS::EKS::Container"),
    ("aws_elastic_beanstalk", "AWS::ElasticBeanstalk::Environment"),
    ("aws_lambda", "AWS::Lambda::Function"),
];

/// The service as X-Ray sees it, from the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// X-Ray's type for the resource's `cloud.platform`.
    pub kind: Option<&'static str>,
    /// `aws.ecs.container.arn`, else `cloud.resource_id`.
    pub arn: Option<String>,
}

impl Service {
    /// Reads the resource.
    pub fn of(resource: &Resource) -> Self {
        let mut service = Self::default();
        let mut container = None;
        for (key, value) in resource.attributes() {
            let Value::Text(text) = value else { continue };
            match key.as_str() {
                "service.name" => service.name = text.to_string(),
                "aws.ecs.container.arn" => container = Some(text.to_string()),
                "cloud.resource_id" => service.arn = Some(text.to_string()),
                "cloud.platform" => {
                    service.kind = PLATFORMS.iter().find(|(platform, _)| platform == text).map(|(_, kind)| *kind);
                }
                _ => {}
            }
        }
        service.arn = container.or(service.arn);
        service
    }

    /// Whether any request to this service can match the rule.
    pub fn is_meant_by(&self, rule: &Rule) -> bool {
        let steps = &mut Steps::default();
        rule.service_name.matches(Some(self.name.as_bytes()), steps)
            && rule.service_type.matches(self.kind.map(str::as_bytes), steps)
            && rule.resource_arn.matches(self.arn.as_deref().map(str::as_bytes), steps)
    }
}
