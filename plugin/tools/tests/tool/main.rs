//! Stories of the command-line tool, run as a process: whole outputs and exit codes.

mod check;
mod corpus;
mod env;
mod explain;
mod forecast;
mod kit;
mod rate;
mod token;
mod yaml;
