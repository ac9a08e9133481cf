//! Options of the programs that commands become, from the same files that the programs read them with: help and a mistake are
//! answered before anything is built.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

/// Of the report of `cargo xtask bench`.
#[path = "../../../envoy/examples/bench/options.rs"]
#[expect(dead_code, reason = "the report reads them")]
pub(crate) mod bench;
/// Of the simulation of `cargo xtask mesh`.
#[path = "../../../host-tests/examples/mesh/arguments.rs"]
pub(crate) mod mesh;
/// Of the shop.
#[path = "../../../examples/shop/src/options.rs"]
#[expect(dead_code, reason = "the shop reads them")]
pub(crate) mod shop;
/// Of the demo of X-Ray.
#[path = "../../../examples/xray/src/options.rs"]
pub(crate) mod xray;

/// Reads what will be passed on. Help and a mistake end this program, as they would end the other one.
pub(crate) fn read<T: Parser>(command: &str, arguments: &[OsString]) -> T {
    T::parse_from([OsString::from(command)].iter().chain(arguments))
}

/// The part of a program's help that lists its options, for the help of the command that becomes it.
pub(crate) fn list<T: CommandFactory>(title: &str) -> String {
    let help = T::command().disable_help_flag(true).render_help().to_string();
    let options = help.split_once("Options:\n").map_or("", |(_, options)| options);
    format!("{title}:\n{}", options.trim_end())
}

/// A port that a person chose must be free; found out before anything is built.
pub(crate) fn check_port(port: u16) -> Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).with_context(|| {
        format!(
            "port {port} of 127.0.0.1 is not available; choose another one with --port, or leave it out to take a free one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_an_error_that_says_what_to_do() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check_port(port).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
        drop(taken);
        check_port(port).unwrap();
    }

    #[test]
    fn the_list_has_options_and_no_usage() {
        let list = list::<shop::Options>("Options of the shop");
        assert!(list.starts_with("Options of the shop:\n  ") && list.contains("--failures"), "{list}");
        assert!(!list.contains("Usage") && !list.contains("--help"), "{list}");
    }
}
