//! The mesh simulation: what the filter promises holds in any mesh, and a promise that is broken is found.

mod detects;
mod holds;
mod words;
