//! Whose a function is, by its name: a room of the engine, a shell, or a library.

use rustc_demangle::try_demangle;

/// The engine's crate; what follows it in a path is a room.
const ENGINE: &str = "tracelift";
/// The crate of the module's shell.
const SHELL: &str = "tracelift_wasm";
/// How the shell is called in a report.
const SHELL_NAME: &str = "wasm";
/// What the ABI's callbacks begin with; they are exported by that name, without their crate.
const CALLBACK: &str = "proxy_";
/// How they are called in a report, apart from the shell: what has one caller is inlined, so that they have code of all rooms.
const CALLBACKS_NAME: &str = "callbacks";

/// Crates that are the standard library, with those that only it uses.
const STANDARD: [&str; 10] = [
    "__rustc",
    "alloc",
    "core",
    "std",
    "compiler_builtins",
    "dlmalloc",
    "hashbrown",
    "memchr",
    "panic_abort",
    "wasip1",
];
const STANDARD_NAME: &str = "std";
/// Names that are no Rust: C of the target's libc, and what the linker makes.
const C_NAME: &str = "libc";

/// Who a function belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A module of the engine, the shell as a whole, or its callbacks.
    Room(String),
    /// A library: the standard one, or another crate.
    Library(String),
}

impl Owner {
    /// For a report.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Room(name) | Self::Library(name) => name,
        }
    }
}

/// The name as Rust has it, without the hash that tells compilations apart.
pub(crate) fn readable(symbol: &str) -> String {
    match try_demangle(symbol) {
        Ok(name) => format!("{name:#}"),
        Err(_) => without_hash(symbol).to_owned(),
    }
}

/// A linker that has demangled leaves the hash as a last segment: `core::fmt::write::h0123456789abcdef`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

/// The owner of a function with this readable name. A generic function of a library, made for a type of ours, is that type's room's:
/// it is there because the room uses it. What was inlined is its caller's.
pub(crate) fn owner(name: &str) -> Owner {
    let paths: Vec<Vec<&str>> = paths(name).collect();
    let ours = paths.iter().find_map(|path| match path.as_slice() {
        [ENGINE, room, ..] => Some(*room),
        [SHELL, ..] => Some(SHELL_NAME),
        [name] if name.starts_with(CALLBACK) => Some(CALLBACKS_NAME),
        _ => None,
    });
    if let Some(room) = ours {
        return Owner::Room(room.to_owned());
    }
    let crates = || paths.iter().filter(|path| 2 <= path.len()).filter_map(|path| path.first());
    let other = crates().find(|name| !STANDARD.contains(name));
    let library = other.copied().or_else(|| crates().next().map(|_| STANDARD_NAME)).unwrap_or(C_NAME);
    Owner::Library(library.to_owned())
}

/// The paths in a name, in its order: `<a::B as c::D>::e` has `a::B`, `c::D` and `e`.
fn paths(name: &str) -> impl Iterator<Item = Vec<&str>> {
    let is_of_path = |byte: char| byte.is_alphanumeric() || byte == '_' || byte == ':' || byte == '$';
    name.split(move |byte| !is_of_path(byte))
        .filter(|path| !path.starts_with("::"))
        .map(|path| path.split("::").filter(|segment| !segment.is_empty()).collect::<Vec<_>>())
        .filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_readable_in_each_way_of_writing_it() {
        let cases = [
            ("_ZN9tracelift4span5build5build17h0123456789abcdefE", "tracelift::span::build::build"),
            ("_RNvNtCs1234_9tracelift4span5build", "tracelift::span::build"),
            ("core::fmt::write::h0123456789abcdef", "core::fmt::write"),
            ("proxy_on_log", "proxy_on_log"),
            ("a::hash::hash", "a::hash::hash"),
        ];
        for (symbol, expected) in cases {
            assert_eq!(readable(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn a_function_belongs_to_the_room_that_it_is_there_for() {
        let room = |name: &str| Owner::Room(name.to_owned());
        let library = |name: &str| Owner::Library(name.to_owned());
        let cases = [
            ("tracelift::span::build::build", room("span")),
            ("<tracelift::config::raw::Rule as core::clone::Clone>::clone", room("config")),
            ("<alloc::vec::Vec<tracelift::export::queue::Entry> as core::ops::drop::Drop>::drop", room("export")),
            ("core::ptr::drop_in_place::<core::option::Option<tracelift::central::rule::Rule>>", room("central")),
            ("<serde_json::de::Deserializer<R>>::deserialize_map::<tracelift::config::tree::Visitor>", room("config")),
            ("tracelift_wasm::host::get_property", room("wasm")),
            ("proxy_on_request_headers", room("callbacks")),
            ("<&mut prost::encoding::Buffer as core::fmt::Write>::write_str", library("prost")),
            ("<alloc::vec::Vec<u8> as bytes::BufMut>::put_slice", library("bytes")),
            ("core::fmt::Formatter::pad", library("std")),
            ("hashbrown::raw::RawTable<T,A>::reserve_rehash", library("std")),
            ("memcpy", library("libc")),
            ("__wasm_call_ctors", library("libc")),
            ("", library("libc")),
        ];
        for (name, expected) in cases {
            assert_eq!(owner(name), expected, "{name}");
        }
    }
}
