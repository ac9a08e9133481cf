//! Manifests inside of texts: a bootstrap in a ConfigMap, in a compose file's `content`, in an `EnvoyProxy`.

use super::{Located, Node, Syntax};

/// What a text has in it that is worth reading as a file of its own.
const MARKS: [&str; 5] =
    ["wasm.v3.Wasm", "DynamicModuleFilter", "WasmPlugin", "TrafficExtension", "EnvoyExtensionPolicy"];
/// What `kubectl apply` notes of the very object that it stands in.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A text that may be a file.
pub struct Inner<'t> {
    /// The text with its place.
    pub value: &'t Located,
    /// How it is to be read.
    pub syntax: Syntax,
    /// Whether its key says that it is one: then it is an error if it cannot be read.
    pub is_file: bool,
}

/// Every such text of the document. Patches of a kustomization do not count: each is a part of something.
pub fn find(document: &Located) -> Vec<Inner<'_>> {
    let mut found = Vec::new();
    if document.text_at(&["kind"]) != Some("Kustomization") && document.get("patches").is_none() {
        walk(document, "", &mut found);
    }
    found
}

fn walk<'t>(value: &'t Located, key: &str, found: &mut Vec<Inner<'t>>) {
    match &value.node {
        Node::Text(text) if MARKS.iter().any(|mark| text.contains(mark)) && text.contains(['\n', '{']) => {
            let syntax = Syntax::of(key);
            found.push(Inner { value, syntax, is_file: syntax != Syntax::ByContent });
        }
        Node::List(elements) => elements.iter().for_each(|element| walk(element, key, found)),
        Node::Object(entries) => {
            for entry in entries.iter().filter(|entry| entry.key != LAST_APPLIED) {
                walk(&entry.value, &entry.key, found);
            }
        }
        _ => {}
    }
}
