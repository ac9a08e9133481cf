//! Where Envoy and Kubernetes read one text differently.

use super::super::{Finding, Located, Node};
use super::raw::Raw;
use super::{Dialect, resolve};

/// A warning for each value that Kubernetes reads differently from `envoy`, what Envoy reads. A fraction is a text to one and
/// a number to the other, and the filter takes both for the same.
pub fn disagreements(raw: &Raw, envoy: &Located) -> Vec<Finding> {
    let mut findings = Vec::new();
    match resolve::resolve(raw, Dialect::Kubernetes, &mut Vec::new()) {
        Ok(kubernetes) => compare(envoy, &kubernetes, "", &mut findings),
        Err(finding) => findings.push(Finding { severity: super::super::Severity::Warning, ..finding }),
    }
    findings
}

fn compare(envoy: &Located, kubernetes: &Located, path: &str, findings: &mut Vec<Finding>) {
    match (&envoy.node, &kubernetes.node) {
        (Node::List(left), Node::List(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(left, right, &format!("{path}[{index}]"), findings);
            }
        }
        (Node::Object(left), Node::Object(right))
            if left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.key == right.key) =>
        {
            for (left, right) in left.iter().zip(right) {
                let dot = if path.is_empty() { "" } else { "." };
                compare(&left.value, &right.value, &format!("{path}{dot}{}", left.key), findings);
            }
        }
        (left, right) if same(left, right) => {}
        (left, right) => {
            let advice = if matches!(left, Node::Object(_)) {
                "Write the keys out."
            } else {
                "Write it so that both read the same, a text in quotes."
            };
            let message = format!("Envoy reads {} here, Kubernetes {}. {advice}", describe(left), describe(right));
            findings.push(Finding::warning(envoy.at, path, message));
        }
    }
}

fn same(envoy: &Node, kubernetes: &Node) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    match (envoy, kubernetes) {
        (Node::Text(left) | Node::Number(left), Node::Number(right)) => {
            number(left).is_some_and(|left| Some(left) == number(right))
        }
        (left, right) => left == right,
    }
}

fn describe(node: &Node) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Number(number) => format!("the number {number}"),
        Node::Text(text) => format!("the text {}", tracelift::json::quoted(text)),
        Node::List(_) => "a list".to_owned(),
        Node::Object(entries) => {
            let keys: Vec<_> = entries.iter().take(4).map(|entry| entry.key.as_str()).collect();
            format!("an object with {}", if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") })
        }
    }
}
