//! What YAML means to Envoy and to Kubernetes, by a table that both wrote themselves: Envoy 1.40.0 by what it shows of a
//! file with a mistake in it, Kubernetes by `YAMLToJSON` of sigs.k8s.io/yaml 1.6.0. `null` stands for a refusal. The test of
//! the same name among Envoy's holds the table against the program.

use serde_json::Value;
use tracelift_tools::manifest::{Dialect, read_yaml};

use crate::kit::file;

#[test]
fn every_scalar_and_every_structure_is_read_as_envoy_and_as_kubernetes_read_it() {
    let table = std::fs::read_to_string(file("yaml.json")).expect("the table");
    let table: Vec<Value> = serde_json::from_str(&table).expect("JSON");
    assert!(150 < table.len());
    let mut wrong = Vec::new();
    for row in &table {
        let text = row["text"].as_str().expect("a text");
        for (dialect, wanted) in [(Dialect::Envoy, &row["envoy"]), (Dialect::Kubernetes, &row["kubernetes"])] {
            // A list is no bootstrap, so that Envoy says nothing of it. And it closes a quote at the end of the file, which to
            // us is a file that was cut off.
            if dialect == Dialect::Envoy && (text.starts_with("- ") || text == "a: \"unclosed") {
                continue;
            }
            // Neither reads more than the first document.
            let read =
                read_yaml(&[text, "\n"].concat(), dialect).map(|mut documents| documents.remove(0).root.to_json());
            let found = read.as_deref().map_or(Value::Null, |json| serde_json::from_str(json).expect("JSON"));
            if !same(&found, wanted) {
                wrong.push(format!("{text:?} to {dialect:?}: read {found}, wanted {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Equal values, numbers by what they are.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}
