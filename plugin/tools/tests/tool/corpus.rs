//! Files in the shapes that people have: what `check` and `forecast` say of each is beside it, in a file of the same name
//! with `.expected` behind it: the exit code, then what is printed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::kit::{Ran, folder, tracelift_in};

/// Every file of a folder but the expectations.
fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    let mut names: Vec<_> = names.filter(|name| !name.ends_with(".expected")).collect();
    names.sort();
    names
}

fn compare(kind: &str, at_least: usize, says: impl Fn(&Path, &str) -> String) {
    let folder = folder(&format!("corpus/{kind}"));
    let names = files(&folder);
    assert!(at_least <= names.len(), "{names:?}");
    let mut wrong = Vec::new();
    for name in names {
        let found = says(&folder, &name);
        let expected = fs::read_to_string(folder.join(format!("{name}.expected"))).unwrap_or_default();
        if found != expected {
            wrong.push(format!("== {name}, expected\n{expected}== {name}, found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_manifest_is_found_through_its_wrappings_with_what_is_wrong_in_it() {
    compare("check", 20, |folder, name| {
        let Ran { code, out, err } = tracelift_in(folder, &["check", name], "", &[]);
        format!("exit code {}\n{out}{err}", code.expect("a code"))
    });
}

#[test]
fn every_log_is_read_through_its_wrappings_and_what_is_left_out_is_said() {
    // Without bytes, which follow from how spans are encoded and not from the log.
    compare("forecast", 12, |folder, name| {
        let Ran { code, out, err } = tracelift_in(folder, &["forecast", "--json", "--from", name], "", &[]);
        let said: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{name}: {error}: {err}"));
        let mut text = format!("exit code {}\n{}\n", code.expect("a code"), said["basis"].as_str().expect("a basis"));
        for row in said["rows"].as_array().expect("rows") {
            let number = |key: &str| row[key].as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.4}"));
            let [spans, whole, kept] = ["spans_per_second", "chains_complete", "failed_spans_kept"].map(number);
            text.push_str(&format!(
                "{}: {spans} spans/s, chains {whole}, their spans {kept}\n",
                row["policy"].as_str().expect("a name")
            ));
        }
        for note in said["notes"].as_array().expect("notes") {
            text.push_str(&format!("{}\n", note.as_str().expect("a note")));
        }
        text
    });
}
