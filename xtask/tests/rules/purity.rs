//! What the engine must not touch: clock, environment, files, network, threads, output, and state outside of its values. Such
//! facts are arguments, or come through its door, so that every shell and every test has the same engine.

use crate::source::{Found, PathFrom, What};
use crate::violation::Violation;

/// Paths of the standard library, and what to use in their place. Whatever is in them is meant, too.
const PATHS: &[(&str, &str)] = &[
    ("std::time::Instant", "take the time as a value"),
    ("std::time::SystemTime", "take the time as a value"),
    ("std::time::UNIX_EPOCH", "take the time as a value"),
    ("std::env", "take the variables as values"),
    ("std::fs", "take the content as a value"),
    ("std::net::TcpListener", "call through the door"),
    ("std::net::TcpStream", "call through the door"),
    ("std::net::ToSocketAddrs", "call through the door"),
    ("std::net::UdpSocket", "call through the door"),
    ("std::os", "the engine knows no operating system"),
    ("std::process", "return an error"),
    ("std::thread", "the shell has the threads"),
    ("std::io::stderr", "log through the door"),
    ("std::io::stdin", "take the content as a value"),
    ("std::io::stdout", "log through the door"),
    ("std::hash::RandomState", "take random bits as a value"),
    ("std::collections::HashMap", "a BTreeMap has the same order everywhere"),
    ("std::collections::HashSet", "a BTreeSet has the same order everywhere"),
    ("std::collections::hash_map", "a BTreeMap has the same order everywhere"),
    ("std::collections::hash_set", "a BTreeSet has the same order everywhere"),
];

/// Where a room needs one of them, and why it is harmless there.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("process", "std::collections::HashMap", "with a hasher of its own, looked up in each callback, in no order"),
    ("metrics", "std::collections::HashMap", "with a hasher of its own, looked up for each request, in no order"),
];

/// Macros that write somewhere, or keep state.
const MACROS: &[(&str, &str)] = &[
    ("dbg", "log through the door"),
    ("eprint", "log through the door"),
    ("eprintln", "log through the door"),
    ("print", "log through the door"),
    ("println", "log through the door"),
    ("thread_local", "keep state in a value"),
];

/// Macros that read the environment of the compiler, and the one room that may.
const BUILD_FACTS: [&str; 2] = ["env", "option_env"];
const BUILD_FACTS_ROOM: &str = "identity";

/// Types that a static could be changed through; atomics are known by their prefix.
const INTERIOR_MUTABILITY: [&str; 11] = [
    "Cell",
    "RefCell",
    "UnsafeCell",
    "OnceCell",
    "LazyCell",
    "Mutex",
    "RwLock",
    "OnceLock",
    "LazyLock",
    "Once",
    "Condvar",
];
const ATOMIC: &str = "Atomic";

fn check(found: &[Found]) -> Vec<Violation> {
    let problem = |found: &Found| match &found.what {
        What::Path { segments, from } => path_problem(&segments.join("::"), *from, found),
        What::Macro(name) => macro_problem(name, found),
        What::Static { name, is_mut, types } => static_problem(name, *is_mut, types),
        What::Module | What::ExportedMacro(_) | What::Function { .. } => None,
    };
    found.iter().filter_map(|found| Some(Violation::at(found, problem(found)?))).collect()
}

