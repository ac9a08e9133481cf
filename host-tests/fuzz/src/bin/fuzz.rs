//! The fuzzer. `cargo xtask fuzz` builds and runs it; `TRACELIFT_FUZZ_TARGET` names the target, or is `list`. The arguments
//! are libFuzzer's.
#![no_main]

use std::sync::OnceLock;

use tracelift_fuzz::{TARGETS, Target, target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("TRACELIFT_FUZZ_TARGET").unwrap_or_default();
        match target(&name) {
            Some(target) => drop(CHOSEN.set(target)),
            None => {
                for target in TARGETS {
                    println!("{} {}", target.name, target.max_len);
                }
                if name == "list" {
                    std::process::exit(0);
                }
                eprintln!("TRACELIFT_FUZZ_TARGET is {name:?}; it must be one of these, or `list`");
                std::process::exit(2);
            }
        }
    },
    |bytes: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            (target.run)(bytes);
        }
    }
);
