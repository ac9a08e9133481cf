//! YAML with places, by the parser of the `saphyr` project. What a scalar means is not the parser's to say: Envoy and
//! Kubernetes disagree about it, see [`Dialect`].

mod compare;
mod envoy;
mod kubernetes;
mod raw;
mod resolve;

use super::{Finding, Located};

/// Whose reading counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Envoy's loader (yaml-cpp): `yes` is a boolean, every fraction a text, `017` is 15, and `<<` a key like any other.
    Envoy,
    /// Kubernetes' (`sigs.k8s.io/yaml`, YAML 1.1): `yes` is a boolean, `1_000` and `0o17` are numbers, and `<<` merges.
    Kubernetes,
}

/// One document, as it is read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its values.
    pub root: Located,
    /// Whose reading this is; `None` for JSON, which means the same to all.
    pub dialect: Option<Dialect>,
    /// What was read, and differs from what it looks like.
    pub warnings: Vec<Finding>,
    raw: Option<raw::Raw>,
}

impl Document {
    /// A document of JSON.
    pub fn json(root: Located) -> Self {
        Self { root, dialect: None, warnings: Vec::new(), raw: None }
    }

    /// What Kubernetes reads, if it reads anything.
    pub fn as_kubernetes(&self) -> Option<Located> {
        resolve::resolve(self.raw.as_ref()?, Dialect::Kubernetes, &mut Vec::new()).ok()
    }

    /// What is another value to the other dialect: for a text that does not say whose it is.
    pub fn disagreements(&self) -> Vec<Finding> {
        let Some(raw) = &self.raw else { return Vec::new() };
        compare::disagreements(raw, &self.root)
    }
}

/// Every document of the text that is not empty. One with `apiVersion` and `kind` is read as Kubernetes does, any other as
/// Envoy does.
pub fn read(text: &str) -> Result<Vec<Document>, Finding> {
    let is_resource = |raw: &raw::Raw| raw.has_key("apiVersion") && raw.has_key("kind");
    documents(text, |raw| if is_resource(raw) { Dialect::Kubernetes } else { Dialect::Envoy })
}

/// Every document of the text that is not empty, as this dialect has it.
pub fn read_yaml(text: &str, dialect: Dialect) -> Result<Vec<Document>, Finding> {
    documents(text, |_| dialect)
}

fn documents(text: &str, dialect: impl Fn(&raw::Raw) -> Dialect) -> Result<Vec<Document>, Finding> {
    let mut documents = Vec::new();
    for raw in raw::read(text)? {
        let dialect = dialect(&raw);
        let mut warnings = Vec::new();
        let root = resolve::resolve(&raw, dialect, &mut warnings)?;
        documents.push(Document { root, dialect: Some(dialect), warnings, raw: Some(raw) });
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::super::Position;
    use super::*;

    fn json(text: &str) -> Vec<String> {
        read(text).unwrap().iter().map(|document| document.root.to_json()).collect()
    }

    #[test]
    fn documents_have_their_values_and_places() {
        let text = "---\na: [1, 0x10, '2', ~, Yes]\nb: &b {c: .5}\n---\n# nothing\n---\nd: 1.0.0\n";
        assert_eq!(json(text), [r#"{"a":[1,16,"2",null,true],"b":{"c":".5"}}"#, r#"{"d":"1.0.0"}"#]);
        let documents = read(text).unwrap();
        assert_eq!(documents[0].root.place("b.c", false), Position { line: 3, column: 11 });
        assert_eq!(documents[1].root.place("d", true), Position { line: 7, column: 1 });
    }

    #[test]
    fn each_document_is_read_by_those_whom_it_is_for() {
        let text = "a: 0.5\n---\napiVersion: v1\nkind: X\na: 0.5\n";
        assert_eq!(json(text), [r#"{"a":"0.5"}"#, r#"{"apiVersion":"v1","kind":"X","a":0.5}"#]);
    }

    #[test]
    fn an_alias_stands_for_its_anchor() {
        assert_eq!(json("a: &x {b: 1}\nc: *x\n"), [r#"{"a":{"b":1},"c":{"b":1}}"#]);
    }

    #[test]
    fn aliases_that_multiply_end_at_a_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
        }
        assert!(read(&text).unwrap_err().message.contains("more than"));
    }

    #[test]
    fn faults_have_their_places() {
        assert_eq!(read("a: [1\nb: 2\n").unwrap_err().at.line, 2);
        let repeated = read("a: 1\na: 2\n").unwrap().remove(0);
        assert_eq!(
            (repeated.root.to_json().as_str(), repeated.warnings[0].at),
            (r#"{"a":2}"#, Position { line: 2, column: 1 })
        );
    }

    #[test]
    fn what_the_two_read_differently_is_said_for_a_text_of_neither() {
        let said = |text: &str| {
            let documents = read(text).unwrap();
            documents[0].disagreements().into_iter().map(|finding| (finding.path, finding.at.line)).collect::<Vec<_>>()
        };
        assert_eq!(said("a: 0.05\nb: 1e3\nc: yes\nd: '5'\n"), []);
        assert_eq!(said("a: 1_000\nb: {c: [x, 0o17]}\n"), [("a".to_owned(), 1), ("b.c[1]".to_owned(), 2)]);
        assert_eq!(said("a: &x {b: 1}\nc: {<<: *x}\n"), [("c".to_owned(), 2)]);
    }
}
