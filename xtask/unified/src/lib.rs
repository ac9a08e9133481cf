//! Nothing but a list of dependencies: see README.md.
