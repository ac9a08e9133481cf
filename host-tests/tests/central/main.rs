//! AWS X-Ray's central sampling through the release module: a process of several VMs, a stand-in of the service, virtual time.

mod adaptive;
mod cost;
mod kit;
mod leading;
mod reservoir;
mod rules;
mod trouble;
