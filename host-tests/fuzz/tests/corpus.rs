//! The kept inputs: each of `found/` is a test of its own name, and the corpus of a target is one.

use std::panic::catch_unwind;
use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use tracelift_fuzz::{TARGETS, Target, kept};

fn main() {
    let mut trials = Vec::new();
    for &target in TARGETS {
        let kept = kept::of(target).unwrap_or_else(|error| panic!("the inputs of {}: {error}", target.name));
        let (found, corpus): (Vec<_>, Vec<_>) = kept.into_iter().partition(|input| input.name.starts_with("found/"));
        assert!(!corpus.is_empty(), "no input is kept for {}: run `cargo xtask fuzz --target {0}`", target.name);
        let name = format!("corpus/{}: {} inputs", target.name, corpus.len());
        trials.push(Trial::test(name, move || corpus.iter().try_for_each(|input| replay(target, &input.path))));
        trials.extend(found.into_iter().map(|input| Trial::test(input.name, move || replay(target, &input.path))));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A panic has said above what is wrong; this says with which input.
fn replay(target: Target, path: &Path) -> Result<(), Failed> {
    let bytes = std::fs::read(path).map_err(|error| Failed::from(format!("{}: {error}", path.display())))?;
    catch_unwind(|| (target.run)(&bytes)).map_err(|_| Failed::from(format!("the input is {}", path.display())))
}