fn path_problem(path: &str, from: PathFrom, found: &Found) -> Option<String> {
    let is_in = |path: &str, outer: &str| {
        path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let is_excepted = |(room, excepted, _): &(&str, &str, &str)| {
        found.module.first().is_some_and(|found| found == room) && is_in(path, excepted)
    };
    if EXCEPTIONS.iter().any(is_excepted) {
        return None;
    }
    if let Some((banned, instead)) = PATHS.iter().find(|(banned, _)| is_in(path, banned)) {
        return Some(format!("`{banned}` is not for the engine: {instead}"));
    }
    // `use std::time;` would hide `time::Instant::now()` from the rule above.
    let (banned, _) = PATHS.iter().find(|(banned, _)| from != PathFrom::Code && is_in(banned, path))?;
    Some(format!("`use` of `{path}` brings `{banned}` with it: name what is used of it"))
}

fn macro_problem(name: &str, found: &Found) -> Option<String> {
    if BUILD_FACTS.contains(&name) && found.module.first().is_none_or(|room| room != BUILD_FACTS_ROOM) {
        return Some(format!("`{name}!` is for `{BUILD_FACTS_ROOM}` alone: take its constant"));
    }
    let (_, instead) = MACROS.iter().find(|(banned, _)| *banned == name)?;
    Some(format!("`{name}!` is not for the engine: {instead}"))
}

fn static_problem(name: &str, is_mut: bool, types: &[String]) -> Option<String> {
    let changes = |name: &&String| INTERIOR_MUTABILITY.contains(&name.as_str()) || name.starts_with(ATOMIC);
    let how = if is_mut { "mut" } else { types.iter().find(changes)? };
    Some(format!("static `{name}` can change (`{how}`): keep state in a value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crates;
    use crate::source::read_text;
    use crate::violation::{assert_each_says, assert_none};

    #[test]
    fn the_engine_has_no_clock_environment_output_or_state_of_its_own() {
        assert_none(&check(&crates::engine().read()), "The lists are in xtask/tests/rules/purity.rs.");
    }

    #[test]
    fn planted_violations_are_found() {
        let planted = [
            ("use std::time::Instant;", "`std::time::Instant` is not for the engine: take the time as a value"),
            ("fn f() { std::time::SystemTime::now(); }", "`std::time::SystemTime`"),
            ("use std::{fmt, time::{Duration, UNIX_EPOCH}};", "`std::time::UNIX_EPOCH`"),
            ("use std::time;", "`use` of `std::time` brings `std::time::Instant` with it"),
            ("use std::time::*;", "`use` of `std::time` brings"),
            ("use std as s;", "`use` of `std` brings"),
            ("fn f() { std::env::var(\"X\"); }", "`std::env`"),
            ("use std::fs;", "`std::fs`"),
            ("use std::fs::File;", "`std::fs`"),
            ("use std::net::TcpStream;", "`std::net::TcpStream`"),
            ("fn f() { std::process::abort() }", "`std::process`"),
            ("use std::thread::spawn;", "`std::thread`"),
            ("use std::io::{Write, stdout};", "`std::io::stdout`"),
            ("struct S { m: std::collections::HashMap<u8, u8> }", "a BTreeMap"),
            ("fn f() { println!(\"x\") }", "`println!`"),
            ("fn f() { eprintln!(\"x\") }", "`eprintln!`"),
            ("fn f() { std::dbg!(1); }", "`dbg!`"),
            ("fn f() { g(vec![std::env::args()]) }", "`std::env`"),
            ("macro_rules! m { ($x:expr) => { print!($x) } }", "`print!`"),
            ("thread_local! { static X: u8 = 1; }", "`thread_local!`"),
            ("const V: &str = env!(\"CARGO_PKG_VERSION\");", "`env!` is for `identity` alone"),
            ("const V: &str = concat!(\"v\", option_env!(\"V\"));", "`option_env!` is for `identity` alone"),
            ("static mut N: u8 = 0;", "static `N` can change (`mut`)"),
            ("static N: AtomicU64 = AtomicU64::new(0);", "static `N` can change (`AtomicU64`)"),
            ("fn f() { static N: [std::sync::Mutex<u8>; 2] = g(); }", "static `N` can change (`Mutex`)"),
            ("m! { static N: OnceLock<u8> = OnceLock::new(); }", "static `N` can change (`OnceLock`)"),
        ];
        for (code, said) in planted {
            assert_each_says(&check(&read_text("span", code)), &[said]);
        }
    }

    #[test]
    fn what_is_the_same_everywhere_is_allowed() {
        let allowed = [
            "use std::time::Duration; fn f(d: Duration) -> std::time::Duration { d }",
            "use std::net::{IpAddr, Ipv4Addr};",
            "use std::io::Read; use std::collections::{BTreeMap, VecDeque};",
            "static NAMES: [&str; 2] = [\"a\", \"b\"]; fn f(x: &'static str) { g!(x != y, environment) }",
            "fn f() { write!(f, \"println!\") }",
            "#[cfg(test)] mod tests { use std::time::Instant; fn f() { println!() } }",
        ];
        for code in allowed {
            assert_each_says(&check(&read_text("span", code)), &[]);
        }
        let code = "use std::collections::HashMap;";
        assert_each_says(&check(&read_text("process", code)), &[]);
        let code = "pub const VERSION: &str = env!(\"CARGO_PKG_VERSION\");";
        assert_each_says(&check(&read_text("identity", code)), &[]);
    }
}
